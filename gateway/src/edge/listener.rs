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

use super::handed::HandedSockets;
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
    /// Binds every address that the service manager has not opened already; port 0 takes a free one.
    ///
    /// # Errors
    /// When one of them cannot be had, or a socket that was handed over is at none of them; none is bound then.
    pub fn bind(listen: &Listen, mut handed: HandedSockets) -> Result<Self, BindError> {
        let plain = listen.traffic.iter().map(|address| (*address, Security::Plain));
        let tls = listen.traffic_tls.iter().map(|address| (*address, Security::Tls));
        let mut listeners = Vec::new();
        for (address, security) in plain.chain(tls) {
            let listener = match handed.take(address, key_of(security)) {
                Some(listener) => TcpListener::from_std(listener),
                None => bind(address),
            };
            let key = key_of(security);
            let listener = listener.map_err(|source| BindError::Refused { key, address, source })?;
            listeners.push((listener, security));
        }
        match handed.rest() {
            Some((name, address)) => Err(BindError::Handed { name, address }),
            None => Ok(Self { listeners }),
        }
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

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted gateway must not wait for the old one's connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Returns the setting that lists such addresses.
fn key_of(security: Security) -> &'static str {
    match security {
        Security::Plain => "listen.traffic",
        Security::Tls => "listen.traffic_tls",
    }
}

/// Says why clients cannot be listened for.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be had.
    #[error("{key} = \"{address}\" cannot be bound")]
    Refused {
        /// The setting that names it.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Clients that come to a socket of the service manager's would wait there for ever.
    #[error(
        "the service manager has handed over the socket {name:?} at {address}, which is no address of listen.traffic or \
         listen.traffic_tls; write the same address in both places (FileDescriptorName=traffic or traffic_tls says which)"
    )]
    Handed {
        /// What the service manager calls it.
        name: String,
        /// Where it listens.
        address: SocketAddr,
    },
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
        let first = Listeners::bind(&listen("127.0.0.1:0".parse().unwrap()), HandedSockets::default()).unwrap();
        let taken = first.addresses().unwrap()[0];
        let error = Listeners::bind(&listen(taken), HandedSockets::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("listen.traffic = \"{taken}\" cannot be bound")
        );
        assert!(error.source().unwrap().to_string().contains("in use"));
    }

    #[tokio::test]
    async fn a_socket_that_was_handed_over_serves_its_address_and_no_other() {
        let open = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            (listener, address)
        };
        let listen = |traffic: SocketAddr, tls: SocketAddr| Listen {
            traffic: vec![traffic],
            traffic_tls: vec![tls],
            admin: crate::config::AdminAddress::Tcp(traffic),
            proxy_protocol: Networks::default(),
            trusted_proxies: Networks::default(),
            forwarding_headers: ForwardingHeaders::default(),
        };
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();

        let (socket, address) = open();
        let handed = HandedSockets::of(vec![("handover.socket", socket)]).unwrap();
        let bound = Listeners::bind(&listen(address, free), handed).unwrap();
        assert_eq!(
            bound.addresses().unwrap()[0],
            address,
            "another could not be bound there"
        );

        let (socket, address) = open();
        let handed = HandedSockets::of(vec![("traffic_tls", socket)]).unwrap();
        let error = Listeners::bind(&listen(free, free), handed).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("\"traffic_tls\"") && said.contains(&address.to_string()),
            "{said}"
        );

        let (socket, address) = open();
        let handed = HandedSockets::of(vec![("traffic_tls", socket)]).unwrap();
        let error = Listeners::bind(&listen(address, free), handed).unwrap_err();
        assert!(
            error.to_string().contains("listen.traffic"),
            "it speaks TLS, and the setting does not"
        );
    }
}
