//! What is wrong with a command line or with what it names is said at once, with the way out.

use handover_tests::workspace;

use super::run;

/// Runs a load test that comes to nothing, and checks its exit code and what it says.
fn check(arguments: &str, code: i32, parts: &[&str]) {
    let ran = run(arguments);
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(code), "{arguments}: {told}");
    assert!(
        ran.stdout.is_empty(),
        "{arguments}: what is no report goes to standard error"
    );
    for part in parts {
        assert!(told.contains(part), "{arguments}: {part:?} in {told}");
    }
    assert!(!told.contains("gather"), "{arguments}: nobody was to come: {told}");
}

#[test]
fn a_wrong_command_line_names_the_option_and_ends_with_2() {
    for (arguments, parts) in [
        ("steady --rate -1", ["--rate", "0 or more"]),
        ("steady --rate nan", ["--rate", "0 or more"]),
        ("steady --sessions 0", ["--sessions", "1 or more"]),
        ("steady --boards -2", ["--boards", "1 or more"]),
        ("storm --rounds 0", ["--rounds", "1 or more"]),
        ("slow --share 1.5", ["--share", "from 0 to 1"]),
        ("steady --duration 5", ["--duration", "time unit"]),
        ("steady --prefix a/b", ["--prefix", "letters"]),
        (
            "steady --traffic a/b/c --database sqlite:x",
            ["a/b/c", "without a path"],
        ),
        (
            "release --traffic 127.0.0.1:1 --database sqlite:x",
            ["--traffic", "--admin"],
        ),
        (
            "crash --traffic 127.0.0.1:1 --database sqlite:x",
            ["--traffic", "--pid"],
        ),
        (
            "drain --traffic 127.0.0.1:1 --database sqlite:x --admin http://127.0.0.1:1",
            ["--from-release", "--from-servers"],
        ),
    ] {
        check(arguments, 2, &parts);
    }
}

#[test]
fn what_is_not_there_is_found_before_anybody_comes() {
    let script = workspace().join("docs/examples/loadtest.toml");
    let script = script.display();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let somebody = listener.local_addr().expect("it listens");
    for (arguments, parts) in [
        (
            format!("target --target ws://127.0.0.1:1 --user {script}"),
            ["ws://127.0.0.1:1", "--target"],
        ),
        (
            format!("target --target wss://127.0.0.1:1 --ca /nowhere.pem --user {script}"),
            ["/nowhere.pem", "--ca"],
        ),
        (
            format!("target --target ws://{somebody} --user /nowhere.toml"),
            ["/nowhere.toml", "No such file"],
        ),
        (
            "steady --traffic 127.0.0.1:1 --database sqlite:x".to_owned(),
            ["ws://127.0.0.1:1", "--traffic"],
        ),
        (
            format!("steady --traffic {somebody} --database sqlite:/nowhere/x.db"),
            ["/nowhere/x.db", "--database"],
        ),
        (
            format!("steady --traffic {somebody} --database nothing:"),
            ["sqlite: or postgres:", "--database"],
        ),
        (
            "steady --html /nowhere/report.html".to_owned(),
            ["/nowhere/report.html", "--html"],
        ),
    ] {
        check(&arguments, 1, &parts);
    }
}

#[test]
fn a_system_without_authorities_is_told_so_and_one_with_them_is_believed() {
    let folder = tempfile::tempdir().expect("there is room for a temporary directory");
    let (script, file) = (
        workspace().join("docs/examples/loadtest.toml"),
        folder.path().join("system.pem"),
    );
    let dial = |authorities: &std::path::Path| {
        let mut command = std::process::Command::new(handover_tests::binary("handover-loadtest"));
        command
            .args(["target", "--target", "wss://127.0.0.1:1", "--user"])
            .arg(&script);
        command.env("SSL_CERT_FILE", authorities).env_remove("SSL_CERT_DIR");
        let ran = command.output().expect("it can be started");
        String::from_utf8_lossy(&ran.stderr).into_owned()
    };
    let told = dial(&file);
    assert!(
        told.contains("no certificates of authorities") && told.contains("--ca"),
        "{told}"
    );
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("the name is one");
    std::fs::write(&file, authority.cert.pem()).expect("the directory was just made");
    let told = dial(&file);
    assert!(told.contains("nobody can be reached"), "{told}");
}
