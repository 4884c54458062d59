//! The admin socket: a bounded number of connections, each with a bounded patience.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::Admin;
use super::connections::{Call, Connection, Connections};
use super::reserve::{Reserve, is_out_of_files};
use super::socket::{AdminListener, Peer, Raw, Security, Stream};
use crate::telemetry::Metrics;
use crate::telemetry::label::{Limit, TlsOutcome};
use crate::tls::{HandshakeFault, Identity, OperatorsAcceptor};

/// Who asked, for the log.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    line: Line,
    agent: Option<String>,
    /// Whose token or certificate was shown, once it was looked at.
    holder: Option<Arc<str>>,
}

/// The connection that it asks over.
#[derive(Debug, Clone)]
struct Line {
    peer: Peer,
    security: Security,
}

/// Answers on `listener` until `shutdown`; calls under way are answered to their end in `tasks`.
pub async fn serve(listener: impl Into<AdminListener>, admin: Admin, tasks: TaskTracker, shutdown: CancellationToken) {
    let listener = listener.into();
    let metrics = Arc::clone(&admin.metrics);
    let router = admin.router();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = Arc::new(Connections::default());
    let reserve = Reserve::fill();
    let mut loan = None;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((raw, peer)) => {
                let place = match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => place,
                    Err(_) => {
                        metrics.limit_hits.of(Limit::AdminConnections).inc();
                        connections.make_room();
                        let place = tokio::select! {
                            () = shutdown.cancelled() => return,
                            place = Arc::clone(&places).acquire_owned() => place,
                        };
                        let Ok(place) = place else { return };
                        place
                    }
                };
                let (router, shutdown) = (router.clone(), shutdown.clone());
                let (acceptor, metrics) = (listener.acceptor().cloned(), Arc::clone(&metrics));
                let (connection, loan) = (connections.open(), loan.take());
                tasks.spawn(async move {
                    let secured = tokio::select! {
                        secured = secure(raw, peer, acceptor.as_deref(), &metrics) => secured,
                        () = connection.told_to_leave() => None,
                        () = shutdown.cancelled() => None,
                    };
                    if let Some((stream, security)) = secured {
                        answer(stream, Line { peer, security }, router, &connection, shutdown).await;
                    }
                    drop((connection, place, loan));
                });
            }
            Err(error) => {
                loan = match loan.take() {
                    // The next accept comes at once, before another part of the process takes what was given up.
                    None if is_out_of_files(&error) => reserve.lend(),
                    Some(_) | None => None,
                };
                if loan.is_none() {
                    warn!(%error, "the admin listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Shakes hands where that is asked for; nothing where it fails.
async fn secure(
    raw: Raw,
    peer: Peer,
    acceptor: Option<&OperatorsAcceptor>,
    metrics: &Metrics,
) -> Option<(TokioIo<Box<dyn Stream>>, Security)> {
    match raw.secure(acceptor).await {
        Ok((stream, security)) => {
            if let Security::Tls(_) = security {
                metrics.admin_tls_handshakes.of(TlsOutcome::Full).inc();
            }
            Some((stream, security))
        }
        Err(fault) => {
            metrics.admin_tls_handshakes.of(fault.outcome()).inc();
            if let HandshakeFault::Timeout = fault {
                metrics.limit_hits.of(Limit::TlsHandshakeTimeout).inc();
            }
            info!(%peer, %fault, "no TLS with a caller of the admin API");
            None
        }
    }
}

async fn answer(
    stream: TokioIo<Box<dyn Stream>>,
    line: Line,
    router: Router,
    place: &Connection,
    shutdown: CancellationToken,
) {
    let peer = line.peer;
    let (service, calls) = (TowerToHyperService::new(router), place.calls());
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        let caller = Caller::new(line.clone(), request.headers());
        request.extensions_mut().insert(caller);
        let (call, answered) = (calls(), hyper::service::Service::call(&service, request));
        async move { answered.await.map(|response| while_written(response, call)) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(stream, service)
    );
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = place.told_to_leave() => {
            connection.as_mut().graceful_shutdown();
            leave(connection, place).await
        }
    };
    if let Err(error) = outcome {
        debug!(%peer, %error, "an admin connection broke off");
    }
}

/// Ends a connection that is idle: what it was answered is written out, and a head that is not whole is waited for no
/// longer, but a call that came at the last moment is answered.
async fn leave<T>(
    mut connection: Pin<&mut impl Future<Output = hyper::Result<T>>>,
    place: &Connection,
) -> hyper::Result<()> {
    while place.has_called() {
        match timeout(LEAVE_TIMEOUT, &mut connection).await {
            Ok(outcome) => return outcome.map(drop),
            Err(_) if place.is_answering() => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// Keeps the call under way until the last of its answer is handed to the connection.
fn while_written(response: Response, call: Call) -> Response {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _under_way = &call;
            frame
        }))
    })
}

impl Caller {
    fn new(line: Line, headers: &HeaderMap) -> Self {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Self {
            line,
            agent: agent.map(|agent| agent.chars().take(AGENT_LENGTH_MAX).collect()),
            holder: None,
        }
    }

    /// Notes who it is.
    pub(super) fn known_as(&mut self, holder: &str) {
        self.holder = Some(holder.into());
    }

    /// Reads whether a process of this machine asks through the socket in the file system.
    pub(super) fn is_local_user(&self) -> bool {
        match self.line.peer {
            Peer::Unix(_) => true,
            Peer::Tcp(_) => false,
        }
    }

    /// Returns where it asks from.
    pub(super) fn place(&self) -> String {
        self.line.peer.to_string()
    }

    /// Reads whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        match self.line.security {
            Security::Plain => false,
            Security::Tls(_) => true,
        }
    }

    /// Returns whom its client certificate names, where it has shown one that was verified.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match &self.line.security {
            Security::Plain => None,
            Security::Tls(identity) => identity.as_deref(),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(holder) = &self.holder {
            write!(formatter, "{holder} at ")?;
        }
        write!(formatter, "{}", self.line.peer)?;
        match &self.agent {
            Some(agent) => write!(formatter, " ({agent})"),
            None => Ok(()),
        }
    }
}

/// Scrapers, probes, a console and some scripts; for one more the longest idle goes.
const CONNECTIONS_MAX: usize = 256;

/// From an open connection, or the last answer, to the end of the next head; idle connections end by it as well.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests of the API are short; hyper takes no less than this.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// From being told to go to the end of a connection.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const AGENT_LENGTH_MAX: usize = 100;
