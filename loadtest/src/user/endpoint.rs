//! Where users connect: an address, with TLS or without.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::plan::Reader;

/// Host and port of a gateway or a server, and how it is spoken to.
#[derive(Clone)]
pub struct Endpoint {
    authority: Arc<str>,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    /// Whom the certificate has to name.
    name: ServerName<'static>,
}

/// An open connection, below WebSocket. The state of TLS lies elsewhere, for most users have none.
pub type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Why there is no such place.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is no address.
    #[error("{0:?} is no address: write host:port, ws://host:port or wss://host:port, without a path")]
    Address(String),
    /// The file of authorities that was named has none that can be trusted.
    #[error("no certificate of an authority can be read from {}; name a PEM file of them with --ca", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What failed; nothing where the file has none.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// No file was named, and the system trusts nobody.
    #[error(
        "this system has no certificates of authorities{reason}; install them (ca-certificates) or name a PEM file with --ca"
    )]
    NoSystemAuthorities {
        /// What failed, behind a colon; empty where they were not found at all.
        reason: String,
    },
}

impl Endpoint {
    /// Takes host and port; TLS is not spoken.
    pub fn plain(authority: &str) -> Self {
        Self {
            authority: authority.into(),
            tls: None,
        }
    }

    /// Reads `host:port`, `ws://host:port` or `wss://host:port`; with TLS the certificate must come from an authority of
    /// `ca`, or else of the system.
    ///
    /// # Errors
    /// When it is none of these, or the authorities cannot be read.
    pub fn read(text: &str, ca: Option<&Path>) -> Result<Self, EndpointError> {
        let (is_tls, rest) = match (text.strip_prefix("wss://"), text.strip_prefix("ws://")) {
            (Some(rest), _) => (true, rest),
            (None, rest) => (false, rest.unwrap_or(text)),
        };
        let fault = || EndpointError::Address(text.to_owned());
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let parsed: http::uri::Authority = rest.parse().map_err(|_| fault())?;
        if rest.contains('@') || parsed.host().is_empty() {
            return Err(fault());
        }
        let authority = match (parsed.port_u16(), is_tls) {
            (Some(_), _) => rest.to_owned(),
            // A port that is none, such as `:70000`.
            (None, _) if rest.len() > parsed.host().len() => return Err(fault()),
            (None, true) => format!("{rest}:443"),
            (None, false) => format!("{rest}:80"),
        };
        let tls = match is_tls {
            true => {
                let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
                let name = ServerName::try_from(host.to_owned()).map_err(|_| fault())?;
                let connector = TlsConnector::from(Arc::new(client_config(ca)?));
                Some(Tls { connector, name })
            }
            false => None,
        };
        Ok(Self {
            authority: authority.into(),
            tls,
        })
    }

    /// Returns host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the port.
    pub fn port(&self) -> Option<u16> {
        self.authority.rsplit(':').next()?.parse().ok()
    }

    /// Returns the URL of a path there.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.authority)
    }

    /// Looks whether somebody listens there, and is to be trusted where TLS is spoken.
    ///
    /// # Errors
    /// When that is not so within 10 s.
    pub async fn knock(&self) -> io::Result<()> {
        let connected = timeout(KNOCK_TIMEOUT, self.connect(Reader::Prompt)).await;
        connected.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(())
    }

    /// Connects; `reader` decides how much the kernel takes for a user who does not read.
    ///
    /// # Errors
    /// When nobody listens, or the certificate is not trusted.
    pub async fn connect(&self, reader: Reader) -> io::Result<Wire> {
        let tcp = match reader {
            Reader::Prompt => TcpStream::connect(self.authority()).await,
            Reader::Stuck => connect_small(self.authority()).await,
        }?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Either::Left(tcp)),
            Some(tls) => {
                let stream = tls.connector.connect(tls.name.clone(), tcp).await?;
                Ok(Either::Right(Box::new(stream)))
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url(""))
    }
}

/// Connects with a receive buffer that is full soon; its size has to be set before.
async fn connect_small(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in lookup_host(authority).await? {
        let socket = match address {
            std::net::SocketAddr::V4(_) => TcpSocket::new_v4(),
            std::net::SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_recv_buffer_size(STUCK_RECV_BYTES)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn client_config(ca: Option<&Path>) -> Result<ClientConfig, EndpointError> {
    let roots = match ca {
        Some(path) => read_authorities(path)?,
        None => system_authorities()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has what TLS 1.2 and 1.3 need");
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn read_authorities(path: &Path) -> Result<RootCertStore, EndpointError> {
    let fault = |source| EndpointError::Authorities {
        path: path.to_owned(),
        source,
    };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| fault(Some(Box::new(error).into())))?;
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(fault(None)),
        (_taken, _left_out) => Ok(roots),
    }
}

fn system_authorities() -> Result<RootCertStore, EndpointError> {
    let read = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that no verifier of today takes; what is left out is trusted by nobody.
    match roots.add_parsable_certificates(read.certs) {
        (0, _) => {
            let error = read.errors.first();
            let reason = error.map_or_else(String::new, |error| format!(": {error}"));
            Err(EndpointError::NoSystemAuthorities { reason })
        }
        (_taken, _left_out) => Ok(roots),
    }
}

/// Longer than any network needs that a load test makes sense over.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A few messages.
const STUCK_RECV_BYTES: u32 = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_scheme_and_a_wrong_one_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&ca, own.cert.pem()).unwrap();
        let check = |text: &str, expected: &str| {
            let read = Endpoint::read(text, Some(&ca)).map(|endpoint| endpoint.to_string());
            assert_eq!(read.unwrap_or_else(|error| error.to_string()), expected);
        };
        check("127.0.0.1:8080", "ws://127.0.0.1:8080");
        check("ws://board:8080/", "ws://board:8080");
        check("wss://board.example.com", "wss://board.example.com:443");
        check("wss://[::1]:8443", "wss://[::1]:8443");
        check("board", "ws://board:80");
        for wrong in [
            "",
            "wss://",
            "ws://a:b",
            "ws://a/path",
            "http://a",
            "ws://a:70000",
            "u@a:1",
        ] {
            let error = Endpoint::read(wrong, Some(&ca)).unwrap_err();
            assert!(error.to_string().contains("without a path"), "{wrong}: {error}");
        }
        let error = Endpoint::read("wss://a", Some(Path::new("/nowhere.pem"))).unwrap_err();
        assert!(error.to_string().contains("--ca") && error.to_string().contains("/nowhere.pem"));
        std::fs::write(&ca, "").unwrap();
        assert!(matches!(
            Endpoint::read("wss://a", Some(&ca)),
            Err(EndpointError::Authorities { source: None, .. })
        ));
    }
}
