//! Where the admin API is served, and to whom.

use handover_gateway::config::{AdminAddress, Scope};

use crate::{GOOD, assert_begin, check_fault, check_one_fault, check_one_warning, edited, extended, findings, parse};

const DIGEST: &str = "6ef10bc1b21f6dfe8ff4c9ab3df0ec16b87d5e3d0b1ec5b2b1b6e7d0e5e0e4d5";

fn token(lines: &str) -> String {
    extended(&format!("[[admin.tokens]]\n{lines}"))
}

#[test]
fn beyond_this_machine_callers_are_asked_who_they_are() {
    let beyond = edited(&[("127.0.0.1:8081", "0.0.0.0:8081")]);
    check_one_fault(&beyond, "3 listen.admin lets anybody who reaches it move boards");
    let entry = format!("[[admin.tokens]]\nname = \"a\"\nscope = \"read\"\nsha256 = \"{DIGEST}\"\n");
    check_one_warning(
        &format!("{beyond}{entry}"),
        "3 listen.admin is neither loopback nor TLS",
    );
}

#[test]
fn the_admin_api_can_be_a_socket_in_the_file_system() {
    let (config, warnings) = parse(&edited(&[("127.0.0.1:8081", "unix:admin.sock")])).expect("it is fine");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.listen.admin, AdminAddress::Unix("./admin.sock".into()));
    check_fault(
        "127.0.0.1:8081",
        "unix:/nowhere/at/all/admin.sock",
        "3 listen.admin lies in a folder that does not exist",
    );
    check_fault("127.0.0.1:8081", "unix:/tmp", "3 listen.admin is a folder");
}

#[test]
fn a_token_has_a_name_a_scope_and_one_source() {
    let good = format!("name = \"a\"\nscope = \"operate\"\nsha256 = \"{DIGEST}\"");
    let (config, warnings) = parse(&token(&good)).expect("it is fine");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.admin.tokens[0].scope, Scope::Operate);
    assert!(!format!("{:?}", config.admin).contains("6ef1"), "a digest is shown");
    let check = |lines: &str, expected: &[&str]| {
        let text = token(lines);
        assert_begin(&findings(&text).0, expected, &text);
    };
    check(
        &good.replace("operate", "root"),
        &["22 admin.tokens[0].scope is none of the words"],
    );
    check(
        &good.replace(DIGEST, "abc"),
        &["23 admin.tokens[0].sha256 is not a SHA-256"],
    );
    check("name = \"a\"\nscope = \"read\"", &["20 admin.tokens[0] has no token"]);
    check(
        &format!("{good}\ntoken_file = \"x\""),
        &["23 admin.tokens[0].sha256 is a second source"],
    );
    check(
        "name = \"a\"\nscope = \"read\"\ntoken_file = \"nowhere\"",
        &["23 admin.tokens[0].token_file cannot be read"],
    );
    check(
        &format!("{good}\n[[admin.tokens]]\n{}", good.replace("\"a\"", "\"b\"")),
        &["24 admin.tokens[1] has the token of an entry before"],
    );
    assert!(parse(GOOD).expect("it is fine").0.admin.tokens.is_empty());
}

/// A folder with a certificate, its key, and a second certificate.
fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let made = rcgen::generate_simple_self_signed(["admin.example".to_owned()]).expect("the name is sound");
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("the folder is there");
    write("admin.pem", made.cert.pem());
    write("admin.key", made.signing_key.serialize_pem());
    write("broken.pem", "nothing".to_owned());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("admin.key"), mode).expect("it is ours");
    folder
}

#[test]
fn with_tls_and_client_certificates_the_admin_api_may_be_anywhere() {
    let folder = files();
    let path = |name: &str| format!("\"{}\"", folder.path().join(name).display());
    let tls = format!(
        "[admin.tls]\ncertificate_file = {}\nkey_file = {}\n",
        path("admin.pem"),
        path("admin.key")
    );
    let with_ca = format!("{tls}client_ca_file = {}\n", path("admin.pem"));
    let named = "[[admin.client_certificates]]\nname = \"ann\"\nscope = \"operate\"\n";
    let token = format!("[[admin.tokens]]\nname = \"a\"\nscope = \"read\"\nsha256 = \"{DIGEST}\"\n");
    let beyond = edited(&[("127.0.0.1:8081", "0.0.0.0:8081")]);
    for more in [format!("{tls}{token}"), format!("{with_ca}{named}")] {
        let (config, warnings) = parse(&format!("{beyond}{more}")).expect("it is fine");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(config.admin.tls.is_some() && config.admin.asks_who());
    }
    check_one_fault(
        &format!("{beyond}{tls}"),
        "3 listen.admin lets anybody who reaches it move boards",
    );
    check_one_fault(&extended(&with_ca), "23 admin.tls.client_ca_file believes certificates");
    check_one_fault(
        &extended(&format!("{tls}{named}")),
        "23 admin.client_certificates names certificates",
    );
    check_one_fault(
        &extended(&format!("{with_ca}{named}{}", named.replace("operate", "admin"))),
        "27 admin.client_certificates[1] has the name of an entry before",
    );
    check_one_fault(
        &extended(&format!("{tls}client_ca_file = {}\n{named}", path("broken.pem"))),
        "23 admin.tls.client_ca_file cannot be used",
    );
    check_one_fault(
        &format!("{}{tls}{token}", edited(&[("127.0.0.1:8081", "unix:admin.sock")])),
        "3 listen.admin is a socket in the file system, which speaks no TLS",
    );
    let swapped = format!(
        "[admin.tls]\ncertificate_file = {0}\nkey_file = {0}\n",
        path("admin.pem")
    );
    check_one_fault(&extended(&swapped), "22 admin.tls.key_file cannot be used");
    check_one_fault(
        &extended("[admin.tls]\nkey_file = \"x\""),
        "20 admin.tls.certificate_file is missing",
    );
}
