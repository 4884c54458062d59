//! Programs that count what a proxy does: exact and repeatable, and far too slow to time anything.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::load::Outcome;

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracer {
    /// strace: system calls, by name.
    Strace,
    /// callgrind: instructions outside of the kernel.
    Callgrind,
}

impl Tracer {
    /// Returns how much is counted in the short and in the long run.
    pub fn counts(self) -> [u64; 2] {
        match self {
            Self::Strace => [20_000, 100_000],
            Self::Callgrind => [2_000, 12_000],
        }
    }

    /// Has `run` start a proxy in the tracer, by the wrapper that it is given, and adds to its outcome what was counted.
    ///
    /// # Errors
    /// When the tracer is missing or says nothing that can be read.
    pub fn trace(self, run: impl FnOnce(&[&str]) -> io::Result<Outcome>) -> io::Result<Outcome> {
        let file = tempfile::NamedTempFile::new()?;
        let path = file.path().display().to_string();
        let out = format!("--callgrind-out-file={path}");
        let wrapper: &[&str] = match self {
            Self::Strace => &["strace", "-f", "-c", "-o", &path],
            Self::Callgrind => &["valgrind", "--quiet", "--tool=callgrind", &out],
        };
        let mut outcome = run(wrapper)?;
        outcome.traced = Some(self.read(file.path())?);
        Ok(outcome)
    }

    fn read(self, file: &Path) -> io::Result<BTreeMap<String, u64>> {
        let text = fs::read_to_string(file)?;
        let counted: BTreeMap<_, _> = match self {
            // % time, seconds, usecs/call, calls, errors where there are any, syscall.
            Self::Strace => text
                .lines()
                .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
                .filter(|fields| fields.last() != Some(&"total"))
                .filter_map(|fields| Some(((*fields.last()?).to_owned(), fields.get(3)?.parse().ok()?)))
                .collect(),
            Self::Callgrind => text
                .lines()
                .filter_map(|line| line.strip_prefix("totals: "))
                .filter_map(|total| Some(("instructions".to_owned(), total.trim().parse().ok()?)))
                .collect(),
        };
        match counted.is_empty() {
            true => Err(io::Error::other(format!("nothing was counted: {text:.200}"))),
            false => Ok(counted),
        }
    }
}

/// Takes the short run from the long one.
pub fn difference(short: &Outcome, long: &Outcome) -> Outcome {
    let before = short.traced.as_ref();
    let of = |name: &String| before.and_then(|before| before.get(name)).copied().unwrap_or(0);
    let traced = long.traced.as_ref().map(|long| {
        let each = long.iter();
        each.map(|(name, count)| (name.clone(), count.saturating_sub(of(name))))
            .collect()
    });
    Outcome {
        count: long.count.saturating_sub(short.count),
        traced,
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_strace_is_read_by_name() {
        let file = tempfile::NamedTempFile::new().expect("there is room");
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n \
                    60.12    0.001234           1       200           sendto\n \
                    39.88    0.001000           2       150         7 recvfrom\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    100.00    0.002234           1       350         7 total\n";
        fs::write(file.path(), text).expect("it can be written to");
        let counted = Tracer::Strace.read(file.path()).expect("it is a summary");
        assert_eq!(
            counted,
            BTreeMap::from([("recvfrom".to_owned(), 150), ("sendto".to_owned(), 200)])
        );
    }
}
