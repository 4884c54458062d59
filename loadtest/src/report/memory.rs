//! The gateway's memory over a run, and by how much something has made it grow.

use serde::Serialize;

use crate::user::Micros;

/// What was resident of the gateway, look by look.
#[derive(Debug, Clone)]
pub struct MemoryTrace {
    /// Who has weighed.
    pub weighed_by: WeighedBy,
    /// When, and how many bytes.
    pub looks: Vec<(Micros, u64)>,
}

/// Who says how much memory the gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WeighedBy {
    /// The system on which both run.
    OperatingSystem,
    /// The gateway's own metrics.
    Metrics,
}

/// The gateway's memory before something began and from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryGrowth {
    /// Who says so.
    pub weighed_by: WeighedBy,
    /// Resident in half of the looks before, or less.
    pub before_median_bytes: u64,
    /// Resident at the most from then on.
    pub meanwhile_max_bytes: u64,
}

impl MemoryTrace {
    /// Compares what was before a moment with what came then; nothing where one of them was not seen.
    pub fn growth_from(&self, at: Micros) -> Option<MemoryGrowth> {
        let (before, meanwhile): (Vec<_>, Vec<_>) = self.looks.iter().partition(|(when, _)| *when < at);
        let mut before: Vec<u64> = before.into_iter().map(|(_, bytes)| bytes).collect();
        before.sort_unstable();
        let median = before.get(before.len().checked_sub(1)? / 2)?;
        Some(MemoryGrowth {
            weighed_by: self.weighed_by,
            before_median_bytes: *median,
            meanwhile_max_bytes: meanwhile.into_iter().map(|(_, bytes)| bytes).max()?,
        })
    }
}

impl MemoryGrowth {
    /// Returns by how much it grew, at most.
    pub fn bytes(&self) -> u64 {
        self.meanwhile_max_bytes.saturating_sub(self.before_median_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(looks: &[(Micros, u64)], at: Micros) -> Option<(u64, u64, u64)> {
        let trace = MemoryTrace {
            weighed_by: WeighedBy::OperatingSystem,
            looks: looks.to_vec(),
        };
        let growth = trace.growth_from(at)?;
        Some((growth.before_median_bytes, growth.meanwhile_max_bytes, growth.bytes()))
    }

    #[test]
    fn neither_a_peak_before_nor_a_low_moment_counts_as_growth_or_hides_it() {
        let before = [(0, 100), (1, 900), (2, 110), (3, 120), (4, 10)];
        let looks = [&before[..], &[(5, 150), (6, 130)]].concat();
        assert_eq!(growth(&looks, 5), Some((110, 150, 40)));
        assert_eq!(growth(&looks, 0), None, "nothing was seen before");
        assert_eq!(growth(&before, 5), None, "nothing was seen from then on");
        assert_eq!(growth(&[(0, 100), (1, 50)], 1), Some((100, 50, 0)));
    }
}
