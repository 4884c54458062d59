//! Certificates and handshakes over real sockets, with a rustls client.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::{CertificateFiles, TlsConfig, UnknownNames};
use crate::telemetry::label::TlsOutcome;

/// Longer than anything takes here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn write_certificate(folder: &Path, stem: &str, names: &[&str]) -> CertificateFiles {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let files = CertificateFiles {
        certificate: folder.join(format!("{stem}.pem")),
        key: folder.join(format!("{stem}.key")),
    };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

fn two_certificates() -> (TempDir, TlsConfig) {
    let folder = tempfile::tempdir().unwrap();
    let config = TlsConfig {
        certificates: vec![
            write_certificate(folder.path(), "one", &["one.example", "*.boards.example"]),
            write_certificate(folder.path(), "two", &["two.example", "a.boards.example"]),
        ],
        unknown_names: UnknownNames::First,
    };
    (folder, config)
}

fn leaf(files: &CertificateFiles) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&files.certificate).unwrap()
}

fn trusting(files: &[CertificateFiles]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for files in files {
        roots.add(leaf(files)).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Shakes hands once; returns what the client was shown and how, or its error, and what the gateway made of it.
async fn meet(
    acceptor: &Acceptor,
    client: &Arc<ClientConfig>,
    name: &'static str,
) -> (Result<(CertificateDer<'static>, HandshakeKind), String>, TlsOutcome) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = async {
        let (stream, _) = listener.accept().await.unwrap();
        match acceptor.accept(stream).await {
            Ok((mut wire, outcome)) => {
                // Read by the client, so that it has the tickets before it leaves.
                wire.write_all(b"hello").await.unwrap();
                wire.flush().await.unwrap();
                let _ = wire.read(&mut [0; 1]).await;
                outcome
            }
            Err(fault) => fault.outcome(),
        }
    };
    let connecting = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let connected = TlsConnector::from(Arc::clone(client)).connect(name, stream).await;
        let mut stream = connected.map_err(|error| error.to_string())?;
        stream
            .read_exact(&mut [0; 5])
            .await
            .map_err(|error| error.to_string())?;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().unwrap()[0].clone().into_owned();
        Ok((shown, session.handshake_kind().unwrap()))
    };
    let (outcome, met) = tokio::join!(accepting, connecting);
    (met, outcome)
}

#[tokio::test]
async fn the_name_that_a_client_asks_for_picks_the_certificate() {
    let (_folder, config) = two_certificates();
    let acceptor = Acceptor::new(Certificates::load(&config).unwrap(), PATIENCE).unwrap();
    let [one, two] = [&config.certificates[0], &config.certificates[1]].map(leaf);
    for (name, expected) in [
        ("one.example", &one),
        ("two.example", &two),
        ("b.boards.example", &one),
        // A certificate that names the host stands before a wildcard.
        ("a.boards.example", &two),
    ] {
        let client = Arc::new(trusting(&config.certificates));
        let (met, _) = meet(&acceptor, &client, name).await;
        assert_eq!(&met.unwrap().0, expected, "{name}");
    }
}

#[tokio::test]
async fn an_unknown_name_gets_the_first_certificate_or_is_refused() {
    let (_folder, mut config) = two_certificates();
    let client = Arc::new(trusting(&config.certificates));
    let certificates = Certificates::load(&config).unwrap();
    let acceptor = Acceptor::new(Arc::clone(&certificates), PATIENCE).unwrap();
    let (met, _) = meet(&acceptor, &client, "other.example").await;
    let error = met.unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
    config.unknown_names = UnknownNames::Refuse;
    certificates.replace(&config).unwrap();
    let (met, outcome) = meet(&acceptor, &client, "other.example").await;
    assert!(met.unwrap_err().contains("alert"));
    assert_ne!(outcome, TlsOutcome::Full);
}

#[tokio::test]
async fn nobody_may_send_before_the_handshake_has_ended() {
    let (_folder, config) = two_certificates();
    let acceptor = Acceptor::new(Certificates::load(&config).unwrap(), PATIENCE).unwrap();
    let mut client = trusting(&config.certificates);
    client.enable_early_data = true;
    let client = Arc::new(client);
    for expected in [TlsOutcome::Full, TlsOutcome::Resumed] {
        let (_, outcome) = meet(&acceptor, &client, "one.example").await;
        assert_eq!(outcome, expected, "it has tickets");
    }
    let name = ServerName::try_from("one.example").unwrap();
    let mut next = rustls::ClientConnection::new(client, name).unwrap();
    assert!(next.early_data().is_none(), "a ticket allows early data");
}

#[tokio::test]
async fn a_client_that_comes_back_resumes() {
    let (_folder, config) = two_certificates();
    let acceptor = Acceptor::new(Certificates::load(&config).unwrap(), PATIENCE).unwrap();
    let client = Arc::new(trusting(&config.certificates));
    let (first, outcome) = meet(&acceptor, &client, "one.example").await;
    assert_eq!((first.unwrap().1, outcome), (HandshakeKind::Full, TlsOutcome::Full));
    let (second, outcome) = meet(&acceptor, &client, "one.example").await;
    assert_eq!(
        (second.unwrap().1, outcome),
        (HandshakeKind::Resumed, TlsOutcome::Resumed)
    );
}

#[tokio::test]
async fn certificates_are_exchanged_whole_or_not_at_all() {
    let (folder, config) = two_certificates();
    let certificates = Certificates::load(&config).unwrap();
    let acceptor = Acceptor::new(Arc::clone(&certificates), PATIENCE).unwrap();
    let old = leaf(&config.certificates[0]);
    let old_roots = Arc::new(trusting(&config.certificates));

    write_certificate(folder.path(), "one", &["one.example"]);
    std::fs::write(&config.certificates[1].key, "nothing").unwrap();
    let error = certificates.replace(&config).unwrap_err().to_string();
    assert!(error.contains("tls.certificates[1]"), "{error}");
    let (met, _) = meet(&acceptor, &old_roots, "one.example").await;
    assert_eq!(met.unwrap().0, old, "the good half of a bad reload is not shown");

    write_certificate(folder.path(), "two", &["two.example"]);
    certificates.replace(&config).unwrap();
    let client = Arc::new(trusting(&config.certificates));
    let (met, _) = meet(&acceptor, &client, "one.example").await;
    assert_eq!(met.unwrap().0, leaf(&config.certificates[0]));
}

#[tokio::test]
async fn a_client_that_never_ends_its_hello_is_given_up() {
    let (_folder, config) = two_certificates();
    let acceptor = Acceptor::new(Certificates::load(&config).unwrap(), Duration::from_millis(50)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    silent.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let fault = acceptor.accept(stream).await.unwrap_err();
    assert_eq!(fault.outcome(), TlsOutcome::Timeout);
    assert_eq!(
        silent.read(&mut [0; 8]).await.unwrap_or(0),
        0,
        "the connection is closed"
    );
}

#[test]
fn what_is_wrong_with_a_pair_is_said_of_the_right_file() {
    let (folder, config) = two_certificates();
    let [one, two] = [&config.certificates[0], &config.certificates[1]];
    let crossed = CertificateFiles {
        certificate: one.certificate.clone(),
        key: two.key.clone(),
    };
    let fault = Certificate::load(&crossed).unwrap_err();
    assert!(matches!(fault, CertificateFault::Mismatch { .. }), "{fault}");
    let swapped = CertificateFiles {
        certificate: one.key.clone(),
        key: one.key.clone(),
    };
    let fault = Certificate::load(&swapped).unwrap_err().to_string();
    assert!(fault.contains("one.key holds no certificate"), "{fault}");
    let no_key = CertificateFiles {
        certificate: one.certificate.clone(),
        key: one.certificate.clone(),
    };
    let fault = Certificate::load(&no_key).unwrap_err().to_string();
    assert!(fault.contains("holds no private key"), "{fault}");
    let nameless = write_certificate(folder.path(), "nameless", &[]);
    let fault = Certificate::load(&nameless).unwrap_err().to_string();
    assert!(fault.contains("names no host"), "{fault}");
}
