//! How long a drain has run, and what follows when that is too long.

use std::time::Duration;

use super::pacer::Pacer;
use super::{Command, Drain, Phase};
use crate::admin::{DrainMode, OnDeadline, PausedBy};

impl Drain {
    /// Counts the time that has passed while boards were moved or waited for.
    pub(super) fn count_time(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        if self.is_running() {
            self.ran = self.ran.saturating_add(passed);
        }
    }

    /// Returns when the deadline passes; nothing while the drain does not run, or once it has passed. A drain that only
    /// waits to see that nothing is left is not disturbed.
    pub(super) fn deadline_at(&self) -> Option<Duration> {
        let deadline = self.terms.deadline?;
        let is_awaited = self.is_running() && self.phase != Phase::Confirming && !self.deadline_passed;
        is_awaited.then(|| self.now.saturating_add(deadline.saturating_sub(self.ran)))
    }

    /// Does what was asked for where the deadline has passed, once.
    pub(super) fn check_deadline(&mut self, commands: &mut Vec<Command>) {
        if self.deadline_at().is_none_or(|at| at > self.now) {
            return;
        }
        self.deadline_passed = true;
        self.is_dirty = true;
        match self.terms.on_deadline {
            OnDeadline::Stop => {
                self.phase = Phase::Stopping;
                self.finish_stopping(commands);
            }
            OnDeadline::Pause => self.pause(PausedBy::Deadline),
            OnDeadline::Hurry => self.hurry(),
            OnDeadline::Continue => {}
        }
    }

    /// Drops the pace; see [`Drain::mode_of_try`].
    pub(super) fn hurry(&mut self) {
        self.terms.pace.boards_per_second = 0.0;
        self.terms.pace.boards_at_once = self.terms.pace.boards_at_once.max(HURRIED_AT_ONCE);
        self.pacer = Pacer::new(0.0);
    }

    /// Returns how sessions cross in a board's next try: in a hurry by reconnect where it has failed before.
    pub(super) fn mode_of_try(&self, tries: u32) -> DrainMode {
        let is_hurried = self.deadline_passed && self.terms.on_deadline == OnDeadline::Hurry;
        if is_hurried && tries > 1 {
            DrainMode::Reconnect
        } else {
            self.terms.mode
        }
    }

    /// Ends a drain that begins no more moves, once the last of them has ended.
    pub(super) fn finish_stopping(&mut self, commands: &mut Vec<Command>) {
        if self.worklist.counts().under_way == 0 {
            self.finish(self.end_by_counts(), commands);
        }
    }

    /// Reads whether time counts.
    fn is_running(&self) -> bool {
        match self.phase {
            Phase::Moving | Phase::Confirming | Phase::Waiting => true,
            Phase::Starting | Phase::Paused | Phase::Stopping | Phase::Aborting | Phase::Ended(_) => false,
        }
    }
}

/// Moves under way at once when there is no time left: what a gateway carries easily.
const HURRIED_AT_ONCE: u32 = 64;
