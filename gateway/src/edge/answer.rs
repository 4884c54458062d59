//! The body of an answer to a client, ours or a server's, and what has to be seen to when it ends.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use handover_protocol::BoardId;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::client_io::Pace;
use super::connection::Client;
use super::problem::Problem;
use super::record::Record;
use crate::board::Pass;
use crate::config::{LogConfig, Route};
use crate::telemetry::label::{RequestOutcome, UpgradeOutcome};
use crate::telemetry::{Label, Metrics};
use crate::upstream::{Server, ServerBody};

/// An answer on its way to a client.
pub(super) type Answer = Response<AnswerBody>;

/// The body of an answer.
pub(super) struct AnswerBody {
    source: Source,
    /// An end before the end, to be told with the next poll.
    failure: Option<Failure>,
    tally: Tally,
    /// The client is idle from the end of the body on.
    pace: Option<Arc<Pace>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

enum Source {
    Own(Full<Bytes>),
    Server { body: ServerBody, hold: Option<Hold> },
}

/// What keeps a board from moving while a server's answer is under way.
pub(super) enum Hold {
    /// The board waits for the answer's end.
    ToTheEnd {
        /// Counted on the board as long as it lives.
        _pass: Pass,
    },
    /// The answer ends with the board's next hold, which is when this does.
    UntilParked(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Hold {
    /// Keeps a pass for an answer, by the route's will.
    pub(super) fn new(pass: Pass, cut_streams: bool) -> Self {
        if cut_streams {
            Self::UntilParked(Box::pin(async move { pass.parked().await }))
        } else {
            Self::ToTheEnd { _pass: pass }
        }
    }
}

impl AnswerBody {
    /// Passes on what a server says.
    pub(super) fn of_server(body: ServerBody, hold: Option<Hold>, mut tally: Tally) -> Self {
        if body.is_end_stream() {
            tally.answered();
        }
        Self {
            source: Source::Server { body, hold },
            failure: None,
            tally,
            pace: None,
        }
    }

    /// Tells of a failure one poll later: hyper throws away what it has not flushed when a body fails, and flushes while
    /// the body has nothing.
    fn fail<T>(&mut self, failure: Failure, context: &Context<'_>) -> Poll<T> {
        self.failure = Some(failure);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Notes the status for the access log.
    pub(super) fn note_status(&mut self, status: StatusCode) {
        if let Some(record) = &mut self.tally.record {
            record.note_status(status);
        }
    }

    /// Has the client's idle time begin when the body ends.
    pub(super) fn timed_by(&mut self, pace: Arc<Pace>) {
        self.pace = Some(pace);
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = self.get_mut();
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let (body, hold) = match &mut this.source {
            Source::Own(body) => {
                let polled = Pin::new(body).poll_frame(context);
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    this.tally.note_bytes(frame);
                }
                return polled.map_err(|never| match never {});
            }
            Source::Server { body, hold } => (body, hold),
        };
        if let Some(Hold::UntilParked(parked)) = hold
            && parked.as_mut().poll(context).is_ready()
        {
            // The future has given the pass back; it must not be polled again.
            *hold = None;
            this.tally.request(RequestOutcome::Cut);
            return this.fail("the board moves".into(), context);
        }
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            Some(Ok(frame)) => {
                this.tally.note_bytes(&frame);
                if body.is_end_stream() {
                    this.tally.answered();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.tally.request(RequestOutcome::BadAnswer);
                this.fail(error.into(), context)
            }
            None => {
                this.tally.answered();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(body) => body.is_end_stream(),
            Source::Server { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(body) => body.size_hint(),
            Source::Server { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(pace) = &self.pace {
            pace.request_ends();
        }
    }
}

/// Why a client gets no session or no answer of a server's.
pub(super) struct Refusal {
    /// What it is told.
    pub(super) problem: Problem,
    /// As what it is counted, by either name.
    pub(super) cause: Cause,
}

/// As what a refusal is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    BadRequest,
    NoRoute,
    BadAnswer,
    Unreachable,
    Timeout,
    Unavailable,
    Limited,
}

impl Refusal {
    /// Joins what is told and what is counted.
    pub(super) fn new(cause: Cause, problem: Problem) -> Self {
        Self { problem, cause }
    }

    /// Counts the refusal and writes the answer.
    pub(super) fn into_answer(self, mut tally: Tally) -> Answer {
        tally.refused(self.cause);
        self.problem.into_response().map(|body| AnswerBody {
            source: Source::Own(body),
            failure: None,
            tally,
            pace: None,
        })
    }
}

/// An empty answer, for a 101.
pub(super) fn empty(tally: Tally) -> AnswerBody {
    AnswerBody {
        source: Source::Own(Full::default()),
        failure: None,
        tally,
        pace: None,
    }
}

/// Counts what became of a request when it is over; unless somebody says otherwise, its client left first.
pub(super) struct Tally {
    metrics: Arc<Metrics>,
    outcome: Outcome,
    /// What the access log says of it; none where it says nothing.
    record: Option<Box<Record>>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Upgrade(UpgradeOutcome),
    Request(RequestOutcome),
}

impl Tally {
    /// Begins to count a WebSocket handshake.
    pub(super) fn of_upgrade(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            outcome: Outcome::Upgrade(UpgradeOutcome::ClientGone),
            record: None,
        }
    }

    /// Begins to count a plain request.
    pub(super) fn of_request(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            outcome: Outcome::Request(RequestOutcome::ClientGone),
            record: None,
        }
    }

    /// Has the access log say what becomes of it, where it says so of its kind.
    pub(super) fn recorded(mut self, log: &LogConfig, client: &Client, parts: &Parts) -> Self {
        let is_logged = match self.outcome {
            Outcome::Upgrade(_) => log.access.has_sessions(),
            Outcome::Request(_) => log.access.has_requests(),
        };
        self.record = is_logged.then(|| Record::new(parts, client.peer().ip().to_canonical(), &log.redaction));
        self
    }

    /// Gives away the target as the access log shows it, where it does: the session that has opened speaks for itself.
    pub(super) fn take_target(&mut self) -> Option<String> {
        self.record.take().map(|record| record.into_target())
    }

    /// Notes by which route it goes to which board.
    pub(super) fn note_board(&mut self, route: &Route, board: &BoardId) {
        if let Some(record) = &mut self.record {
            record.note_board(&route.name, board);
        }
    }

    /// Notes where it comes from, as far as proxies are believed.
    pub(super) fn note_client(&mut self, client: IpAddr) {
        if let Some(record) = &mut self.record {
            record.note_client(client);
        }
    }

    /// Notes who is asked.
    pub(super) fn note_server(&mut self, server: &Server) {
        if let Some(record) = &mut self.record {
            record.note_server(server.name());
        }
    }

    fn note_bytes(&mut self, frame: &Frame<Bytes>) {
        if let Some(record) = &mut self.record {
            record.note_bytes(frame.data_ref().map_or(0, Bytes::len));
        }
    }

    /// Says what became of a handshake.
    pub(super) fn upgrade(&mut self, outcome: UpgradeOutcome) {
        self.outcome = Outcome::Upgrade(outcome);
    }

    fn request(&mut self, outcome: RequestOutcome) {
        if let Outcome::Request(counted) = &mut self.outcome {
            *counted = outcome;
        }
    }

    fn answered(&mut self) {
        self.request(RequestOutcome::Answered);
    }

    fn refused(&mut self, cause: Cause) {
        self.outcome = match self.outcome {
            Outcome::Upgrade(_) => Outcome::Upgrade(match cause {
                Cause::BadRequest => UpgradeOutcome::BadRequest,
                Cause::NoRoute => UpgradeOutcome::NoRoute,
                Cause::BadAnswer => UpgradeOutcome::BadAnswer,
                Cause::Unreachable => UpgradeOutcome::Unreachable,
                Cause::Timeout => UpgradeOutcome::Timeout,
                Cause::Unavailable => UpgradeOutcome::Unavailable,
                Cause::Limited => UpgradeOutcome::Limited,
            }),
            Outcome::Request(_) => Outcome::Request(match cause {
                Cause::BadRequest => RequestOutcome::BadRequest,
                Cause::NoRoute => RequestOutcome::NoRoute,
                Cause::BadAnswer => RequestOutcome::BadAnswer,
                Cause::Unreachable => RequestOutcome::Unreachable,
                Cause::Timeout => RequestOutcome::Timeout,
                Cause::Unavailable => RequestOutcome::Unavailable,
                Cause::Limited => RequestOutcome::Limited,
            }),
        };
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        match self.outcome {
            Outcome::Upgrade(outcome) => self.metrics.upgrades.of(outcome).inc(),
            Outcome::Request(outcome) => self.metrics.requests.of(outcome).inc(),
        }
        let Some(record) = &self.record else { return };
        match self.outcome {
            // The session speaks for itself.
            Outcome::Upgrade(UpgradeOutcome::Opened) => {}
            Outcome::Upgrade(outcome) => record.tell("handshake", outcome.text()),
            Outcome::Request(outcome) => record.tell("request", outcome.text()),
        }
    }
}
