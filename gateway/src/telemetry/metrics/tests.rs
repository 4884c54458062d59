//! What is shown, and from when on.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::telemetry::label::CheckResult;
use handover_protocol::admin::ServerState;

fn metrics() -> Metrics {
    Metrics::new(&MetricsConfig::default()).unwrap()
}

fn holds(text: &str, line: &str) -> bool {
    text.lines().any(|other| other == line)
}

#[test]
fn every_series_is_there_at_zero_from_the_start() {
    let text = metrics().render();
    let check = |line: &str| assert!(holds(&text, line), "{line} in\n{text}");
    check("handover_moves_total{level=\"opaque\",result=\"forced\"} 0");
    check("handover_moves_total{level=\"contract\",result=\"moved\"} 0");
    check("handover_move_step_seconds_count{step=\"drain_down\"} 0");
    check("handover_blackout_seconds_count{mode=\"transparent\"} 0");
    check("handover_hold_seconds_bucket{mode=\"reconnect\",le=\"0.0005\"} 0");
    check("handover_hold_seconds_bucket{mode=\"reconnect\",le=\"5\"} 0");
    check("handover_fallbacks_total{reason=\"boundary\"} 0");
    check("handover_limit_hits_total{limit=\"hold_bytes\"} 0");
    check("handover_control_failures_total{call=\"thaw\",reason=\"unanswered\"} 0");
    check("handover_drains{state=\"running\"} 0");
    check("handover_drain_boards{state=\"left\"} 0");
    check("handover_held_boards 0");
    check("handover_handshake_seconds_count{step=\"dial\"} 0");
    check("handover_log_lines_lost_total{reason=\"queue_full\"} 0");
    check("handover_log_lines_lost_total{reason=\"write_failed\"} 0");
    assert!(
        text.contains("\nprocess_open_fds ") && text.contains("\nprocess_resident_memory_bytes "),
        "{text}"
    );
    check("handover_registry_sync_seconds_count 0");
    check("handover_parked 0");
    check("handover_parked_total 0");
    check("handover_parked_expired_total 0");
    check("handover_registry_unknown_total 0");
    check("handover_sessions_opened_total 0");
    check("handover_unconfirmed_sessions_total 0");
    check("handover_bounced_sessions_total 0");
    check("handover_counts_drifts_total 0");
    check("handover_silent_targets_total 0");
    check("handover_limit_hits_total{limit=\"bounce_limit\"} 0");
    check(concat!(
        "handover_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1"
    ));
}

#[test]
fn each_pair_of_labels_counts_for_itself() {
    let metrics = metrics();
    metrics.moves.of(MoveResult::Undone, Level::Opaque).inc_by(2);
    metrics.moves.of(MoveResult::Moved, Level::Contract).inc_by(3);
    let text = metrics.render();
    assert!(holds(
        &text,
        "handover_moves_total{level=\"opaque\",result=\"undone\"} 2"
    ));
    assert!(holds(
        &text,
        "handover_moves_total{level=\"contract\",result=\"moved\"} 3"
    ));
    assert_eq!(text.matches("handover_moves_total{").count(), 8);
}

#[test]
fn open_boards_have_their_older_name_too_until_the_server_leaves() {
    let metrics = metrics();
    let (name, release) = ("board-1".parse().unwrap(), "r1".parse().unwrap());
    let server = metrics.server(&name, &release);
    server.set_boards(7, 2);
    server.sessions.inc();
    server.set_state(ServerState::Draining);
    server.checks(CheckResult::Refused).inc();
    server.restarts.inc();
    server.load_seconds.observe(0.2);
    let text = metrics.render();
    assert!(holds(&text, "rtb_spaces_count{instance=\"board-1\"} 7"), "{text}");
    for line in [
        "handover_boards{release=\"r1\",role=\"owner\",server=\"board-1\"} 7",
        "handover_boards{release=\"r1\",role=\"standby\",server=\"board-1\"} 2",
    ] {
        assert!(holds(&text, line), "{text}");
    }
    for line in [
        "handover_sessions{server=\"board-1\"} 1",
        "handover_server_state{server=\"board-1\",state=\"ready\"} 0",
        "handover_server_state{server=\"board-1\",state=\"draining\"} 1",
        "handover_server_state{server=\"board-1\",state=\"down\"} 0",
        "handover_server_checks_total{result=\"answered\",server=\"board-1\"} 0",
        "handover_server_checks_total{result=\"refused\",server=\"board-1\"} 1",
        "handover_server_restarts_total{server=\"board-1\"} 1",
        "handover_load_seconds_count{server=\"board-1\"} 1",
    ] {
        assert!(holds(&text, line), "{line} in\n{text}");
    }
    metrics.forget_server(&name, &release);
    assert!(!metrics.render().contains("board-1"));
}

