//! How fast moves may begin: evenly spread, never in bursts.

use std::time::Duration;

/// Spreads the starts of moves evenly over time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pacer {
    /// Between two starts; nothing where no limit is set.
    interval: Option<Duration>,
    next_at: Duration,
}

impl Pacer {
    /// Lets `per_second` moves begin each second; 0 sets no limit.
    pub(super) fn new(per_second: f64) -> Self {
        let interval =
            (per_second > 0.0).then(|| Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::MAX));
        Self {
            interval,
            next_at: Duration::ZERO,
        }
    }

    /// Returns when the next move may begin; it may lie in the past.
    pub(super) fn next_at(&self) -> Duration {
        self.next_at
    }

    /// Takes the turn where it has come.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        if now < self.next_at {
            return false;
        }
        if let Some(interval) = self.interval {
            // Turns that nobody took are lost, but for what a timer is late by: else every tick would cost pace.
            let due = self.next_at.max(now.saturating_sub(LATENESS_MAX));
            self.next_at = due.saturating_add(interval);
        }
        true
    }
}

/// How late a timer may fire without costing pace.
pub(super) const LATENESS_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_evenly_spread_however_coarse_the_ticks() {
        let check = |per_second: f64, tick_ms: u64, expected: std::ops::RangeInclusive<usize>| {
            let mut pacer = Pacer::new(per_second);
            let mut starts = 0;
            for tick in 0..(10_000 / tick_ms) {
                while pacer.take(Duration::from_millis(tick * tick_ms)) {
                    starts += 1;
                }
            }
            assert!(expected.contains(&starts), "{starts} starts in 10 s at {per_second}/s");
        };
        check(50.0, 1, 500..=501);
        check(50.0, 7, 499..=501);
        check(1000.0, 5, 9_990..=10_011);
        check(0.5, 100, 5..=5);
    }

    #[test]
    fn turns_that_nobody_took_are_lost() {
        let mut pacer = Pacer::new(10.0);
        assert!(pacer.take(Duration::ZERO));
        let late = Duration::from_secs(60);
        assert!(pacer.take(late));
        assert!(!pacer.take(late));
    }
}
