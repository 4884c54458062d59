//! What is shipped for installing: the unit and the image's recipe, judged by the tools of those who would install them.

use std::process::{Command, Output};

use handover_tests::{binary, workspace};

#[test]
fn systemd_takes_the_unit_and_finds_it_well_shut() {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let unit = directory.path().join("handover.service");
    let shipped = std::fs::read_to_string(workspace().join("deploy/systemd/handover.service")).expect("it is shipped");
    let installed = binary("handover").display().to_string();
    let text = shipped.replace("/usr/bin/handover", &installed);
    assert_ne!(text, shipped, "the unit names its program");
    std::fs::write(&unit, text).expect("the directory was just made");
    let verified = run(Command::new("systemd-analyze").arg("verify").arg(&unit));
    assert!(verified.status.success(), "{}", said(&verified));
    assert_eq!(said(&verified), "", "it has nothing to say against the unit");
    let judged = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(&unit));
    assert!(judged.status.success(), "{}", said(&judged));
}

#[test]
fn hadolint_takes_the_dockerfile() {
    let mut command = Command::new(workspace().join("tests/.venv/bin/hadolint"));
    let linted = run(command.arg(workspace().join("deploy/Dockerfile")));
    assert!(linted.status.success(), "{}", said(&linted));
    assert_eq!(said(&linted), "");
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("tests/run installs {:?}: {error}", command.get_program()))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
