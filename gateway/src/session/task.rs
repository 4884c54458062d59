//! The task that owns a session's two sockets and carries out what the session machine says.
//!
//! It polls by hand: orders first, then timers, then bytes in both directions, then what they amount to. While the
//! session only relays, a wake-up costs one look at a flag, one read and one write.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use handover_protocol::close::CloseCode;
use handover_protocol::frame::{Limits, Reserved, Sender};
use handover_protocol::machine::session::{Event, Outcome, Phase, Session};
use tokio::time::Sleep;
use tracing::{Instrument, debug_span, error};

use super::account::{Base, Reported};
use super::attach::Attached;
use super::carry::Teller;
use super::fallback::stalled_by;
use super::flood::ControlFrames;
use super::handle::SessionHandle;
use super::journal::Journal;
use super::moving::Moving;
use super::order::Order;
use super::silence::Silence;
use super::stall::Stall;
use super::timing::{FINISH, longest};
use super::unfinished::Unfinished;
use super::{Seats, Setup};
use crate::board::Admission;
use crate::config::{Replay, Route};
use crate::relay::{Direction, Fault, Recorder, linger};
use crate::telemetry::Metrics;
use crate::telemetry::label::{Fallback, Side};
use crate::tls::Wire;
use crate::upstream::{Agreement, Handshake, Server};

/// Starts a session whose handshake has succeeded.
pub fn start<C, E>(setup: Setup<C>)
where
    C: Future<Output = Result<(Wire, Bytes), E>> + Send + 'static,
    E: Send,
{
    let tasks = setup.admission.board().sessions_tracker().clone();
    let span = debug_span!("session", id = %setup.admission.handle().id(), board = %setup.admission.board().id());
    tasks.spawn(
        async move {
            if let Some(task) = Task::open(setup).await {
                task.run().await;
            }
        }
        .instrument(span),
    );
}

pub(super) struct Task {
    pub(super) machine: Session,
    pub(super) client: Wire,
    pub(super) upstream: Option<Wire>,
    pub(super) up: Direction,
    pub(super) down: Direction,
    pub(super) limits: Limits,
    pub(super) handle: Arc<SessionHandle>,
    pub(super) server: Arc<Server>,
    pub(super) route: Arc<Route>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) handshake: Option<Handshake>,
    pub(super) agreement: Agreement,
    /// Where the current upstream's counts begin.
    pub(super) base: Base,
    pub(super) reported: Reported,
    pub(super) violation: Option<CloseCode>,
    /// With which code an operator has the client closed.
    pub(super) dismissal: Option<CloseCode>,
    /// What was wrong with the bytes that came together with the handshake; judged once what stood before has gone.
    early_fault: Option<(Fault, Side)>,
    /// While the client does not take what waits for it.
    pub(super) stall: Option<Stall>,
    pub(super) stall_timeout: Duration,
    pub(super) control_frames: ControlFrames,
    pub(super) control_frames_max: u32,
    /// While a message of the client's is under way.
    pub(super) unfinished: Option<Box<Unfinished>>,
    pub(super) message_timeout: Duration,
    /// What only a move needs.
    pub(super) moving: Option<Box<Moving>>,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    /// After a switch, until the target has said something.
    pub(super) silence: Option<Silence>,
    pub(super) journal: Option<Box<Journal>>,
    pub(super) admission: Admission,
    pub(super) awaits_answer: bool,
    pub(super) _seats: Seats,
}

enum Step {
    Order(Order),
    Event(Event),
    Attached(Result<Attached, Fallback>),
}

impl Task {
    /// Waits for the client's socket; nothing where the client has gone or broke the protocol at once.
    async fn open<C, E>(setup: Setup<C>) -> Option<Self>
    where
        C: Future<Output = Result<(Wire, Bytes), E>>,
    {
        let Setup {
            admission,
            route,
            handshake,
            agreement,
            upstream,
            client,
            terms,
            seats,
            journal,
            metrics,
            fragments_max,
            stall_timeout,
            control_frames_max,
            message_timeout,
        } = setup;
        let handle = Arc::clone(admission.handle());
        let server = Arc::clone(admission.server());
        handle.set_generation(admission.generation());
        let (upstream, said) = upstream;
        let Ok((client, early)) = client.await else {
            handle.close();
            linger(upstream, FINISH).await;
            return None;
        };
        let extensions = if agreement.deflate().is_some() {
            Reserved::Deflate
        } else {
            Reserved::Zero
        };
        let limits = Limits {
            message_bytes_max: route.message_bytes_max,
            fragments_max,
            extensions,
        };
        let replay = terms.replay.as_ref().unwrap_or(&route.replay);
        let recorder = handshake
            .as_ref()
            .and_then(|_| Recorder::new(replay, route.replay_bytes_max));
        let awaits = matches!(
            replay,
            Replay::First { await_answer: true, .. } | Replay::Matching { await_answer: true, .. }
        );
        handle.set_may_cross(handshake.is_some());
        let mut up = Direction::new(Sender::Client, recorder);
        let mut down = Direction::new(Sender::Server, None);
        let of_client = up.go_on_with(&limits, &early).err().map(|fault| (fault, Side::Client));
        let of_server = down.go_on_with(&limits, &said).err().map(|fault| (fault, Side::Server));
        server.metrics().sessions.inc();
        metrics.sessions_opened.inc();
        if let Some(journal) = &journal {
            journal.open(&handle.view(admission.board().id()), admission.generation());
        }
        Some(Self {
            machine: Session::new(),
            client,
            upstream: Some(upstream),
            up,
            down,
            limits,
            handle,
            server,
            route,
            metrics,
            handshake,
            agreement,
            base: Base::default(),
            reported: Reported::default(),
            violation: None,
            dismissal: None,
            early_fault: of_client.or(of_server),
            stall: None,
            stall_timeout,
            control_frames: ControlFrames::new(),
            control_frames_max,
            unfinished: None,
            message_timeout,
            moving: None,
            timer: None,
            silence: None,
            journal,
            admission,
            awaits_answer: awaits,
            _seats: seats,
        })
    }

