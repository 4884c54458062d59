//! The file as a whole: its example, its defaults, its syntax and its types.

use std::path::Path;
use std::time::Duration;

use handover_gateway::config::{Config, Replay, RouteMode};
use proptest::prelude::*;

use crate::{GOOD, assert_begin, check_fault, check_one_fault, check_route_fault, edited, extended, findings, parse};

#[test]
fn the_example_passes() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/handover.example.toml");
    let (config, warnings) = Config::load(&example).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.servers.len(), 2);
    assert!(config.registry.file.ends_with("deploy/handover.db"));
}

#[test]
fn what_is_not_set_stands_at_its_default() {
    let (config, warnings) = parse(GOOD).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(config.servers[0].control.is_some() && config.servers[1].control.is_none());
    let route = &config.routes[0];
    assert_eq!((route.mode, route.close_code), (RouteMode::Auto, 1012));
    assert_eq!(route.hold_timeout, Duration::from_secs(5));
    assert!(matches!(route.replay, Replay::None) && !route.opaque_transparent);
    assert_eq!(config.metrics.open_boards_alias.as_deref(), Some("rtb_spaces_count"));
    assert_eq!(config.registry.file, Path::new("./handover.db"));
}

#[test]
fn every_fault_is_reported_at_once_in_the_order_of_the_file() {
    let broken = include_str!("broken.toml");
    let faults = Config::parse(broken, Path::new("broken.toml")).unwrap_err();
    let report = faults.to_string() + "\n";
    assert!(report == include_str!("broken.txt"), "the report is now:\n{report}");
}

#[test]
fn each_line_with_a_syntax_error_is_reported() {
    let text = edited(&[
        ("current = \"r1\"", "current = r1"),
        ("http://127.0.0.1:9101\"", "http://127.0.0.1:9101"),
    ]);
    let (faults, _) = findings(&text);
    assert_begin(&faults, &["7  this is not TOML", "11  this is not TOML"], &text);
}

#[test]
fn unknown_keys_and_missing_ones_are_faults() {
    check_one_fault(&extended("[registri]"), "20 registri is not a key");
    check_one_fault(
        &edited(&[("admin = \"127.0.0.1:8081\"\n", "")]),
        "1 listen.admin is missing",
    );
    check_one_fault(
        &edited(&[("[releases]\ncurrent = \"r1\"\n", "")]),
        "0 releases.current is missing",
    );
}

#[test]
fn an_unknown_key_names_the_known_one() {
    let fix = |from: &str, to: &str| {
        let faults = parse(&edited(&[(from, to)])).unwrap_err().faults;
        let mut unknown = faults
            .into_iter()
            .filter(|fault| fault.problem.starts_with("is not a key"));
        unknown.next().unwrap().fix
    };
    assert_eq!(fix("name = \"a\"", "nmae = \"a\""), "did you mean name?");
    assert_eq!(fix("[[routes]]", "[[route]]"), "did you mean routes?");
    let with_token = "control_token = \"x\"\nrelease =";
    assert_eq!(fix("release =", with_token), "did you mean control_token_file?");
    assert!(fix("file =", "colour = 1\nfile =").ends_with("redis, file"));
}

#[test]
fn wrong_types_are_faults() {
    let list = "2 listen.traffic must be a list, and is a string";
    check_fault("[\"127.0.0.1:8080\"]", "\"127.0.0.1:8080\"", list);
    check_fault(
        "\"a\"",
        "7",
        "9 servers[0].name must be a string, and is a whole number",
    );
    let board = "{ path = \"/boards/{board}/ws\" }";
    check_fault(board, "\"/ws\"", "19 routes[0].board must be a table");
    let single = edited(&[("[[routes]]", "[routes]")]);
    let (faults, _) = findings(&single);
    assert_begin(
        &faults,
        &["17 routes must be a list of sections, and is a table"],
        &single,
    );
    check_route_fault(
        "cut_streams = \"true\"",
        "cut_streams must be true or false, and is a string",
    );
    check_route_fault("close_code = \"1012\"", "close_code must be a whole number");
    check_route_fault("hold_bytes = 65536", "hold_bytes is a size without a unit");
    check_route_fault("hold_bytes = \"65536\"", "hold_bytes is not a size");
    check_route_fault("settle = 2", "settle is a duration without a unit");
    check_route_fault("settle = \"2\"", "settle is not a duration");
    check_route_fault("settle = 2.5", "settle must be a duration, and is a fraction");
    check_route_fault("settle = \"1h\"", "settle is out of bounds");
}

#[test]
fn an_empty_file_says_what_must_be_there() {
    let expected = [
        "0 listen.traffic is missing",
        "0 listen.admin is missing",
        "0 registry.file is missing",
        "0 releases.current is missing",
        "0 servers is empty",
        "0 routes is empty",
    ];
    assert_begin(&findings("").0, &expected, "");
}

proptest! {
    #[test]
    fn no_edit_of_a_file_brings_the_reader_down(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..4, "[\\PC\n\t\"'\\[\\]{}=#]{0,3}"), 1..6)
    ) {
        let mut letters: Vec<char> = GOOD.chars().collect();
        for (at, removed, added) in edits {
            let start = at.index(letters.len() + 1);
            let end = (start + removed).min(letters.len());
            letters.splice(start..end, added.chars());
        }
        let text: String = letters.into_iter().collect();
        if let Err(faults) = parse(&text) {
            prop_assert!(!faults.faults.is_empty(), "refused without a fault:\n{text}");
            prop_assert!(!faults.to_string().is_empty());
        }
    }
}
