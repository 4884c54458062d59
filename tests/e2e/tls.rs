//! Clients that speak TLS: they draw, their boards move under them, and certificates are exchanged while they do.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handover_protocol::admin::DrainState;
use handover_tests::{
    BoardServer, Database, Gateway, Program, RawClient, Route, ScriptedOrigin, eventually, free_port,
};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// A certificate for `board.test`, signed by itself.
struct Issued {
    certificate: CertificateDer<'static>,
    pem: String,
    key: String,
}

impl Issued {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["board.test".to_owned()]).expect("the name is sound");
        Self {
            certificate: made.cert.der().clone(),
            pem: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn write(&self, directory: &Path) {
        std::fs::write(directory.join("app.pem"), &self.pem).expect("the directory is there");
        std::fs::write(directory.join("app.key"), &self.key).expect("the directory is there");
    }

    /// Shakes hands with whoever shows this very certificate.
    async fn connect(&self, to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let config = trusting(std::slice::from_ref(self));
        let stream = TcpStream::connect(to).await?;
        let name = ServerName::try_from("board.test").expect("it is a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// Somebody who draws over TLS, one stroke after the other.
struct Drawer {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    drawn: u64,
}

impl Drawer {
    async fn come(stream: TlsStream<TcpStream>, board: &str) -> Self {
        let url = format!("wss://board.test/boards/{board}/ws?user=ann");
        let (socket, _) = tokio_tungstenite::client_async(url, stream)
            .await
            .expect("it is let in");
        let mut drawer = Self { socket, drawn: 0 };
        drawer.say(json!({"type": "hello", "user": "ann"})).await;
        drawer
    }

    async fn say(&mut self, value: Value) {
        self.socket
            .send(Message::text(value.to_string()))
            .await
            .expect("the socket is open");
    }

    /// Draws one stroke and waits until it is saved.
    async fn draw(&mut self) {
        self.drawn += 1;
        let pad = "x".repeat(20_000);
        self.say(
            json!({"type": "draw", "seq": self.drawn, "color": "#2e86de", "points": [[1, 2], [3, 4]], "pad": pad}),
        )
        .await;
        loop {
            let message = tokio::time::timeout(SOON, self.socket.next())
                .await
                .expect("it is answered");
            let Message::Text(text) = message.expect("the socket is open").expect("and whole") else {
                continue;
            };
            let heard: Value = serde_json::from_str(&text).expect("the server speaks JSON");
            if heard["type"] == "saved" && heard["seq"] == self.drawn {
                return;
            }
        }
    }
}

#[tokio::test]
async fn boards_move_under_clients_of_tls_and_certificates_are_exchanged_meanwhile() {
    let database = Database::fresh().await;
    let server = async |name: &str, release: &str| {
        BoardServer::builder(Program::Reference, name, release, &database)
            .start()
            .await
    };
    let servers = [server("board-1", "r1").await, server("board-2", "r2").await];
    let files = tempfile::tempdir().expect("there is room for a temporary directory");
    let first = Issued::new();
    first.write(files.path());
    let traffic = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let gateway = Gateway::builder("r1")
        .listen(&format!("traffic_tls = [\"{traffic}\"]"))
        .server(&servers[0])
        .server(&servers[1])
        .route(&Route::whiteboard())
        .toml(&certificates_in(files.path()))
        .start()
        .await;
    gateway.all_ready().await;
    let mut drawers = Vec::new();
    for number in 0..10 {
        let stream = first.connect(traffic).await.expect("it shows the first certificate");
        drawers.push(Drawer::come(stream, &format!("b{number}")).await);
    }
    for drawer in &mut drawers {
        drawer.draw().await;
    }

    let request = json!({"id": "d", "from": {"release": "r1"}, "to": {"release": "r2"}, "mode": "transparent"});
    let request = serde_json::from_value(request).expect("there is such a drain");
    gateway.admin().drain(&request).await.expect("it is let in");
    while !gateway.admin().drain_status("d").await.expect("it is known").done {
        for drawer in &mut drawers {
            drawer.draw().await;
        }
    }
    let status = gateway.admin().drained("d", SOON).await;
    assert_eq!(
        (status.state, status.fallen_back_sessions),
        (DrainState::Done, 0),
        "{status:?}"
    );

    // A certificate without its key changes nothing.
    let second = Issued::new();
    std::fs::write(files.path().join("app.pem"), &second.pem).expect("the directory is there");
    let (code, problem) = gateway.admin().post("/v1/config/reload").await;
    assert_eq!((code, &problem["type"]), (422, &json!("config-invalid")), "{problem}");
    first
        .connect(traffic)
        .await
        .expect("it still shows the first certificate");
    second.write(files.path());
    gateway.process().hang_up();
    eventually("the second certificate is shown", SOON, || async {
        second.connect(traffic).await.is_ok()
    })
    .await;
    first
        .connect(traffic)
        .await
        .expect_err("it shows the second certificate");
    for drawer in &mut drawers {
        drawer.draw().await;
    }
    for (number, drawer) in drawers.iter().enumerate() {
        let changes = database.changes(&format!("b{number}")).await;
        let seqs: Vec<i64> = changes.iter().map(|change| change.seq).collect();
        let drawn = i64::try_from(drawer.drawn).expect("they are few");
        assert_eq!(seqs, (1..=drawn).collect::<Vec<_>>(), "once and in order");
    }
}

/// Shakes hands over and over until it is told to stop, and notes whom it was shown.
async fn knock(to: SocketAddr, config: Arc<ClientConfig>, stop: CancellationToken) -> std::io::Result<Vec<Vec<u8>>> {
    let mut shown = Vec::new();
    while !stop.is_cancelled() {
        let name = ServerName::try_from("board.test").expect("it is a name");
        let stream = TcpStream::connect(to).await?;
        let mut stream = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await?;
        // The handshake is whole on both sides once there is an answer.
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: board.test\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        if !answer.starts_with(b"HTTP/1.1 404 ") {
            return Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        shown.extend(certificates.first().map(|certificate| certificate.to_vec()));
    }
    Ok(shown)
}

#[tokio::test]
async fn certificates_are_exchanged_under_load_and_nobody_is_turned_away() {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database)
        .start()
        .await;
    let files = tempfile::tempdir().expect("there is room for a temporary directory");
    let issued: Vec<Issued> = (0..8).map(|_| Issued::new()).collect();
    issued[0].write(files.path());
    let traffic = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let gateway = Gateway::builder("r1")
        .listen(&format!("traffic_tls = [\"{traffic}\"]"))
        .server(&server)
        .route(&Route::whiteboard())
        .toml(&certificates_in(files.path()))
        .start()
        .await;
    gateway.all_ready().await;
    let mut drawers = Vec::new();
    for number in 0..4 {
        let stream = issued[0]
            .connect(traffic)
            .await
            .expect("it shows the first certificate");
        drawers.push(Drawer::come(stream, &format!("b{number}")).await);
    }
    let stop = CancellationToken::new();
    let knocking: Vec<_> = [Resumption::disabled(), Resumption::disabled(), Resumption::default()]
        .into_iter()
        .map(|resumption| {
            let mut config = trusting(&issued);
            config.resumption = resumption;
            tokio::spawn(knock(traffic, Arc::new(config), stop.clone()))
        })
        .collect();
    for (number, next) in issued.iter().enumerate().skip(1) {
        // Half of a pair, and what is no certificate at all, change nothing.
        let broken = if number % 2 == 0 { "no certificate" } else { &next.pem };
        std::fs::write(files.path().join("app.pem"), broken).expect("the directory is there");
        let (code, problem) = gateway.admin().post("/v1/config/reload").await;
        assert_eq!((code, &problem["type"]), (422, &json!("config-invalid")), "{problem}");
        let current = issued[number - 1].connect(traffic).await;
        current.expect("it still shows the one before");
        next.write(files.path());
        gateway.process().hang_up();
        eventually("the next certificate is shown", SOON, || async {
            next.connect(traffic).await.is_ok()
        })
        .await;
        for drawer in &mut drawers {
            drawer.draw().await;
        }
    }
    stop.cancel();
    let mut shown = BTreeSet::new();
    for knocking in knocking {
        let whom = knocking.await.expect("it does not panic");
        shown.extend(whom.expect("no handshake fails"));
    }
    let known = |der: &Vec<u8>| issued.iter().any(|one| one.certificate.as_ref() == &der[..]);
    assert!(shown.len() > 1 && shown.iter().all(known), "{} were shown", shown.len());
    for (number, drawer) in drawers.iter().enumerate() {
        let changes = database.changes(&format!("b{number}")).await;
        let seqs: Vec<i64> = changes.iter().map(|change| change.seq).collect();
        let drawn = i64::try_from(drawer.drawn).expect("they are few");
        assert_eq!(seqs, (1..=drawn).collect::<Vec<_>>(), "once and in order");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let origin = ScriptedOrigin::start().await;
    let files = tempfile::tempdir().expect("there is room for a temporary directory");
    let issued = Issued::new();
    issued.write(files.path());
    let traffic = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let gateway = Gateway::builder("r1")
        .listen(&format!("traffic_tls = [\"{traffic}\"]"))
        .origin("board-1", "r1", origin.address())
        .route(&Route::whiteboard())
        .toml(&certificates_in(files.path()))
        .toml("\n[limits]\ntls_handshake_timeout = \"1s\"\n")
        .start()
        .await;
    // Nothing, and the first bytes of a record that announces more.
    for (hits, begun) in [(1.0, &b""[..]), (2.0, &[22, 3, 1, 2, 0, 1][..])] {
        let mut client = RawClient::connect(traffic).await;
        client.say(begun).await;
        client.rest().await;
        eventually("it is counted", SOON, || async {
            let metrics = gateway.admin().metrics().await.expect("it has metrics");
            metrics.value("handover_limit_hits_total", &[("limit", "tls_handshake_timeout")]) == Some(hits)
        })
        .await;
    }
    issued.connect(traffic).await.expect("others come in as before");
}

/// A configuration's lines for the certificate in a directory.
fn certificates_in(directory: &Path) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    format!(
        "[[tls.certificates]]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
        file("app.pem"),
        file("app.key")
    )
}

/// A client that knows these certificates and no other.
fn trusting(issued: &[Issued]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for one in issued {
        roots.add(one.certificate.clone()).expect("it is a certificate");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks them")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);
