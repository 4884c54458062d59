//! Medians, and how far they can be believed.

/// A median and the interval that holds it with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Median {
    /// The median.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Median {
    /// Finds the median of what was measured, nothing where nothing was.
    ///
    /// The interval is made of order statistics, so it supposes nothing of how the values are spread; of fewer than six
    /// values it is all of them, and less sure than 95 %.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let value = (sorted[last / 2] + sorted[sorted.len() / 2]) / 2.0;
        let outside = values_outside(sorted.len());
        Some(Self {
            value,
            low: sorted[outside],
            high: sorted[last - outside],
        })
    }
}

/// Returns how many of `count` values lie below the interval, and as many above: the most for which the median of the
/// whole population is outside with a chance of 5 % at most (the sign test).
fn values_outside(count: usize) -> usize {
    let mut outside = 0;
    // The chance that just so many lie below the population's median, and that so many or fewer do.
    let mut term = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut chance = term;
    loop {
        let more = outside + 1;
        term *= (count - outside) as f64 / more as f64;
        chance += term;
        if 2.0 * chance > 0.05 {
            return outside;
        }
        outside = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        // Ranks of published tables: of 6 values the first and the last, of 15 the 4th and the 12th, of 20 the 6th and the 15th.
        for (count, rank) in [(5, 1), (6, 1), (8, 1), (9, 2), (15, 4), (20, 6), (25, 8)] {
            let median = Median::of((1..=count).map(f64::from)).expect("there are values");
            assert_eq!(median.low, f64::from(rank), "of {count}");
            assert_eq!(median.high, f64::from(count + 1 - rank), "of {count}");
        }
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between() {
        assert_eq!(Median::of([4.0, 1.0, 3.0, 2.0]).map(|median| median.value), Some(2.5));
        assert_eq!(Median::of([f64::NAN]), None);
    }
}
