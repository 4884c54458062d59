//! What an operator meets stands in docs/operating.md: every reason why boards wait, and every refusal.

use std::collections::BTreeSet;
use std::path::Path;

use crate::admin::{MoveReport, ProblemType};
use crate::machine::moving::Reason;

#[test]
fn every_reason_why_boards_wait_stands_in_the_operators_table() {
    let rows = rows_below("## When a drain does not go on");
    let status = read("protocol/src/machine/drain/status.rs");
    let hindrance = read("gateway/src/mover/hindrance.rs");
    let of_drains = literals(&status, "hindrance(\"");
    let of_moves_not_begun = literals(&hindrance, "=> \"");
    assert!(of_drains.contains("no_target"), "{of_drains:?}");
    assert!(of_moves_not_begun.contains("counts_drift"), "{of_moves_not_begun:?}");
    let named = [
        // By the machine or the gateway, under a name of their own.
        "paused",
        MoveReport::STAY,
        MoveReport::BOUNCE_LIMIT,
        MoveReport::MOVE_INTERVAL,
        MoveReport::NOT_AT_SOURCE,
    ];
    let reasons: BTreeSet<&str> = of_drains
        .into_iter()
        .chain(of_moves_not_begun)
        .chain(Reason::ALL.map(Reason::slug))
        .chain(named)
        .collect();
    let missing: Vec<_> = reasons.iter().filter(|reason| !rows.contains(**reason)).collect();
    assert!(
        missing.is_empty(),
        "docs/operating.md does not say what to do about {missing:?}"
    );
}

#[test]
fn every_refusal_of_the_admin_api_stands_in_the_operators_table() {
    let rows = rows_below("## When a call is refused");
    for problem in ProblemType::ALL {
        let slug = serde_json::to_value(problem).unwrap();
        let slug = slug.as_str().unwrap();
        assert!(
            rows.contains(slug),
            "docs/operating.md does not say what to do about {slug}"
        );
    }
}

/// Returns what the first cells of a section's tables name, of rows whose other cells say something.
fn rows_below(heading: &str) -> BTreeSet<String> {
    let text = read("docs/operating.md");
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
        let quoted = cells[0].split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

/// Returns the strings of a source text that stand right behind an opening.
fn literals<'a>(text: &'a str, opening: &str) -> BTreeSet<&'a str> {
    text.split(opening)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect()
}

fn read(path: &str) -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(workspace.join(path)).unwrap()
}
