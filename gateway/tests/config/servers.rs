//! What is said of listeners, the registry, servers and limits.

use std::fs;

use handover_gateway::config::Config;

use crate::{assert_begin, check_fault, check_one_fault, check_one_warning, edited, extended, findings, parse};

#[test]
fn what_must_be_unique_is() {
    check_fault("\"b\"", "\"a\"", "14 servers[1].name is the same as servers[0].name");
    check_fault(":9002", ":9001", "15 servers[1].url is the same as servers[0].url");
    let control = "9002\"\ncontrol_url = \"http://127.0.0.1:9101\"\n";
    let expected = "16 servers[1].control_url is the same as servers[0].control_url";
    check_fault("9002\"\n", control, expected);
    let second = extended("[[routes]]\nname = \"boards\"\nboard = { query = \"b\" }");
    check_one_fault(&second, "21 routes[1].name is the same as routes[0].name");
    let listeners = "\"[::1]:8080\", \"[::]:8080\"";
    check_fault("\"127.0.0.1:8080\"", listeners, "2 listen.traffic[1] is taken");
}

#[test]
fn listeners_are_checked() {
    check_fault("127.0.0.1:8081", "0.0.0.0:8081", "3 listen.admin lets anybody");
    check_fault("127.0.0.1:8081", "10.0.0.1:8081", "3 listen.admin lets anybody");
    check_fault(
        "127.0.0.1:8081",
        "127.0.0.1:8080",
        "3 listen.admin is an address of listen.traffic",
    );
    check_fault(
        "127.0.0.1:8080",
        "0.0.0.0:8081",
        "3 listen.admin is an address of listen.traffic",
    );
    check_fault(
        "127.0.0.1:8080",
        "localhost:8080",
        "2 listen.traffic[0] is not an address",
    );
    check_fault("\"127.0.0.1:8080\"", "", "2 listen.traffic is empty");
    check_fault(
        ":9001",
        ":8080",
        "10 servers[0].url is an address of the gateway itself",
    );
    for fine in ["127.0.0.1:0", "[::1]:8081"] {
        let text = edited(&[("127.0.0.1:8081", fine), ("127.0.0.1:8080", "127.0.0.1:0")]);
        assert_eq!(findings(&text), (vec![], vec![]), "{fine}");
    }
}

#[test]
fn the_registry_is_a_file_in_a_folder_that_exists() {
    let redis = "redis = \"redis://:pw@h\"";
    check_fault("file = \"handover.db\"", redis, "5 registry.redis names a registry");
    check_fault(
        "handover.db",
        "no/such/handover.db",
        "5 registry.file lies in a folder that does not exist",
    );
    check_fault("handover.db", "/tmp", "5 registry.file is a folder");
    check_fault("handover.db", "", "5 registry.file is empty");
}

#[test]
fn servers_are_checked() {
    let check_url = |to: &str, expected: &str| {
        check_fault("http://127.0.0.1:9001", to, &format!("10 servers[0].url {expected}"));
    };
    check_url("wss://h:1", "names a scheme of WebSockets");
    check_url("h:1", "does not start with http:// or https://");
    check_url("https://h..x:1", "names no host");
    check_url("http://h:1/app", "goes on behind the port");
    check_fault("\"a\"", "\"a b\"", "9 servers[0].name has a character");
    let beyond = "http://10.0.0.9:9101";
    check_fault(
        "http://127.0.0.1:9101",
        beyond,
        "11 servers[0].control_url leaves this machine without a token",
    );
    let no_control = "9002\"\ncontrol_token_file = \"none\"\n";
    let (faults, _) = findings(&edited(&[("9002\"\n", no_control)]));
    let expected = [
        "16 servers[1].control_token_file cannot be read",
        "16 servers[1].control_token_file is for no control URL",
    ];
    assert_begin(&faults, &expected, no_control);
    let newer = edited(&[("current = \"r1\"", "current = \"r2\"")]);
    check_one_warning(&newer, "7 releases.current is the release of no server");
}

#[test]
fn secrets_are_not_shown() {
    let text = edited(&[
        ("http://127.0.0.1:9001", "http://u:hunter2@h"),
        ("release =", "control_token = \"hunter2\"\nrelease ="),
        ("file = \"handover.db\"", "redis = \"redis://:hunter2@h\""),
    ]);
    let faults = parse(&text).unwrap_err();
    assert_eq!(faults.faults.len(), 3);
    assert!(!faults.to_string().contains("hunter2"), "{faults}");
    assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
}

