//! The steps before the commit: the target loads, users are held, the source saves.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what no arm names came late: `ignore` names every event, and moving.table.md lists every pair"
)]

use super::event::ignore;
use super::{Command, Crossing, Event, Move, Phase, Reason, Transfer, Users};
use crate::admin::Level;

impl Move {
    pub(super) fn claiming(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Claimed => match self.reason {
                None => self.enter(Phase::Preparing, &[Command::Prepare]),
                Some(reason) => self.abort(reason),
            },
            Event::ClaimRefused => self.end(Reason::Superseded, &[]),
            // The claim may stand; raising the attempt takes it back either way.
            Event::ClaimUnknown => self.abort(Reason::RegistryUnknown),
            Event::AbortRequested => self.note(Reason::Aborted),
            late => ignore(late),
        }
    }

    pub(super) fn preparing(&mut self, event: Event) -> Vec<Command> {
        match (event, self.plan.crossing) {
            (Event::Prepared, Crossing::ReconnectByMessage) => {
                self.users = Users::Held;
                self.enter(Phase::Telling, &[Command::Park, Command::Tell])
            }
            (Event::Prepared, Crossing::Transparent | Crossing::ReconnectByClose) => {
                self.users = Users::Held;
                self.enter(Phase::Holding, &[Command::Park, Command::Hold])
            }
            (Event::PrepareFailed(reason), _) => self.abort(reason),
            (Event::AbortRequested, _) => self.abort(Reason::Aborted),
            (late, _) => ignore(late),
        }
    }

    pub(super) fn telling(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Told => self.enter(Phase::Holding, &[Command::Hold]),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    pub(super) fn holding(&mut self, event: Event) -> Vec<Command> {
        match (event, self.plan.level) {
            (Event::Held, Level::Contract) => {
                self.frozen = true;
                self.enter(Phase::Freezing, &[Command::Freeze])
            }
            (Event::Held, Level::Opaque) => self.enter(Phase::Quieting, &[Command::Quiet]),
            (Event::HoldFailed(reason), _) => self.abort(reason),
            (Event::HoldDeadline, _) => self.run_out(Reason::HoldTimeout),
            (Event::AbortRequested, _) => self.abort(Reason::Aborted),
            (late, _) => ignore(late),
        }
    }

    pub(super) fn freezing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Frozen => self.enter(Phase::DrainingDown, &[Command::DrainDown]),
            // A freeze that was not answered is never forced: the source may be alive and unsaved.
            Event::FreezeFailed(reason) => self.abort(reason),
            Event::HoldDeadline => self.run_out(Reason::FreezeUnanswered),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    pub(super) fn draining_down(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::DrainedDown => self.commit(),
            Event::HoldDeadline => self.run_out(Reason::HoldTimeout),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    pub(super) fn quieting(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Quiet => {
                self.source_closed = true;
                self.enter(Phase::Closing, &[Command::CloseSource])
            }
            Event::HoldDeadline => self.run_out(Reason::HoldTimeout),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    pub(super) fn closing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::SourceClosed => match self.reason {
                None => self.enter(Phase::Settling, &[Command::Settle]),
                Some(reason) => self.abort(reason),
            },
            Event::HoldDeadline => self.run_out(Reason::HoldTimeout),
            // What the source still says is brought home first: a connection half read cannot be dialled again.
            Event::AbortRequested => self.note(Reason::Aborted),
            late => ignore(late),
        }
    }

    pub(super) fn settling(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::SourceSettled => self.commit(),
            Event::SettleFailed(reason) => self.abort(reason),
            Event::HoldDeadline => self.run_out(Reason::HoldTimeout),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    /// Remembers a wish that this phase cannot grant before it has ended.
    fn note(&mut self, reason: Reason) -> Vec<Command> {
        self.reason = Some(reason);
        Vec::new()
    }

    fn commit(&mut self) -> Vec<Command> {
        self.transfer = Transfer::Asked;
        self.enter(Phase::Committing, &[Command::Commit])
    }
}
