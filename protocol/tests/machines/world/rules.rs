//! What a driver does at each command, and whether the move may command that.

use handover_protocol::admin::Level;
use handover_protocol::machine::moving::{Command, Crossing, Event, MoveResult, Phase};

use super::record::{GENERATION, Record, State, Who, claimed, commit};
use super::{Ask, Deadline, Gate, Sessions, World};

impl World {
    /// Does what the machine says, and judges whether it may say that.
    pub(super) fn carry_out(&mut self, command: Command) -> Result<(), String> {
        let rule = |holds: bool, rule: &str| {
            if holds {
                Ok(())
            } else {
                Err(format!("{command:?}: {rule}"))
            }
        };
        rule(!self.finished, "the move has finished")?;
        if let Some(ask) = asks(command) {
            rule(self.asked.insert(ask), "it is still under way")?;
        }
        match command {
            Command::Claim | Command::Prepare | Command::RaiseAttempt | Command::ReadBack => {}
            Command::Park => self.gate = Gate::Parked,
            Command::Tell => {
                rule(self.gate == Gate::Parked, "newcomers are not parked")?;
                self.sessions = Sessions::Held;
            }
            Command::Hold => {
                rule(self.gate == Gate::Parked, "newcomers are not parked")?;
                self.sessions = Sessions::Held;
                self.deadline = Deadline::Running;
            }
            Command::Freeze => {
                rule(self.done.contains(&Ask::Hold), "the sessions are not held")?;
                rule(self.level() == Level::Contract, "the source has no contract")?;
                self.source.freeze_sent = true;
            }
            Command::DrainDown => rule(self.source.is_frozen, "the source is not frozen")?,
            Command::Quiet => {
                rule(self.done.contains(&Ask::Hold), "the sessions are not held")?;
                rule(self.level() == Level::Opaque, "the source has the contract")?;
            }
            Command::CloseSource => rule(self.done.contains(&Ask::Quiet), "the source may still answer")?,
            Command::Settle => rule(
                self.done.contains(&Ask::CloseSource),
                "the source was not read to its end",
            )?,
            Command::Commit => {
                rule(!self.commit_sent, "a second commit")?;
                rule(self.sessions == Sessions::Held, "the sessions are not held")?;
                rule(self.deadline == Deadline::Running, "the hold is over")?;
                rule(!self.source.thaw_sent, "the source was thawed")?;
                match self.level() {
                    Level::Contract => {
                        rule(self.source.is_frozen, "the source is not frozen")?;
                        rule(self.done.contains(&Ask::DrainDown), "answers are on the way")?;
                    }
                    Level::Opaque => rule(self.done.contains(&Ask::Settle), "the source has not settled")?,
                }
                self.commit_sent = true;
            }
            Command::Activate => {
                rule(self.is_committed(), "the commit was not applied")?;
                rule(self.record.owner == Who::Target, "somebody else owns the board")?;
            }
            Command::Raise => rule(self.is_committed(), "the commit was not applied")?,
            Command::Switch | Command::SettlePlacement => {
                rule(self.fence.owner == Who::Target, "the target does not have the fence")?;
            }
            Command::Release => {
                rule(self.fence.owner == Who::Target, "the target does not have the fence")?;
                rule(self.gate == Gate::Open, "newcomers still wait")?;
            }
            Command::Thaw => {
                rule(self.source.freeze_sent, "nothing was frozen")?;
                rule(self.is_source_safe(), "a commit was or can be applied")?;
                self.source.thaw_sent = true;
            }
            Command::Redial => {
                rule(self.is_source_safe(), "a commit was or can be applied")?;
                rule(
                    self.done.contains(&Ask::CloseSource),
                    "the source's connections are open",
                )?;
                rule(self.crossing() == Crossing::Transparent, "nothing says what to replay")?;
            }
            Command::Resume => self.resume(rule)?,
            Command::CutSessions => {
                rule(self.sessions == Sessions::Held, "nobody is held")?;
                self.sessions = Sessions::Cut;
            }
            Command::Unpark => {
                rule(self.gate != Gate::Open, "newcomers come in already")?;
                rule(self.is_committed() || self.is_source_safe(), "a commit can be applied")?;
                let is_thawed = !self.source.freeze_sent || self.source.thaw_sent;
                rule(
                    self.is_committed() || self.interfered || is_thawed,
                    "the source is frozen",
                )?;
                self.gate = Gate::Open;
            }
            Command::Shut => self.gate = Gate::Shut,
            Command::ForgetStandby => {
                rule(self.fence.owner != Who::Target, "the target serves the board")?;
            }
            Command::Finish => self.finish(rule)?,
        }
        Ok(())
    }

