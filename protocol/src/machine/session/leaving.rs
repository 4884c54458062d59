//! The ends of a session: the client is told to come back, or has left.

use super::{Command, Event, Outcome, Peer, Phase, Session, go};

impl Session {
    pub(super) fn leaving(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::ClientClose | Event::ClientEof | Event::Deadline | Event::Violation => match self.upstream {
                Peer::Open => go(Phase::Finishing, &[Command::EndClient, Command::ShutUpstream]),
                Peer::Ended => go(Phase::Ended, &[Command::EndClient, Command::End]),
            },
            // What the client still says must not reach a source that was not told to expect it.
            Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. }
                if self.upstream == Peer::Open =>
            {
                go(Phase::Leaving, &[Command::ReleaseSource, Command::AnswerNo])
            }
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. } => go(Phase::Leaving, &[Command::AnswerNo]),
            Event::Resume
            | Event::Cut
            | Event::Boundary
            | Event::SourceEof
            | Event::SourceDied { .. }
            | Event::DrainReached
            | Event::PingAnswered
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.nothing(),
        }
    }

    pub(super) fn finishing(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::SourceEof | Event::Deadline | Event::Violation => go(Phase::Ended, &[Command::End]),
            // A client that left by itself may still have messages on the way: the hold counts what was passed on.
            // The end of the source's stream, awaited in any case, says more than a Pong.
            Event::Hold | Event::Drain | Event::Confirm { .. } => go(Phase::Finishing, &[Command::AnswerYes]),
            Event::CloseSource => go(Phase::Closing, &[Command::ShutUpstream]),
            Event::Switch { held: false } => go(
                Phase::Ended,
                &[Command::ReleaseSource, Command::AnswerYes, Command::End],
            ),
            // What still waits may begin in the middle of a message: no target could read it.
            Event::Switch { held: true } => {
                go(Phase::Ended, &[Command::ReleaseSource, Command::AnswerNo, Command::End])
            }
            // Who has left gets nothing more of the dead server, and the new one does not know it.
            Event::TakeOver { .. } => go(Phase::Ended, &[Command::ReleaseSource, Command::AnswerNo, Command::End]),
            Event::Tell => go(Phase::Finishing, &[Command::AnswerNo]),
            Event::SourceDied { .. }
            | Event::Resume
            | Event::Cut
            | Event::Boundary
            | Event::ClientClose
            | Event::ClientEof
            | Event::DrainReached
            | Event::PingAnswered
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.nothing(),
        }
    }

    pub(super) fn leave(&self, first: &[Command]) -> (Phase, Outcome) {
        let mut commands = first.to_vec();
        commands.push(Command::ReleaseSource);
        match self.client {
            Peer::Open => {
                commands.push(Command::SendClose);
                (Phase::Leaving, Outcome::Commands(commands))
            }
            Peer::Ended => {
                commands.push(Command::End);
                (Phase::Ended, Outcome::Commands(commands))
            }
        }
    }
}
