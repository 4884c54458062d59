//! The commit and what follows: from here there is only forward, and an outcome that is not known is read back.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what no arm names came late: `ignore` names every event, and moving.table.md lists every pair"
)]

use super::event::ignore;
use super::{Command, Crossing, Event, Move, Phase, Reason, Transfer, Users};

impl Move {
    pub(super) fn committing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Committed => self.go_forward(),
            Event::CommitRefused => self.lose(),
            // The registry may have applied the write before its answer was lost.
            Event::CommitUnknown => self.enter(Phase::CommitUnknown, &[Command::ReadBack]),
            Event::HoldDeadline => self.strand(),
            late => ignore(late),
        }
    }

    pub(super) fn commit_unknown(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::ReadCommitted | Event::Committed => self.go_forward(),
            // Not applied yet; raising the attempt makes sure that it never is.
            Event::ReadUncommitted => self.abort(Reason::RegistryUnknown),
            Event::ReadSuperseded => self.lose(),
            Event::AbortRaised => self.find_aborted(),
            Event::ReadFailed => vec![Command::ReadBack],
            Event::HoldDeadline => self.strand(),
            late => ignore(late),
        }
    }

    pub(super) fn stranded(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::ReadCommitted | Event::Committed => self.go_forward(),
            Event::ReadUncommitted => self.abort(Reason::RegistryUnknown),
            Event::ReadSuperseded | Event::CommitRefused => self.lose(),
            Event::AbortRaised => self.find_aborted(),
            Event::CommitUnknown | Event::ReadFailed => vec![Command::ReadBack],
            late => ignore(late),
        }
    }

    pub(super) fn activating(&mut self, event: Event) -> Vec<Command> {
        match (event, self.users) {
            (Event::Activated, Users::Held) => match self.plan.crossing {
                Crossing::Transparent => self.enter(Phase::Switching, &[Command::Switch]),
                Crossing::ReconnectByMessage | Crossing::ReconnectByClose => {
                    self.enter(Phase::Recording, &[Command::SettlePlacement])
                }
            },
            (Event::Activated, Users::Cut | Users::Free | Users::Resumed) => {
                self.enter(Phase::Recording, &[Command::SettlePlacement])
            }
            (Event::ActivateRefused, _) if self.raises_left > 0 => {
                self.raises_left -= 1;
                self.enter(Phase::Raising, &[Command::Raise])
            }
            (Event::ActivateRefused, _) => self.give_up_forward(Reason::ActivateRefused),
            (Event::ActivateFailed(_), Users::Held) if self.activations_left > 1 => {
                self.activations_left -= 1;
                vec![Command::Activate]
            }
            (Event::ActivateFailed(reason), _) => self.give_up_forward(reason),
            (Event::HoldDeadline, _) => self.cut(),
            (late, _) => ignore(late),
        }
    }

    pub(super) fn raising(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Raised => self.enter(Phase::Activating, &[Command::Activate]),
            Event::RaiseFailed => self.give_up_forward(Reason::ActivateRefused),
            Event::HoldDeadline => self.cut(),
            late => ignore(late),
        }
    }

    pub(super) fn switching(&mut self, event: Event) -> Vec<Command> {
        match event {
            // The target has the fence and a restart finishes what is granted: nobody has to wait for the record.
            Event::Switched => {
                let mut commands = self.resume();
                commands.extend(self.enter(Phase::Recording, &[Command::SettlePlacement]));
                commands
            }
            // No hold is longer than its deadline: who is not attached by now has to reconnect.
            Event::HoldDeadline => self.resume(),
            late => ignore(late),
        }
    }

    pub(super) fn recording(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::PlacementSettled => {
                let mut commands = self.let_in();
                commands.extend(self.enter(Phase::Releasing, &[Command::Release]));
                commands
            }
            // Newcomers have waited for long enough to be told that it lasts.
            Event::HoldDeadline => {
                let mut commands = self.cut();
                commands.push(Command::Shut);
                commands
            }
            late => ignore(late),
        }
    }

    pub(super) fn releasing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Released => self.enter(Phase::Ended, &[Command::Finish]),
            late => ignore(late),
        }
    }

    /// The commit stands; whatever was said of an abort does not.
    pub(super) fn go_forward(&mut self) -> Vec<Command> {
        self.reason = None;
        self.transfer = Transfer::Done;
        self.enter(Phase::Activating, &[Command::Activate])
    }

    fn strand(&mut self) -> Vec<Command> {
        let mut commands = self.cut();
        commands.push(Command::Shut);
        commands.extend(self.enter(Phase::Stranded, &[]));
        commands
    }

    /// Ownership is granted and not confirmed: whoever comes next has it activated there or elsewhere.
    fn give_up_forward(&mut self, reason: Reason) -> Vec<Command> {
        let mut commands = self.cut();
        commands.extend(self.let_in());
        commands.extend(self.end(reason, &[]));
        commands
    }
}
