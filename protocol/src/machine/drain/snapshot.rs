//! What outlives the gateway of a drain, and how a drain is taken up again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::status::LastWords;
use super::tally::Tally;
use super::worklist::{Counts, Worklist};
use super::{Drain, Phase, Terms};
use crate::admin::{DrainCounts, DrainState, Level, OnDeadline, PausedBy};
use crate::id::BoardId;

/// What a restart must know of a drain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainSnapshot {
    /// Where it stood.
    pub state: DrainState,
    /// Whether it was being aborted.
    pub(super) is_aborting: bool,
    /// Whether its deadline had stopped it.
    #[serde(default)]
    is_stopping: bool,
    pub(super) counts: DrainCounts,
    /// Whether these were moved, the next list of the sources tells.
    pub(super) under_way: Vec<BoardId>,
    pub(super) tally: Tally,
    #[serde(default)]
    paused_by: Option<PausedBy>,
    #[serde(default)]
    deadline_passed: bool,
    /// Without the time that it was paused, or the gateway was away.
    #[serde(default)]
    ran: Duration,
    #[serde(default)]
    last_words: LastWords,
}

impl Drain {
    /// Takes up a drain that an earlier process left, running or ended.
    pub fn resume(terms: Terms, snapshot: DrainSnapshot) -> Self {
        let counts = Counts {
            moved: snapshot.counts.moved.saturating_sub(snapshot.counts.taken_over),
            taken_over: snapshot.counts.taken_over,
            closed: snapshot.counts.closed,
            ..Counts::default()
        };
        let mut drain = Self {
            tally: snapshot.tally.clone(),
            ran: snapshot.ran,
            deadline_passed: snapshot.deadline_passed,
            paused_by: snapshot.paused_by,
            last_words: snapshot.last_words.clone(),
            ..Self::new(terms)
        };
        if drain.deadline_passed && terms.on_deadline == OnDeadline::Hurry {
            drain.hurry();
        }
        match snapshot.state {
            DrainState::Running | DrainState::Paused => Self {
                worklist: Worklist::with_counts(counts),
                interrupted: Some(snapshot),
                ..drain
            },
            DrainState::Done
            | DrainState::Failed
            | DrainState::Aborted
            // What goes back is a drain of its own, whose state is one of the others.
            | DrainState::Undoing
            | DrainState::Undone => Self {
                worklist: Worklist::with_counts(Counts {
                    left: snapshot.counts.left,
                    ..counts
                }),
                phase: Phase::Ended(snapshot.state),
                ..drain
            },
        }
    }

    /// Takes in at which level the sources are. The moves that were under way as the process before ended count under it.
    pub fn note_level(&mut self, level: Level) {
        self.interrupted_level = level;
    }

    /// Returns the boards whose moves are under way, or were as the process before ended.
    pub fn under_way(&self) -> Vec<BoardId> {
        match &self.interrupted {
            Some(interrupted) => interrupted.under_way.clone(),
            None => self.worklist.under_way(),
        }
    }

    /// Returns what a restart must know.
    pub fn snapshot(&self) -> DrainSnapshot {
        // Until the first list has settled it, what the earlier run left is still the truth.
        if let Some(interrupted) = &self.interrupted {
            return DrainSnapshot {
                paused_by: self.paused_by,
                ..interrupted.clone()
            };
        }
        DrainSnapshot {
            state: self.state(),
            is_aborting: self.phase == Phase::Aborting,
            is_stopping: self.phase == Phase::Stopping,
            counts: self.counts(),
            under_way: self.worklist.under_way(),
            tally: self.tally.clone(),
            paused_by: self.paused_by,
            deadline_passed: self.deadline_passed,
            ran: self.ran,
            last_words: self.last_words.clone(),
        }
    }
}

impl DrainSnapshot {
    /// Returns how a drain ends that had only been waiting for its last moves.
    pub(super) fn end(&self, left: u64) -> Option<DrainState> {
        if self.is_aborting {
            Some(DrainState::Aborted)
        } else if self.is_stopping {
            Some(if left == 0 {
                DrainState::Done
            } else {
                DrainState::Failed
            })
        } else {
            None
        }
    }
}
