//! What a drain has done so far: failures by reason, boards by level, sessions not confirmed, and the rate.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ending::Ending;
use crate::admin::{FailureCount, Level, LevelCount, MoveReport};

/// Sums over ended moves. They survive a restart, the rate does not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Moves that ended where they began.
    pub(super) failed: u64,
    failures: BTreeMap<String, u64>,
    opaque: u64,
    contract: u64,
    pub(super) unconfirmed_sessions: u64,
    pub(super) fallen_back_sessions: u64,
    #[serde(skip)]
    arrivals: VecDeque<Duration>,
}

impl Tally {
    /// Counts the end of a move.
    pub(super) fn count(&mut self, report: &MoveReport, ending: Ending, now: Duration) {
        match ending {
            Ending::Arrived => {
                match report.level {
                    Level::Opaque => self.opaque += 1,
                    Level::Contract => self.contract += 1,
                }
                self.arrivals.push_back(now);
                self.forget_before(now);
                if !report.is_moved() {
                    self.count_reason(&report.result);
                }
            }
            Ending::Failed => {
                self.failed += 1;
                self.count_reason(&report.result);
            }
            Ending::Stays | Ending::PutOff | Ending::Gone => {}
        }
        self.unconfirmed_sessions += report.unconfirmed.len() as u64;
        self.fallen_back_sessions += report.fallen_back;
    }

    /// Counts boards whose moves have ended while nobody looked.
    pub(super) fn count_unseen(&mut self, moved: u64, level: Level) {
        match level {
            Level::Opaque => self.opaque += moved,
            Level::Contract => self.contract += moved,
        }
    }

    /// Returns boards moved per second over the last ten seconds, or since `begun_at` where that is later.
    pub(super) fn rate(&self, begun_at: Duration, now: Duration) -> f64 {
        let window = now.saturating_sub(begun_at).clamp(RATE_WINDOW_MIN, RATE_WINDOW);
        let since = now.saturating_sub(window);
        // The driver's time never goes back.
        let recent = self.arrivals.len() - self.arrivals.partition_point(|at| *at < since);
        recent as f64 / window.as_secs_f64()
    }

    /// Lists why moves failed, the most frequent reason first.
    pub(super) fn failures(&self) -> Vec<FailureCount> {
        let mut failures: Vec<FailureCount> = self
            .failures
            .iter()
            .map(|(reason, count)| FailureCount {
                reason: reason.clone(),
                count: *count,
            })
            .collect();
        failures.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        failures
    }

    /// Lists how many boards were moved at each level.
    pub(super) fn levels(&self) -> Vec<LevelCount> {
        [(Level::Opaque, self.opaque), (Level::Contract, self.contract)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(level, count)| LevelCount { level, count })
            .collect()
    }

    fn count_reason(&mut self, reason: &str) {
        let is_new = !self.failures.contains_key(reason);
        let is_full = self.failures.len() >= REASONS_MAX;
        let reason = if is_new && is_full { OTHER_REASON } else { reason };
        *self.failures.entry(reason.to_owned()).or_default() += 1;
    }

    fn forget_before(&mut self, now: Duration) {
        let since = now.saturating_sub(RATE_WINDOW);
        while self.arrivals.front().is_some_and(|at| *at < since) {
            self.arrivals.pop_front();
        }
    }
}

/// Long enough to be calm, short enough to show a stall.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// A drain of some milliseconds would show an absurd rate.
const RATE_WINDOW_MIN: Duration = Duration::from_secs(1);

/// Reasons are a fixed set of slugs; this only bounds what a mistake could cost.
const REASONS_MAX: usize = 64;

const OTHER_REASON: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generation;

    fn report(result: &str) -> MoveReport {
        MoveReport {
            board: "b".parse().unwrap(),
            server: None,
            generation: Generation::NONE,
            result: result.to_owned(),
            level: Level::Contract,
            switched: 0,
            reconnected: 0,
            fallen_back: 2,
            unconfirmed: vec!["s".parse().unwrap()],
            retry_after_ms: None,
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let at = Duration::from_secs;
        let mut tally = Tally::default();
        for second in 100..120 {
            tally.count(&report("moved"), Ending::Arrived, at(second));
        }
        assert!((tally.rate(at(100), at(119)) - 1.1).abs() < 1e-9);
        assert!((tally.rate(at(115), at(119)) - 5.0 / 4.0).abs() < 1e-9);
        assert!(tally.rate(at(100), at(130)).abs() < 1e-9);
    }

    #[test]
    fn reasons_are_counted_and_the_most_frequent_comes_first() {
        let mut tally = Tally::default();
        for result in ["b", "a", "b", "c"] {
            tally.count(&report(result), Ending::Failed, Duration::ZERO);
        }
        let reasons: Vec<(String, u64)> = tally.failures().into_iter().map(|f| (f.reason, f.count)).collect();
        assert_eq!(reasons, [("b".into(), 2), ("a".into(), 1), ("c".into(), 1)]);
        assert_eq!(
            (tally.failed, tally.unconfirmed_sessions, tally.fallen_back_sessions),
            (4, 4, 8)
        );
        for number in 0..100 {
            tally.count(&report(&format!("r{number}")), Ending::Failed, Duration::ZERO);
        }
        assert_eq!(tally.failures().len(), REASONS_MAX + 1);
        assert_eq!(
            tally.failures().iter().map(|failure| failure.count).sum::<u64>(),
            tally.failed
        );
    }
}
