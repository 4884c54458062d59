//! How a connection of a listed balancer begins: its PROXY header is read, and not a byte behind it.
//!
//! The bytes are looked at in the kernel's buffer first, so that what follows, a TLS hello or a head, is left to those
//! who read it.

use std::io;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::Edge;
use super::proxy_header::{Beginning, HEADER_BYTES_MAX, HeaderFault, Said, read};
use crate::telemetry::label::{Limit, ProxyHeaderOutcome};

impl Edge {
    /// Reads for whom a listed peer has connected; nothing where it does not say so as it must.
    pub(super) async fn introduced(&self, mut stream: TcpStream, peer: SocketAddr) -> Option<(TcpStream, SocketAddr)> {
        let config = self.config.load();
        let (is_listed, patience) = (
            config.listen.proxy_protocol.contains(peer.ip()),
            config.limits.head_timeout,
        );
        drop(config);
        if !is_listed {
            return Some((stream, peer));
        }
        // Cancel-safe: nobody knows of the client before its header is read.
        let said = tokio::select! {
            said = introduce(&mut stream, patience) => said,
            () = self.shutdown.cancelled() => return None,
        };
        let headers = &self.metrics.proxy_headers;
        match said {
            Ok(Said::Itself) => {
                headers.of(ProxyHeaderOutcome::Itself).inc();
                Some((stream, peer))
            }
            Ok(Said::Client(client)) => {
                headers.of(ProxyHeaderOutcome::Client).inc();
                Some((stream, client))
            }
            Err(fault) => {
                headers.of(fault.outcome()).inc();
                match fault.outcome() {
                    ProxyHeaderOutcome::Timeout => self.metrics.limit_hits.of(Limit::HeadTimeout).inc(),
                    ProxyHeaderOutcome::Missing | ProxyHeaderOutcome::Malformed => {
                        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
                        if complaint.is_due() {
                            warn!(%peer, %fault, "a peer of listen.proxy_protocol was closed");
                        }
                    }
                    ProxyHeaderOutcome::PeerGone | ProxyHeaderOutcome::Client | ProxyHeaderOutcome::Itself => {}
                }
                debug!(%peer, %fault, "no PROXY header");
                None
            }
        }
    }
}

/// Reads for whom a listed peer has connected, within `patience`.
///
/// Dropping the future leaves the connection without part of its header: close it.
///
/// # Errors
/// When there is no sound header in time.
async fn introduce(stream: &mut TcpStream, patience: Duration) -> Result<Said, IntroductionFault> {
    // Boxed: the buffer would stay in the task for as long as the connection lives.
    timeout(patience, Box::pin(receive(stream)))
        .await
        .map_err(|_| IntroductionFault::Timeout)?
}

async fn receive(stream: &mut TcpStream) -> Result<Said, IntroductionFault> {
    let mut buffer = [0; HEADER_BYTES_MAX];
    let mut taken = 0;
    loop {
        let seen = taken + stream.peek(&mut buffer[taken..]).await?;
        if seen == taken {
            return Err(IntroductionFault::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        match read(&buffer[..seen])? {
            Beginning::Incomplete => {
                stream.read_exact(&mut buffer[taken..seen]).await?;
                taken = seen;
            }
            Beginning::Header { said, bytes } => {
                stream.read_exact(&mut buffer[taken..bytes]).await?;
                return Ok(said);
            }
        }
    }
}

/// Says why nobody knows for whom a listed peer has connected.
#[derive(Debug, thiserror::Error)]
enum IntroductionFault {
    /// What it sent is no header.
    #[error("{0}")]
    Refused(#[from] HeaderFault),
    /// It left first.
    #[error("the peer left before its PROXY header was whole")]
    Gone(#[from] io::Error),
    /// It was too slow.
    #[error("the PROXY header was not whole in time")]
    Timeout,
}

impl IntroductionFault {
    /// Returns what it counts as.
    fn outcome(&self) -> ProxyHeaderOutcome {
        match self {
            Self::Refused(HeaderFault::Missing) => ProxyHeaderOutcome::Missing,
            Self::Refused(HeaderFault::Malformed(_) | HeaderFault::TooLong) => ProxyHeaderOutcome::Malformed,
            Self::Gone(_) => ProxyHeaderOutcome::PeerGone,
            Self::Timeout => ProxyHeaderOutcome::Timeout,
        }
    }
}
