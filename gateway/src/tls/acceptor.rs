//! The TLS handshake with a client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::{HandshakeKind, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::certificates::Certificates;
use super::wire::Wire;
use crate::telemetry::label::TlsOutcome;

/// Makes TLS streams of accepted connections.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    patience: Duration,
}

impl Acceptor {
    /// Shows clients these certificates, and gives each of them `patience` for its handshake.
    ///
    /// TLS 1.2 and 1.3; HTTP/1.1 only; tickets under keys that change every six hours, so that clients which all come
    /// back at once need no signature each.
    ///
    /// # Errors
    /// When the system has no randomness for the first ticket key.
    pub fn new(certificates: Arc<Certificates>, patience: Duration) -> Result<Self, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new()?;
        // What comes before the handshake's end can be sent again by whoever has seen it (RFC 8446 section 8).
        config.max_early_data_size = 0;
        Ok(Self {
            tls: TlsAcceptor::from(Arc::new(config)),
            patience,
        })
    }

    /// Shakes hands.
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    /// When the client has not got through in time, or what it said does not suit.
    pub async fn accept(&self, stream: TcpStream) -> Result<(Wire, TlsOutcome), HandshakeFault> {
        // Boxed: a handshake's future is large, and the task that awaits it lives as long as the connection.
        let accepting = Box::pin(self.tls.accept(stream));
        let mut stream = timeout(self.patience, accepting)
            .await
            .map_err(|_| HandshakeFault::Timeout)?
            .map_err(HandshakeFault::Refused)?;
        let (_, session) = stream.get_mut();
        session.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        let outcome = match session.handshake_kind() {
            Some(HandshakeKind::Resumed) => TlsOutcome::Resumed,
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => TlsOutcome::Full,
        };
        Ok((Wire::Client(Box::new(stream)), outcome))
    }
}

/// Says why there is no TLS with a client.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeFault {
    /// It was too slow.
    #[error("the client has not ended its handshake in time")]
    Timeout,
    /// It left, or spoke no TLS that suits.
    #[error("the handshake with the client failed: {0}")]
    Refused(#[source] io::Error),
}

impl HandshakeFault {
    /// Returns what it counts as.
    pub fn outcome(&self) -> TlsOutcome {
        match self {
            Self::Timeout => TlsOutcome::Timeout,
            Self::Refused(error) if error.kind() == io::ErrorKind::InvalidData => TlsOutcome::Refused,
            Self::Refused(_) => TlsOutcome::ClientGone,
        }
    }
}

/// What a TLS stream keeps for a peer that does not read: one record and its overhead, so that the relay's back-pressure
/// is felt as early as without TLS.
pub(super) const BUFFER_BYTES_MAX: usize = 17 * 1024;
