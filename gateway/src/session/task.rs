//! The task that owns a session's two sockets and carries out what the session machine says.
//!
//! It polls by hand: orders first, then timers, then bytes in both directions, then what they amount to. While the
//! session only relays, a wake-up costs one look at a flag, one read and one write.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use handover_protocol::close::CloseCode;
use handover_protocol::frame::{Limits, Reserved, Sender, encode_close, encode_ping, encode_pong, encode_text};
use handover_protocol::machine::session::{Command, Event, Outcome, Phase, Session};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tracing::{Instrument, debug, debug_span, error, warn};

use super::attach::{Attached, Attachment};
use super::handle::SessionHandle;
use super::order::{Answer, HoldKind, Order, Question};
use super::timing::{FINISH, longest};
use super::{Seats, Setup};
use crate::board::Admission;
use crate::config::{Replay, Route};
use crate::relay::{Direction, Fault, Recorder, RecorderState, Valve, linger};
use crate::telemetry::Metrics;
use crate::telemetry::label::{Crossing, Direction as Way, Fallback, Side};
use crate::upstream::{Agreement, DialIds, Handshake, Server};

/// Starts a session whose handshake has succeeded.
pub fn start<C, E>(setup: Setup<C>)
where
    C: Future<Output = Result<(TcpStream, Bytes), E>> + Send + 'static,
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

struct Task {
    machine: Session,
    client: TcpStream,
    upstream: Option<TcpStream>,
    up: Direction,
    down: Direction,
    limits: Limits,
    handle: Arc<SessionHandle>,
    server: Arc<Server>,
    route: Arc<Route>,
    metrics: Arc<Metrics>,
    handshake: Option<Handshake>,
    agreement: Agreement,
    /// Where the current upstream's counts begin.
    base: Base,
    reported: Reported,
    violation: Option<CloseCode>,
    /// What only a move needs.
    moving: Option<Box<Moving>>,
    timer: Option<Pin<Box<Sleep>>>,
    admission: Admission,
    awaits_answer: bool,
    _seats: Seats,
}

/// What was passed to and heard from earlier upstreams, less what the current one was told and swallowed of besides.
#[derive(Default)]
struct Base {
    passed_before: u64,
    replayed: u64,
    heard_before: u64,
    swallowed: u64,
}

/// What the metrics have been told of.
#[derive(Default)]
struct Reported {
    messages_up: u64,
    messages_down: u64,
    bytes_up: u64,
    bytes_down: u64,
}

