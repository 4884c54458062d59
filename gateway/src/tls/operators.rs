//! TLS at the admin listener: one certificate to show, and operators and scripts that may show one of theirs.
//!
//! A certificate of a client is looked at if it comes; whether a call needs one is decided at the call, so that probes
//! need none. No session is resumed: a resumed one would bring along a certificate of an authority that has been taken
//! from the configuration since.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::acceptor::HandshakeFault;
use super::certificate::{Certificate, CertificateFault};
use crate::config::AdminTls;

/// Makes TLS streams of the admin listener's connections; its files can be exchanged meanwhile.
#[derive(Debug)]
pub struct OperatorsAcceptor {
    current: ArcSwap<OperatorsFiles>,
    patience: Duration,
}

/// What one reading of the files has brought.
#[derive(Debug)]
pub struct OperatorsFiles {
    server: Arc<ServerConfig>,
    certificate: Certificate,
}

/// Whom a client's certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its subject's common names, and its DNS names, e-mail addresses and URIs; as the authority has written them.
    pub names: Vec<String>,
}

impl OperatorsAcceptor {
    /// Shows the certificate of these files, and gives each client `patience` for its handshake.
    pub fn new(files: OperatorsFiles, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(files),
            patience,
        })
    }

    /// Takes other files; handshakes from now on go by them.
    pub fn replace(&self, files: OperatorsFiles) {
        self.current.store(Arc::new(files));
    }

    /// Returns what is shown now.
    pub fn certificate(&self) -> Certificate {
        self.current.load().certificate.clone()
    }

    /// Shakes hands; returns whom the client's certificate names, where it has shown one.
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    /// When the client has not got through in time, or what it said or showed does not suit.
    pub async fn accept(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Option<Identity>), HandshakeFault> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.load().server));
        let accepted = timeout(self.patience, acceptor.accept(stream).into_fallible())
            .await
            .map_err(|_| HandshakeFault::Timeout)?;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, stream)) => {
                linger(stream).await;
                return Err(HandshakeFault::Refused(error));
            }
        };
        let (_, session) = stream.get_ref();
        let identity = session.peer_certificates().and_then(<[_]>::first).map(Identity::of);
        Ok((stream, identity))
    }
}

impl OperatorsFiles {
    /// Reads the certificate, its key and the authority of clients.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(tls: &AdminTls) -> Result<Self, OperatorsFault> {
        let certificate = Certificate::load(&tls.files)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(OperatorsFault::Tls)?;
        let builder = match &tls.client_ca {
            Some(file) => builder.with_client_cert_verifier(verifier(file, provider)?),
            None => builder.with_no_client_auth(),
        };
        let shown = SingleCertAndKey::from(Arc::clone(&certificate.key));
        let mut server = builder.with_cert_resolver(Arc::new(shown));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self {
            server: Arc::new(server),
            certificate,
        })
    }
}

/// Lets a refused client read why. With TLS 1.3 it has sent its first request before it can know, and a socket that is
/// closed with unread bytes answers with a reset, which can overtake the alert.
async fn linger(mut stream: TcpStream) {
    let reading = async {
        let _ = stream.shutdown().await;
        let mut bytes_left = LINGER_BYTES_MAX;
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            bytes_left = match bytes_left.checked_sub(count) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // Whoever has not left by then is left.
    let _ = timeout(LINGER_TIMEOUT, reading).await;
}

fn verifier(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, OperatorsFault> {
    let unusable = |reason: String| OperatorsFault::Authority {
        file: file.to_owned(),
        reason,
    };
    let text = std::fs::read(file).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unusable(format!("is not PEM: {error}")))?;
        let added = roots.add(certificate);
        added.map_err(|error| {
            unusable(format!(
                "holds a certificate that cannot be one of an authority: {error}"
            ))
        })?;
    }
    if roots.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable(error.to_string()))
}

impl Identity {
    /// Reads the names of a certificate that was verified.
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return Self { names: Vec::new() };
        };
        let common = parsed
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok());
        let mut names: Vec<String> = common.map(str::to_owned).collect();
        let alternative = parsed.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|names| &names.value.general_names) {
            if let GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) = name {
                names.push((*name).to_owned());
            }
        }
        Self { names }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.first() {
            Some(name) => formatter.write_str(name),
            None => formatter.write_str("a certificate without a name"),
        }
    }
}

/// More than the first request of any caller.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// A few round trips.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Says why the admin listener's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OperatorsFault {
    /// The certificate or its key.
    #[error("admin.tls cannot be used: {0}")]
    Certificate(#[from] CertificateFault),
    /// The authority of clients.
    #[error("{} {reason}", file.display())]
    Authority {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it, as a predicate.
        reason: String,
    },
    /// No TLS can be made of it.
    #[error("no TLS can be made of admin.tls: {0}")]
    Tls(rustls::Error),
}
