//! What is told of a drain: how far it is, and why it does not get further.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::advice::advice;
use super::{Drain, Phase};
use crate::admin::{
    DrainCounts, DrainMode, DrainRequest, DrainState, DrainStatus, Hindrance, OnDeadline, Pace, PausedBy, TroubledBoard,
};
use crate::id::{DrainId, ServerName};

/// What was in the way of a drain.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct LastWords {
    waits_for: Vec<Hindrance>,
    troubled: Vec<TroubledBoard>,
}

impl Drain {
    /// Returns where the drain stands, in the words of the admin API.
    pub fn state(&self) -> DrainState {
        match self.phase {
            Phase::Starting if self.paused_by.is_some() => DrainState::Paused,
            Phase::Starting
            | Phase::Moving
            | Phase::Confirming
            | Phase::Waiting
            | Phase::Stopping
            | Phase::Aborting => DrainState::Running,
            Phase::Paused => DrainState::Paused,
            Phase::Ended(state) => state,
        }
    }

    /// Tells the admin API how far the drain is; what only its keeper knows is left empty.
    pub fn status(&self, id: DrainId, request: DrainRequest, now: Duration) -> DrainStatus {
        let now = self.now.max(now);
        let rate = self.tally.rate(self.begun_at, now);
        let boards = self.counts();
        let state = self.state();
        let LastWords { waits_for, troubled } = self.words(now);
        let estimate_seconds = self.estimate(boards, rate);
        DrainStatus {
            id,
            state,
            boards,
            rate: (rate * 10.0).round() / 10.0,
            failures: self.tally.failures(),
            levels: self.tally.levels(),
            unconfirmed_sessions: self.tally.unconfirmed_sessions,
            fallen_back_sessions: self.tally.fallen_back_sessions,
            done: matches!(self.phase, Phase::Ended(_)),
            progress: self.progress(state, boards, estimate_seconds, &waits_for),
            started_at_ms: 0,
            ended_at_ms: None,
            estimate_seconds,
            pace_now: (!matches!(self.phase, Phase::Ended(_))).then(|| self.pace_now()),
            deadline_passed: self.deadline_passed,
            paused_by: self.paused_by(),
            waits_for,
            troubled,
            undo_until_ms: None,
            undone: 0,
            request,
        }
    }

    /// Returns who has paused it; nothing while it is not paused.
    pub fn paused_by(&self) -> Option<PausedBy> {
        match self.state() {
            DrainState::Paused => self.paused_by,
            DrainState::Running
            | DrainState::Done
            | DrainState::Failed
            | DrainState::Aborted
            | DrainState::Undoing
            | DrainState::Undone => None,
        }
    }

    /// Returns the boards of the drain by state.
    pub fn counts(&self) -> DrainCounts {
        if let Some(interrupted) = &self.interrupted {
            return interrupted.counts;
        }
        let counts = self.worklist.counts();
        let moved = counts.moved + counts.taken_over;
        DrainCounts {
            total: moved + counts.closed + counts.left,
            moved,
            taken_over: counts.taken_over,
            failed: self.tally.failed,
            left: counts.left,
            closed: counts.closed,
            moving: counts.under_way,
            put_off: counts.put_off,
        }
    }

    fn pace_now(&self) -> Pace {
        let pace = self.terms.pace;
        Pace {
            loads_per_target: self.targets.loads_now(pace.loads_per_target),
            ..pace
        }
    }

    fn estimate(&self, boards: DrainCounts, rate: f64) -> Option<f64> {
        match self.phase {
            Phase::Moving | Phase::Confirming if rate > 0.0 => {
                Some(((boards.left as f64 / rate) * 10.0).round() / 10.0)
            }
            Phase::Starting
            | Phase::Moving
            | Phase::Confirming
            | Phase::Waiting
            | Phase::Paused
            | Phase::Stopping
            | Phase::Aborting
            | Phase::Ended(_) => None,
        }
    }

    /// Says what is in the way now; once it has ended, what was.
    pub(super) fn words(&self, now: Duration) -> LastWords {
        if matches!(self.phase, Phase::Ended(_)) && self.worklist.is_forgotten() {
            return self.last_words.clone();
        }
        let mut troubled = self.worklist.troubled(now, TROUBLED_MAX);
        if matches!(self.phase, Phase::Ended(_)) {
            // Nobody tries them again.
            for board in &mut troubled {
                board.retry_in_seconds = None;
            }
        }
        LastWords {
            waits_for: self.waits_for(),
            troubled,
        }
    }

    /// Reads whether boards are left and every target that is ready has all that it may have.
    pub fn waits_for_room(&self) -> bool {
        self.phase == Phase::Moving
            && self.counts().left > 0
            && self.targets.is_any_ready()
            && !self.targets.has_any_place()
    }