#[derive(Default)]
struct Moving {
    answer: Option<oneshot::Sender<Answer>>,
    text: Option<String>,
    kind: Option<HoldKind>,
    held_at: Option<Instant>,
    sent: u64,
    heard: u64,
    nonce: Option<[u8; 8]>,
    to: Option<(
        Arc<Server>,
        handover_protocol::Generation,
        handover_protocol::ServerName,
    )>,
    attaching: Option<Pin<Box<dyn Future<Output = Result<Attached, Fallback>> + Send>>>,
    fallback: Option<Fallback>,
    crossed: bool,
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
        C: Future<Output = Result<(TcpStream, Bytes), E>>,
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
            metrics,
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
            ..Limits::default()
        }
        .with_extensions(extensions);
        let replay = terms.replay.as_ref().unwrap_or(&route.replay);
        let recorder = handshake
            .as_ref()
            .and_then(|_| Recorder::new(replay, route.replay_bytes_max));
        let awaits = matches!(
            replay,
            Replay::First { await_answer: true, .. } | Replay::Matching { await_answer: true, .. }
        );
        handle.set_may_cross(handshake.is_some());
        let up = Direction::new(Sender::Client, &limits, &early, recorder);
        let down = Direction::new(Sender::Server, &limits, &said, None);
        let (Ok(up), Ok(down)) = (up, down) else {
            handle.close();
            linger(upstream, FINISH).await;
            return None;
        };
        server.metrics().sessions.inc();
        metrics.sessions_opened.inc();
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
            moving: None,
            timer: None,
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
                Step::Order(Order::Cut) => self.event(Event::Cut),
                Step::Event(event) => self.event(event),
                Step::Attached(result) => self.take_attached(result),
            }
        }
        self.report();
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
        if let Some(event) = self.pump(context) {
            return Poll::Ready(Step::Event(event));
        }
        self.report();
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
        if let Err(fault) = up {
            if let Some(event) = self.fault(fault, Side::Client) {
                return Some(event);
            }
        }
        // A client that has its end of stream takes nothing more; what a held session's source still says only counts.
        let client = (!self.down.is_finished()).then_some(&mut self.client);
        let down = self.down.pump(context, &limits, self.upstream.as_mut(), client);
        match down {
            Ok(()) => None,
            Err(fault) => self.fault(fault, Side::Server),
        }
    }

    /// Says what the bytes that moved amount to in this phase.
    fn amount_to(&mut self, context: &mut Context<'_>) -> Option<Event> {
        match self.machine.phase() {
            Phase::Relaying => self.ends(),
            Phase::Telling if self.up.has_seen_close() => Some(Event::ClientClose),
            Phase::Telling => self.ends(),
            Phase::Stopping if self.up.is_at_boundary() => Some(Event::Boundary),
            Phase::Stopping => self.ends(),
            Phase::Held | Phase::Drained | Phase::Detached | Phase::Attaching | Phase::Attached => {
                self.answer_pings(context);
                self.note_source();
                self.ends()
            }
            Phase::Draining if self.machine.is_client_gone() => Some(Event::DrainReached),
            Phase::Draining => self.drain_progress(context),
            Phase::Confirming => {
                self.note_source();
                let nonce = self.moving.as_ref().and_then(|moving| moving.nonce)?;
                if self.down.take_pong(&self.limits, &nonce) {
                    return Some(Event::Pong);
                }
                self.ends()
            }
            Phase::Closing => {
                self.note_source();
                if self.down.has_seen_close() && !self.machine.is_source_gone() {
                    return Some(Event::SourceEof);
                }
                self.ends()
            }
            Phase::Leaving if self.up.has_seen_close() && !self.down.is_saying() => Some(Event::ClientClose),
            Phase::Leaving => self.ends(),
            Phase::Finishing if self.upstream.is_none() || self.down.is_over() => Some(Event::SourceEof),
            Phase::Finishing | Phase::Ended => None,
        }
    }

    /// Tells the machine once of each stream that has ended.
    fn ends(&mut self) -> Option<Event> {
        if self.up.is_over() && !self.machine.is_client_gone() {
            return Some(Event::ClientEof);
        }
        if self.down.is_over() && self.upstream.is_some() && !self.machine.is_source_gone() {
            return Some(Event::SourceEof);
        }
        None
    }

    fn drain_progress(&mut self, context: &Context<'_>) -> Option<Event> {
        let moving = self.moving.as_mut()?;
        if self.down.messages_arrived() >= moving.sent && self.down.has_arrived_at_boundary() {
            return Some(Event::DrainReached);
        }
        let heard = self.down.bytes_passed() + self.down.messages_arrived();
        if heard != moving.heard {
            moving.heard = heard;
            self.set_timer();
            // A timer is heard of once it has been polled.
            context.waker().wake_by_ref();
        }
        self.ends()
    }

    fn answer_pings(&mut self, context: &mut Context<'_>) {
        let pings = self.up.take_pings(&self.limits);
        if pings.is_empty() {
            return;
        }
        for payload in pings {
            let mut pong = Vec::new();
            encode_pong(&payload, None, &mut pong);
            self.down.say(&pong);
        }
        // Written now if the socket takes it; else the socket wakes the task.
        if self
            .down
            .pump(context, &self.limits, None::<&mut TcpStream>, Some(&mut self.client))
            .is_err()
        {
            debug!("the client went while it was held");
        }
    }

    fn note_source(&mut self) {
        let heard = self.down.messages_arrived();
        if let Some(moving) = &mut self.moving
            && moving.heard != heard
        {
            moving.heard = heard;
            self.handle.set_heard_source();
        }
    }

    fn fault(&mut self, fault: Fault, reader: Side) -> Option<Event> {
        match fault {
            Fault::Violation(violation) => {
                debug!(?violation, side = ?reader, "a peer broke the protocol");
                self.metrics.protocol_violations.of(reader).inc();
                self.violation = Some(match reader {
                    Side::Client => violation.close_code(),
                    Side::Server => CloseCode::INTERNAL_ERROR,
                });
                Some(Event::Violation)
            }
            Fault::Read(error) => {
                debug!(%error, side = ?reader, "a connection failed");
                None
            }
            Fault::Write(error) => {
                debug!(%error, from = ?reader, "a connection takes nothing more");
                match (reader, self.machine.phase()) {
                    // The client is gone, whatever it has said before.
                    (Side::Server, _) => {
                        self.down.give_up();
                        (!self.machine.is_client_gone()).then_some(Event::ClientEof)
                    }
                    // What waits in a hold is the target's to take.
                    (Side::Client, Phase::Relaying | Phase::Telling | Phase::Leaving | Phase::Finishing) => {
                        self.up.give_up();
                        (!self.machine.is_source_gone()).then_some(Event::SourceEof)
                    }
                    (Side::Client, _) => (!self.machine.is_source_gone()).then_some(Event::SourceEof),
                }
            }
        }
    }

    fn take_question(&mut self, question: Question, answer: oneshot::Sender<Answer>) {
        let moving = self.moving.get_or_insert_default();
        moving.answer = Some(answer);
        moving.fallback = None;
        let event = match question {
            Question::Tell { text } => {
                moving.text = Some(text);
                Event::Tell
            }
            Question::Hold(kind) => {
                moving.kind = Some(kind);
                Event::Hold
            }
            Question::Drain { sent } => {
                moving.sent = (sent + self.base.heard_before).saturating_sub(self.base.swallowed);
                Event::Drain
            }
            Question::Confirm => Event::Confirm,
            Question::CloseSource => Event::CloseSource,
            Question::Switch {
                target,
                generation,
                from,
            } => {
                moving.to = Some((target, generation, from));
                Event::Switch {
                    held: self.up.holds_messages(),
                }
            }
        };
        self.event(event);
    }

    fn event(&mut self, event: Event) {
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
                for command in commands {
                    self.carry_out(command);
                }
            }
        }
        if before != after {
            self.set_timer();
        }
    }

    fn note_fallback(&mut self, before: Phase, event: Event) {
        let Some(moving) = &mut self.moving else { return };
        let reason = match (before, event) {
            (Phase::Stopping, Event::Deadline) => Fallback::Boundary,
            (Phase::Draining, Event::Deadline) => Fallback::Stalled,
            (Phase::Attaching, Event::Deadline) => Fallback::SwitchTimeout,
            (_, Event::SourceEof) => Fallback::SourceGone,
            (_, Event::Cut) => Fallback::HoldTimeout,
            (_, _) => return,
        };
        moving.fallback.get_or_insert(reason);
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::SendCommand => {
                if let Some(text) = self.moving.as_mut().and_then(|moving| moving.text.take()) {
                    let mut frame = Vec::new();
                    encode_text(&text, None, &mut frame);
                    self.down.say_between_messages(&frame);
                }
                self.up.set_valve(Valve::BeforeClose);
            }
            Command::StopUp => {
                self.up.set_valve(Valve::ToBoundary);
                self.down.set_valve(Valve::BeforeClose);
            }
            Command::OpenUp => self.open_up(),
            Command::OpenDown => self.down.set_valve(Valve::Open),
            Command::DrainDown => {
                let sent = self.moving.as_ref().map_or(0, |moving| moving.sent);
                self.down.set_valve(Valve::ToCount(sent));
            }
            Command::SendPing => self.send_ping(),
            Command::SendSourceClose => {
                let mut frame = Vec::new();
                encode_close(CloseCode::GOING_AWAY, "", Some(mask()), &mut frame);
                self.up.say(&frame);
                self.down.set_valve(Valve::BeforeClose);
            }
            Command::ReleaseSource => self.release_source(),
            Command::Dial => self.attach(),
            Command::SendClose => self.send_close(),
            Command::EndClient => self.end_client(),
            Command::ShutUpstream => {
                if self.up.is_over() || self.up.has_seen_close() {
                    self.up.finish();
                } else {
                    self.up.finish_here();
                }
            }
            Command::AnswerYes => self.answer(true),
            Command::AnswerNo => self.answer(false),
            Command::End => self.release_source(),
        }
    }

    fn open_up(&mut self) {
        self.up.set_valve(Valve::Open);
        let now = Instant::now();
        let Some(moving) = self.moving.take() else { return };
        if let Some(held_at) = moving.held_at {
            self.metrics
                .hold_seconds
                .of(Crossing::Transparent)
                .observe((now - held_at).as_secs_f64());
        }
        if let Some(waited) = self.up.take_first_wait() {
            self.metrics
                .blackout_seconds
                .of(Crossing::Transparent)
                .observe((now - waited).as_secs_f64());
        }
    }

    fn send_ping(&mut self) {
        let nonce = getrandom::u64()
            .expect("the system has randomness once it serves sockets")
            .to_ne_bytes();
        if let Some(moving) = &mut self.moving {
            moving.nonce = Some(nonce);
        }
        let mut frame = Vec::new();
        encode_ping(&nonce, Some(mask()), &mut frame);
        self.up.say(&frame);
        self.down.set_valve(Valve::BeforePong(nonce));
    }

    /// Ends the connection to the source aside, after everything it was owed.
    fn release_source(&mut self) {
        let Some(upstream) = self.upstream.take() else { return };
        if self.machine.phase() == Phase::Leaving {
            // Nobody takes what the client still says; only its Close is waited for.
            self.up.set_valve(Valve::Discard);
        }
        self.admission
            .board()
            .sessions_tracker()
            .spawn(linger(upstream, FINISH));
    }

    fn send_close(&mut self) {
        self.up.set_valve(if self.upstream.is_some() {
            Valve::Open
        } else {
            Valve::Discard
        });
        let has_said_close = self.down.has_passed_close();
        let is_told_by_server = self.down.has_seen_close() && self.violation.is_none() && self.moving.is_none();
        if has_said_close || is_told_by_server {
            self.down.set_valve(Valve::Open);
            return;
        }
        let mut frame = Vec::new();
        match self.violation {
            Some(code) => encode_close(code, "", None, &mut frame),
            None => {
                let code = CloseCode::new(self.route.close_code);
                encode_close(code, &self.route.close_reason, None, &mut frame);
            }
        }
        if let Some(moving) = &self.moving
            && let Some(held_at) = moving.held_at
        {
            self.metrics
                .hold_seconds
                .of(Crossing::Reconnect)
                .observe(held_at.elapsed().as_secs_f64());
        }
        self.down.say_last(&frame);
    }

    /// Answers the client's Close, where it is owed an answer, and ends its stream.
    fn end_client(&mut self) {
        if self.up.has_seen_close() && !self.down.has_passed_close() && self.machine.phase() == Phase::Held {
            let mut frame = Vec::new();
            encode_close(CloseCode::NORMAL, "", None, &mut frame);
            self.down.say_last(&frame);
        }
        self.down.finish_here();
    }

    fn attach(&mut self) {
        let Some(moving) = &mut self.moving else { return };
        let Some((target, generation, from)) = moving.to.take() else {
            return;
        };
        // What the source said behind its count is not the client's to hear.
        self.down
            .cut_at(&self.limits, moving.sent.min(self.down.messages_arrived()));
        let is_whole = self.down.has_arrived_at_boundary();
        let recorded = self.up.recorder();
        let is_overfull = recorded.is_some_and(|recorder| recorder.state() == RecorderState::Overfull);
        let (Some(handshake), true, false) = (&self.handshake, is_whole, is_overfull) else {
            let reason = if is_overfull {
                Fallback::ReplayIncomplete
            } else {
                Fallback::Disagreement
            };
            moving.attaching = Some(Box::pin(async move { Err(reason) }));
            return;
        };
        let replay: Vec<_> = recorded
            .map(|recorder| recorder.messages().to_vec())
            .unwrap_or_default();
        let attachment = Attachment {
            url: target.url().clone(),
            handshake: handshake.clone(),
            ids: DialIds {
                board: self.admission.board().id().clone(),
                generation,
                session: self.handle.id().clone(),
                from: Some((from, self.handle.id().clone())),
            },
            told: self.agreement.clone(),
            replay,
            awaits_answer: self.awaits_answer,
            greeting: self.route.greeting.messages,
            limits: self.limits,
            deadline: tokio::time::Instant::now() + self.route.switch_timeout,
        };
        moving.attaching = Some(Box::pin(attachment.attach()));
        self.server.metrics().sessions.dec();
        target.metrics().sessions.inc();
        self.server = target;
        self.handle.set_generation(generation);
    }

    fn take_attached(&mut self, result: Result<Attached, Fallback>) {
        match result {
            Ok(attached) => {
                self.upstream = Some(attached.stream);
                self.up.unfinish();
                self.base = Base {
                    passed_before: self.up.messages_passed(),
                    replayed: attached.replayed,
                    heard_before: self.down.messages_arrived(),
                    swallowed: attached.swallowed,
                };
                if let Some(moving) = &mut self.moving {
                    moving.crossed = true;
                }
                self.down.set_valve(Valve::ToCount(self.down.messages_arrived()));
                match self.down.go_on_with(&self.limits, &attached.said) {
                    Ok(()) => self.event(Event::AttachDone),
                    Err(fault) => {
                        warn!(?fault, "the target broke the protocol at once");
                        self.event(Event::AttachFailed);
                    }
                }
            }
            Err(reason) => {
                if let Some(moving) = &mut self.moving {
                    moving.fallback = Some(reason);
                }
                self.event(Event::AttachFailed);
            }
        }
    }

    fn answer(&mut self, is_done: bool) {
        let passed = self.passed();
        self.handle.set_passed(passed);
        let phase = self.machine.phase();
        let Some(moving) = &mut self.moving else { return };
        if phase == Phase::Held && is_done {
            moving.held_at.get_or_insert_with(Instant::now);
            let read_max = match moving.kind {
                Some(HoldKind::Reading) => self.route.hold_bytes,
                Some(HoldKind::Leaving) | None => 0,
            };
            self.up.set_valve(Valve::Shut { read_max });
        }
        if phase == Phase::Held && moving.nonce.take().is_some() {
            self.down.set_valve(Valve::BeforeClose);
        }
        if phase == Phase::Detached {
            moving.sent = self.down.messages_arrived();
        }
        let fallback = (!is_done).then_some(moving.fallback).flatten();
        if let Some(answer) = moving.answer.take() {
            // Who does not wait any more has gone on without this session.
            let _ = answer.send(Answer {
                is_done,
                passed,
                fallback,
            });
        }
    }

    /// n: what the current upstream's kernel took whole.
    fn passed(&self) -> u64 {
        self.up.messages_passed() - self.base.passed_before + self.base.replayed
    }

    fn set_timer(&mut self) {
        self.timer = longest(self.machine.phase(), &self.route).map(|longest| Box::pin(tokio::time::sleep(longest)));
    }

    fn report(&mut self) {
        let told = &mut self.reported;
        let tell = |known: &mut u64, now: u64, counter: &prometheus::IntCounter| {
            if *known != now {
                counter.inc_by(now - *known);
                *known = now;
            }
        };
        tell(
            &mut told.messages_up,
            self.up.messages_passed(),
            self.metrics.messages.of(Way::ToServer),
        );
        tell(
            &mut told.messages_down,
            self.down.messages_passed(),
            self.metrics.messages.of(Way::ToClient),
        );
        tell(
            &mut told.bytes_up,
            self.up.bytes_passed(),
            self.metrics.bytes.of(Way::ToServer),
        );
        tell(
            &mut told.bytes_down,
            self.down.bytes_passed(),
            self.metrics.bytes.of(Way::ToClient),
        );
    }
}

/// A client masks its frames (RFC 6455 section 5.3), and towards a server we are one.
fn mask() -> [u8; 4] {
    getrandom::u32()
        .expect("the system has randomness once it serves sockets")
        .to_ne_bytes()
}

/// After the last frame to a client its end of stream is awaited for so long.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);
