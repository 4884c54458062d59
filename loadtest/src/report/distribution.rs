//! How samples lie: counts in steps that grow by a tenth of a decade, for plots.

use serde::Serialize;

use crate::user::Micros;

/// Counts by upper bound; bounds below the first sample and above the last are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// The steps, ascending and without holes.
    pub steps: Vec<Step>,
}

/// The samples up to a bound and above the one before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// The upper bound in milliseconds.
    pub up_to_ms: f64,
    /// How many.
    pub n: u64,
}

impl Distribution {
    /// Counts samples in microseconds.
    pub fn of(samples: impl IntoIterator<Item = Micros>) -> Self {
        let mut counts = [0_u64; STEPS];
        for sample in samples {
            let step = ((sample.max(1) as f64).log10() * STEPS_PER_DECADE).ceil() as usize;
            counts[step.min(STEPS - 1)] += 1;
        }
        let Some(first) = counts.iter().position(|&n| n > 0) else {
            return Self::default();
        };
        let last = counts.iter().rposition(|&n| n > 0).unwrap_or(first);
        let steps = (first..=last).map(|step| Step {
            up_to_ms: 10_f64.powf(step as f64 / STEPS_PER_DECADE) / 1e3,
            n: counts[step],
        });
        Self { steps: steps.collect() }
    }

    /// Returns how many samples there are.
    pub fn count(&self) -> u64 {
        self.steps.iter().map(|step| step.n).sum()
    }
}

const STEPS_PER_DECADE: f64 = 10.0;
/// Up to 10^9 microseconds; what is beyond counts into the last.
const STEPS: usize = 91;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_counted_at_or_below_its_bound() {
        let samples = [0, 1, 900, 1_000, 1_001, 50_000, u64::MAX];
        let distribution = Distribution::of(samples);
        assert_eq!(distribution.count(), samples.len() as u64);
        for limit in [1_000_u64, 50_000] {
            let below: u64 = distribution
                .steps
                .iter()
                .filter(|step| step.up_to_ms * 1e3 <= limit as f64 * 1.0001)
                .map(|step| step.n)
                .sum();
            assert!(below <= samples.iter().filter(|&&sample| sample <= limit).count() as u64);
        }
        assert_eq!(Distribution::of([]), Distribution::default());
    }
}