#[test]
fn an_alias_can_be_another_none_or_impossible() {
    let with = |alias: Option<&str>| {
        Metrics::new(&MetricsConfig {
            open_boards_alias: alias.map(Into::into),
            ..MetricsConfig::default()
        })
    };
    let server = |metrics: &Metrics| metrics.server(&"s".parse().unwrap(), &"r".parse().unwrap());
    let other = with(Some("open_rooms")).unwrap();
    server(&other).set_boards(1, 0);
    assert!(holds(&other.render(), "open_rooms{instance=\"s\"} 1"));
    let none = with(None).unwrap();
    server(&none).set_boards(1, 0);
    assert!(!none.render().contains("instance="));
    let labelled = Metrics::new(&MetricsConfig {
        open_boards_label: "node".into(),
        ..MetricsConfig::default()
    })
    .unwrap();
    server(&labelled).set_boards(1, 0);
    assert!(holds(&labelled.render(), "rtb_spaces_count{node=\"s\"} 1"));
    assert!(with(Some("no name")).unwrap_err().to_string().contains("no name"));
    assert!(with(Some("handover_boards")).is_err());
}

#[test]
fn a_parked_newcomer_is_counted_while_it_waits() {
    let metrics = metrics();
    let waiting = metrics.parked();
    assert!(holds(&metrics.render(), "handover_parked 1"));
    drop(waiting);
    let text = metrics.render();
    assert!(holds(&text, "handover_parked 0") && holds(&text, "handover_parked_total 1"));
}

/// Everything that a gateway with one server and one certificate shows, as a table for people.
fn document() -> String {
    let metrics = metrics();
    metrics.server(&"board-1".parse().unwrap(), &"r1".parse().unwrap());
    metrics.server_tls(&"board-1".parse().unwrap());
    metrics.certificate_ends.family.with_label_values(&["app.pem"]).set(0);
    let mut text = String::from(DOCUMENT_HEAD);
    for family in metrics.registry.gather() {
        let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for pair in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
            labels.entry(pair.name()).or_default().insert(pair.value());
        }
        let labels = labels.iter().map(|(name, values)| match *name {
            "server" | "release" | "instance" | "certificate" | "version" => format!("`{name}`"),
            name => {
                let values: Vec<&str> = values.iter().copied().collect();
                format!("`{name}`: {}", values.join(", "))
            }
        });
        let labels: Vec<String> = labels.collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let (name, help) = (family.name(), family.help());
        text += &format!("| `{name}` | {kind} | {} | {help} |\n", labels.join("; "));
    }
    text
}

#[test]
fn the_document_lists_what_is_shown() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let written = document();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        known == written,
        "docs/metrics.md is not what the gateway shows; run this test with BLESS=1"
    );
}

const DOCUMENT_HEAD: &str = "\
# Metrics

Everything that `GET /metrics` shows, written from the code. Every series is there from the start, at zero; those of a
server come and go with it, and those of its TLS and of certificates are there where TLS is configured. Label values are closed lists and names of servers, releases and files; never boards or
sessions. Times are in seconds. What to do when one of them is wrong says
[operating.md](operating.md#when-an-alert-fires).

| metric | type | labels | meaning |
|---|---|---|---|
";
