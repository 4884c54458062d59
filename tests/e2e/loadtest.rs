//! The load test as a process: what its scenarios do to a gateway of their own, and what they report.

mod mistakes;
mod strangers;

use std::process::{Command, Output};

use handover_tests::binary;
use serde_json::Value;

fn run(arguments: &str) -> Output {
    let mut command = Command::new(binary("handover-loadtest"));
    command.args(arguments.split_whitespace());
    command.output().expect("it can be started")
}

/// Runs a scenario that finds nothing, and returns its report.
fn report(arguments: &str) -> Value {
    let ran = run(&format!("{arguments} --output json"));
    let (said, told) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{arguments}: {}\n{told}\n{said}", ran.status);
    serde_json::from_str(&said).expect("it is JSON")
}

fn gateway(report: &Value) -> &Value {
    let processes = report["processes"].as_array().expect("processes were weighed");
    let gateway = processes.iter().find(|process| process["name"] == "gateway");
    gateway.expect("the gateway was weighed")
}

#[test]
fn a_session_and_a_message_are_weighed_with_tls_as_well() {
    let report = report("idle --tls --sessions 40 --drawing 10 --rate 100 --duration 2s");
    assert_eq!(
        (&report["scenario"], &report["load"]["sessions"]),
        (&"idle".into(), &40.into())
    );
    assert!(report["totals"]["acked"].as_u64() > Some(0));
    let gateway = gateway(&report);
    assert!(gateway["rss_bytes_per_session"].as_f64() > Some(0.0), "{gateway}");
    // The operating system counts in steps that so short a run may not fill.
    assert!(gateway["cpu_us_per_message"].is_f64(), "{gateway}");
}

#[test]
fn a_drain_of_idle_boards_is_called_a_drain() {
    let report = report("drain --idle-boards 40 --sessions 4 --boards 2 --duration 1s");
    assert_eq!(report["scenario"], "drain");
    assert_eq!(
        (&report["release"]["state"], &report["not_moved"]),
        (&"done".into(), &0.into())
    );
    let moved = report["release"]["boards_moved"].as_u64();
    assert!(moved >= Some(42), "{moved:?}");
}

#[test]
fn readers_that_stop_are_felt_and_cost_neither_the_others_nor_the_gateway() {
    let report = report("slow --sessions 20 --boards 4 --share 0.2 --rate 80 --duration 5s");
    let slow = &report["slow"];
    assert_eq!((&report["scenario"], &slow["stopped"]), (&"slow".into(), &4.into()));
    assert!(slow["waiting_connections"].as_u64() > Some(0), "{slow}");
    assert!(slow["gateway_growth_bytes"].is_u64(), "it was weighed: {slow}");
    assert!(
        slow["gateway_growth_bytes"].as_u64() <= slow["gateway_growth_bytes_max"].as_u64(),
        "{slow}"
    );
    let bytes = |key: &str| slow["gateway_memory"][key].as_u64().expect("it was weighed");
    assert_eq!(
        slow["gateway_growth_bytes"].as_u64(),
        Some(bytes("meanwhile_max_bytes").saturating_sub(bytes("before_median_bytes"))),
        "{slow}"
    );
    assert_eq!(slow["gateway_memory"]["weighed_by"], "operating_system", "{slow}");
    // All of it runs on this machine.
    assert_eq!(slow["seen_at"], "other", "{slow}");
    let counted = |key: &str| slow[key]["n"].as_u64();
    assert!(
        counted("latency_before_ms") > Some(0) && counted("latency_ms") > Some(0),
        "{slow}"
    );
}
