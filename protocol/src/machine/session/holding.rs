//! Up to the end of a hold: the session flows, is told, is stopped at a boundary, and what the source still has to say
//! is brought home.

use super::{Command, Event, Outcome, Peer, Phase, Session, go};

impl Session {
    pub(super) fn relaying(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Tell => go(Phase::Telling, &[Command::SendCommand]),
            Event::Hold => go(Phase::Stopping, &[Command::StopUp]),
            // A source that ends by itself has said goodbye or died; the client is told to come back.
            Event::Cut | Event::SourceEof | Event::Violation => go(Phase::Leaving, &[Command::SendClose]),
            Event::SourceDied { whole: true } => go(Phase::Orphaned, &[Command::KeepUp]),
            // No other server could make anything of the rest.
            Event::SourceDied { whole: false } => go(Phase::Leaving, &[Command::SendClose]),
            Event::TakeOver { whole: true, .. } => go(
                Phase::Attaching,
                &[Command::KeepUp, Command::ReleaseSource, Command::Dial],
            ),
            Event::TakeOver { whole: false, .. } => self.leave(&[Command::AnswerNo]),
            Event::ClientEof => go(Phase::Finishing, &[Command::ShutUpstream]),
            Event::Resume | Event::Deadline | Event::Pong => self.nothing(),
            Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::Boundary
            | Event::ClientClose
            | Event::DrainReached
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn telling(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Hold => go(Phase::Stopping, &[Command::StopUp]),
            // The client's connection ends at once; the source's waits for the freeze or the quiet.
            Event::ClientClose | Event::ClientEof => {
                go(Phase::Held, &[Command::StopUp, Command::EndClient, Command::AnswerYes])
            }
            Event::Cut | Event::SourceEof | Event::Violation => {
                go(Phase::Leaving, &[Command::AnswerNo, Command::SendClose])
            }
            Event::Resume => go(Phase::Relaying, &[Command::AnswerNo, Command::OpenUp]),
            Event::Deadline | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::Boundary
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn stopping(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Boundary | Event::ClientEof => go(Phase::Held, &[Command::AnswerYes]),
            // The half message counts as not taken, so nothing more may follow it on that connection.
            Event::Deadline | Event::SourceEof | Event::Cut | Event::Violation => self.leave(&[Command::AnswerNo]),
            Event::Resume => go(
                Phase::Relaying,
                &[Command::AnswerNo, Command::OpenUp, Command::OpenDown],
            ),
            Event::ClientClose | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn held(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Hold => go(Phase::Held, &[Command::AnswerYes]),
            Event::Drain => go(Phase::Draining, &[Command::DrainDown]),
            Event::Confirm { .. } if self.upstream == Peer::Ended => go(Phase::Held, &[Command::AnswerNo]),
            Event::Confirm { pinged: true } => (Phase::Pinged, Outcome::Nothing),
            Event::Confirm { pinged: false } => go(Phase::Confirming, &[Command::SendPing]),
            Event::CloseSource if self.upstream == Peer::Ended => go(Phase::Detached, &[Command::AnswerYes]),
            Event::CloseSource => go(Phase::Closing, &[Command::SendSourceClose]),
            Event::Resume => self.resume_with_source(&[]),
            Event::Cut | Event::Violation => self.leave(&[]),
            Event::ClientClose
            | Event::ClientEof
            | Event::SourceEof
            | Event::Boundary
            | Event::Deadline
            | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Switch { .. }
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn draining(&self, event: Event) -> (Phase, Outcome) {
        match event {
            // Who has gone can be brought nothing more.
            Event::DrainReached | Event::ClientEof => go(Phase::Drained, &[Command::AnswerYes]),
            Event::Deadline | Event::SourceEof | Event::Cut | Event::Violation => self.leave(&[Command::AnswerNo]),
            Event::Resume => self.resume_with_source(&[Command::AnswerNo]),
            Event::ClientClose | Event::Boundary | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn drained(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Switch { held } => self.attach(held),
            Event::Resume => self.resume_with_source(&[]),
            Event::Cut | Event::Violation => self.leave(&[]),
            Event::ClientClose
            | Event::ClientEof
            | Event::SourceEof
            | Event::Boundary
            | Event::DrainReached
            | Event::PingAnswered
            | Event::Deadline
            | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn pinged(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::PingAnswered => go(Phase::Confirming, &[Command::SendPing]),
            // A source that owes an answer for so long would owe ours as well.
            Event::Deadline | Event::SourceEof => go(Phase::Held, &[Command::AnswerNo]),
            Event::Resume => self.resume_with_source(&[Command::AnswerNo]),
            Event::Cut | Event::Violation => self.leave(&[Command::AnswerNo]),
            Event::ClientClose | Event::ClientEof | Event::Boundary | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn confirming(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Pong => go(Phase::Held, &[Command::AnswerYes]),
            Event::Deadline | Event::SourceEof => go(Phase::Held, &[Command::AnswerNo]),
            Event::Resume => self.resume_with_source(&[Command::AnswerNo]),
            Event::Cut | Event::Violation => self.leave(&[Command::AnswerNo]),
            Event::ClientClose | Event::ClientEof | Event::Boundary => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn resume_with_source(&self, first: &[Command]) -> (Phase, Outcome) {
        let (next, then): (_, &[Command]) = match (self.client, self.upstream) {
            (Peer::Open, Peer::Open) => (Phase::Relaying, &[Command::OpenUp, Command::OpenDown]),
            (Peer::Open, Peer::Ended) => (Phase::Leaving, &[Command::SendClose]),
            (Peer::Ended, Peer::Open) => (
                Phase::Finishing,
                &[Command::OpenUp, Command::OpenDown, Command::ShutUpstream],
            ),
            (Peer::Ended, Peer::Ended) => (Phase::Ended, &[Command::End]),
        };
        go(next, &[first, then].concat())
    }
}
