//! Which top-level modules of its own crate a file names.

use std::collections::BTreeSet;

/// Returns the top-level modules that are named by `crate::…` or by climbing to the crate with `super::`.
///
/// `depth` is how often `super` leads from the file to the crate.
pub(super) fn crate_imports(code: &str, depth: usize) -> BTreeSet<String> {
    let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = BTreeSet::new();
    let climb = "super::".repeat(depth);
    for root in ["crate::", climb.as_str()] {
        if root.is_empty() {
            continue;
        }
        for (place, _) in code.match_indices(root) {
            let before = code[..place].chars().next_back();
            let is_whole = before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_' && letter != ':');
            // `pub(crate)` has no path behind it; a longer name or path has other letters before it.
            if is_whole {
                found.extend(first_names(&code[place + root.len()..]));
            }
        }
    }
    found.retain(|name| name.starts_with(|letter: char| letter.is_ascii_lowercase()));
    found.remove("super");
    found.remove("self");
    found
}

/// Returns the first name of a path, or of each path of a group.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![name_at(path)];
    };
    let mut names = Vec::new();
    let mut level = 0_usize;
    let mut is_at_start = true;
    for (place, letter) in group.char_indices() {
        match letter {
            '}' if level == 0 => break,
            '{' => level += 1,
            '}' => level -= 1,
            ',' if level == 0 => is_at_start = true,
            ' ' => {}
            _ if is_at_start => {
                is_at_start = false;
                names.push(name_at(&group[place..]));
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    let check = |code: &str, depth: usize, expected: &[&str]| {
        let found = crate_imports(code, depth);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{code}");
    };
    check("use crate::edge::Listener;", 1, &["edge"]);
    check(
        "use crate::{\n    board::{Table, gate},\n    edge::Listener,\n    Error,\n};",
        1,
        &["board", "edge"],
    );
    check("fn a() { crate::mover::start(); }", 1, &["mover"]);
    check("use super::super::edge::Listener;", 2, &["edge"]);
    check("use super::gate;", 2, &[]);
    check("use super::gate;", 1, &["gate"]);
    check("pub(crate) fn a(b: other_crate::edge::C) {}", 1, &[]);
    check("use handover_protocol::crate_::edge;", 1, &[]);
}
