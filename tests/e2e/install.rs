//! What is shipped for installing: the unit and the image's recipe, judged by the tools of those who would install them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use handover_tests::{binary, workspace};
use serde_json::Value;

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

#[test]
fn the_compose_file_is_one_and_names_only_what_there_is() {
    let deploy = workspace().join("deploy");
    let file = deploy.join("compose.yaml");
    let mut command = Command::new(workspace().join("tests/.venv/bin/check-jsonschema"));
    let checked = run(command.args(["--builtin-schema", "vendor.compose-spec"]).arg(&file));
    assert!(checked.status.success(), "{}", said(&checked));

    let compose = read_yaml(&file);
    let services = compose["services"].as_object().expect("it has services");
    for (name, service) in services {
        for volume in strings(&service["volumes"]) {
            let source = volume.split(':').next().expect("split gives one at least");
            let is_there = match source.starts_with("./") {
                true => deploy.join(source).exists(),
                false => compose["volumes"].get(source).is_some(),
            };
            assert!(is_there, "{name} mounts {source}");
        }
        for other in service["depends_on"].as_object().into_iter().flat_map(|on| on.keys()) {
            assert!(services.contains_key(other), "{name} depends on {other}");
        }
        if let Some(target) = service["build"]["target"].as_str() {
            let recipe = std::fs::read_to_string(deploy.join("Dockerfile")).expect("it is shipped");
            assert!(
                recipe.contains(&format!(" AS {target}\n")),
                "{name} is built from {target}"
            );
        }
    }
    // The shell of the image says how the gateway is, by the command of its health check.
    let health = strings(&services["gateway"]["healthcheck"]["test"]);
    let asked = run(Command::new(binary("handover"))
        .args(&health[2..])
        .args(["--admin", "http://127.0.0.1:1"]));
    assert_eq!(
        asked.status.code(),
        Some(1),
        "nobody is there, and it was understood: {}",
        said(&asked)
    );
    let provisioned = read_yaml(&deploy.join("grafana/provisioning/datasources/prometheus.yaml"));
    assert_eq!(provisioned["datasources"][0]["url"], "http://gateway:9090");
}

#[test]
fn the_token_of_the_compose_file_is_for_its_user_only_and_stays_as_it_is() {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let token = directory.path().join("control_token");
    draw_token(directory.path());
    let drawn = std::fs::read_to_string(&token).expect("it was drawn");
    assert!(
        drawn.len() == 64 && drawn.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{drawn:?}"
    );
    let mode = std::fs::metadata(&token).expect("it was drawn").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The servers that hold it are not started anew with the stand's first service.
    draw_token(directory.path());
    assert_eq!(std::fs::read_to_string(&token).expect("it is there"), drawn);
    // One that was broken off leaves no token of half a length, and is gone over.
    std::fs::rename(&token, token.with_file_name("control_token.new")).expect("it is there");
    draw_token(directory.path());
    assert_ne!(std::fs::read_to_string(&token).expect("it is there"), drawn);
}

#[test]
fn the_gateway_takes_the_configuration_of_the_compose_file() {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let deploy = workspace().join("deploy");
    let shipped = std::fs::read_to_string(deploy.join("compose/handover.toml")).expect("it is shipped");
    let secrets = directory.path().join("secrets");
    std::fs::create_dir(&secrets).expect("the directory was just made");
    draw_token(&secrets);
    let text = shipped
        .replace("/var/lib/handover/", "")
        .replace("/run/secrets", &secrets.display().to_string());
    let file = directory.path().join("handover.toml");
    std::fs::write(&file, &text).expect("the directory was just made");
    let mut check = Command::new(binary("handover"));
    let checked = run(check
        .args(["config", "check", "--output", "json", "--config"])
        .arg(&file));
    assert!(checked.status.success(), "{}", said(&checked));
    let report: Value = serde_json::from_slice(&checked.stdout).expect("it is JSON");
    let warned: Vec<_> = report["warnings"].as_array().into_iter().flatten().collect();
    let is_known = |warning: &&Value| warning["problem"] == "is neither loopback nor TLS";
    assert!(warned.iter().all(is_known), "{warned:#?}");

    let compose = read_yaml(&deploy.join("compose.yaml"));
    let toml = read_with("tomllib.load(open(sys.argv[1], 'rb'))", &file);
    for server in toml["servers"].as_array().expect("it has servers") {
        let field = |key: &str| server[key].as_str().expect("the check has read it").to_owned();
        let name = field("name");
        let arguments = strings(&compose["services"][&name]["command"]);
        let says = |argument: String| assert!(arguments.contains(&argument), "{name}: {argument} in {arguments:?}");
        says(format!("--name={name}"));
        says(format!("--release={}", field("release")));
        says(field("url").replace(&format!("http://{name}:"), "--listen=0.0.0.0:"));
        says(field("control_url").replace(&format!("http://{name}:"), "--control-listen=0.0.0.0:"));
        let volumes = strings(&compose["services"][&name]["volumes"]);
        assert!(
            volumes.contains(&"secrets:/run/secrets:ro".to_owned()),
            "{name}: {volumes:?}"
        );
        // The server itself understands what it is told.
        let understood = run(Command::new(binary("board-server")).args(&arguments).arg("--version"));
        assert!(understood.status.success(), "{}", said(&understood));
    }
}

/// Runs what the stand's first service runs, in a directory that takes the place of its volume.
fn draw_token(secrets: &Path) {
    let service = &read_yaml(&workspace().join("deploy/compose.yaml"))["services"]["control-token"];
    let entrypoint = strings(&service["entrypoint"]);
    let written = strings(&service["command"]).remove(0);
    // Who is not root gives files to nobody else.
    let owner = std::fs::metadata(secrets).expect("it was just made");
    let here = written
        .replace("/run/secrets", &secrets.display().to_string())
        .replace("65532:65532", &format!("{}:{}", owner.uid(), owner.gid()));
    assert_eq!(here.matches("chown").count(), 1, "{here}");
    let drawn = run(Command::new(&entrypoint[0]).args(&entrypoint[1..]).arg(&here));
    assert!(drawn.status.success() && said(&drawn).is_empty(), "{}", said(&drawn));
}

fn read_yaml(file: &Path) -> Value {
    read_with("yaml.safe_load(open(sys.argv[1]))", file)
}

fn read_with(reader: &str, file: &Path) -> Value {
    let script = format!("import json, sys, tomllib, yaml; json.dump({reader}, sys.stdout)");
    let mut python = Command::new(workspace().join("tests/.venv/bin/python"));
    let read = run(python.args(["-c", &script]).arg(file));
    assert!(read.status.success(), "{}", said(&read));
    serde_json::from_slice(&read.stdout).expect("it was just written")
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("tests/run installs {:?}: {error}", command.get_program()))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