    async fn run(mut self) {
        while self.machine.phase() != Phase::Ended {
            let step = poll_fn(|context| self.poll(context)).await;
            match step {
                Step::Order(Order::Ask(question, answer)) => self.take_question(question, answer),
                Step::Order(Order::Resume) => self.event(Event::Resume),
                Step::Order(Order::Cut) => {
                    self.follow_configuration();
                    self.event(Event::Cut);
                }
                Step::Order(Order::Dismiss(code)) => {
                    self.dismissal.get_or_insert(code);
                    self.event(Event::Cut);
                }
                Step::Event(event) => self.event(event),
                Step::Attached(result) => self.take_attached(result),
            }
        }
        self.report();
        self.close_journal();
        self.server.metrics().sessions.dec();
        self.handle.set_passed(self.passed());
        self.handle.close();
        drop(self.admission);
        linger(self.client, LAST_WORDS).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        self.handle.register(context.waker());
        if let Some(order) = self.handle.take_order() {
            return Poll::Ready(Step::Order(order));
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            self.timer = None;
            return Poll::Ready(Step::Event(Event::Deadline));
        }
        if let Some(moving) = &mut self.moving
            && let Some(attaching) = &mut moving.attaching
            && let Poll::Ready(result) = attaching.as_mut().poll(context)
        {
            moving.attaching = None;
            return Poll::Ready(Step::Attached(result));
        }
        if let Some(moving) = &mut self.moving
            && let Some(judging) = &mut moving.judging
            && let Poll::Ready(lives) = judging.as_mut().poll(context)
        {
            moving.judging = None;
            if lives && self.machine.phase() == Phase::Orphaned {
                // Only the connection broke; nobody will take the board.
                return Poll::Ready(Step::Event(Event::Deadline));
            }
        }
        if let Some(event) = self.pump(context) {
            return Poll::Ready(Step::Event(event));
        }
        if let Some((fault, side)) = self.early_fault.take()
            && let Some(event) = self.fault(fault, side)
        {
            return Poll::Ready(Step::Event(event));
        }
        if let Some(event) = self.look_at_client(context) {
            return Poll::Ready(Step::Event(event));
        }
        if let Some(event) = self.look_at_message(context) {
            return Poll::Ready(Step::Event(event));
        }
        self.report();
        if self.silence.is_some() {
            self.look_at_target(context);
        }
        match self.amount_to(context) {
            Some(event) => Poll::Ready(Step::Event(event)),
            None => Poll::Pending,
        }
    }

    /// Moves bytes both ways.
    fn pump(&mut self, context: &mut Context<'_>) -> Option<Event> {
        let limits = self.limits;
        let up = self
            .up
            .pump(context, &limits, Some(&mut self.client), self.upstream.as_mut());
        if let Err(fault) = up
            && let Some(event) = self.fault(fault, Side::Client)
        {
            return Some(event);
        }
        if let Some(event) = self.look_at_control_frames() {
            return Some(event);
        }
        // A client that has its end of stream takes nothing more; what a held session's source still says only counts.
        let client = (!self.down.is_finished()).then_some(&mut self.client);
        let down = self.down.pump(context, &limits, self.upstream.as_mut(), client);
        // An answered Ping is forgotten; a Pong that nobody asked for does not bring it back.
        if self.down.take_heartbeat_news() && self.down.last_heartbeat() == self.up.last_heartbeat() {
            self.up.forget_heartbeat();
        }
        match down {
            Ok(()) => None,
            Err(fault) => self.fault(fault, Side::Server),
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        let before = self.machine.phase();
        let outcome = self.machine.on(event);
        let after = self.machine.phase();
        if before != after {
            tracing::trace!(?before, ?event, ?after, "session");
        }
        match outcome {
            Outcome::Nothing => {}
            Outcome::Anomaly => {
                error!(phase = ?before, ?event, "a session was told what cannot be");
                self.answer(false);
            }
            Outcome::Commands(commands) => {
                self.note_fallback(before, event);
                self.note_limit(before, event);
                let teller = Teller::of(before, event);
                for command in commands {
                    self.carry_out(command, teller);
                }
            }
        }
        if before != after {
            if matches!(after, Phase::Leaving | Phase::Finishing | Phase::Ended) {
                self.handle.note_parting();
                self.note_parting_of(event);
            }
            self.set_timer();
        }
    }

    pub(super) fn set_timer(&mut self) {
        let phase = self.machine.phase();
        let awaits_boundary = phase == Phase::Draining && stalled_by(&self.down, &self.limits) == Fallback::Boundary;
        let confirm_by = self.moving.as_ref().and_then(|moving| moving.confirm_by);
        let longest = match awaits_boundary {
            true => Some(self.route.boundary_timeout),
            false => longest(phase, &self.route, confirm_by),
        };
        self.timer = longest.map(|longest| Box::pin(tokio::time::sleep(longest)));
    }
}

/// After the last frame to a client its end of stream is awaited for so long.
const LAST_WORDS: Duration = Duration::from_secs(1);
