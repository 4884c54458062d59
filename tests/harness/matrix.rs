//! How many cases of a family are run.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;

/// Whether a run takes the fixed subset or everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The subset that visits every step and every fault once.
    Short,
    /// All combinations.
    All,
}

impl Scope {
    /// Reads `HANDOVER_TESTS`: `all`, or anything else for the subset.
    pub fn of_this_run() -> Self {
        match std::env::var("HANDOVER_TESTS").as_deref() {
            Ok("all") => Self::All,
            Ok(_) | Err(_) => Self::Short,
        }
    }
}

/// Picks the cases of a family for this run, and notes them for the summary of `tests/run`.
///
/// `is_in_subset` says which cases the short run takes. `HANDOVER_CASES` takes those whose name contains it instead.
///
/// # Panics
/// When the choice is empty: a family without cases tests nothing.
pub fn matrix<C: Display>(family: &str, cases: Vec<C>, is_in_subset: impl Fn(&C) -> bool) -> Vec<C> {
    let total = cases.len();
    let only = std::env::var("HANDOVER_CASES").ok();
    let chosen: Vec<C> = match (&only, Scope::of_this_run()) {
        (Some(part), _) => cases
            .into_iter()
            .filter(|case| case.to_string().contains(part))
            .collect(),
        (None, Scope::All) => cases,
        (None, Scope::Short) => cases.into_iter().filter(is_in_subset).collect(),
    };
    assert!(!chosen.is_empty(), "{family}: no case was chosen of {total}");
    note(family, &chosen, total);
    chosen
}

fn note<C: Display>(family: &str, chosen: &[C], total: usize) {
    let names: Vec<String> = chosen.iter().map(C::to_string).collect();
    let line = format!("{family}: {} of {total}: {}\n", chosen.len(), names.join(", "));
    eprint!("{line}");
    if let Ok(path) = std::env::var("HANDOVER_TESTS_MATRICES") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("tests/run made the directory of the list");
    }
}
