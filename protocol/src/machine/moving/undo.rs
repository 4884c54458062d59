//! The way back, before the commit: the attempt is raised, the source is thawed or dialled again, users go on there.
//!
//! Where a commit was sent, nothing is given back before the registry has said that it can no longer match. Where none
//! was, only the source can own the board: a silent registry keeps nobody waiting, and is asked again afterwards.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what no arm names came late: `ignore` names every event, and moving.table.md lists every pair"
)]

use super::event::ignore;
use super::{Command, Crossing, Event, Move, Phase, Reason, Transfer, Users};

impl Move {
    pub(super) fn abort(&mut self, reason: Reason) -> Vec<Command> {
        self.reason = Some(reason);
        self.enter(Phase::Aborting, &[Command::RaiseAttempt])
    }

    /// Aborts because the hold may last no longer.
    pub(super) fn run_out(&mut self, reason: Reason) -> Vec<Command> {
        let mut commands = self.end_hold();
        commands.extend(self.abort(reason));
        commands
    }

    pub(super) fn aborting(&mut self, event: Event) -> Vec<Command> {
        match (event, self.transfer) {
            (Event::AbortRaised, _) if self.owes_abort => self.enter(Phase::Ended, &[Command::Finish]),
            (Event::AbortRaised, _) => self.take_back(),
            (Event::AbortRefused | Event::ReadSuperseded | Event::ReadCommitted, Transfer::NotAsked)
            | (Event::ReadSuperseded, Transfer::Asked | Transfer::Done) => self.lose(),
            // Perhaps by our own commit, which came late.
            (Event::AbortRefused, Transfer::Asked | Transfer::Done) => vec![Command::ReadBack],
            (Event::ReadCommitted | Event::Committed, Transfer::Asked | Transfer::Done) => self.go_forward(),
            (Event::AbortUnknown, Transfer::NotAsked) if !self.owes_abort => {
                self.owes_abort = true;
                self.take_back()
            }
            (Event::AbortUnknown | Event::ReadFailed, _) => vec![Command::ReadBack],
            (Event::ReadUncommitted, _) => vec![Command::RaiseAttempt],
            (Event::HoldDeadline, Transfer::NotAsked) => self.end_hold(),
            (Event::HoldDeadline, Transfer::Asked | Transfer::Done) => match self.users {
                Users::Held => {
                    let mut commands = self.cut();
                    commands.push(Command::Shut);
                    commands
                }
                Users::Free | Users::Cut | Users::Resumed => Vec::new(),
            },
            (late, _) => ignore(late),
        }
    }

    pub(super) fn thawing(&mut self, event: Event) -> Vec<Command> {
        match (event, self.users) {
            (Event::Thawed, _) => self.let_go(),
            (Event::ThawFailed, Users::Held) if self.thaws_left > 1 => {
                self.thaws_left -= 1;
                vec![Command::Thaw]
            }
            // It may be frozen still, so its sessions must not wait on it.
            (Event::ThawFailed, _) => {
                let mut commands = self.cut();
                commands.extend(self.let_go());
                commands
            }
            (Event::HoldDeadline, _) => self.cut(),
            (late, _) => ignore(late),
        }
    }

    pub(super) fn redialling(&mut self, event: Event) -> Vec<Command> {
        match event {
            // Who is not attached by the deadline has to reconnect.
            Event::Redialled | Event::HoldDeadline => self.let_go(),
            late => ignore(late),
        }
    }

    /// Another coordinator has changed the placement: sessions are told to come back, to whoever owns the board now.
    pub(super) fn lose(&mut self) -> Vec<Command> {
        let mut commands = self.cut();
        commands.extend(self.let_in());
        commands.extend(self.end(Reason::Superseded, &[Command::ForgetStandby]));
        commands
    }

    /// Somebody else has raised the attempt and left the board with its source: the commit can no longer match.
    pub(super) fn find_aborted(&mut self) -> Vec<Command> {
        self.reason = Some(Reason::RegistryUnknown);
        self.take_back()
    }

    fn take_back(&mut self) -> Vec<Command> {
        if self.frozen {
            return self.enter(Phase::Thawing, &[Command::Thaw]);
        }
        match (self.source_closed, self.users, self.plan.crossing) {
            (true, Users::Held, Crossing::Transparent) => self.enter(Phase::Redialling, &[Command::Redial]),
            // Only a transparent route says what must be replayed; without that a new connection would be deaf.
            (true, Users::Held, Crossing::ReconnectByMessage | Crossing::ReconnectByClose) => {
                let mut commands = self.cut();
                commands.extend(self.let_go());
                commands
            }
            (false, _, _) | (true, Users::Free | Users::Cut | Users::Resumed, _) => self.let_go(),
        }
    }

    /// The source serves: everybody goes on there.
    fn let_go(&mut self) -> Vec<Command> {
        let mut commands = self.let_in();
        commands.push(Command::ForgetStandby);
        commands.extend(if self.owes_abort {
            self.enter(Phase::Aborting, &[Command::RaiseAttempt])
        } else {
            self.enter(Phase::Ended, &[Command::Finish])
        });
        commands
    }

    /// Ends a hold that has lasted too long, where no commit was sent: users go on if the source serves as before.
    fn end_hold(&mut self) -> Vec<Command> {
        if self.frozen || self.source_closed {
            return self.cut();
        }
        match self.users {
            Users::Held => {
                self.owes_abort = true;
                let mut commands = self.let_in();
                commands.push(Command::ForgetStandby);
                commands
            }
            Users::Free | Users::Cut | Users::Resumed => Vec::new(),
        }
    }
}
