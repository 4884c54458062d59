//! What others hold of a session: its id, an inbox, and a few numbers.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::task::AtomicWaker;
use handover_protocol::admin::SessionView;
use handover_protocol::close::CloseCode;
use handover_protocol::{BoardId, Generation, ServerName, SessionId};
use tokio::sync::oneshot;

use super::order::{Answer, Order, Question};

/// The way to a session's task.
///
/// The inbox is bounded by its users: one move at a time owns a board, and it asks one question at a time.
#[derive(Debug)]
pub struct SessionHandle {
    id: SessionId,
    arrival: Arrival,
    seat: Mutex<Seat>,
    inbox: Mutex<VecDeque<Order>>,
    has_mail: AtomicBool,
    is_closed: AtomicBool,
    waker: AtomicWaker,
    passed: AtomicU64,
    generation: AtomicU64,
    may_cross: AtomicBool,
    heard_source_ms: AtomicU64,
    source_is_done: AtomicBool,
    unanswered: AtomicBool,
    parted_at: OnceLock<Instant>,
}

/// How a session came.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The name of its route.
    pub route: Arc<str>,
    /// Where its client comes from.
    pub client: IpAddr,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Where a session is.
#[derive(Debug)]
struct Seat {
    server: ServerName,
    switches: u32,
}

impl Arrival {
    /// Notes a session that comes now.
    pub fn now(route: Arc<str>, client: IpAddr) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            route,
            client,
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl SessionHandle {
    /// Makes the handle before the session is admitted to `server`; orders wait until its task runs.
    pub fn new(id: SessionId, arrival: Arrival, server: ServerName) -> Arc<Self> {
        Arc::new(Self {
            id,
            arrival,
            seat: Mutex::new(Seat { server, switches: 0 }),
            inbox: Mutex::default(),
            has_mail: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            passed: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            may_cross: AtomicBool::new(false),
            heard_source_ms: AtomicU64::new(0),
            source_is_done: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
            parted_at: OnceLock::new(),
        })
    }

    /// Returns the session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Tells the session to do something; one that has ended drops it.
    pub fn order(&self, order: Order) {
        {
            let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_closed.load(Ordering::Acquire) {
                return;
            }
            inbox.push_back(order);
            self.has_mail.store(true, Ordering::Release);
        }
        self.waker.wake();
    }

    /// Asks the session for something; the answer fails where the session has ended or ends meanwhile.
    pub fn ask(&self, question: Question) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.order(Order::Ask(question, sender));
        receiver
    }

    /// Tells the client by a close frame to reconnect.
    pub fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Ends the session on an operator's word: its client is closed with this code, and not told to reconnect.
    pub fn dismiss(&self, code: CloseCode) {
        self.order(Order::Dismiss(code));
    }

    /// Tells the admin API.
    pub fn view(&self, board: &BoardId) -> SessionView {
        let seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        SessionView {
            session: self.id.clone(),
            board: board.clone(),
            server: seat.server.clone(),
            route: self.arrival.route.to_string(),
            client: self.arrival.client.to_string(),
            opened_at_ms: self.arrival.at_ms,
            transparent: self.may_cross(),
            switches: seat.switches,
        }
    }

    /// Returns n as it was last counted: when the session answered a move, or ended.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }

    /// Returns the term of the server that the session is attached to.
    pub fn generation(&self) -> Generation {
        Generation::new(self.generation.load(Ordering::Acquire))
    }

    /// Reads whether the session may cross with its socket open.
    pub fn may_cross(&self) -> bool {
        self.may_cross.load(Ordering::Acquire)
    }

    /// Returns when the held session's source last said something, on the scale of [`clock_ms`].
    pub fn heard_source_ms(&self) -> u64 {
        self.heard_source_ms.load(Ordering::Acquire)
    }

    /// Reads whether the last that the held session's source said is that it is done.
    pub fn source_is_done(&self) -> bool {
        self.source_is_done.load(Ordering::Acquire)
    }

    /// Reads whether its server owes an answer, as far as can be told from outside. Only sessions that outlive their server
    /// tell.
    pub fn is_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Returns when the session was first seen to end: by a Close or the end of a stream, whichever way. From about then
    /// its server may count it no more.
    pub fn parted_at(&self) -> Option<Instant> {
        self.parted_at.get().copied()
    }

    pub(crate) fn note_parting(&self) {
        self.parted_at.get_or_init(Instant::now);
    }

    pub(super) fn take_order(&self) -> Option<Order> {
        if !self.has_mail.load(Ordering::Acquire) {
            return None;
        }
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let order = inbox.pop_front();
        self.has_mail.store(!inbox.is_empty(), Ordering::Release);
        order
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Notes that the session has crossed.
    pub(super) fn note_switch(&self, server: &ServerName) {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        seat.server = server.clone();
        seat.switches += 1;
    }

    pub(super) fn set_passed(&self, passed: u64) {
        self.passed.store(passed, Ordering::Release);
    }

    pub(super) fn set_generation(&self, generation: Generation) {
        self.generation.store(generation.number(), Ordering::Release);
    }

    pub(super) fn set_may_cross(&self, may_cross: bool) {
        self.may_cross.store(may_cross, Ordering::Release);
    }

    pub(super) fn set_unanswered(&self, is_unanswered: bool) {
        self.unanswered.store(is_unanswered, Ordering::Relaxed);
    }

    pub(super) fn set_heard_source(&self) {
        self.heard_source_ms.store(clock_ms(), Ordering::Release);
    }

    /// Notes whether the source is done; returns whether that is news.
    pub(super) fn set_source_is_done(&self, is_done: bool) -> bool {
        self.source_is_done.swap(is_done, Ordering::AcqRel) != is_done
    }

    /// Ends the inbox: what waits in it and what comes is dropped, and with it the answers.
    pub(super) fn close(&self) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_closed.store(true, Ordering::Release);
        inbox.clear();
    }
}

/// Milliseconds since the gateway's first look at this clock; monotonic, never zero.
pub fn clock_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX) + 1
}
