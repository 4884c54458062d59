//! Connections to board servers that have answered a request and may carry another.
//!
//! A server may close an idle connection in the very moment in which a request is written to it; then nobody knows
//! whether it was carried out. So only requests that may be carried out twice and have no body (RFC 9110 section 9.2.1)
//! go over a used connection, and where that breaks before the answer they are sent once more over a new one. All
//! others get a new connection, and leave it here.
//!
//! Nobody drives an idle connection: what the kernel has heard of it is looked at when it is taken.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::connection::{ConnectError, Connection, ExchangeError, Link};
use super::destination::Destination;
use crate::config::ServerUrl;
use crate::tls::Trust;

/// The body of a request to a server.
pub type RequestBody = UnsyncBoxBody<Bytes, hyper::Error>;

/// Idle connections by server.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<HashMap<ServerUrl, Vec<Idle>>>,
}

struct Idle {
    link: Link<RequestBody>,
    /// By which files the server was checked.
    trust: Option<Arc<Trust>>,
    since: Instant,
}

impl Pool {
    /// Starts without connections.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sends a request to a server and waits for the head of the answer; whoever waits sets the deadline of that.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub async fn exchange(
        self: &Arc<Self>,
        to: &Destination,
        request: Request<RequestBody>,
        connected_by: Instant,
    ) -> Result<Response<ServerBody>, PoolError> {
        let (url, trust) = (to.url(), to.trust());
        let request = match self.take_for(url, trust.as_ref(), &request) {
            None => request,
            Some(mut link) => {
                let (parts, body) = request.into_parts();
                let again = Request::from_parts(parts.clone(), RequestBody::default());
                match link.send(Request::from_parts(parts, body)).await {
                    Ok(response) => return Ok(self.answer(url, trust, response, link)),
                    // The server closed it meanwhile. Whatever else it was shows again on the new connection.
                    Err(_) => again,
                }
            }
        };
        let stream = to.connect(connected_by).await?;
        let mut link = Link::over(stream).await.map_err(|error| to.broken(error))?;
        let response = link.send(request).await.map_err(|error| to.broken(error))?;
        Ok(self.answer(url, trust, response, link))
    }

    /// Closes what has been idle for too long; to be called every few seconds.
    pub fn sweep(&self) {
        let mut idle = self.lock();
        idle.retain(|_, links| {
            links.retain(|idle| idle.since.elapsed() < IDLE_MAX);
            !links.is_empty()
        });
    }

    fn take_for(
        &self,
        url: &ServerUrl,
        trust: Option<&Arc<Trust>>,
        request: &Request<RequestBody>,
    ) -> Option<Link<RequestBody>> {
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if !is_safe || !request.body().is_end_stream() {
            return None;
        }
        let mut idle = self.lock();
        let links = idle.get_mut(url)?;
        // The one that was used last is the least likely to be closed by now.
        while let Some(mut idle) = links.pop() {
            // What was opened by other files is closed.
            let is_trusted = idle.trust.as_ref().map(Arc::as_ptr) == trust.map(Arc::as_ptr);
            if is_trusted && idle.since.elapsed() < IDLE_MAX && idle.link.is_ready() {
                return Some(idle.link);
            }
        }
        None
    }

    fn put(&self, url: ServerUrl, trust: Option<Arc<Trust>>, link: Link<RequestBody>) {
        let mut idle = self.lock();
        let links = idle.entry(url).or_default();
        if links.len() < IDLE_PER_SERVER_MAX {
            links.push(Idle {
                link,
                trust,
                since: Instant::now(),
            });
        }
    }

    fn answer(
        self: &Arc<Self>,
        url: &ServerUrl,
        trust: Option<Arc<Trust>>,
        response: Response<Incoming>,
        link: Link<RequestBody>,
    ) -> Response<ServerBody> {
        response.map(|body| ServerBody {
            body,
            way: Way::Lent(Some(Lent {
                link,
                url: url.clone(),
                trust,
                pool: Arc::clone(self),
            })),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerUrl, Vec<Idle>>> {
        // Lists of whole connections: no section can leave one half there.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count: usize = self.lock().values().map(Vec::len).sum();
        write!(formatter, "Pool({count} idle)")
    }
}

/// A server's answer, streamed; its connection goes on as long as somebody reads, and back into the pool at the end.
pub struct ServerBody {
    body: Incoming,
    way: Way,
}

enum Way {
    /// A connection of its own, closed at the end.
    Own(Connection),
    /// A connection of the pool's, until it has gone back.
    Lent(Option<Lent>),
}

struct Lent {
    link: Link<RequestBody>,
    url: ServerUrl,
    trust: Option<Arc<Trust>>,
    pool: Arc<Pool>,
}

impl ServerBody {
    /// Joins a body and the connection that it comes from.
    pub fn new(body: Incoming, connection: Connection) -> Self {
        Self {
            body,
            way: Way::Own(connection),
        }
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        let connection = match &mut self.way {
            Way::Own(connection) => connection,
            Way::Lent(Some(lent)) => lent.link.connection(),
            Way::Lent(None) => return,
        };
        let _ = connection.poll_drive(context);
    }

    /// Returns the connection, if the answer has ended and the server left it open.
    fn give_back(&mut self) {
        if let Way::Lent(lent) = &mut self.way
            && let Some(Lent {
                mut link,
                url,
                trust,
                pool,
            }) = lent.take()
            && link.is_ready()
        {
            pool.put(url, trust, link);
        }
    }
}

impl Body for ServerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.drive(context);
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ServerBody {
    fn drop(&mut self) {
        // A connection that is not at the end of its answer is not ready, and closed.
        self.give_back();
    }
}

impl std::fmt::Debug for ServerBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ServerBody({:?})", self.body.size_hint())
    }
}

/// Makes a request's body of any.
pub fn request_body<B>(body: B) -> RequestBody
where
    B: Body<Data = Bytes, Error = hyper::Error> + Send + 'static,
{
    body.boxed_unsync()
}

/// Says why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// No connection: the server did not see the request.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer: the server may have seen the request.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// Below the shortest time after which common servers close an idle connection (5 s).
const IDLE_MAX: Duration = Duration::from_secs(4);

/// What a burst of requests leaves behind; more would only wait to be closed.
const IDLE_PER_SERVER_MAX: usize = 32;
