//! Handshakes with servers over real sockets: what is believed, what is not and what is said of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::admin::ServerOrigin;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::{CertificateFiles, Limits, MetricsConfig, ServerTlsConfig};
use crate::telemetry::Metrics;
use crate::tls::{SystemRoots, Trust};
use crate::upstream::Servers;
use crate::upstream::contract_server::opaque;

/// Two authorities, of which servers and the gateway know one each or none.
struct Files(TempDir);

/// What a certificate is to be.
struct Wish<'a> {
    name: &'a str,
    by: &'a str,
    from: i32,
    until: i32,
    is_authority: bool,
}

impl<'a> Wish<'a> {
    fn for_name(name: &'a str) -> Self {
        Self {
            name,
            by: "ours",
            from: 2000,
            until: 4000,
            is_authority: false,
        }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for name in ["ours", "theirs"] {
            let key = KeyPair::generate().unwrap();
            let certificate = authority(name).self_signed(&key).unwrap();
            std::fs::write(files.path(&format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(files.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn issue(&self, wish: &Wish<'_>) -> CertificateFiles {
        let signing = std::fs::read_to_string(self.path(&format!("{}.key", wish.by))).unwrap();
        let params = authority(wish.by);
        let signing = KeyPair::from_pem(&signing).unwrap();
        let issuer = Issuer::from_params(&params, &signing);
        let names = wish.name.split(' ').filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(wish.from, 1, 1);
        params.not_after = date_time_ymd(wish.until, 1, 1);
        if wish.is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let files = CertificateFiles {
            certificate: self.path("issued.pem"),
            key: self.path("issued.key"),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn trust(&self, change: impl FnOnce(&mut ServerTlsConfig)) -> Arc<Trust> {
        let mut config = ServerTlsConfig {
            ca_file: Some(self.path("ours.pem")),
            ..ServerTlsConfig::default()
        };
        change(&mut config);
        Arc::new(Trust::load(config, &SystemRoots::default()).unwrap())
    }
}

fn roots(file: &Path) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    Arc::new(roots)
}

/// A server that says `hello` to each connection, reads it to its end, and tells which name each asked for.
async fn serve(
    shown: &CertificateFiles,
    clients: Option<&Path>,
) -> (SocketAddr, mpsc::UnboundedReceiver<Option<String>>) {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(file) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots(file), provider)
                .build()
                .unwrap(),
        ),
    };
    let chain = vec![CertificateDer::from_pem_file(&shown.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&shown.key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                let _ = tell.send(name);
                let _ = stream.write_all(b"hello").await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, told)
}

struct Way {
    to: Destination,
    metrics: Metrics,
    connector: Arc<Connector>,
}

fn way(host: &str, address: SocketAddr, trust: Arc<Trust>) -> Way {
    let metrics = Metrics::new(&MetricsConfig::default()).unwrap();
    let connector = Arc::new(Connector::new(&"board-1".parse().unwrap(), trust, &metrics));
    let url = format!("https://{host}:{}", address.port()).parse().unwrap();
    Way {
        to: Destination::new(url, Some(&connector)),
        metrics,
        connector,
    }
}

impl Way {
    async fn connect(&self) -> Result<Wire, ServerTlsFault> {
        match self.to.connect(Instant::now() + PATIENCE).await {
            Ok(wire) => Ok(wire),
            Err(ConnectError::Tls(fault)) => Err(fault),
            Err(other) => panic!("{other}"),
        }
    }

    #[track_caller]
    fn assert_counted(&self, outcome: &str, count: u64) {
        let line = format!("handover_server_tls_handshakes_total{{outcome=\"{outcome}\",server=\"board-1\"}} {count}");
        let text = self.metrics.render();
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
}

async fn hear(wire: &mut Wire) {
    let mut heard = [0; 5];
    wire.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn a_server_is_believed_by_its_authority_and_by_the_name_that_was_asked_for() {
    let files = Files::new();
    let shown = files.issue(&Wish::for_name("localhost"));
    let (address, mut asked) = serve(&shown, None).await;
    let way = way("localhost", address, files.trust(|_| {}));
    way.assert_counted("full", 0);
    hear(&mut way.connect().await.unwrap()).await;
    assert_eq!(asked.recv().await.unwrap().as_deref(), Some("localhost"));
    way.assert_counted("full", 1);
    hear(&mut way.connect().await.unwrap()).await;
    way.assert_counted("resumed", 1);
}

#[tokio::test]
async fn tickets_of_sessions_and_of_control_calls_do_not_drive_each_other_out() {
    let files = Files::new();
    let shown = files.issue(&Wish::for_name("localhost 127.0.0.1"));
    let (address, _asked) = serve(&shown, None).await;
    let sessions = way("localhost", address, files.trust(|_| {}));
    let url = format!("https://{address}").parse().unwrap();
    let control = Destination::new(url, Some(&sessions.connector));
    for _ in 0..2 {
        hear(&mut sessions.connect().await.unwrap()).await;
        hear(&mut control.connect(Instant::now() + PATIENCE).await.unwrap()).await;
    }
    sessions.assert_counted("full", 2);
    sessions.assert_counted("resumed", 2);
}

#[tokio::test]
async fn an_address_is_checked_as_one_and_server_name_stands_in_for_the_host() {
    let files = Files::new();
    let shown = files.issue(&Wish::for_name("127.0.0.1"));
    let (address, mut asked) = serve(&shown, None).await;
    let by_address = way("127.0.0.1", address, files.trust(|_| {}));
    hear(&mut by_address.connect().await.unwrap()).await;
    assert_eq!(
        asked.recv().await.unwrap(),
        None,
        "an address is no SNI (RFC 6066 section 3)"
    );

    let shown = files.issue(&Wish::for_name("board-1.internal"));
    let (address, mut asked) = serve(&shown, None).await;
    let trust = files.trust(|config| config.server_name = Some("board-1.internal".into()));
    hear(&mut way("127.0.0.1", address, trust).connect().await.unwrap()).await;
    assert_eq!(asked.recv().await.unwrap().as_deref(), Some("board-1.internal"));
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_with_the_key_that_mends_it() {
    let files = Files::new();
    let check = async |wish: Wish<'_>, words: &[&str], outcome: &str| {
        let shown = files.issue(&wish);
        let (address, _asked) = serve(&shown, None).await;
        let way = way("localhost", address, files.trust(|_| {}));
        let fault = way.connect().await.unwrap_err();
        let said = fault.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
        assert!(fault.proves_presence(), "{said}");
        way.assert_counted(outcome, 1);
        way.assert_counted("full", 0);
    };
    let localhost = || Wish::for_name("localhost");
    check(
        Wish::for_name("board-2.internal"),
        &["for board-2.internal, not for localhost", "server_name"],
        "name",
    )
    .await;
    check(Wish::for_name(""), &["subjectAltName"], "name").await;
    check(
        Wish {
            by: "theirs",
            ..localhost()
        },
        &["ca_file"],
        "authority",
    )
    .await;
    check(
        Wish {
            until: 2001,
            ..localhost()
        },
        &["has expired"],
        "expired",
    )
    .await;
    check(
        Wish {
            from: 3000,
            ..localhost()
        },
        &["does not hold yet"],
        "expired",
    )
    .await;
    let as_authority = Wish {
        is_authority: true,
        ..localhost()
    };
    check(as_authority, &["it is an authority's"], "certificate").await;
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_is_told_of_whether_it_says_so_late_or_not() {
    let files = Files::new();
    let shown = files.issue(&Wish::for_name("localhost"));
    let ours = files.path("ours.pem");
    let (address, _asked) = serve(&shown, Some(&ours)).await;
    let knock = async |way: &Way| match way.to.knock(Instant::now() + PATIENCE).await {
        Ok(()) => Ok(()),
        Err(ConnectError::Tls(fault)) => Err(fault),
        Err(other) => panic!("{other}"),
    };
    let without = way("localhost", address, files.trust(|_| {}));
    assert_eq!(knock(&without).await, Err(ServerTlsFault::Demanded));
    assert!(ServerTlsFault::Demanded.to_string().contains("client_certificate_file"));
    without.assert_counted("refused", 1);

    // The request gets no other answer either.
    let stream = without.to.connect(Instant::now() + PATIENCE).await.unwrap();
    let request = http::Request::get("/").header("host", "h");
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let error = super::super::exchange(stream, request).await.err().unwrap();
    assert!(matches!(
        without.to.broken(error),
        ExchangeError::Tls(ServerTlsFault::Demanded)
    ));

    let client = files.issue(&Wish::for_name("gateway"));
    let with = way(
        "localhost",
        address,
        files.trust(|config| config.client = Some(client.clone())),
    );
    assert_eq!(knock(&with).await, Ok(()));
    let strangers = files.issue(&Wish {
        by: "theirs",
        ..Wish::for_name("gateway")
    });
    let stranger = way(
        "localhost",
        address,
        files.trust(|config| config.client = Some(strangers)),
    );
    let fault = knock(&stranger).await.unwrap_err();
    assert!(matches!(fault, ServerTlsFault::Refused(_)), "{fault}");
}

#[tokio::test]
async fn an_alert_comes_with_advice_on_certificates_only_where_it_may_be_about_them() {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let way = way("127.0.0.1", address, files.trust(|_| {}));
    let check = async |alert: u8, advice: &str, is_about_certificates: bool| {
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // A fatal alert in a record of its own (RFC 8446 sections 5.1 and 6).
            stream.write_all(&[21, 3, 3, 0, 2, 2, alert]).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let (outcome, ()) = tokio::join!(way.connect(), answer);
        let fault = outcome.unwrap_err();
        let said = fault.to_string();
        assert!(said.contains(advice), "{alert}: {said}");
        assert_eq!(
            said.contains("client_certificate_file"),
            is_about_certificates,
            "{said}"
        );
        assert!(fault.proves_presence(), "{said}");
    };
    check(48, "UnknownCA); compare client_certificate_file", true).await;
    check(116, "demands a client certificate", true).await;
    check(40, "HandshakeFailure); it demands", true).await;
    check(70, "ProtocolVersion); have it offer TLS 1.2 or 1.3", false).await;
    check(71, "cipher suite", false).await;
    check(112, "set server_name", false).await;
    check(120, "http/1.1", false).await;
    check(80, "InternalError); its own log says why", false).await;
}

#[tokio::test]
async fn who_speaks_no_tls_or_nothing_is_no_proof_of_presence() {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        let (silent, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
        drop(silent);
    });
    let way = way("127.0.0.1", address, files.trust(|_| {}));
    let fault = way.connect().await.unwrap_err();
    assert!(matches!(fault, ServerTlsFault::Protocol(_)), "{fault}");
    assert!(!fault.proves_presence());
    way.assert_counted("protocol", 1);
    let deadline = Instant::now() + Duration::from_millis(100);
    let error = way.to.connect(deadline).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(ServerTlsFault::Timeout)), "{error}");
    way.assert_counted("timeout", 1);
}

#[tokio::test]
async fn another_authority_holds_from_the_next_handshake_on_and_open_streams_stay() {
    let files = Files::new();
    let shown = files.issue(&Wish::for_name("localhost"));
    let (address, _asked) = serve(&shown, None).await;
    let way = way("localhost", address, files.trust(|_| {}));
    let mut open = way.connect().await.unwrap();
    way.connector.replace(
        files.trust(|config| config.ca_file = Some(files.path("theirs.pem"))),
        &way.metrics,
    );
    assert_eq!(
        way.connect().await.unwrap_err(),
        ServerTlsFault::Authority,
        "no ticket of before is good for anything"
    );
    hear(&mut open).await;
    way.connector.replace(files.trust(|_| {}), &way.metrics);
    hear(&mut way.connect().await.unwrap()).await;
}

#[test]
fn the_end_of_a_certificate_is_shown_while_a_server_is_named_that_is_shown_it() {
    let files = Files::new();
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let servers = Servers::new(&[], &Limits::default(), &metrics);
    let issue = |until: i32, file: &str| {
        let client = files.issue(&Wish {
            until,
            ..Wish::for_name("gateway")
        });
        let named = CertificateFiles {
            certificate: files.path(file),
            key: client.key,
        };
        std::fs::rename(client.certificate, &named.certificate).unwrap();
        files.trust(|config| config.client = Some(named))
    };
    let put = |name: &str, trust: &Arc<Trust>| {
        let config = crate::config::ServerConfig {
            tls: Some(Arc::clone(trust)),
            ..opaque(name, "127.0.0.1:1")
        };
        drop(servers.put(config, ServerOrigin::Api));
    };
    let remove = |name: &str| servers.remove(&name.parse().unwrap());
    let check = |expected: &[(&str, i64)]| {
        let text = metrics.render();
        let ends = text
            .lines()
            .filter(|line| line.starts_with("handover_tls_certificate_not_after"));
        let expected: Vec<String> = expected
            .iter()
            .map(|(file, year)| {
                let file = files.path(file);
                let end = date_time_ymd(i32::try_from(*year).unwrap(), 1, 1).unix_timestamp();
                let name = "handover_tls_certificate_not_after_seconds";
                format!("{name}{{certificate=\"{}\"}} {end}", file.display())
            })
            .collect();
        assert_eq!(ends.collect::<Vec<_>>(), expected);
    };
    let (old, other) = (issue(2040, "a.pem"), issue(2050, "b.pem"));
    check(&[]);
    put("board-1", &old);
    put("board-2", &old);
    check(&[("a.pem", 2040)]);
    remove("board-1");
    check(&[("a.pem", 2040)]);
    put("board-2", &other);
    check(&[("b.pem", 2050)]);
    put("board-2", &issue(2060, "b.pem"));
    check(&[("b.pem", 2060)]);
    put("board-1", &old);
    check(&[("a.pem", 2040), ("b.pem", 2060)]);
    servers.get(&"board-1".parse().unwrap()).unwrap().trust(other, &metrics);
    check(&[("b.pem", 2050)]);
    // Sessions may hold on to a server that has left.
    let held = servers.get(&"board-1".parse().unwrap());
    remove("board-1");
    remove("board-2");
    check(&[]);
    drop(held);
    put("board-2", &old);
    check(&[("a.pem", 2040)]);
}

/// Longer than anything takes here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
