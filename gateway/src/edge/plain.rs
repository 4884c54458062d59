//! Plain HTTP/1.1 of a route: passed on to the board's owner, both bodies streamed.
//!
//! [`Pool`](crate::upstream::Pool) knows which requests may go over a connection that has been used before.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Request, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::Edge;
use super::answer::{Answer, AnswerBody, Cause, Hold, Refusal, Tally};
use super::connection::Client;
use super::headers::{clean_request, clean_response, clean_trailers};
use super::problem::{Problem, ProblemType};
use crate::board::Purpose;
use crate::telemetry::label::Limit;
use crate::tls::ServerTlsFault;
use crate::upstream::{ConnectError, ExchangeError, PoolError, ServerBody, introduce, request_body};

/// Answers a plain request.
pub(super) async fn forward(edge: &Edge, client: &Client, parts: Parts, body: Incoming, mut tally: Tally) -> Answer {
    match attempt(edge, client, parts, body, &mut tally).await {
        Ok((response, hold)) => response.map(|body| AnswerBody::of_server(body, Some(hold), tally)),
        Err(refusal) => refusal.into_answer(tally),
    }
}

async fn attempt(
    edge: &Edge,
    client: &Client,
    mut parts: Parts,
    body: Incoming,
    tally: &mut Tally,
) -> Result<(http::Response<ServerBody>, Hold), Refusal> {
    let sender = edge.sender_of(client, &parts.headers);
    tally.note_client(sender.address);
    let (route, board) = edge.route_of(&parts)?;
    tally.note_board(&route, &board);
    let pass = edge.enter(&route, &board, Purpose::Request, sender.address).await?;
    tally.note_server(pass.server());
    let to = pass.server().traffic();
    clean_request(&mut parts.headers, &sender);
    parts.version = Version::HTTP_11;
    if !parts.headers.contains_key(HOST)
        && let Ok(authority) = HeaderValue::from_str(to.url().authority())
    {
        parts.headers.insert(HOST, authority);
    }
    introduce(&mut parts.headers, &board, pass.generation());
    let progress = Progress::now();
    let upload = Upload {
        body,
        progress: progress.clone(),
    };
    let request = Request::from_parts(parts, request_body(upload));
    let answer_timeout = edge.config.load().limits.answer_timeout;
    // Cancel-safe: whichever loses, the connection to the server is closed with it.
    let outcome = tokio::select! {
        outcome = edge.pool.exchange(to, request, Instant::now() + route.dial_timeout) => outcome,
        () = progress.stalled(answer_timeout) => Err(ExchangeError::Timeout.into()),
    };
    let mut response = outcome.map_err(|error| match error {
        PoolError::Connect(error) => connect_refusal(edge, &error),
        PoolError::Exchange(error) => {
            if let ExchangeError::Timeout = error {
                edge.metrics.limit_hits.of(Limit::AnswerTimeout).inc();
            }
            exchange_refusal(&error)
        }
    })?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let problem = Problem::new(ProblemType::BadAnswer, "it switched protocols and was not asked to");
        return Err(Refusal::new(Cause::BadAnswer, problem));
    }
    clean_response(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    let hold = Hold::new(pass, route.cut_streams);
    Ok((response, hold))
}

/// Says whose fault a missing connection is.
pub(super) fn connect_refusal(edge: &Edge, error: &ConnectError) -> Refusal {
    if let Some(limit) = error.scarcity() {
        edge.metrics.limit_hits.of(limit).inc();
        let problem = Problem::new(ProblemType::Overloaded, "it has no room for another connection");
        return Refusal::new(Cause::Limited, problem);
    }
    match error {
        ConnectError::Io(_) => {
            let problem = Problem::new(ProblemType::ServerUnreachable, "there is no connection to it");
            Refusal::new(Cause::Unreachable, problem)
        }
        ConnectError::Tls(ServerTlsFault::Timeout) | ConnectError::Timeout => {
            edge.metrics.limit_hits.of(Limit::DialTimeout).inc();
            let problem = Problem::new(ProblemType::ServerTimeout, "it took no connection in time");
            Refusal::new(Cause::Timeout, problem)
        }
        // What is wrong is the operator's to know: the poll says it, and what GET /v1/servers shows.
        ConnectError::Tls(_) => {
            let problem = Problem::new(ProblemType::ServerUnreachable, "there is no TLS with it");
            Refusal::new(Cause::Unreachable, problem)
        }
    }
}

/// Says whose fault a missing answer is.
pub(super) fn exchange_refusal(error: &ExchangeError) -> Refusal {
    match error {
        // Nothing but the body that we read from the client can fail on our side.
        ExchangeError::Broken(broken) if broken.is_user() => Refusal::new(
            Cause::BadRequest,
            Problem::bad_request("the body broke off or is malformed"),
        ),
        ExchangeError::Broken(_) => {
            let problem = Problem::new(ProblemType::ServerUnreachable, "it broke off before its answer");
            Refusal::new(Cause::Unreachable, problem)
        }
        ExchangeError::Tls(_) => {
            let problem = Problem::new(ProblemType::ServerUnreachable, "there is no TLS with it");
            Refusal::new(Cause::Unreachable, problem)
        }
        ExchangeError::Timeout => {
            let problem = Problem::new(ProblemType::ServerTimeout, "it did not answer");
            Refusal::new(Cause::Timeout, problem)
        }
    }
}

/// A client's body on its way to the server, which shows when it last got on.
struct Upload {
    body: Incoming,
    progress: Progress,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            clean_trailers(trailers);
        }
        self.progress.note();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// When something last got on.
#[derive(Clone)]
struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends when nothing has got on for `patience`.
    async fn stalled(&self, patience: Duration) {
        loop {
            let deadline = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + patience;
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}
