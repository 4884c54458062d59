//! Where clients come in: listeners, handshakes, plain HTTP, and the rules about both.
//!
//! ```text
//!   listener ─▶ connection (hyper over client_io, guarded by head_guard)
//!                   │ request: is it sound, what does it want
//!                   ├─▶ handshake ─▶ board gate ─▶ upstream::dial ─▶ session
//!                   └─▶ plain     ─▶ board gate ─▶ upstream::exchange ─▶ answer
//! ```
//!
//! Nothing here knows of moves: the gate lets in, parks or refuses, and a pass says when its time is over.

mod answer;
mod client_io;
mod connection;
mod forwarded;
mod handed;
mod handshake;
mod head_guard;
mod headers;
mod introduction;
mod listener;
mod open_files;
mod plain;
mod problem;
mod proxy_header;
mod record;
mod request;
mod seats;
mod sender;

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use handover_protocol::BoardId;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span};

use self::answer::{Answer, Cause, Refusal, Tally};
use self::connection::{Client, serve};
use self::listener::{Complaint, Security};
use self::request::Wish;
use self::seats::Seats;
use self::sender::Sender;
use crate::board::{Boards, Entrant, EntryError, Pass, Purpose};
use crate::config::{Config, Route};
use crate::telemetry::Metrics;
use crate::telemetry::label::{HandshakeStep, Limit};
use crate::tls::{Acceptor, HandshakeFault, Wire};
use crate::upstream::Pool;

pub use handed::{HandedError, HandedSockets};
pub use listener::{BindError, Listeners};
pub use open_files::{Shortage, raise_open_files};
pub use problem::{Problem, ProblemType};

