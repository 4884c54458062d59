//! What is said of TLS to servers: keys that belong together, and files that are of no use or soon will be.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handover_gateway::config::Config;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::edited;

/// A folder with certificates that hold for long: `ca.pem`, and `gateway.pem` with `gateway.key`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    write(folder.path(), "ca", |_| {});
    write(folder.path(), "gateway", |_| {});
    folder
}

fn write(folder: &Path, name: &str, change: impl FnOnce(&mut CertificateParams)) {
    let key = KeyPair::generate().expect("the system has randomness");
    let mut params = CertificateParams::new(vec!["board-1.internal".to_owned()]).expect("the name is sound");
    change(&mut params);
    let certificate = params.self_signed(&key).expect("the key is sound");
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("the folder is there");
    let key_file = folder.join(format!("{name}.key"));
    fs::write(&key_file, key.serialize_pem()).expect("the folder is there");
    hide(&key_file);
}

fn hide(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("the file is there");
}

/// A file whose first server is reached over TLS, with some lines in its table.
fn over_tls(lines: &str) -> String {
    let url = format!("url = \"https://127.0.0.1:9001\"\n{lines}\n");
    edited(&[("url = \"http://127.0.0.1:9001\"\n", &url)])
}

/// Checks faults and warnings, as `line key problem`.
#[track_caller]
fn check(folder: &TempDir, text: &str, faults: &[&str], warnings: &[&str]) {
    let show = |list: &[handover_gateway::config::Finding]| -> Vec<String> {
        let line = |finding: &handover_gateway::config::Finding| {
            assert!(!finding.fix.is_empty(), "{finding} does not say what to do");
            let line = finding.place.as_ref().map_or(0, |place| place.line);
            format!("{line} {} {}", finding.key, finding.problem)
        };
        list.iter().map(line).collect()
    };
    let (found, doubtful) = match Config::parse(text, &folder.path().join("handover.toml")) {
        Ok((_, warnings)) => (Vec::new(), show(&warnings)),
        Err(report) => (show(&report.faults), show(&report.warnings)),
    };
    crate::assert_begin(&found, faults, text);
    crate::assert_begin(&doubtful, warnings, text);
}

#[test]
fn a_server_is_reached_over_tls_with_whom_to_believe_and_what_to_show() {
    let folder = folder();
    let lines = "ca_file = \"ca.pem\"\nserver_name = \"board-1.internal\"\nclient_certificate_file = \"gateway.pem\"\n\
                 client_key_file = \"gateway.key\"";
    check(&folder, &over_tls(lines), &[], &[]);
    let control = edited(&[(
        "control_url = \"http://127.0.0.1:9101\"",
        "control_url = \"https://127.0.0.1:9101\"\nca_file = \"ca.pem\"",
    )]);
    check(&folder, &control, &[], &[]);
    let (config, _) = Config::parse(&over_tls(lines), &folder.path().join("handover.toml")).unwrap();
    let tls = config.servers[0].tls.as_ref().unwrap().config();
    assert_eq!(
        tls.ca_file,
        Some(folder.path().join("ca.pem")),
        "it lies beside the file"
    );
    assert!(config.servers[1].tls.is_none());
}

#[test]
fn keys_that_belong_together_stand_together() {
    let folder = folder();
    let ca = "ca_file = \"ca.pem\"\n";
    check(
        &folder,
        &over_tls(&format!("{ca}client_certificate_file = \"gateway.pem\"")),
        &["12 servers[0].client_certificate_file has no key"],
        &[],
    );
    check(
        &folder,
        &over_tls(&format!("{ca}client_key_file = \"gateway.key\"")),
        &["12 servers[0].client_key_file is the key of no certificate"],
        &[],
    );
    let plain = edited(&[("9002\"\n", "9002\"\nca_file = \"ca.pem\"\n")]);
    check(&folder, &plain, &[], &["16 servers[1].ca_file is used by no URL"]);
    check(
        &folder,
        &over_tls(&format!("{ca}server_name = \"https://board-1\"")),
        &["12 servers[0].server_name is neither a host name nor an address"],
        &[],
    );
}

#[test]
fn files_that_are_of_no_use_are_named_with_their_key() {
    let folder = folder();
    write(folder.path(), "other", |_| {});
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    check(
        &folder,
        &over_tls("ca_file = \"none.pem\""),
        &["11 servers[0].ca_file cannot be used"],
        &[],
    );
    check(
        &folder,
        &over_tls("ca_file = \"empty.pem\""),
        &["11 servers[0].ca_file cannot be used"],
        &[],
    );
    let pair = |certificate: &str, key: &str| {
        over_tls(&format!(
            "ca_file = \"ca.pem\"\nclient_certificate_file = \"{certificate}\"\nclient_key_file = \"{key}\""
        ))
    };
    check(
        &folder,
        &pair("none.pem", "gateway.key"),
        &["12 servers[0].client_certificate_file cannot be used"],
        &[],
    );
    check(
        &folder,
        &pair("gateway.pem", "none.key"),
        &["13 servers[0].client_key_file cannot be used"],
        &[],
    );
    check(
        &folder,
        &pair("gateway.pem", "other.key"),
        &["13 servers[0].client_key_file does not fit"],
        &[],
    );
    write(folder.path(), "nameless", |params| params.subject_alt_names.clear());
    check(&folder, &pair("nameless.pem", "nameless.key"), &[], &[]);
}

#[test]
fn certificates_that_end_soon_are_warned_of() {
    let folder = folder();
    write(folder.path(), "old", |params| {
        params.not_after = date_time_ymd(2001, 1, 1)
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let in_days = move |days: u64| {
        let then = now + Duration::from_secs(days * 24 * 60 * 60 + 60 * 60);
        date_time_ymd(1970, 1, 1) + then
    };
    write(folder.path(), "soon", |params| params.not_after = in_days(5));
    write(folder.path(), "later", |params| params.not_after = in_days(20));
    let shown = |name: &str| {
        over_tls(&format!(
            "ca_file = \"ca.pem\"\nclient_certificate_file = \"{name}.pem\"\nclient_key_file = \"{name}.key\""
        ))
    };
    let key = "servers[0].client_certificate_file names a certificate that";
    check(&folder, &shown("old"), &[], &[&format!("12 {key} has expired")]);
    check(&folder, &shown("soon"), &[], &[&format!("12 {key} ends in 5 days")]);
    check(&folder, &shown("later"), &[], &[]);
    let believed = |name: &str| over_tls(&format!("ca_file = \"{name}.pem\""));
    let expected = "11 servers[0].ca_file names a certificate that ends in 5 days";
    check(&folder, &believed("soon"), &[], &[expected]);
    // Of several the one that holds longest counts.
    let [old, ca] = ["old.pem", "ca.pem"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
    fs::write(folder.path().join("both.pem"), old + &ca).unwrap();
    check(&folder, &believed("both"), &[], &[]);
}

#[test]
fn a_control_url_beyond_this_machine_is_fine_with_tls_and_a_token() {
    let folder = folder();
    let token = folder.path().join("a.token");
    fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    hide(&token);
    let text = |scheme: &str| {
        edited(&[(
            "control_url = \"http://127.0.0.1:9101\"",
            &format!(
                "control_url = \"{scheme}://10.0.0.9:9101\"\ncontrol_token_file = \"a.token\"\nca_file = \"ca.pem\""
            ),
        )])
    };
    check(&folder, &text("https"), &[], &[]);
    let plain = [
        "11 servers[0].control_url is neither loopback nor TLS",
        "13 servers[0].ca_file is used by no URL",
    ];
    check(&folder, &text("http"), &[], &plain);
}
