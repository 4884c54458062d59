//! How fast moves may begin: evenly spread; what a stall cost is made up for, in a bounded burst.

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

    /// Forgets what could have begun before `now`: nobody was to take those turns.
    pub(super) fn begin(&mut self, now: Duration) {
        self.next_at = self.next_at.max(now);
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
            let due = self.next_at.max(now.saturating_sub(CREDIT_MAX));
            self.next_at = due.saturating_add(interval);
        }
        true
    }
}

/// Turns that nobody took for so long are made up for. A late timer, a slow write of the record or targets that are busy
/// for a moment must not cost pace; a longer wait is no stall, and is not followed by a burst of its length.
pub(super) const CREDIT_MAX: Duration = Duration::from_secs(1);

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
        check(330.0, 5, 3_295..=3_301);
        // Timers that are this late are seen where a disk syncs meanwhile.
        check(330.0, 40, 3_280..=3_301);
        check(330.0, 500, 3_130..=3_301);
        check(0.5, 100, 5..=5);
    }

    #[test]
    fn turns_that_nobody_took_are_lost_but_for_those_of_a_second() {
        let mut pacer = Pacer::new(10.0);
        assert!(pacer.take(Duration::ZERO));
        let late = Duration::from_secs(60);
        let burst = (0..100).take_while(|_| pacer.take(late)).count();
        assert_eq!(burst, 11, "those of the last second, and the one that is due");
        assert_eq!(pacer.next_at(), late + Duration::from_millis(100));
    }

    #[test]
    fn a_beginning_has_no_credit() {
        let mut pacer = Pacer::new(10.0);
        let late = Duration::from_secs(60);
        pacer.begin(late);
        assert!(pacer.take(late));
        assert!(!pacer.take(late));
        pacer.begin(Duration::ZERO);
        assert!(!pacer.take(late), "nor does a turn that is to come come earlier");
    }
}