/// What every client connection shares.
pub struct Edge {
    config: ArcSwap<Config>,
    boards: Arc<Boards>,
    metrics: Arc<Metrics>,
    pool: Arc<Pool>,
    /// Missing where no listener speaks TLS.
    acceptor: Option<Acceptor>,
    /// Connections that there may be, sessions included.
    connections: Seats,
    sessions: Seats,
    /// Handshakes and requests that may wait for a board.
    waiting: Seats,
    complaint: Mutex<Complaint>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Edge {
    /// Makes the edge; `shutdown` ends [`Edge::run`].
    pub fn new(
        config: Arc<Config>,
        boards: Arc<Boards>,
        metrics: Arc<Metrics>,
        acceptor: Option<Acceptor>,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            connections: Seats::new(open_files::connections_that_fit(&config.limits)),
            sessions: Seats::new(config.limits.sessions_max),
            waiting: Seats::new(config.limits.parked_max),
            complaint: Mutex::default(),
            config: ArcSwap::new(config),
            boards,
            metrics,
            pool: Pool::new(),
            acceptor,
            shutdown,
            tasks: TaskTracker::new(),
        })
    }

    /// Takes another configuration: its routes and limits hold for connections and requests that come from now on.
    pub fn configure(&self, config: &Arc<Config>) {
        self.config.store(Arc::clone(config));
        let limits = &config.limits;
        self.connections.resize(open_files::connections_that_fit(limits));
        self.sessions.resize(limits.sessions_max);
        self.waiting.resize(limits.parked_max);
    }

    /// Serves clients until the shutdown, then lets the requests under way end; sessions are not waited for.
    ///
    /// Bound the wait from outside: a request ends when its server has answered.
    pub async fn run(self: &Arc<Self>, listeners: Listeners) {
        let take = |stream, security, peer, seat| self.take(stream, security, peer, seat);
        let connections = Arc::clone(self.connections.semaphore());
        let accepting = listeners.accept(connections, &self.metrics, self.shutdown.clone(), take);
        tokio::select! {
            () = accepting => {}
            () = self.sweep() => {}
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Closes connections to servers that nobody has used for a while; never ends.
    async fn sweep(&self) {
        let mut ticks = interval(SWEEP_INTERVAL);
        loop {
            ticks.tick().await;
            self.pool.sweep();
        }
    }

    fn take(self: &Arc<Self>, stream: TcpStream, security: Security, peer: SocketAddr, seat: OwnedSemaphorePermit) {
        let edge = Arc::clone(self);
        let serving = async move {
            let Some((stream, peer)) = edge.introduced(stream, peer).await else {
                return;
            };
            edge.serve(stream, security, peer, seat)
                .instrument(debug_span!("client", %peer))
                .await;
        };
        self.tasks.spawn(serving);
    }

    async fn serve(&self, stream: TcpStream, security: Security, peer: SocketAddr, seat: OwnedSemaphorePermit) {
        let Some(stream) = self.secure(stream, security).await else {
            return;
        };
        let config = self.config.load_full();
        let limits = &config.limits;
        let client = Client::new(peer, security, seat, limits);
        let answer = async |request| self.answer(&client, request).await;
        serve(
            stream,
            Arc::clone(&client),
            limits,
            &self.metrics,
            self.shutdown.clone(),
            answer,
        )
        .await;
    }

    /// Shakes hands where the listener's clients speak TLS; nothing where that fails.
    async fn secure(&self, stream: TcpStream, security: Security) -> Option<Wire> {
        let acceptor = match security {
            Security::Plain => return Some(stream.into()),
            Security::Tls => self.acceptor.as_ref()?,
        };
        let begun = Instant::now();
        // Cancel-safe: nobody knows of the client before its handshake is over.
        let accepted = tokio::select! {
            accepted = acceptor.accept(stream) => accepted,
            () = self.shutdown.cancelled() => return None,
        };
        self.observe(HandshakeStep::Tls, begun);
        match accepted {
            Ok((wire, outcome)) => {
                self.metrics.tls_handshakes.of(outcome).inc();
                Some(wire)
            }
            Err(fault) => {
                tracing::debug!(%fault, "no TLS");
                if let HandshakeFault::Timeout = fault {
                    self.metrics.limit_hits.of(Limit::TlsHandshakeTimeout).inc();
                }
                self.metrics.tls_handshakes.of(fault.outcome()).inc();
                None
            }
        }
    }

    async fn answer(&self, client: &Client, request: Request<Incoming>) -> Answer {
        let (mut parts, body) = request.into_parts();
        let config = self.config.load_full();
        let target_bytes_max = config.limits.target_bytes_max;
        let may_be_its_last = request::asks_for_upgrade(&parts.headers);
        let mut answer = match request::check(&mut parts, target_bytes_max) {
            Ok(Wish::Answer) => {
                let tally = Tally::of_request(&self.metrics).recorded(&config.log, client, &parts);
                plain::forward(self, client, parts, body, tally).await
            }
            Ok(Wish::WebSocket) => {
                let tally = Tally::of_upgrade(&self.metrics).recorded(&config.log, client, &parts);
                handshake::open(self, client, parts, tally).await
            }
            Err(problem) => {
                let tally = self.tally_of(problem.kind()).recorded(&config.log, client, &parts);
                Refusal::new(Cause::BadRequest, problem).into_answer(tally)
            }
        };
        let status = answer.status();
        answer.body_mut().note_status(status);
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer.body_mut().timed_by(Arc::clone(client.pace()));
            // What is behind a request for an upgrade may be no HTTP, so nobody may take it for the next request.
            if may_be_its_last {
                answer
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        answer
    }

    fn observe(&self, step: HandshakeStep, begun: Instant) {
        let histogram = self.metrics.handshake_seconds.of(step);
        histogram.observe(begun.elapsed().as_secs_f64());
    }

    /// Begins to count a request that was not let through: as a handshake, where it was to be one.
    fn tally_of(&self, problem: ProblemType) -> Tally {
        match problem {
            ProblemType::BadHandshake | ProblemType::UpgradeRequired => Tally::of_upgrade(&self.metrics),
            ProblemType::TargetTooLong => {
                self.metrics.limit_hits.of(Limit::TargetBytes).inc();
                Tally::of_request(&self.metrics)
            }
            ProblemType::BadRequest
            | ProblemType::MethodNotAllowed
            | ProblemType::NoRoute
            | ProblemType::BadBoard
            | ProblemType::OriginRefused
            | ProblemType::BoardParked
            | ProblemType::BoardUnavailable
            | ProblemType::Overloaded
            | ProblemType::ServerUnreachable
            | ProblemType::ServerTimeout
            | ProblemType::BadAnswer => Tally::of_request(&self.metrics),
        }
    }

    /// Finds out who sends a request.
    fn sender_of(&self, client: &Client, headers: &HeaderMap) -> Sender {
        let config = self.config.load();
        Sender::of(headers, client.peer().ip(), client.security(), &config.listen)
    }

    /// Finds the route of a request and the board that it names.
    fn route_of(&self, parts: &Parts) -> Result<(Arc<Route>, BoardId), Refusal> {
        let config = self.config.load();
        let Some((route, board)) = config.route_of(parts) else {
            let problem = Problem::new(ProblemType::NoRoute, "nothing is served there");
            return Err(Refusal::new(Cause::NoRoute, problem));
        };
        match board {
            Ok(board) => Ok((Arc::clone(route), board)),
            Err(fault) => {
                let problem = Problem::new(ProblemType::BadBoard, fault.to_string());
                Err(Refusal::new(Cause::NoRoute, problem))
            }
        }
    }

    /// Takes one of the sessions that there may be.
    fn session_seat(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(self.sessions.semaphore()).try_acquire_owned().map_err(|_| {
            self.metrics.limit_hits.of(Limit::Sessions).inc();
            Refusal::new(
                Cause::Limited,
                Problem::new(ProblemType::Overloaded, "it carries as many sessions as it may"),
            )
        })
    }

    /// Passes the board's gate, however long that takes; there is a bound to how many may wait.
    async fn enter(
        &self,
        route: &Arc<Route>,
        board: &BoardId,
        purpose: Purpose,
        peer: IpAddr,
    ) -> Result<Pass, Refusal> {
        let mut entering = pin!(self.boards.enter(route, board, Entrant { purpose, peer }));
        if let Poll::Ready(entry) = poll_fn(|context| Poll::Ready(entering.as_mut().poll(context))).await {
            return entry.map_err(|error| entry_refusal(&error));
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            self.metrics.limit_hits.of(Limit::Parked).inc();
            let problem = Problem::new(ProblemType::Overloaded, "as many as may wait for boards are waiting");
            return Err(Refusal::new(Cause::Limited, problem));
        };
        // Cancel-safe: nobody is on the board before there is a pass.
        tokio::select! {
            entry = entering => entry.map_err(|error| entry_refusal(&error)),
            () = self.shutdown.cancelled() => Err(shutting_down()),
        }
    }
}

fn shutting_down() -> Refusal {
    let problem = Problem::new(ProblemType::Overloaded, "it is shutting down");
    Refusal::new(Cause::Unavailable, problem)
}

/// Tells a client why it cannot come in; which server is meant is nobody's business.
fn entry_refusal(error: &EntryError) -> Refusal {
    tracing::debug!(%error, "no way in to the board");
    let problem = match error {
        EntryError::Parked(_) => Problem::new(ProblemType::BoardParked, "it was not released in time"),
        EntryError::Shut => Problem::new(ProblemType::BoardUnavailable, "who owns it is being found out"),
        EntryError::Registry(_) => Problem::new(ProblemType::BoardUnavailable, "who owns it cannot be read"),
        EntryError::Place(_) => Problem::new(ProblemType::BoardUnavailable, "no server has taken it"),
    };
    Refusal::new(Cause::Unavailable, problem)
}

/// An unused connection to a server is closed within this, beyond its own time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
