//! The addresses that clients connect to, and the loop that accepts them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Listen;
use crate::telemetry::Metrics;
use crate::telemetry::label::Limit;

/// Bound addresses.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<(TcpListener, Security)>,
}

/// Whether clients of a listener speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// They do not.
    Plain,
    /// They do.
    Tls,
}

impl Listeners {
    /// Binds every address; port 0 takes a free one.
    ///
    /// # Errors
    /// When one of them cannot be had; none is bound then.
    pub fn bind(listen: &Listen) -> Result<Self, BindError> {
        let plain = listen.traffic.iter().map(|address| bind(*address, Security::Plain));
        let tls = listen.traffic_tls.iter().map(|address| bind(*address, Security::Tls));
        let bound = plain.chain(tls);
        Ok(Self {
            listeners: bound.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the addresses that were bound, in their order.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners
            .iter()
            .map(|(listener, _)| listener.local_addr())
            .collect()
    }

    /// Accepts connections until `shutdown`; each comes with its seat, and without a free seat nobody is accepted.
    pub async fn accept(
        self,
        seats: Arc<Semaphore>,
        metrics: &Metrics,
        shutdown: CancellationToken,
        take: impl Fn(TcpStream, Security, SocketAddr, OwnedSemaphorePermit),
    ) {
        let loops = self
            .listeners
            .iter()
            .map(|(listener, security)| accept_on(listener, *security, &seats, metrics, &take));
        tokio::select! {
            () = shutdown.cancelled() => {}
            // A connection that was accepted is handed over before the loop waits again.
            _ = futures_util::future::join_all(loops) => {}
        }
    }
}

async fn accept_on(
    listener: &TcpListener,
    security: Security,
    seats: &Arc<Semaphore>,
    metrics: &Metrics,
    take: &impl Fn(TcpStream, Security, SocketAddr, OwnedSemaphorePermit),
) {
    let mut pause = PAUSE_MIN;
    let mut complaint = Complaint::default();
    loop {
        let Some(seat) = seat(seats, metrics, &mut complaint).await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = PAUSE_MIN;
                if let Err(error) = crate::upstream::tune(&stream) {
                    tracing::debug!(%peer, %error, "client left at once");
                    continue;
                }
                take(stream, security, peer, seat);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // The connection stays in the backlog, so trying again at once would spin (EMFILE, ENFILE, ENOBUFS).
                if complaint.is_due() {
                    warn!(%error, ?pause, "no connection can be accepted; are there too few file descriptors (LimitNOFILE)?");
                }
                metrics.limit_hits.of(Limit::OpenFiles).inc();
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Keeps the log readable while a bound bites with every newcomer; the metric counts them all.
#[derive(Default)]
pub(super) struct Complaint {
    last: Option<Instant>,
}

impl Complaint {
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }
}

/// Waits for a free seat; none comes any more once the semaphore is closed.
async fn seat(seats: &Arc<Semaphore>, metrics: &Metrics, complaint: &mut Complaint) -> Option<OwnedSemaphorePermit> {
    if let Ok(seat) = Arc::clone(seats).try_acquire_owned() {
        return Some(seat);
    }
    metrics.limit_hits.of(Limit::Connections).inc();
    if complaint.is_due() {
        warn!("as many connections as there may be; newcomers wait in the backlog");
    }
    Arc::clone(seats).acquire_owned().await.ok()
}

/// Reads whether an error of `accept` is about the connection that was to be accepted, so that the next may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn bind(address: SocketAddr, security: Security) -> Result<(TcpListener, Security), BindError> {
    let listen = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted gateway must not wait for the old one's connections to be forgotten.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    let key = match security {
        Security::Plain => "listen.traffic",
        Security::Tls => "listen.traffic_tls",
    };
    let listener = listen().map_err(|source| BindError { key, address, source })?;
    Ok((listener, security))
}

/// An address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{key} = \"{address}\" cannot be bound")]
pub struct BindError {
    /// The setting that names it.
    key: &'static str,
    /// The address.
    address: SocketAddr,
    /// Why.
    #[source]
    source: io::Error,
}

/// Enough for the clients of one server that all come back in the same moment; the kernel bounds it by `somaxconn`.
const BACKLOG: i32 = 4096;

/// Often enough for whoever looks at the log while it happens.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// The first pause after a failed accept; doubled with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Connections are taken again within a second after descriptors are free.
const PAUSE_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::config::{ForwardingHeaders, Networks};

    #[tokio::test]
    async fn an_address_that_is_taken_is_named_with_its_key_and_its_cause_is_told_once() {
        let listen = |traffic: SocketAddr| Listen {
            traffic: vec![traffic],
            traffic_tls: Vec::new(),
            admin: crate::config::AdminAddress::Tcp(traffic),
            proxy_protocol: Networks::default(),
            trusted_proxies: Networks::default(),
            forwarding_headers: ForwardingHeaders::default(),
        };
        let first = Listeners::bind(&listen("127.0.0.1:0".parse().unwrap())).unwrap();
        let taken = first.addresses().unwrap()[0];
        let error = Listeners::bind(&listen(taken)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("listen.traffic = \"{taken}\" cannot be bound")
        );
        assert!(error.source().unwrap().to_string().contains("in use"));
    }
}
