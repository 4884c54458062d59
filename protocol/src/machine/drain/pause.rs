//! What pauses a drain, and how it goes on.

use super::{Command, Drain, Phase, TargetLoad};
use crate::admin::{OnTargetDown, PausedBy};

impl Drain {
    pub(super) fn set_paused_by(&mut self, paused_by: Option<PausedBy>) {
        self.is_dirty |= self.paused_by != paused_by;
        self.paused_by = paused_by;
    }

    pub(super) fn pause(&mut self, why: PausedBy) {
        self.set_paused_by(Some(why));
        self.phase = Phase::Paused;
    }

    pub(super) fn go_on_after_pause(&mut self, commands: &mut Vec<Command>) {
        self.set_paused_by(None);
        self.lost_targets.clear();
        self.pacer.begin(self.now);
        // Somebody may have made room for what waited.
        self.worklist.judge_again();
        self.phase = self.phase_of_mode();
        match self.phase {
            Phase::Moving => self.advance(commands),
            Phase::Starting
            | Phase::Confirming
            | Phase::Waiting
            | Phase::Paused
            | Phase::Stopping
            | Phase::Aborting
            | Phase::Ended(_) => self.relist_when_due(commands),
        }
    }

    /// Takes in which targets are ready; one that is no longer may pause the drain before its next board.
    pub(super) fn change_targets(&mut self, targets: Vec<TargetLoad>, commands: &mut Vec<Command>) {
        let lost = self.targets.set_ready(targets);
        if self.terms.on_target_down == OnTargetDown::Pause {
            self.lost_targets.retain(|target| !self.targets.is_ready(target));
            self.lost_targets.extend(lost);
        }
        // While it confirms nothing is left that could go there: only a list that shows more is a reason to stop.
        if self.phase == Phase::Moving && !self.pause_for_lost_targets() {
            self.advance(commands);
        }
    }

    /// Pauses where a target has gone since somebody last looked; returns whether it did.
    pub(super) fn pause_for_lost_targets(&mut self) -> bool {
        let has_lost = !self.lost_targets.is_empty();
        if has_lost {
            self.pause(PausedBy::TargetDown);
        }
        has_lost
    }
}