    /// Lists what keeps the drain from going on, the weightiest first.
    fn waits_for(&self) -> Vec<Hindrance> {
        let left = self.counts().left;
        let mut waits = Vec::new();
        match self.phase {
            Phase::Paused => waits.push(self.why_paused(left)),
            Phase::Starting if self.paused_by.is_some() => waits.push(self.why_paused(left)),
            Phase::Ended(DrainState::Failed) if self.deadline_passed && self.terms.on_deadline == OnDeadline::Stop => {
                waits.push(hindrance("deadline", self.why_late(left), left));
            }
            Phase::Waiting => {
                let detail = "mode stay: boards are not moved, the drain waits until their users have left";
                waits.push(hindrance("stay", detail, left));
            }
            Phase::Moving if left > 0 && !self.targets.is_any_ready() => {
                let detail = "none of the targets is ready to take boards; handover servers says why";
                waits.push(hindrance("no_target", detail, left));
            }
            Phase::Moving if self.waits_for_room() => {
                waits.push(hindrance("targets_full", advice("targets_full"), left));
            }
            Phase::Starting
            | Phase::Moving
            | Phase::Confirming
            | Phase::Stopping
            | Phase::Aborting
            | Phase::Ended(_) => {}
        }
        let slowed = self.targets.slowed(self.terms.pace.loads_per_target);
        if self.phase == Phase::Moving && !slowed.is_empty() {
            let detail = format!(
                "{} loads slower than before or fails to load, and is given fewer boards at once",
                names(slowed.into_iter())
            );
            waits.push(hindrance("slow_target", &detail, self.worklist.ready_count()));
        }
        let mut by_reason: Vec<Hindrance> = Vec::new();
        for (reason, boards) in self.worklist.waits() {
            let fate = match (boards.waiting, boards.given_up) {
                (_, 0) => String::new(),
                // Once it has ended, nothing is tried again.
                (waiting, given_up) if waiting == 0 || matches!(self.phase, Phase::Ended(_)) => {
                    format!("; given up: {given_up}")
                }
                (waiting, given_up) => format!("; tried again: {waiting}, given up: {given_up}"),
            };
            let detail = format!("{}{fate}", advice(reason));
            by_reason.push(hindrance(reason, &detail, boards.waiting + boards.given_up));
        }
        by_reason.sort_by_key(|hindrance| std::cmp::Reverse(hindrance.boards));
        waits.extend(by_reason);
        waits
    }

    /// Says what would have helped a drain that its deadline has ended: time and pace do only where nothing else was in
    /// the way.
    fn why_late(&self, left: u64) -> &'static str {
        let hindered: u64 = self
            .worklist
            .waits()
            .values()
            .map(|boards| boards.waiting + boards.given_up)
            .sum();
        if self.terms.mode == DrainMode::Stay {
            "the deadline passed with boards left, and mode stay moves none: it waits for their users. Start a drain with \
             another mode, or close what is left with handover sessions close"
        } else if left > 0 && hindered >= left {
            "the deadline passed with boards left, for the reasons that follow: mend those, then start another drain"
        } else {
            "the deadline passed with boards left; start a drain with more time or a faster pace"
        }
    }

    fn why_paused(&self, left: u64) -> Hindrance {
        match self.paused_by {
            Some(PausedBy::Operator) | None => {
                hindrance("paused", "somebody paused the drain; resume or abort it", left)
            }
            Some(PausedBy::Deadline) => {
                let detail = "the deadline has passed, and on_deadline says pause; resume, abort or undo the drain";
                hindrance("deadline", detail, left)
            }
            Some(PausedBy::TargetDown) => {
                let detail = format!(
                    "{} stopped being ready, and on_target_down says pause; look at handover servers, then resume, abort or \
                     undo the drain",
                    if self.lost_targets.is_empty() {
                        "a target".to_owned()
                    } else {
                        names(self.lost_targets.iter())
                    }
                );
                hindrance("target_down", &detail, left)
            }
        }
    }

    fn progress(
        &self,
        state: DrainState,
        boards: DrainCounts,
        estimate_seconds: Option<f64>,
        waits_for: &[Hindrance],
    ) -> String {
        let word = match (state, self.phase) {
            (DrainState::Running, Phase::Starting) => "starting",
            (DrainState::Running, Phase::Aborting) => "aborting",
            (DrainState::Running, Phase::Stopping) => "stopping at its deadline",
            (DrainState::Running, Phase::Moving | Phase::Confirming) => "running",
            (DrainState::Running, Phase::Waiting) => "waiting",
            (DrainState::Running, Phase::Paused | Phase::Ended(_)) | (DrainState::Paused, _) => "paused",
            (DrainState::Done, _) => "done",
            (DrainState::Failed, _) => "failed",
            (DrainState::Aborted, _) => "aborted",
            (DrainState::Undoing, _) => "undoing",
            (DrainState::Undone, _) => "undone",
        };
        let mut text = format!(
            "{word}: {} of {} boards moved, {} left",
            boards.moved, boards.total, boards.left
        );
        if boards.taken_over > 0 {
            text.push_str(&format!(", {} taken over without it", boards.taken_over));
        }
        if let Some(seconds) = estimate_seconds {
            text.push_str(&format!(", about {} s to go", seconds.ceil()));
        }
        if let Some(first) = waits_for.first() {
            text.push_str(&format!("; {} ({} boards)", first.reason, first.boards));
        }
        text
    }
}

fn hindrance(reason: &str, detail: &str, boards: u64) -> Hindrance {
    Hindrance {
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        boards,
    }
}

fn names<'a>(servers: impl Iterator<Item = &'a ServerName>) -> String {
    servers.map(ServerName::as_str).collect::<Vec<_>>().join(", ")
}

/// Enough to see what is wrong; more is in the log.
const TROUBLED_MAX: usize = 20;
