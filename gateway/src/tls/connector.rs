//! The TLS handshake with one server, whose files can be exchanged while sessions run over it.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::acceptor::BUFFER_BYTES_MAX;
use super::server_fault::ServerTlsFault;
use super::trust::Trust;
use super::wire::Wire;
use crate::telemetry::label::ServerTlsOutcome;
use crate::telemetry::{CounterRow, Metrics, ShownCertificate};

/// Makes TLS streams of connections to one server.
#[derive(Debug)]
pub struct Connector {
    trust: ArcSwap<Trust>,
    handshakes: CounterRow<ServerTlsOutcome>,
    /// What the server is shown, as the metrics show it.
    shown: ArcSwapOption<ShownCertificate>,
}

impl Connector {
    /// Begins with what was read; handshakes count under the server's name.
    pub fn new(server: &handover_protocol::ServerName, trust: Arc<Trust>, metrics: &Metrics) -> Self {
        Self {
            shown: ArcSwapOption::new(end_of(&trust, metrics)),
            trust: ArcSwap::new(trust),
            handshakes: metrics.server_tls(server),
        }
    }

    /// Returns what handshakes go by now.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.load_full()
    }

    /// Takes what was read anew; handshakes from now on go by it, and no ticket of before is used.
    pub fn replace(&self, trust: Arc<Trust>, metrics: &Metrics) {
        // Counted before the one of before is dropped: a file that stays has its series all the time.
        self.shown.store(end_of(&trust, metrics));
        self.trust.store(trust);
    }

    /// Shows no more in the metrics until when the certificate holds that the server is shown: it has left.
    pub fn forget_certificate_end(&self) {
        self.shown.store(None);
    }

    /// Shakes hands with whoever answers at `host`.
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    /// When it is not over by the deadline, or one side does not believe the other.
    pub async fn connect(&self, host: &str, stream: TcpStream, deadline: Instant) -> Result<Wire, ServerTlsFault> {
        let outcome = self.shake(host, stream, deadline).await;
        match &outcome {
            Ok((_, kind)) => self.handshakes.of(*kind).inc(),
            Err(fault) => self.note(fault),
        }
        outcome.map(|(wire, _)| wire)
    }

    /// Counts a handshake of which the server says only afterwards that it has failed.
    pub fn note(&self, fault: &ServerTlsFault) {
        self.handshakes.of(fault.outcome()).inc();
    }

    async fn shake(
        &self,
        host: &str,
        stream: TcpStream,
        deadline: Instant,
    ) -> Result<(Wire, ServerTlsOutcome), ServerTlsFault> {
        let trust = self.trust.load_full();
        let expected = trust.config().server_name.as_deref().unwrap_or(host);
        // Both were tried when they were read.
        let name = ServerName::try_from(expected.to_owned())
            .map_err(|_| ServerTlsFault::Certificate(format!("{expected} can stand in no certificate")))?;
        // Boxed: a handshake's future is large, and the task that awaits it lives as long as the session.
        let connecting = Box::pin(TlsConnector::from(Arc::clone(trust.client())).connect(name, stream));
        let shaken = timeout_at(deadline, connecting)
            .await
            .map_err(|_| ServerTlsFault::Timeout)?;
        let mut stream = shaken.map_err(|error| ServerTlsFault::of_handshake(&error, expected))?;
        let (_, session) = stream.get_mut();
        session.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        let kind = match session.handshake_kind() {
            Some(HandshakeKind::Resumed) => ServerTlsOutcome::Resumed,
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => ServerTlsOutcome::Full,
        };
        Ok((Wire::Server(Box::new(stream)), kind))
    }
}

fn end_of(trust: &Trust, metrics: &Metrics) -> Option<Arc<ShownCertificate>> {
    let shown = trust.shown()?;
    Some(Arc::new(metrics.certificate_end(shown)))
}
