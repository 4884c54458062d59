//! Numbers in the order in which they came, kept as runs of consecutive ones: a stream without faults is one run.

/// A sequence of numbers, compact as long as it ascends by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs {
    /// First and last of each run.
    runs: Vec<(u64, u64)>,
    count: u64,
}

impl Runs {
    /// Appends the number that came next.
    pub fn push(&mut self, number: u64) {
        self.count += 1;
        match self.runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some(_) | None => self.runs.push((number, number)),
        }
    }

    /// Iterates over the numbers in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs.iter().flat_map(|&(first, last)| first..=last)
    }

    /// Returns how many numbers came.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl FromIterator<u64> for Runs {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut runs = Self::default();
        for number in numbers {
            runs.push(number);
        }
        runs
    }
}

impl Extend<u64> for Runs {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, numbers: I) {
        for number in numbers {
            self.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_give_back_what_was_pushed(numbers in proptest::collection::vec(0_u64..20, 0..100)) {
            let runs: Runs = numbers.iter().copied().collect();
            prop_assert_eq!(runs.count(), numbers.len() as u64);
            prop_assert_eq!(runs.iter().collect::<Vec<_>>(), numbers);
        }
    }

    #[test]
    fn an_ascending_stream_is_one_run() {
        let runs: Runs = (1..=10_000).collect();
        assert_eq!(runs.runs.len(), 1);
    }
}
