//! What is shipped for installing: the unit and the image's recipe, judged by the tools of those who would install them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use handover_tests::{binary, workspace};

/// Writes the shipped units as they would be installed, and returns the service's.
fn install_units(directory: &Path) -> PathBuf {
    let shipped = workspace().join("deploy/systemd");
    let read = |name: &str| std::fs::read_to_string(shipped.join(name)).expect("it is shipped");
    let service = read("handover.service");
    let installed = binary("handover").display().to_string();
    let text = service.replace("/usr/bin/handover", &installed);
    assert_ne!(text, service, "the unit names its program");
    let unit = directory.join("handover.service");
    std::fs::write(&unit, text).expect("the directory was just made");
    std::fs::write(directory.join("handover.socket"), read("handover.socket")).expect("the directory was just made");
    unit
}

#[test]
fn systemd_takes_the_units_and_finds_the_service_well_shut() {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let unit = install_units(directory.path());
    let socket = directory.path().join("handover.socket");
    let verified = run(Command::new("systemd-analyze").arg("verify").arg(&unit).arg(&socket));
    assert!(verified.status.success(), "{}", said(&verified));
    assert_eq!(said(&verified), "", "it has nothing to say against the units");
    let judged = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(&unit));
    assert!(judged.status.success(), "{}", said(&judged));
}

#[test]
fn systemd_takes_the_type_that_waits_for_reloads_where_it_knows_it() {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let unit = install_units(directory.path());
    let drop_ins = directory.path().join("handover.service.d");
    std::fs::create_dir(&drop_ins).expect("the directory was just made");
    let shipped = workspace().join("deploy/systemd/notify-reload.conf");
    std::fs::copy(shipped, drop_ins.join("notify-reload.conf")).expect("it is shipped");
    let verified = said(&run(Command::new("systemd-analyze").arg("verify").arg(&unit)));
    let version = said(&run(Command::new("systemd-analyze").arg("--version")));
    let number = version
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse::<u32>().ok());
    if number.expect("it says its version") >= 253 {
        assert_eq!(verified, "");
    } else {
        // It has read the file, and knows nothing of the type.
        assert!(verified.contains("notify-reload"), "{verified}");
    }
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
