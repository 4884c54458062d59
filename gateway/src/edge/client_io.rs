//! A client's socket while HTTP is spoken on it: guarded, timed, and closed so that the last answer arrives.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::head_guard::HeadGuard;
use crate::config::Limits;
use crate::telemetry::label::Limit;
use crate::tls::Wire;

/// A client's socket as hyper sees it.
#[derive(Debug)]
pub(super) struct ClientIo {
    stream: Wire,
    guard: HeadGuard,
    pace: Arc<Pace>,
    /// What has come behind a request for an upgrade.
    early_bytes: usize,
    early_bytes_max: usize,
    linger: Option<Linger>,
}

/// After our FIN: what the client still sends is read and thrown away.
///
/// A socket that is closed with unread bytes answers with a reset, and a reset can overtake the answer.
#[derive(Debug)]
struct Linger {
    deadline: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl ClientIo {
    /// Takes an accepted socket.
    pub(super) fn new(stream: Wire, pace: Arc<Pace>, limits: &Limits) -> Self {
        Self {
            stream,
            guard: HeadGuard::default(),
            pace,
            early_bytes: 0,
            early_bytes_max: limits.early_bytes_max,
            linger: None,
        }
    }

    /// Gives the socket up for what follows HTTP.
    pub(super) fn into_stream(self) -> Wire {
        self.stream
    }

    fn take_note(&mut self, filled: &mut [u8]) -> io::Result<()> {
        if self.guard.is_beyond() {
            self.early_bytes += filled.len();
        }
        self.guard.scan(filled);
        if self.early_bytes > self.early_bytes_max {
            self.pace.lock().broken = Some(Limit::EarlyBytes);
            return Err(io::Error::other("the client sent too much behind its handshake"));
        }
        let mut pace = self.pace.lock();
        pace.read_blocked_since = None;
        pace.header_count = self.guard.header_count();
        if self.guard.is_within_head() && !matches!(pace.stage, Stage::Request | Stage::Head(_)) {
            pace.stage = Stage::Head(Instant::now());
        }
        Ok(())
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            outcome?;
            return Poll::Ready(this.take_note(&mut buffer.filled_mut()[before..]));
        }
        if this.guard.is_within_body() {
            let mut pace = this.pace.lock();
            pace.read_blocked_since.get_or_insert_with(Instant::now);
        }
        Poll::Pending
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.pace.note_write(outcome.is_pending());
        outcome
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.pace.note_write(outcome.is_pending());
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            deadline: Box::pin(sleep(LINGER)),
            bytes_left: LINGER_BYTES_MAX,
        });
        let mut space = [0; 4096];
        while linger.bytes_left > 0 && linger.deadline.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => break,
                Ok(()) => linger.bytes_left = linger.bytes_left.saturating_sub(buffer.filled().len()),
                Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// How far a client has got, and by when it must get further.
#[derive(Debug)]
pub(super) struct Pace {
    inner: Mutex<PaceInner>,
    head_timeout: Duration,
    idle_timeout: Duration,
}

#[derive(Debug)]
struct PaceInner {
    stage: Stage,
    /// More of a body was wanted and none was there.
    read_blocked_since: Option<Instant>,
    /// More of an answer was to be sent and the client took none.
    write_blocked_since: Option<Instant>,
    /// Header lines of the head that was read last.
    header_count: usize,
    broken: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A head is awaited or under way since then.
    Head(Instant),
    /// A request is being answered.
    Request,
    /// Nothing has come since the last answer ended.
    Idle(Instant),
}

/// A bound of time that a client is subject to.
struct Deadline {
    at: Instant,
    limit: Limit,
}

impl Pace {
    /// Starts with an accepted connection: its first head is awaited.
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(PaceInner {
                stage: Stage::Head(Instant::now()),
                read_blocked_since: None,
                write_blocked_since: None,
                header_count: 0,
                broken: None,
            }),
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
        })
    }

    /// A head has come whole: from now on the client waits for us.
    pub(super) fn request_begins(&self) {
        self.lock().stage = Stage::Request;
    }

    /// The answer has ended: from now on we wait for the client.
    pub(super) fn request_ends(&self) {
        self.lock().stage = Stage::Idle(Instant::now());
    }

    fn deadline(&self) -> Option<Deadline> {
        let inner = self.lock();
        let stalled = [inner.read_blocked_since, inner.write_blocked_since]
            .into_iter()
            .flatten()
            .min();
        let stalled = stalled.map(|since| Deadline {
            at: since + self.idle_timeout,
            limit: Limit::IdleTimeout,
        });
        let staged = match inner.stage {
            Stage::Head(since) => Some(Deadline {
                at: since + self.head_timeout,
                limit: Limit::HeadTimeout,
            }),
            Stage::Idle(since) => Some(Deadline {
                at: since + self.idle_timeout,
                limit: Limit::IdleTimeout,
            }),
            Stage::Request => None,
        };
        stalled.into_iter().chain(staged).min_by_key(|deadline| deadline.at)
    }

    /// Returns the bound that was broken other than by time.
    pub(super) fn broken(&self) -> Option<Limit> {
        self.lock().broken
    }

    /// Returns how many header lines the head had that was read last.
    pub(super) fn header_count(&self) -> usize {
        self.lock().header_count
    }

    fn note_write(&self, is_blocked: bool) {
        let mut inner = self.lock();
        if is_blocked {
            inner.write_blocked_since.get_or_insert_with(Instant::now);
        } else {
            inner.write_blocked_since = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, PaceInner> {
        // Plain fields, each of them whole at any time.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when a client has not got further in time, and says which bound it broke.
///
/// It is to be polled in the task that drives the connection, behind it: whatever moves a deadline wakes that task.
#[derive(Debug)]
pub(super) struct Watch {
    pace: Arc<Pace>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// Watches a connection.
    pub(super) fn new(pace: Arc<Pace>) -> Self {
        Self { pace, timer: None }
    }
}

impl Future for Watch {
    type Output = Limit;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Limit> {
        let this = self.get_mut();
        let Some(deadline) = this.pace.deadline() else {
            this.timer = None;
            return Poll::Pending;
        };
        let timer = match &mut this.timer {
            Some(timer) => timer,
            None => this.timer.insert(Box::pin(tokio::time::sleep_until(deadline.at))),
        };
        if timer.deadline() != deadline.at {
            timer.as_mut().reset(deadline.at);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(deadline.limit)
    }
}

/// How long a client may take to read our last answer while it still sends.
const LINGER: Duration = Duration::from_secs(1);

/// And how much it may send meanwhile.
const LINGER_BYTES_MAX: usize = 1024 * 1024;
