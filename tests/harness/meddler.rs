//! The meddler: a proxy between the gateway and a board server that spoils chosen calls.
//!
//! Where a test wants a process dead exactly between two steps of a move, it lays a [`Trick`] on the call that stands
//! there: the trick runs before the call is passed on, or when its answer is known and not yet told. Calls without a
//! trick pass unchanged, and all are noted.

mod control;
mod dam;
mod traffic;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Notify;

pub use control::ControlMeddler;
pub use dam::Way;
pub use traffic::TrafficMeddler;

/// A call that a trick can be laid on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `GET /handover/v1/server`.
    Server,
    /// `GET /handover/v1/boards`.
    Boards,
    /// `PUT /handover/v1/boards/{board}`.
    Prepare,
    /// `POST …/freeze`.
    Freeze,
    /// `POST …/activate`.
    Activate,
    /// `POST …/thaw`.
    Thaw,
    /// `DELETE /handover/v1/boards/{board}`.
    Forget,
    /// A WebSocket handshake.
    Handshake,
    /// Any other HTTP request, as the first of its connection.
    Plain,
}

/// What is done to a call.
pub enum Trick {
    /// Something is done before the call is passed on.
    Before(Hook),
    /// Something is done after the server has answered and before the answer is passed back.
    After(Hook),
    /// The call is answered with an error and never reaches the server.
    Refuse(StatusCode),
    /// The server does what it is asked, and the caller is told of an error.
    RefuseAfter(StatusCode),
    /// The server does what it is asked, and the caller gets these bytes as the body of a 200.
    Nonsense(&'static str),
    /// The call is passed on late.
    Late(Duration),
    /// The answer is passed back late.
    AnswerLate(Duration),
    /// The connection is dropped before the call is passed on.
    Drop,
    /// The connection is dropped when the server has answered.
    DropAfter,
}

/// What a trick does; it is run to its end before the call goes on.
pub type Hook = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// One call that came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub call: Call,
    /// The path with its query.
    pub path: String,
    /// The body that was sent; empty for handshakes.
    pub body: String,
    /// What the caller was answered; none while under way and where the connection was dropped.
    pub status: Option<StatusCode>,
}

impl Trick {
    /// Does something before the call is passed on.
    pub fn before<F: Future<Output = ()> + Send + 'static>(hook: impl FnOnce() -> F + Send + 'static) -> Self {
        Self::Before(Box::new(|| Box::pin(hook())))
    }

    /// Does something after the answer and before it is passed back.
    pub fn after<F: Future<Output = ()> + Send + 'static>(hook: impl FnOnce() -> F + Send + 'static) -> Self {
        Self::After(Box::new(|| Box::pin(hook())))
    }
}

impl fmt::Debug for Trick {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(_) => formatter.write_str("Before"),
            Self::After(_) => formatter.write_str("After"),
            Self::Refuse(status) => write!(formatter, "Refuse({status})"),
            Self::RefuseAfter(status) => write!(formatter, "RefuseAfter({status})"),
            Self::Nonsense(body) => write!(formatter, "Nonsense({body:?})"),
            Self::Late(time) => write!(formatter, "Late({time:?})"),
            Self::AnswerLate(time) => write!(formatter, "AnswerLate({time:?})"),
            Self::Drop => formatter.write_str("Drop"),
            Self::DropAfter => formatter.write_str("DropAfter"),
        }
    }
}

/// What is laid and what has come by, shared by a meddler and its connections.
#[derive(Debug, Clone, Default)]
struct Book(Arc<(Mutex<Pages>, Notify)>);

#[derive(Debug, Default)]
struct Pages {
    laid: Vec<Laid>,
    seen: Vec<Seen>,
}

/// A trick that waits for its call.
#[derive(Debug)]
struct Laid {
    call: Call,
    /// How many such calls pass before it springs.
    passing: usize,
    trick: Trick,
}

impl Book {
    /// Lays a trick that lets `passing` calls of its kind pass unspoiled first.
    fn lay(&self, call: Call, passing: usize, trick: Trick) {
        self.pages().laid.push(Laid { call, passing, trick });
    }

    /// Notes a call and takes the trick that springs on it; the first laid goes first.
    fn note(&self, call: Call, path: String, body: String) -> (usize, Option<Trick>) {
        let mut pages = self.pages();
        pages.seen.push(Seen {
            call,
            path,
            body,
            status: None,
        });
        let place = pages
            .laid
            .iter()
            .position(|laid| laid.call == call && laid.passing == 0);
        let trick = place.map(|place| pages.laid.remove(place).trick);
        if trick.is_none() {
            let waiting = pages.laid.iter_mut().filter(|laid| laid.call == call);
            waiting.for_each(|laid| laid.passing -= 1);
        }
        let number = pages.seen.len() - 1;
        drop(pages);
        self.0.1.notify_waiters();
        (number, trick)
    }

    fn note_status(&self, number: usize, status: StatusCode) {
        self.pages().seen[number].status = Some(status);
    }

    fn seen(&self) -> Vec<Seen> {
        self.pages().seen.clone()
    }

    /// Waits until every trick that was laid has sprung.
    async fn all_sprung(&self, deadline: Duration) {
        let waiting = async {
            loop {
                let changed = self.0.1.notified();
                if self.pages().laid.is_empty() {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(deadline, waiting).await.is_err() {
            panic!("tricks that no call met within {deadline:?}: {:?}", self.pages().laid);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
