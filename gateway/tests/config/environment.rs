//! What the environment sets, and how that is told.

use std::path::Path;

use handover_gateway::config::{Overrides, Reading, Report, show};

use crate::{GOOD, extended};

fn read(text: &str, variables: &[(&str, &str)]) -> Reading {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Reading::parse(text, Path::new("handover.toml"), &Overrides::new(variables))
}

#[track_caller]
fn check_fault(variables: &[(&str, &str)], expected: &str) {
    let faults = read(GOOD, variables).outcome.expect_err("something is wrong").faults;
    let found: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:#?}");
}

#[test]
fn a_variable_stands_for_a_key() {
    let reading = read(
        GOOD,
        &[
            ("HANDOVER__LISTEN__ADMIN", "127.0.0.1:9999"),
            ("HANDOVER__LISTEN__TRAFFIC", "[\"127.0.0.1:1\", \"127.0.0.1:2\"]"),
            ("HANDOVER__RELEASES__CURRENT", "5"),
            ("HANDOVER__SERVERS__0__RELEASE", "2026-11-20"),
            ("HANDOVER__SERVERS__1__RELEASE", "5"),
            ("HANDOVER__SERVERS__2__NAME", "c"),
            ("HANDOVER__SERVERS__2__URL", "http://127.0.0.1:9003"),
            ("HANDOVER__SERVERS__2__RELEASE", "5"),
            ("HANDOVER__LIMITS__SESSIONS_MAX", "77"),
            ("HANDOVER__ROUTES__0__SETTLE", "1s"),
            ("HANDOVER__ROUTES__0__BOARD", "{ query = \"b\" }"),
            ("HANDOVER_LOG", "info"),
        ],
    );
    let (config, warnings) = reading.outcome.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.listen.traffic.len(), 2);
    assert_eq!(config.releases.current.as_str(), "5");
    let releases: Vec<&str> = config.servers.iter().map(|server| server.release.as_str()).collect();
    assert_eq!(releases, ["2026-11-20", "5", "5"]);
    assert_eq!(config.limits.sessions_max, 77);
    assert_eq!(config.routes[0].settle.as_secs(), 1);
}

#[test]
fn faults_name_the_variable() {
    check_fault(
        &[("HANDOVER__LIMITS__SESSIONS_MAX", "0")],
        "from the environment variable HANDOVER__LIMITS__SESSIONS_MAX: limits.sessions_max is out of bounds",
    );
    check_fault(
        &[("HANDOVER__LIMITS__SESIONS_MAX", "1")],
        "from the environment variable HANDOVER__LIMITS__SESIONS_MAX: limits.sesions_max is not a key",
    );
    check_fault(
        &[("HANDOVER__SERVERS__1__URL", "x")],
        "from the environment variable HANDOVER__SERVERS__1__URL: servers[1].url (\"b\") does not start",
    );
    check_fault(
        &[("HANDOVER__SERVERS__7__URL", "x")],
        "from the environment variable HANDOVER__SERVERS__7__URL: names entry 7 of `servers`, which has 2",
    );
    check_fault(
        &[("HANDOVER__SERVERS__A__URL", "x")],
        "from the environment variable HANDOVER__SERVERS__A__URL: names no entry of the list",
    );
    check_fault(
        &[("HANDOVER__LISTEN__ADMIN__PORT", "1")],
        "from the environment variable HANDOVER__LISTEN__ADMIN__PORT: goes on behind `admin`",
    );
    check_fault(
        &[("HANDOVER__LISTEN__TRAFFIC", "127.0.0.1:1")],
        "from the environment variable HANDOVER__LISTEN__TRAFFIC: listen.traffic must be a list",
    );
    let reading = read(GOOD, &[("HANDOVER__LISTEN__ADMIN", "nowhere")]);
    let report = Report::of(Path::new("handover.toml"), &reading.outcome).to_text();
    assert!(
        report.contains("--> from the environment variable HANDOVER__LISTEN__ADMIN\n  |\n  | \"nowhere\"\n"),
        "{report}"
    );
}

#[test]
fn a_fault_of_the_file_stays_one_of_the_file() {
    let reading = read("[listen", &[("HANDOVER__LISTEN__ADMIN", "127.0.0.1:9999")]);
    let fault = &reading.outcome.unwrap_err().faults[0];
    assert_eq!(
        (fault.environment.clone(), fault.place.as_ref().unwrap().line),
        (None, 1)
    );
}

#[test]
fn what_is_shown_names_its_origins_and_reads_back() {
    let text = extended("mode = \"transparent\"\nclose_deadline = \"250ms\"\nsettle = \"500ms\"");
    let variables = [("HANDOVER__LISTEN__ADMIN", "127.0.0.1:9999")];
    let reading = read(&text, &variables);
    let shown = show(&reading.settings, Path::new("handover.toml"));
    let has = |start: &str, end: &str| {
        let found = shown.lines().any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(found, "no line {start} … {end} in\n{shown}");
    };
    has(
        "admin = \"127.0.0.1:9999\" ",
        "# environment variable HANDOVER__LISTEN__ADMIN",
    );
    has("traffic = [\"127.0.0.1:8080\"] ", "# handover.toml:2");
    has("close_code = 1012 ", "# default");
    has("grace = \"250ms\" ", "# default");
    has("opaque_transparent = true ", "# default");
    has("board = { path = \"/boards/{board}/ws\" } ", "# handover.toml:19");
    let again = read(&shown, &[]);
    let show_config = |reading: Reading| format!("{:?}", reading.outcome.unwrap().0);
    assert_eq!(show_config(again), show_config(reading));
}

#[test]
fn secrets_are_not_shown() {
    let reading = read(&GOOD.replace("file =", "redis = \"redis://u:hunter2@x\"\nfile ="), &[]);
    let shown = show(&reading.settings, Path::new("handover.toml"));
    assert!(
        shown.contains("redis = \"(hidden)\"") && !shown.contains("hunter2"),
        "{shown}"
    );
    let reading = read(GOOD, &[("HANDOVER__REGISTRY__REDIS", "redis://u:hunter2@x")]);
    let report = Report::of(Path::new("handover.toml"), &reading.outcome).to_text();
    assert!(
        report.contains("HANDOVER__REGISTRY__REDIS") && !report.contains("hunter2"),
        "{report}"
    );
}