    fn resume(&mut self, rule: impl Fn(bool, &str) -> Result<(), String>) -> Result<(), String> {
        rule(self.sessions == Sessions::Held, "nobody is held")?;
        if self.done.contains(&Ask::Activate) {
            rule(self.fence.owner == Who::Target, "the target does not have the fence")?;
            rule(
                self.crossing() == Crossing::Transparent,
                "the sessions were not attached",
            )?;
            let is_attached = self.done.contains(&Ask::Switch);
            rule(
                is_attached || self.deadline == Deadline::Passed,
                "the sessions are not all attached",
            )?;
            self.sessions = Sessions::OnTarget;
        } else {
            rule(self.is_source_safe(), "a commit was or can be applied")?;
            let can_freeze = !self.source.is_closed
                && (self.source.is_frozen || self.source.freeze_delayed || self.asked.contains(&Ask::Freeze));
            rule(!can_freeze, "the source is frozen or may be")?;
            let is_closed = self.asked.contains(&Ask::CloseSource) || self.done.contains(&Ask::CloseSource);
            let is_redialled = self.done.contains(&Ask::Redial) || self.asked.contains(&Ask::Redial);
            rule(!is_closed || is_redialled, "the source's connections were closed")?;
            self.sessions = Sessions::OnSource;
        }
        Ok(())
    }

    fn finish(&mut self, rule: impl Fn(bool, &str) -> Result<(), String>) -> Result<(), String> {
        self.finished = true;
        rule(self.gate == Gate::Open, "newcomers still wait")?;
        rule(self.sessions != Sessions::Held, "sessions are still held")?;
        let Some(result) = self.machine.result() else {
            return Err("it has no result".to_owned());
        };
        match result {
            MoveResult::Moved => {
                rule(
                    self.record.owner == Who::Target && self.fence.owner == Who::Target,
                    "it was not moved",
                )?;
                rule(self.sessions != Sessions::OnSource, "sessions are on the source")
            }
            MoveResult::Undone(_) => {
                rule(self.is_source_safe(), "a commit was or can be applied")?;
                rule(
                    !self.source.freeze_sent || self.source.thaw_sent,
                    "the source was not thawed",
                )?;
                let is_taken_back = self.record.state == State::Settled;
                rule(is_taken_back, "the claim still stands")
            }
            MoveResult::Forced(_) => {
                rule(self.is_committed(), "the commit was not applied")?;
                rule(self.sessions == Sessions::Cut, "sessions go on with nobody")
            }
            MoveResult::Lost(_) => {
                let is_ours = self.record == Record::of(&claimed());
                rule(!is_ours, "nobody else has the board")
            }
        }
    }

    /// Judges a state whatever led to it.
    pub(super) fn judged(self) -> Result<Self, String> {
        let rule = |holds: bool, rule: &str| if holds { Ok(()) } else { Err(rule.to_owned()) };
        let is_held = self.sessions == Sessions::Held;
        rule(
            !is_held || self.deadline != Deadline::Passed,
            "a hold outlives its deadline",
        )?;
        let is_stranded = self.machine.phase() == Phase::Stranded;
        rule(
            !is_stranded || self.gate == Gate::Shut,
            "newcomers wait for a registry that is silent",
        )?;
        rule(
            self.sessions != Sessions::OnSource || !self.is_committed(),
            "sessions are with the source behind the commit",
        )?;
        rule(
            self.machine.phase() == Phase::Ended || !self.asked.is_empty(),
            "the move waits for nothing",
        )?;
        rule(
            self.finished == (self.machine.phase() == Phase::Ended),
            "the end is told",
        )?;
        Ok(self)
    }

    fn level(&self) -> Level {
        self.machine.plan().level
    }

    fn crossing(&self) -> Crossing {
        self.machine.plan().crossing
    }

    pub(super) fn is_committed(&self) -> bool {
        self.record.generation > GENERATION
    }

    /// Nobody but the source owns the board, and no commit of ours can still change that.
    fn is_source_safe(&self) -> bool {
        let can_match = self.record == commit().expected;
        let is_on_the_way = self.asked.contains(&Ask::Commit) || self.delayed.contains(&commit());
        !(self.is_committed() || can_match && is_on_the_way)
    }

    pub(super) fn can_activate(&self) -> bool {
        let is_retry = self.fence.owner == Who::Target && self.fence.generation == self.record.generation;
        self.is_committed() && (is_retry || self.fence.generation < self.record.generation)
    }

    pub(super) fn found(&self) -> Event {
        Event::found(&claimed(), &self.record.placement())
    }
}

fn asks(command: Command) -> Option<Ask> {
    match command {
        Command::Claim => Some(Ask::Claim),
        Command::Prepare => Some(Ask::Prepare),
        Command::Tell => Some(Ask::Tell),
        Command::Hold => Some(Ask::Hold),
        Command::Freeze => Some(Ask::Freeze),
        Command::DrainDown => Some(Ask::DrainDown),
        Command::Quiet => Some(Ask::Quiet),
        Command::CloseSource => Some(Ask::CloseSource),
        Command::Settle => Some(Ask::Settle),
        Command::Commit => Some(Ask::Commit),
        Command::ReadBack => Some(Ask::ReadBack),
        Command::Activate => Some(Ask::Activate),
        Command::Raise => Some(Ask::Raise),
        Command::Switch => Some(Ask::Switch),
        Command::SettlePlacement => Some(Ask::SettlePlacement),
        Command::Release => Some(Ask::Release),
        Command::RaiseAttempt => Some(Ask::RaiseAttempt),
        Command::Thaw => Some(Ask::Thaw),
        Command::Redial => Some(Ask::Redial),
        Command::Park
        | Command::CutSessions
        | Command::Resume
        | Command::Unpark
        | Command::Shut
        | Command::ForgetStandby
        | Command::Finish => None,
    }
}
