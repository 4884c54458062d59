//! The side-by-side run as a process: short, and of what the tests have installed. What it measures here means nothing; that
//! every figure can be measured does.

use std::process::{Command, Output};

use handover_tests::binary;
use serde_json::Value;

fn run(arguments: &str) -> Output {
    let mut command = Command::new(binary("side-by-side"));
    command.args(arguments.split_whitespace());
    command.output().expect("it can be started")
}

#[test]
fn every_way_of_working_is_measured_at_every_peer_and_lands_in_table_json_and_picture() {
    let folder = tempfile::tempdir().expect("there is room");
    let out = folder.path().display();
    let figures = ["echo-64", "paced-64", "fan-20", "large", "churn", "churn-tls-resumed"];
    let chosen = figures.map(|figure| format!("--figure {figure}")).join(" ");
    let ran = run(&format!(
        "run {chosen} --peers direct,relay,haproxy,handover --rounds 2 --seconds 0.5 --out {out}"
    ));
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it was written");
    let report: Value = serde_json::from_str(&read("run.json")).expect("it is JSON");
    for (shown, name) in report["figures"]
        .as_array()
        .expect("there are figures")
        .iter()
        .zip(figures)
    {
        assert_eq!(shown["name"], name);
        let peers = shown["peers"].as_object().expect("there are peers");
        assert_eq!(peers.len(), if name.contains("tls") { 2 } else { 4 }, "{shown}");
        for outcome in shown["rounds"]["handover"].as_array().expect("there were rounds") {
            assert!(outcome["count"].as_u64() > Some(0), "{name}: {outcome}");
        }
        let ratio = &peers["handover"]["ratios"]["haproxy"]["value"];
        assert!(ratio.as_f64() > Some(0.0), "{name}: {ratio}");
        assert!(read("run.md").contains(&format!("| {} | handover |", shown["title"].as_str().expect("a title"))));
    }
    assert_eq!(String::from_utf8_lossy(&ran.stdout), read("run.md"));
    assert!(read("run.svg").contains("beside HAProxy"));
}

#[test]
fn a_figure_that_does_not_exist_is_refused_with_those_that_do() {
    let ran = run("run --figure echo-65");
    assert_eq!(ran.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(
        told.contains("\"echo-65\"") && told.contains("echo-64, echo-1k"),
        "{told}"
    );
}
