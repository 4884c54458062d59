//! Quantiles in milliseconds: of samples of our own, and of a histogram that the gateway exports.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::user::Micros;

/// How many samples, and how they lie, in milliseconds. Without samples the quantiles are absent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Quantiles {
    /// How many samples.
    pub n: u64,
    /// Half of them are not above.
    pub p50: Option<f64>,
    /// 9 of 10 are not above.
    pub p90: Option<f64>,
    /// 99 of 100 are not above.
    pub p99: Option<f64>,
    /// 999 of 1000 are not above.
    pub p999: Option<f64>,
    /// None is above.
    pub max: Option<f64>,
}

/// Below so many samples the 99th of a hundred is one or two single events.
pub const SAMPLES_ENOUGH: u64 = 200;

impl Quantiles {
    /// Sums up samples in microseconds, to three digits.
    pub fn of(samples: impl IntoIterator<Item = Micros>) -> Self {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, SAMPLE_MAX, 3).expect("the bounds are sound");
        for sample in samples {
            histogram.saturating_record(sample.max(1));
        }
        if histogram.is_empty() {
            return Self::default();
        }
        let ms = |micros: u64| Some((micros as f64 / 10.0).round() / 100.0);
        Self {
            n: histogram.len(),
            p50: ms(histogram.value_at_quantile(0.5)),
            p90: ms(histogram.value_at_quantile(0.9)),
            p99: ms(histogram.value_at_quantile(0.99)),
            p999: ms(histogram.value_at_quantile(0.999)),
            max: ms(histogram.max()),
        }
    }

    /// Reads a histogram in seconds from Prometheus' text format, all series of that name together and `since` taken
    /// off. A quantile is the upper bound of the bucket it falls into: never better than the truth.
    pub fn of_metric(text: &str, since: &str, name: &str) -> Self {
        let before = buckets(since, name);
        let mut counts = buckets(text, name);
        for (bound, count) in &mut counts {
            let earlier = before
                .iter()
                .find(|(other, _)| other == bound)
                .map_or(0.0, |(_, count)| *count);
            *count -= earlier;
        }
        let Some(&(_, n)) = counts.last() else {
            return Self::default();
        };
        let quantile = |share: f64| {
            let bucket = counts.iter().find(|(_, count)| *count >= n * share && *count > 0.0)?;
            bucket.0.is_finite().then_some((bucket.0 * 1e5).round() / 100.0)
        };
        Self {
            n: n as u64,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: quantile(1.0),
        }
    }
}

/// Cumulative counts by upper bound in seconds, ascending, summed over all label sets.
fn buckets(text: &str, name: &str) -> Vec<(f64, f64)> {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    let prefix = format!("{name}_bucket{{");
    for line in text.lines().filter_map(|line| line.strip_prefix(&prefix)) {
        let Some((labels, value)) = line.rsplit_once("} ") else {
            continue;
        };
        let Some((_, bound)) = labels.split_once("le=\"") else {
            continue;
        };
        let bound = bound.split('"').next().unwrap_or_default().replace("+Inf", "inf");
        let (Ok(bound), Ok(value)) = (bound.parse::<f64>(), value.trim().parse::<f64>()) else {
            continue;
        };
        match sums.iter_mut().find(|(other, _)| *other == bound) {
            Some((_, sum)) => *sum += value,
            None => sums.push((bound, value)),
        }
    }
    sums.sort_by(|a, b| a.0.total_cmp(&b.0));
    sums
}

/// A minute; nothing that is waited for lasts longer.
const SAMPLE_MAX: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_up_in_milliseconds() {
        let quantiles = Quantiles::of((1..=1_000).map(|ms| ms * 1_000));
        assert_eq!(quantiles.n, 1_000);
        assert!((quantiles.p50.unwrap() - 500.0).abs() < 1.0);
        assert!((quantiles.p99.unwrap() - 990.0).abs() < 1.0);
        assert!((quantiles.max.unwrap() - 1_000.0).abs() < 1.0);
        assert_eq!(Quantiles::of([]), Quantiles::default());
    }

    #[test]
    fn an_exported_histogram_is_read_by_its_upper_bounds() {
        let text = "# TYPE hold_seconds histogram\n\
                    hold_seconds_bucket{level=\"contract\",le=\"0.005\"} 60\n\
                    hold_seconds_bucket{level=\"contract\",le=\"0.025\"} 98\n\
                    hold_seconds_bucket{level=\"contract\",le=\"+Inf\"} 98\n\
                    hold_seconds_bucket{level=\"opaque\",le=\"0.005\"} 0\n\
                    hold_seconds_bucket{level=\"opaque\",le=\"0.025\"} 2\n\
                    hold_seconds_bucket{level=\"opaque\",le=\"+Inf\"} 2\n\
                    hold_seconds_sum{level=\"opaque\"} 1\n";
        let quantiles = Quantiles::of_metric(text, "", "hold_seconds");
        assert_eq!(
            quantiles,
            Quantiles {
                n: 100,
                p50: Some(5.0),
                p90: Some(25.0),
                p999: Some(25.0),
                p99: Some(25.0),
                max: Some(25.0)
            }
        );
        assert_eq!(Quantiles::of_metric(text, text, "hold_seconds").n, 0);
    }
}
