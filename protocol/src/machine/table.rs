//! Writes transition tables: the shortest rules that tell the cases apart, in a file that a test compares.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::hash::Hash;
use std::path::Path;

/// One value for each question, and the answer that is got there.
pub(super) type Case = (Vec<&'static str>, String);

/// A condition, and the answer that is got where it holds.
pub(super) type Rule = (String, String);

/// Every state that some sequence of events leads to from the first ones, sensible or not.
pub(super) fn reachable<S, E>(first: impl IntoIterator<Item = S>, events: &[E], on: impl Fn(&mut S, E)) -> Vec<S>
where
    S: Clone + Eq + Hash,
    E: Copy,
{
    let mut next: VecDeque<S> = first.into_iter().collect();
    let mut seen: HashSet<S> = next.iter().cloned().collect();
    let mut states = Vec::new();
    while let Some(state) = next.pop_front() {
        for event in events {
            let mut after = state.clone();
            on(&mut after, *event);
            if seen.insert(after.clone()) {
                next.push_back(after);
            }
        }
        states.push(state);
    }
    states
}

/// Tells cases with different answers apart by as few facts as it takes.
///
/// `facts` lists each question's values.
pub(super) fn rules(facts: &[&[&str]], cases: &[Case]) -> Vec<Rule> {
    let mut rules = Vec::new();
    split(facts, cases, &mut Vec::new(), &mut rules);
    rules
}

fn split(facts: &[&[&str]], cases: &[Case], known: &mut Vec<String>, rules: &mut Vec<Rule>) {
    let answers: BTreeSet<_> = cases.iter().map(|(_, answer)| answer).collect();
    let Some(first) = answers.first() else { return };
    if answers.len() == 1 {
        rules.push((known.join(", "), (*first).clone()));
        return;
    }
    // The question that leaves the fewest answers open asks first.
    let open = |question: usize| -> usize {
        let values: BTreeSet<_> = cases.iter().map(|(values, _)| values[question]).collect();
        let answers: BTreeSet<_> = cases
            .iter()
            .map(|(values, answer)| (values[question], answer))
            .collect();
        if values.len() == 1 { usize::MAX } else { answers.len() }
    };
    let question = (0..facts.len())
        .min_by_key(|question| open(*question))
        .expect("cases that differ have facts");
    assert_ne!(open(question), usize::MAX, "nothing tells these apart: {cases:?}");
    // Values that lead to the same answers share a rule.
    let mut groups: Vec<(Vec<&str>, Vec<Case>)> = Vec::new();
    for value in facts[question] {
        let of_value: Vec<_> = cases
            .iter()
            .filter(|(values, _)| values[question] == *value)
            .cloned()
            .collect();
        if of_value.is_empty() {
            continue;
        }
        let only = |cases: &[Case]| -> BTreeSet<String> { cases.iter().map(|(_, answer)| answer.clone()).collect() };
        let alike = groups
            .iter_mut()
            .find(|(_, others)| only(others).len() == 1 && only(others) == only(&of_value));
        match alike {
            Some((values, others)) => {
                values.push(value);
                others.extend(of_value);
            }
            None => groups.push((vec![value], of_value)),
        }
    }
    for (values, of_values) in groups {
        known.push(values.join(" or "));
        split(facts, &of_values, known, rules);
        known.pop();
    }
}

/// Writes the lines of one phase: events that get the same answers share a line, and those that do nothing come last.
pub(super) fn lines(phase: &str, events: Vec<(String, Vec<Rule>)>) -> String {
    let mut groups: Vec<(Vec<String>, Vec<Rule>)> = Vec::new();
    for (event, rules) in events {
        match groups.iter_mut().find(|(_, others)| *others == rules) {
            Some((names, _)) => names.push(event),
            None => groups.push((vec![event], rules)),
        }
    }
    groups.sort_by_key(|(_, rules)| {
        QUIET
            .iter()
            .position(|quiet| rules.iter().all(|(_, answer)| answer == quiet))
    });
    let mut text = String::new();
    for (names, rules) in groups {
        for (condition, answer) in rules {
            writeln!(text, "| {phase} | {} | {condition} | {answer} |", names.join(", ")).unwrap();
        }
    }
    text
}

/// Compares a table with the one in the tree, or writes it there where `BLESS` is set.
pub(super) fn keep(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    for (number, (is, was)) in text.lines().zip(kept.lines()).enumerate() {
        assert_eq!(is, was, "line {} of {}", number + 1, path.display());
    }
    assert_eq!(
        text.lines().count(),
        kept.lines().count(),
        "{} is too long or too short",
        path.display()
    );
}

/// Answers that do nothing, in the order in which they end a phase.
const QUIET: [&str; 2] = ["stays: –", "stays: anomaly"];
