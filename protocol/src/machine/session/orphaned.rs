//! A session whose server is gone, and that outlives it: it waits for whoever has its board next.

use super::{Command, Event, Outcome, Phase, Session, go};

impl Session {
    pub(super) fn orphaned(&self, event: Event) -> (Phase, Outcome) {
        match event {
            // What was whole when the server went has stayed so: nothing has been passed on since.
            Event::TakeOver { held, .. } => self.attach(held),
            // A move that met the death. It goes without the source's answers, or lets go.
            Event::Hold => go(Phase::Held, &[Command::AnswerYes]),
            Event::Tell => self.leave(&[Command::AnswerNo]),
            // Nobody has taken the board in time, or the server lives and only the connection broke.
            Event::Deadline | Event::Cut | Event::Violation => self.leave(&[]),
            Event::Resume
            | Event::ClientClose
            | Event::ClientEof
            | Event::SourceEof
            | Event::Boundary
            | Event::Pong => self.nothing(),
            Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::PingAnswered
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }
}
