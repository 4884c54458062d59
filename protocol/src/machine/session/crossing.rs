//! From one upstream to the next: an opaque source is closed, the target is dialled, and the others are waited for.

use super::{Command, Event, Outcome, Peer, Phase, Session, go};

impl Session {
    pub(super) fn closing(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::SourceEof => go(Phase::Detached, &[Command::AnswerYes]),
            Event::Deadline => go(Phase::Detached, &[Command::ReleaseSource, Command::AnswerNo]),
            Event::Cut | Event::Violation | Event::Resume => self.leave(&[Command::AnswerNo]),
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
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn detached(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Switch { held } => self.attach(held),
            // There is nobody to go on with.
            Event::Resume | Event::Cut | Event::Violation => self.leave(&[]),
            Event::ClientClose
            | Event::ClientEof
            | Event::SourceEof
            | Event::Boundary
            | Event::Pong
            | Event::Deadline => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn attaching(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::AttachDone => go(Phase::Attached, &[Command::AnswerYes]),
            Event::AttachFailed | Event::Deadline | Event::Resume | Event::Cut | Event::Violation => {
                self.leave(&[Command::AnswerNo])
            }
            // A late end of the source's stream belongs to the source's connection, never to the session.
            Event::ClientClose | Event::ClientEof | Event::SourceEof | Event::Boundary | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. }
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::PingAnswered => self.anomaly(),
        }
    }

    pub(super) fn attached(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Resume if self.client == Peer::Ended => go(
                Phase::Finishing,
                &[Command::OpenUp, Command::OpenDown, Command::ShutUpstream],
            ),
            Event::Resume => go(Phase::Relaying, &[Command::OpenUp, Command::OpenDown]),
            Event::SourceEof | Event::Cut | Event::Violation => self.leave(&[]),
            Event::ClientClose | Event::ClientEof | Event::Boundary | Event::Deadline => self.nothing(),
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
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    pub(super) fn attach(&self, held: bool) -> (Phase, Outcome) {
        match (self.client, held) {
            (Peer::Open, _) | (Peer::Ended, true) => go(Phase::Attaching, &[Command::ReleaseSource, Command::Dial]),
            (Peer::Ended, false) => go(
                Phase::Ended,
                &[Command::ReleaseSource, Command::AnswerYes, Command::End],
            ),
        }
    }
}
