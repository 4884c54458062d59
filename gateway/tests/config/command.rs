//! `handover config check` as a process.

use std::fs;
use std::process::Command;

use handover_gateway::config::Config;

use crate::{GOOD, edited, extended};

#[test]
fn config_check_prints_a_report_and_exits_with_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("handover.toml");
    let run = |text: &[u8], arguments: &[&str]| {
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
        command.args(["config", "check", "--config"]).arg(&file).args(arguments);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = run(GOOD.as_bytes(), &[]);
    assert_eq!((code, text), (Some(0), format!("{}: ok\n", file.display())));

    let doubtful = edited(&[("current = \"r1\"", "current = \"r2\"")]);
    let (code, text) = run(doubtful.as_bytes(), &[]);
    assert_eq!(code, Some(0));
    assert!(text.ends_with("ok, with 1 warning\n"), "{text}");

    let (code, text) = run(extended("close_code = 1006").as_bytes(), &["--output", "json"]);
    assert_eq!(code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["ok"], serde_json::json!(false));
    let fault = &report["faults"][0];
    assert_eq!(fault["key"], "routes[0].close_code");
    assert_eq!((fault["line"].as_u64(), fault["column"].as_u64()), (Some(20), Some(14)));
    assert_eq!(fault["value"], "1006");

    let (code, text) = run(b"\xff", &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("is not UTF-8"), "{text}");
    fs::remove_file(&file).unwrap();
    let missing = Config::load(&file).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
}
