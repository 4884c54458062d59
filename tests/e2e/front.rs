//! Who stands in front of the gateway: balancers that send PROXY headers, proxies that send forwarding headers, and
//! everybody else, who is not believed.

mod balancers;
mod proxies;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handover_tests::{Gateway, Route, ScriptedOrigin, eventually, free_port};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A gateway with and without TLS before a scripted origin. [`BALANCER`] and [`PROXY`] are listed.
struct Stage {
    origin: ScriptedOrigin,
    gateway: Gateway,
    traffic_tls: SocketAddr,
    certificate: CertificateDer<'static>,
    _files: tempfile::TempDir,
}

/// Anything that bytes go over.
trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<L: AsyncRead + AsyncWrite + Send + Unpin> Line for L {}

impl Stage {
    async fn start(route: &Route, listen: &str, tables: &str) -> Self {
        let origin = ScriptedOrigin::start().await;
        origin.will_answer(ANSWER);
        let files = tempfile::tempdir().expect("there is room for a temporary directory");
        let certificate = issue(files.path());
        let traffic_tls = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let tables = format!(
            "{tables}\n[[tls.certificates]]\ncertificate_file = \"{0}/app.pem\"\nkey_file = \"{0}/app.key\"\n",
            files.path().display()
        );
        let gateway = Gateway::builder("r1")
            .origin("board-1", "r1", origin.address())
            .listen(&format!("traffic_tls = [\"{traffic_tls}\"]"))
            .listen(&format!(
                "proxy_protocol = [\"{BALANCER}\"]\ntrusted_proxies = [\"{PROXY}\"]"
            ))
            .listen(listen)
            .route(route)
            .toml(&tables)
            .start()
            .await;
        gateway.all_ready().await;
        Self {
            origin,
            gateway,
            traffic_tls,
            certificate,
            _files: files,
        }
    }

    /// Connects from an address, says a header of the PROXY protocol where there is one, and shakes hands for TLS.
    async fn connect(&self, from: Ipv4Addr, header: &[u8], is_tls: bool) -> std::io::Result<Box<dyn Line>> {
        let to = if is_tls {
            self.traffic_tls
        } else {
            self.gateway.traffic()
        };
        let mut stream = connect_from(from, to).await;
        stream.write_all(header).await?;
        if !is_tls {
            return Ok(Box::new(stream));
        }
        Ok(Box::new(self.tls(stream).await?))
    }

    async fn tls(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("it is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("board.test").expect("it is a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Sends a request, and returns what came back and the head that the origin was sent, where it was sent one.
    async fn ask(&self, mut line: Box<dyn Line>, lines: &str) -> (String, Option<String>) {
        self.origin.take_heard();
        let request = format!("GET /boards/b/ws HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{lines}\r\n");
        let _ = line.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(SOON, line.read_to_end(&mut answer));
        // A reset is an end as well.
        let _ = reading.await.expect("the gateway closes");
        let heard = self
            .origin
            .heard()
            .first()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        (String::from_utf8_lossy(&answer).into_owned(), heard)
    }

    /// Opens a session, and returns where the admin API says its client is, and what answered where it was refused.
    async fn session(&self, mut line: Box<dyn Line>, lines: &str) -> Result<String, String> {
        self.origin.will_answer(ScriptedOrigin::SWITCHING);
        let request = format!(
            "GET /boards/s/ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        );
        line.write_all(request.as_bytes()).await.expect("the gateway reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(SOON, line.read_u8())
                .await
                .expect("it is answered");
            answer.push(byte.expect("the gateway answers"));
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if !answer.starts_with("HTTP/1.1 101 ") {
            return Err(answer);
        }
        let list = self.gateway.admin().get("/v1/boards/s/sessions").await;
        drop(line);
        eventually("the session has ended", SOON, || async {
            let list = self
                .gateway
                .admin()
                .call(reqwest::Method::GET, "/v1/boards/s/sessions", None)
                .await;
            list.1["sessions"].as_array().is_none_or(Vec::is_empty)
        })
        .await;
        Ok(list["sessions"][0]["client"]
            .as_str()
            .expect("it has a client")
            .to_owned())
    }

    async fn proxy_headers(&self, outcome: &str) -> f64 {
        let metrics = self.gateway.admin().metrics().await.expect("it has metrics");
        let value = metrics.value("handover_proxy_headers_total", &[("outcome", outcome)]);
        value.expect("every outcome has a series")
    }
}

/// Makes `app.pem` and `app.key` for `board.test`.
fn issue(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["board.test".to_owned()]).expect("the name is sound");
    std::fs::write(directory.join("app.pem"), made.cert.pem()).expect("the directory is there");
    std::fs::write(directory.join("app.key"), made.signing_key.serialize_pem()).expect("the directory is there");
    made.cert.der().clone()
}

async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket
        .bind(SocketAddr::new(IpAddr::V4(from), 0))
        .expect("all of 127.0.0.0/8 is this machine");
    socket.connect(to).await.expect("the gateway listens")
}

/// Returns the values of a header of what the origin was sent, in their order.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).collect()
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Listed in `proxy_protocol`.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Listed in `trusted_proxies`.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Listed nowhere.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);
