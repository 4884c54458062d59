//! Where the admin API is served, and to whom.

use handover_gateway::config::{AdminAddress, Scope};

use crate::{GOOD, assert_begin, check_fault, check_one_fault, check_one_warning, edited, extended, findings, parse};

const DIGEST: &str = "6ef10bc1b21f6dfe8ff4c9ab3df0ec16b87d5e3d0b1ec5b2b1b6e7d0e5e0e4d5";

fn token(lines: &str) -> String {
    extended(&format!("[[admin.tokens]]\n{lines}"))
}

#[test]
fn beyond_this_machine_there_must_be_tokens() {
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