#[cfg(unix)]
#[test]
fn token_files_are_checked() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("a.token");
    let text = edited(&[
        ("9101\"\n", "9101\"\ncontrol_token_file = \"a.token\"\n"),
        ("http://127.0.0.1:9101", "http://10.0.0.9:9101"),
    ]);
    let outcome = || Config::parse(&text, &folder.path().join("handover.toml"));
    let check_fault = |expected: &str| {
        let report = outcome().unwrap_err();
        assert_eq!(report.faults.len(), 1, "{report}");
        let fault = &report.faults[0];
        let place = fault.place.as_ref().unwrap();
        assert_eq!((place.line, place.column), (12, 22));
        assert_eq!(fault.key, "servers[0].control_token_file");
        assert!(fault.problem.starts_with(expected), "{}", fault.problem);
    };
    let write = |token: &str, mode: u32| {
        fs::write(&token_file, token).unwrap();
        fs::set_permissions(&token_file, fs::Permissions::from_mode(mode)).unwrap();
    };
    check_fault("cannot be read");
    write("\n", 0o600);
    check_fault("names a file that is empty");
    write("two words", 0o600);
    check_fault("names a file that holds a blank");

    let warnings = || {
        let (config, warnings) = outcome().unwrap();
        let control = config.servers[0].control.clone().unwrap();
        assert!(control.token.is_some_and(|token| !token.reveal().ends_with('\n')));
        let problems = warnings.into_iter().map(|warning| warning.problem);
        problems.collect::<Vec<_>>()
    };
    write("0123456789abcdef0123456789abcdef\n", 0o640);
    assert_begin(&warnings(), &["is neither loopback nor TLS"], &text);
    write("short\n", 0o604);
    let expected = [
        "is neither loopback nor TLS",
        "names a token of less than 16",
        "names a file that everybody",
    ];
    assert_begin(&warnings(), &expected, &text);
}

#[test]
fn limits_shutdown_and_metrics_are_checked() {
    let check = |lines: &str, expected: &str| check_one_fault(&extended(lines), expected);
    check("[limits]\nsessions_max = 0", "21 limits.sessions_max is out of bounds");
    check("[limits]\nsessions_max = 200000", "20 limits.connections_max is below");
    check(
        "[limits]\nhead_bytes_max = \"1KiB\"",
        "20 limits.target_bytes_max is above",
    );
    check(
        "[limits]\nhead_timeout = \"1ms\"",
        "21 limits.head_timeout is out of bounds",
    );
    check(
        "[shutdown]\ngrace = 15",
        "21 shutdown.grace is a duration without a unit",
    );
    check(
        "[metrics]\nopen_boards_alias = \"a-b\"",
        "21 metrics.open_boards_alias is not a name",
    );
    for label in ["", "a-b", "1st", "__name"] {
        check(
            &format!("[metrics]\nopen_boards_label = \"{label}\""),
            "21 metrics.open_boards_label is not a name",
        );
    }
    let (config, _) = parse(&extended("[metrics]\nopen_boards_label = \"node\"")).unwrap();
    assert_eq!(config.metrics.open_boards_label.as_ref(), "node");
    let (config, _) = parse(&extended("[metrics]\nopen_boards_alias = \"\"")).unwrap();
    assert_eq!(config.metrics.open_boards_alias, None);
}

#[test]
fn what_a_server_is_given_is_bounded() {
    let check = |line: &str, expected: &str| {
        check_fault("name = \"a\"\n", &format!("name = \"a\"\n{line}\n"), expected);
    };
    check("weight = 10001", "10 servers[0].weight is out of bounds");
    check("weight = -1", "10 servers[0].weight is out of bounds");
    check("capacity = 0", "10 servers[0].capacity is out of bounds");
    check(
        "labels = \"zone\"",
        "10 servers[0].labels must be a table, and is a string",
    );
    check(
        "labels = { zone = 1 }",
        "10 servers[0].labels.zone must be a string, and is a whole number",
    );
    let long = format!("labels = {{ {} = \"a\" }}", "n".repeat(65));
    check(&long, &format!("10 servers[0].labels.{} is too long", "n".repeat(65)));
    let many: Vec<String> = (0..17).map(|number| format!("l{number} = \"a\"")).collect();
    let many = format!("labels = {{ {} }}", many.join(", "));
    check(&many, "10 servers[0].labels has too many labels");
    let given = "name = \"a\"\nweight = 0\ncapacity = 7\nlabels = { zone = \"x\" }\n";
    let (config, _) = parse(&edited(&[("name = \"a\"\n", given)])).unwrap();
    let allotment = &config.servers[0].allotment;
    assert_eq!((allotment.weight, allotment.capacity), (0, Some(7)));
    assert_eq!(allotment.labels.get("zone").map(String::as_str), Some("x"));
    assert_eq!(config.servers[1].allotment.weight, 100);
}
