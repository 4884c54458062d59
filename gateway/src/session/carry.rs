//! How the commands of the session machine are carried out.

use std::time::Instant;

use handover_protocol::close::CloseCode;
use handover_protocol::frame::{encode_close, encode_ping, encode_text};
use handover_protocol::machine::session::{Command, Event, Phase};
use tracing::warn;

use super::account::Base;
use super::attach::{Attached, Attachment};
use super::journal::ClosedBy;
use super::order::{Answer, HoldKind};
use super::task::Task;
use super::timing::FINISH;
use crate::relay::{QuietWatch, RecorderState, Valve, linger};
use crate::telemetry::label::{Crossing, Fallback};
use crate::upstream::DialIds;

impl Task {
    pub(super) fn carry_out(&mut self, command: Command, teller: Teller) {
        match command {
            Command::SendCommand => {
                if let Some(text) = self.moving.as_mut().and_then(|moving| moving.text.take()) {
                    let mut frame = Vec::new();
                    encode_text(&text, None, &mut frame);
                    self.down.say_between_messages(&frame);
                    self.note_told(teller);
                    if let Some(journal) = &mut self.journal {
                        journal.part(ClosedBy::Reconnect, None);
                    }
                }
                self.up.set_valve(Valve::BeforeClose);
            }
            Command::StopUp => {
                self.up.set_valve(Valve::ToBoundary);
                self.down.set_valve(Valve::BeforeClose);
            }
            Command::KeepUp => self.keep_up(),
            Command::OpenUp => self.open_up(),
            Command::OpenDown => {
                self.down.watch_for_quiet(None);
                self.down.set_valve(Valve::Open);
            }
            Command::DrainDown => {
                let sent = self.moving.as_ref().map_or(0, |moving| moving.sent);
                self.down.set_valve(Valve::ToCount(sent));
            }
            Command::SendPing => self.send_ping(),
            Command::SendSourceClose => {
                let mut frame = Vec::new();
                encode_close(CloseCode::GOING_AWAY, "", Some(mask()), &mut frame);
                self.up.say(&frame);
                self.down.watch_for_quiet(None);
                self.down.set_valve(Valve::BeforeClose);
            }
            Command::ReleaseSource => self.release_source(),
            Command::Dial => self.attach(),
            Command::SendClose => self.send_close(teller),
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

    /// Takes the session's route as it is configured now, before a move or an end that goes by it.
    pub(super) fn follow_configuration(&mut self) {
        let current = self.admission.board().route();
        if let Some(current) = current.filter(|current| current.name == self.route.name) {
            self.route = current;
        }
    }

    fn open_up(&mut self) {
        self.up.set_valve(Valve::Open);
        let now = Instant::now();
        let Some(moving) = self.moving.take() else { return };
        if moving.crossed {
            self.watch_target();
        }
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

    /// Notes that the client is told to reconnect, and counts it where that may be more often than the route's limit allows: moves
    /// are put off for that, but a connection that breaks or a session that cannot cross is nobody's choice.
    fn note_told(&mut self, teller: Teller) {
        let told_before = self.admission.take_told_before();
        match teller {
            Teller::Move => self.admission.board().note_told(self.route.bounce),
            // One user's broken connection must not put off the move of all the others.
            Teller::Break => {}
        }
        if told_before.is_some_and(|told| told.left(self.route.bounce).is_some()) {
            self.metrics.bounced_sessions.inc();
        }
    }

    fn send_ping(&mut self) {
        let nonce = getrandom::u64()
            .expect("the system has randomness once it serves sockets")
            .to_ne_bytes();
        if let Some(moving) = &mut self.moving {
            moving.nonce = Some(nonce);
            let pattern = moving.sign.as_ref().map(|sign| sign.pattern().clone());
            self.down.watch_for_quiet(pattern.map(QuietWatch::new));
        }
        let mut frame = Vec::new();
        encode_ping(&nonce, Some(mask()), &mut frame);
        self.up.say(&frame);
        self.down.set_valve(Valve::BeforePong(nonce));
    }

    /// Ends the connection to the source aside, after everything it was owed.
    fn release_source(&mut self) {
        let Some(upstream) = self.upstream.take() else { return };
        self.down.watch_for_quiet(None);
        if self.machine.phase() == Phase::Leaving {
            // Nobody takes what the client still says; only its Close is waited for.
            self.up.set_valve(Valve::Discard);
        }
        self.admission
            .board()
            .sessions_tracker()
            .spawn(linger(upstream, FINISH));
    }

    fn send_close(&mut self, teller: Teller) {
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
        let (by, code) = match (self.violation, self.dismissal) {
            (Some(code), _) => {
                encode_close(code, "", None, &mut frame);
                (ClosedBy::Violation, code)
            }
            (None, Some(code)) => {
                encode_close(code, DISMISSED, None, &mut frame);
                (ClosedBy::Operator, code)
            }
            (None, None) => {
                let code = CloseCode::new(self.route.close_code);
                encode_close(code, &self.route.close_reason, None, &mut frame);
                self.note_told(teller);
                (teller.closes_as(), code)
            }
        };
        if let Some(journal) = &mut self.journal {
            journal.part(by, Some(code));
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

    /// Tells a server that broke the protocol so, by a Close behind which it gets nothing more of its client.
    pub(super) fn accuse_server(&mut self, code: CloseCode) {
        if self.upstream.is_some() {
            let mut frame = Vec::new();
            encode_close(code, "", Some(mask()), &mut frame);
            self.up.say_last(&frame);
        }
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
        let overfull = recorded.and_then(|recorder| match recorder.state() {
            RecorderState::Overfull(limit) => Some(limit),
            RecorderState::Listening | RecorderState::Complete => None,
        });
        let (Some(handshake), true, false) = (&self.handshake, is_whole, overfull.is_some()) else {
            let reason = match overfull {
                Some(limit) => {
                    self.metrics.limit_hits.of(limit).inc();
                    Fallback::ReplayIncomplete
                }
                None => Fallback::Disagreement,
            };
            moving.attaching = Some(Box::pin(async move { Err(reason) }));
            return;
        };
        let replay: Vec<_> = recorded
            .map(|recorder| recorder.messages().to_vec())
            .unwrap_or_default();
        let attachment = Attachment {
            to: target.traffic().clone(),
            handshake: handshake.clone(),
            ids: DialIds {
                board: self.admission.board().id().clone(),
                generation,
                session: self.handle.id().clone(),
                // The new server knows nothing of a session that has outlived its own: it is a newcomer there.
                from: (!moving.is_orphaned).then(|| (from, self.handle.id().clone())),
            },
            told: self.agreement.clone(),
            replay,
            awaits_answer: self.awaits_answer,
            greeting: match moving.is_orphaned {
                true => 0,
                false => self.route.greeting.messages,
            },
            limits: self.limits,
            deadline: tokio::time::Instant::now() + self.route.switch_timeout,
        };
        moving.attaching = Some(Box::pin(attachment.attach()));
        self.server.metrics().sessions.dec();
        target.metrics().sessions.inc();
        self.server = target;
        self.handle.set_generation(generation);
    }

    pub(super) fn take_attached(&mut self, result: Result<Attached, Fallback>) {
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
                self.reported.answered = self.up.messages_passed();
                self.note_switch();
                if let Some(moving) = &mut self.moving {
                    moving.crossed = true;
                }
                self.answer_lost_ping();
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

    fn note_switch(&mut self) {
        let board = self.admission.board().id();
        let Some(journal) = &mut self.journal else {
            return self.handle.note_switch(self.server.name());
        };
        let from = self.handle.view(board).server;
        self.handle.note_switch(self.server.name());
        journal.cross(&self.handle.view(board), from, self.handle.generation());
    }

    pub(super) fn answer(&mut self, is_done: bool) {
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
}

/// Why a client is told to reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Teller {
    /// Its board moves, or changes hands in another way.
    Move,
    /// Its own upstream ended while it only relayed.
    Break,
}

impl Teller {
    /// Says who has ended the session then.
    fn closes_as(self) -> ClosedBy {
        match self {
            Self::Move => ClosedBy::Reconnect,
            Self::Break => ClosedBy::Server,
        }
    }

    /// Reads out of what happened in which phase who would tell the client.
    pub(super) fn of(phase: Phase, event: Event) -> Self {
        match (phase, event) {
            (Phase::Relaying, Event::SourceEof | Event::SourceDied { .. }) | (Phase::Orphaned, Event::Deadline) => {
                Self::Break
            }
            (_, _) => Self::Move,
        }
    }
}

/// A client masks its frames (RFC 6455 section 5.3), and towards a server we are one.
fn mask() -> [u8; 4] {
    getrandom::u32()
        .expect("the system has randomness once it serves sockets")
        .to_ne_bytes()
}

/// The reason beside the code that an operator has chosen.
const DISMISSED: &str = "closed by an operator";
