//! What the bytes that moved amount to: the events that sockets bring to the session machine.

use std::task::Context;

use handover_protocol::close::CloseCode;
use handover_protocol::frame::{ViolationKind, encode_pong};
use handover_protocol::machine::session::{Event, Phase};
use tracing::debug;

use super::journal::{ClosedBy, Parting, Traffic};
use super::task::Task;
use crate::relay::{Direction, Fault, Valve};
use crate::telemetry::label::{Limit, Side};
use crate::tls::Wire;

impl Task {
    /// Says what the bytes that moved amount to in this phase.
    pub(super) fn amount_to(&mut self, context: &mut Context<'_>) -> Option<Event> {
        match self.machine.phase() {
            Phase::Relaying => {
                self.note_parting();
                self.ends()
            }
            Phase::Telling if self.up.has_seen_close() => Some(Event::ClientClose),
            Phase::Telling => self.ends(),
            Phase::Stopping if self.up.is_at_boundary() => Some(Event::Boundary),
            Phase::Stopping => self.ends(),
            Phase::Held | Phase::Drained | Phase::Detached | Phase::Orphaned | Phase::Attaching | Phase::Attached => {
                self.answer_pings(context);
                self.note_full_hold();
                self.note_source();
                self.ends()
            }
            Phase::Draining if self.machine.is_client_gone() => Some(Event::DrainReached),
            Phase::Draining => self.drain_progress(context),
            Phase::Pinged => {
                self.answer_pings(context);
                self.note_source();
                // To a client that has gone no Pong is passed on.
                if !self.is_pinged() || self.machine.is_client_gone() {
                    return Some(Event::PingAnswered);
                }
                self.ends()
            }
            Phase::Confirming => {
                self.note_source();
                let nonce = self.moving.as_ref().and_then(|moving| moving.nonce)?;
                if self.down.take_pong(&self.limits, &nonce) {
                    self.handle.set_heard_source();
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

    /// Counts, once for each hold, that as much of the client waits as may.
    fn note_full_hold(&mut self) {
        if let Some(moving) = &mut self.moving
            && !moving.is_full
            && self.up.is_full()
        {
            moving.is_full = true;
            self.metrics.limit_hits.of(Limit::HoldBytes).inc();
        }
    }

    /// Notes a Close that went by: who said or got it is about to leave, though the other may never answer.
    fn note_parting(&mut self) {
        if self.up.has_seen_close() || self.down.has_seen_close() {
            self.handle.note_parting();
            if let Some(journal) = &mut self.journal {
                let by = if self.up.has_seen_close() {
                    ClosedBy::Client
                } else {
                    ClosedBy::Server
                };
                journal.part(by, None);
            }
        }
    }

    /// Notes who has left, where nobody has said goodbye before.
    pub(super) fn note_parting_of(&mut self, event: Event) {
        let Some(journal) = &mut self.journal else { return };
        let by = match event {
            Event::ClientClose | Event::ClientEof => ClosedBy::Client,
            Event::SourceEof | Event::SourceDied { .. } => ClosedBy::Server,
            Event::Violation => ClosedBy::Violation,
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. }
            | Event::Resume
            | Event::Cut
            | Event::Boundary
            | Event::DrainReached
            | Event::PingAnswered
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed
            | Event::Deadline => ClosedBy::Reconnect,
        };
        journal.part(by, None);
    }

    /// Writes the session's last line.
    pub(super) fn close_journal(&mut self) {
        let Some(journal) = self.journal.take() else { return };
        let of = |direction: &Direction| match direction.has_seen_close() {
            true => direction.close_code(),
            false => Some(NO_CLOSE),
        };
        let code = match journal.parting() {
            Some(Parting { told: Some(code), .. }) => Some(code),
            Some(Parting {
                by: ClosedBy::Server, ..
            }) => of(&self.down),
            Some(_) | None => of(&self.up),
        };
        let traffic = Traffic {
            messages_up: self.up.messages_passed(),
            messages_down: self.down.messages_passed(),
            bytes_up: self.up.bytes_passed(),
            bytes_down: self.down.bytes_passed(),
        };
        journal.close(&self.handle.view(self.admission.board().id()), code, traffic);
    }

    /// Tells the machine once of each stream that has ended.
    fn ends(&mut self) -> Option<Event> {
        if self.up.is_over() && !self.machine.is_client_gone() {
            return Some(Event::ClientEof);
        }
        if self.down.is_over() && self.upstream.is_some() && !self.machine.is_source_gone() {
            if !self.down.has_seen_close() {
                // A server that dies says no goodbye.
                self.server.nudge();
                if self.machine.phase() == Phase::Relaying {
                    self.follow_configuration();
                    if self.outlives_server() {
                        let whole = self.is_whole();
                        return Some(Event::SourceDied { whole });
                    }
                }
            }
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
            .pump(context, &self.limits, None::<&mut Wire>, Some(&mut self.client))
            .is_err()
        {
            debug!("the client went while it was held");
        }
    }

    /// Reads whether the upstream has a Ping of the client's that it has not answered.
    pub(super) fn is_pinged(&self) -> bool {
        self.up.last_heartbeat().is_some()
    }

    /// Answers in the source's place the client's last Ping that the source was passed and whose Pong has not come: of
    /// several only the last needs an answer (RFC 6455 section 5.5.3).
    pub(super) fn answer_lost_ping(&mut self) {
        if let Some(payload) = self.up.last_heartbeat()
            && !self.machine.is_client_gone()
        {
            let mut pong = Vec::new();
            encode_pong(payload, None, &mut pong);
            self.down.say(&pong);
        }
        self.up.forget_heartbeat();
    }

    fn note_source(&mut self) {
        let heard = self.down.messages_arrived();
        if let Some(moving) = &mut self.moving
            && moving.heard != heard
        {
            moving.heard = heard;
            self.handle.set_heard_source();
        }
        self.note_quiet_sign();
    }

    fn note_quiet_sign(&self) {
        if let Some(moving) = &self.moving
            && let Some(sign) = &moving.sign
            && self.handle.set_source_is_done(self.down.proves_quiet())
        {
            sign.tell();
        }
    }

    /// Ends the session for a bound of ours that its client has broken: by 1008, and nothing more is read of it.
    pub(super) fn break_off(&mut self, limit: Limit) -> Event {
        debug!(?limit, "a client broke a bound");
        self.metrics.limit_hits.of(limit).inc();
        self.up.refuse();
        self.violation = Some(CloseCode::POLICY_VIOLATION);
        Event::Violation
    }

    pub(super) fn fault(&mut self, fault: Fault, reader: Side) -> Option<Event> {
        match fault {
            Fault::Violation(violation) => {
                debug!(?violation, side = ?reader, "a peer broke the protocol");
                self.metrics.protocol_violations.of(reader).inc();
                if let Some(limit) = limit_of(violation.kind) {
                    self.metrics.limit_hits.of(limit).inc();
                }
                self.violation = Some(match reader {
                    Side::Client => violation.close_code(),
                    Side::Server => {
                        self.accuse_server(violation.close_code());
                        CloseCode::INTERNAL_ERROR
                    }
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
                    // What it does not take any more may be its heir's. That it is gone is seen where it is read to its end.
                    (Side::Client, Phase::Relaying) if self.outlives_server() => {
                        let read_max = self.route.hold_bytes;
                        self.up.set_valve(Valve::Shut { read_max });
                        None
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
}

/// What stands for a stream that ended without a Close (RFC 6455 section 7.1.5); it is never sent.
const NO_CLOSE: CloseCode = CloseCode::new(1006);

/// Reads whether a violation is of a bound of ours rather than of the protocol.
fn limit_of(kind: ViolationKind) -> Option<Limit> {
    match kind {
        ViolationKind::MessageTooLarge => Some(Limit::MessageBytes),
        ViolationKind::TooManyFragments => Some(Limit::MessageFragments),
        ViolationKind::Unmasked
        | ViolationKind::Masked
        | ViolationKind::ReservedOpcode
        | ViolationKind::ReservedBit
        | ViolationKind::MisplacedRsv1
        | ViolationKind::ControlTooLong
        | ViolationKind::ControlFragmented
        | ViolationKind::StrayContinuation
        | ViolationKind::MissingContinuation
        | ViolationKind::LengthTopBit
        | ViolationKind::LengthNotMinimal => None,
    }
}
