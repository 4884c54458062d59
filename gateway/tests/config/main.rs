//! What `Config` and `handover config check` say of right and wrong files.

mod access;
mod bounds;
mod command;
mod documented;
mod environment;
mod file;
mod front;
mod routes;
mod server_tls;
mod servers;

use std::path::Path;

use handover_gateway::config::{Config, Faults, Finding};

/// A file without a fault or a warning; tests know its lines by number.
const GOOD: &str = r#"[listen]
traffic = ["127.0.0.1:8080"]
admin = "127.0.0.1:8081"
[registry]
file = "handover.db"
[releases]
current = "r1"
[[servers]]
name = "a"
url = "http://127.0.0.1:9001"
control_url = "http://127.0.0.1:9101"
release = "r1"
[[servers]]
name = "b"
url = "http://127.0.0.1:9002"
release = "r1"
[[routes]]
name = "boards"
board = { path = "/boards/{board}/ws" }
"#;

/// The file with some texts in it replaced.
fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = GOOD.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in the good file");
        text = text.replacen(from, to, 1);
    }
    text
}

/// The file with lines behind its end.
fn extended(lines: &str) -> String {
    format!("{GOOD}{lines}\n")
}

fn parse(text: &str) -> Result<(Config, Vec<Finding>), Faults> {
    Config::parse(text, Path::new("handover.toml"))
}

/// Faults and warnings as `line key problem`, line 0 where they have no place.
fn findings(text: &str) -> (Vec<String>, Vec<String>) {
    let show = |list: &[Finding]| {
        let lines = list.iter().map(|finding| {
            assert!(!finding.fix.is_empty(), "{finding} does not say what to do");
            let line = finding.place.as_ref().map_or(0, |place| place.line);
            format!("{line} {} {}", finding.key, finding.problem)
        });
        lines.collect()
    };
    match parse(text) {
        Ok((_, warnings)) => (Vec::new(), show(&warnings)),
        Err(faults) => (show(&faults.faults), show(&faults.warnings)),
    }
}

#[track_caller]
fn assert_begin(found: &[String], expected: &[&str], text: &str) {
    let fit = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, start)| found.starts_with(start));
    assert!(fit, "expected {expected:#?}\nfound {found:#?}\nin\n{text}");
}

/// Checks that a file has exactly this one fault, and no warning.
#[track_caller]
fn check_one_fault(text: &str, expected: &str) {
    let (faults, warnings) = findings(text);
    assert_begin(&faults, &[expected], text);
    assert_begin(&warnings, &[], text);
}

#[track_caller]
fn check_one_warning(text: &str, expected: &str) {
    let (faults, warnings) = findings(text);
    assert_begin(&faults, &[], text);
    assert_begin(&warnings, &[expected], text);
}

#[track_caller]
fn check_fault(from: &str, to: &str, expected: &str) {
    check_one_fault(&edited(&[(from, to)]), expected);
}

/// Checks a line of the route, the 20th of the file.
#[track_caller]
fn check_route_fault(line: &str, expected: &str) {
    check_one_fault(&extended(line), &format!("20 routes[0].{expected}"));
}

#[track_caller]
fn check_route_warning(line: &str, expected: &str) {
    check_one_warning(&extended(line), &format!("20 routes[0].{expected}"));
}
