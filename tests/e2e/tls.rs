//! Clients that speak TLS: they draw, their boards move under them, and certificates are exchanged while they do.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handover_protocol::admin::DrainState;
use handover_tests::{BoardServer, Database, Gateway, Program, Route, eventually, free_port};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

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
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("it is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks them")
            .with_root_certificates(roots)
            .with_no_client_auth();
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
    let certificate = |name: &str| files.path().join(name).display().to_string();
    let gateway = Gateway::builder("r1")
        .listen(&format!("traffic_tls = [\"{traffic}\"]"))
        .server(&servers[0])
        .server(&servers[1])
        .route(&Route::whiteboard())
        .toml(&format!(
            "[[tls.certificates]]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
            certificate("app.pem"),
            certificate("app.key")
        ))
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

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);
