//! What `Config` and `handover config check` say of right and wrong files.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use handover_gateway::config::{Config, Faults, Finding, Replay, RouteMode};

/// A file without a fault or a warning; tests know its lines by number.
const GOOD: &str = r#"[listen]
traffic = ["127.0.0.1:8080"]
admin = "127.0.0.1:8081"
[registry]
file = "handover.db"
[releases]
current = "r1"
[[servers]]
name = "a"
url = "http://127.0.0.1:9001"
control_url = "http://127.0.0.1:9101"
release = "r1"
[[servers]]
name = "b"
url = "http://127.0.0.1:9002"
release = "r1"
[[routes]]
name = "boards"
board = { path = "/boards/{board}/ws" }
"#;

/// The file with some texts in it replaced.
fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = GOOD.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in the good file");
        text = text.replacen(from, to, 1);
    }
    text
}

/// The file with lines behind its end.
fn extended(lines: &str) -> String {
    format!("{GOOD}{lines}\n")
}

fn parse(text: &str) -> Result<(Config, Vec<Finding>), Faults> {
    Config::parse(text, Path::new("handover.toml"))
}

/// Faults and warnings as `line key problem`, line 0 where they have no place.
fn findings(text: &str) -> (Vec<String>, Vec<String>) {
    let show = |list: &[Finding]| {
        let lines = list.iter().map(|finding| {
            assert!(!finding.fix.is_empty(), "{finding} does not say what to do");
            let line = finding.place.as_ref().map_or(0, |place| place.line);
            format!("{line} {} {}", finding.key, finding.problem)
        });
        lines.collect()
    };
    match parse(text) {
        Ok((_, warnings)) => (Vec::new(), show(&warnings)),
        Err(faults) => (show(&faults.faults), show(&faults.warnings)),
    }
}

#[track_caller]
fn assert_begin(found: &[String], expected: &[&str], text: &str) {
    let fit = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, start)| found.starts_with(start));
    assert!(fit, "expected {expected:#?}\nfound {found:#?}\nin\n{text}");
}

/// Checks that a file has exactly this one fault, and no warning.
#[track_caller]
fn check_one_fault(text: &str, expected: &str) {
    let (faults, warnings) = findings(text);
    assert_begin(&faults, &[expected], text);
    assert_begin(&warnings, &[], text);
}

#[track_caller]
fn check_one_warning(text: &str, expected: &str) {
    let (faults, warnings) = findings(text);
    assert_begin(&faults, &[], text);
    assert_begin(&warnings, &[expected], text);
}

#[track_caller]
fn check_fault(from: &str, to: &str, expected: &str) {
    check_one_fault(&edited(&[(from, to)]), expected);
}

/// Checks a line of the route, the 20th of the file.
#[track_caller]
fn check_route_fault(line: &str, expected: &str) {
    check_one_fault(&extended(line), &format!("20 routes[0].{expected}"));
}

#[track_caller]
fn check_route_warning(line: &str, expected: &str) {
    check_one_warning(&extended(line), &format!("20 routes[0].{expected}"));
}

#[test]
fn the_example_passes() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/handover.example.toml");
    let (config, warnings) = Config::load(&example).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.servers.len(), 2);
    assert!(config.registry.file.ends_with("deploy/handover.db"));
}

#[test]
fn the_example_shows_defaults_and_settings_that_can_be_added() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/handover.example.toml");
    let text = fs::read_to_string(example).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token = "0123456789abcdef0123456789abcdef";
    fs::write(folder.path().join("board-1.token"), token).unwrap();
    let file = folder.path().join("handover.toml");
    let configured = |text: &str| Config::parse(text, &file).map(|(config, _)| format!("{config:?}"));
    let is_setting = |line: &str| {
        let key = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = "));
        key.is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
    };

    let mut defaults = String::new();
    let mut shown = 0;
    for line in text.lines() {
        let is_default = is_setting(line) || line.starts_with("# [");
        shown += usize::from(is_default);
        defaults += line.strip_prefix("# ").filter(|_| is_default).unwrap_or(line);
        defaults += "\n";
    }
    assert!(shown > 30, "only {shown} defaults are shown");
    assert_eq!(configured(&defaults), configured(&text));

    let additions: Vec<&str> = text.lines().filter(|line| line.starts_with("#+ ")).collect();
    assert!(additions.len() >= 6, "{additions:?}");
    for line in additions {
        let added = configured(&text.replace(line, &line[3..]));
        assert!(added.is_ok(), "{added:?}");
        assert_ne!(added, configured(&text), "{line} changes nothing");
    }
}

#[test]
fn what_is_not_set_stands_at_its_default() {
    let (config, warnings) = parse(GOOD).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(config.servers[0].control.is_some() && config.servers[1].control.is_none());
    let route = &config.routes[0];
    assert_eq!((route.mode, route.close_code), (RouteMode::Auto, 1012));
    assert_eq!(route.hold_timeout, Duration::from_secs(5));
    assert!(matches!(route.replay, Replay::None) && !route.opaque_transparent);
    assert_eq!(config.metrics.open_boards_alias.as_deref(), Some("rtb_spaces_count"));
    assert_eq!(config.registry.file, Path::new("./handover.db"));
}

#[test]
fn the_settings_of_a_route_are_read() {
    let text = extended(
        r#"mode = "transparent"
        close_code = 1001
        replay = { matching = '^hi', await_answer = true }
        greeting = { messages = 2 }
        settle = "1m30s"
        hold_timeout = "4s"
        close_deadline = "500ms"
        message_bytes_max = "1MiB"
        cut_streams = true"#,
    )
    .replace("9002\"\n", "9002\"\ncontrol_url = \"http://127.0.0.1:9102\"\n");
    let (config, warnings) = parse(&text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let route = &config.routes[0];
    assert_eq!((route.mode, route.close_code), (RouteMode::Transparent, 1001));
    assert!(route.opaque_transparent && route.cut_streams);
    assert_eq!(route.settle, Duration::from_secs(90));
    assert_eq!(route.hold_timeout, Duration::from_secs(4));
    assert_eq!(
        route.grace,
        Duration::from_millis(500),
        "the grace follows the close deadline"
    );
    assert_eq!((route.greeting.messages, route.message_bytes_max), (2, 1 << 20));
    let Replay::Matching {
        pattern, await_answer, ..
    } = &route.replay
    else {
        panic!("{:?}", route.replay);
    };
    assert!(pattern.is_match(b"hi\xff") && !pattern.is_match(b"oh hi") && *await_answer);
}

#[test]
fn every_fault_is_reported_at_once_in_the_order_of_the_file() {
    let broken = include_str!("config/broken.toml");
    let faults = Config::parse(broken, Path::new("broken.toml")).unwrap_err();
    let report = faults.to_string() + "\n";
    assert!(
        report == include_str!("config/broken.txt"),
        "the report is now:\n{report}"
    );
}

#[test]
fn each_line_with_a_syntax_error_is_reported() {
    let text = edited(&[
        ("current = \"r1\"", "current = r1"),
        ("http://127.0.0.1:9101\"", "http://127.0.0.1:9101"),
    ]);
    let (faults, _) = findings(&text);
    assert_begin(&faults, &["7  this is not TOML", "11  this is not TOML"], &text);
}

#[test]
fn unknown_keys_and_missing_ones_are_faults() {
    check_one_fault(&extended("[registri]"), "20 registri is not a key");
    check_one_fault(
        &edited(&[("admin = \"127.0.0.1:8081\"\n", "")]),
        "1 listen.admin is missing",
    );
    check_one_fault(
        &edited(&[("[releases]\ncurrent = \"r1\"\n", "")]),
        "0 releases.current is missing",
    );
}

#[test]
fn an_unknown_key_names_the_known_one() {
    let fix = |from: &str, to: &str| {
        let faults = parse(&edited(&[(from, to)])).unwrap_err().faults;
        let mut unknown = faults
            .into_iter()
            .filter(|fault| fault.problem.starts_with("is not a key"));
        unknown.next().unwrap().fix
    };
    assert_eq!(fix("name = \"a\"", "nmae = \"a\""), "did you mean name?");
    assert_eq!(fix("[[routes]]", "[[route]]"), "did you mean routes?");
    let with_token = "control_token = \"x\"\nrelease =";
    assert_eq!(fix("release =", with_token), "did you mean control_token_file?");
    assert!(fix("file =", "colour = 1\nfile =").ends_with("redis, file"));
}

#[test]
fn wrong_types_are_faults() {
    let list = "2 listen.traffic must be a list, and is a string";
    check_fault("[\"127.0.0.1:8080\"]", "\"127.0.0.1:8080\"", list);
    check_fault(
        "\"a\"",
        "7",
        "9 servers[0].name must be a string, and is a whole number",
    );
    let board = "{ path = \"/boards/{board}/ws\" }";
    check_fault(board, "\"/ws\"", "19 routes[0].board must be a table");
    let single = edited(&[("[[routes]]", "[routes]")]);
    let (faults, _) = findings(&single);
    assert_begin(
        &faults,
        &["17 routes must be a list of sections, and is a table"],
        &single,
    );
    check_route_fault(
        "cut_streams = \"true\"",
        "cut_streams must be true or false, and is a string",
    );
    check_route_fault("close_code = \"1012\"", "close_code must be a whole number");
    check_route_fault("hold_bytes = 65536", "hold_bytes is a size without a unit");
    check_route_fault("hold_bytes = \"65536\"", "hold_bytes is not a size");
    check_route_fault("settle = 2", "settle is a duration without a unit");
    check_route_fault("settle = \"2\"", "settle is not a duration");
    check_route_fault("settle = 2.5", "settle must be a duration, and is a fraction");
    check_route_fault("settle = \"1h\"", "settle is out of bounds");
}

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
    check_url("https://h:1", "asks for TLS to servers, which is not in this version");
    check_url("wss://h:1", "asks for TLS");
    check_url("h:1", "does not start with http://");
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
fn boards_stand_in_exactly_one_place() {
    let check = |to: &str, expected: &str| {
        let from = "{ path = \"/boards/{board}/ws\" }";
        check_fault(from, to, &format!("19 routes[0].board{expected}"));
    };
    check("{}", " does not say where");
    check("{ query = \"a\", cookie = \"b\" }", ".cookie is a second place");
    check("{ path = \"/ws\" }", ".path has no {board}");
    check(
        "{ path = \"/{board}\", query = \"b\" }",
        ".path has a {board}, which is named elsewhere",
    );
    check("{ path = \"ws/{board}\" }", ".path does not start with a slash");
    check("{ path = \"/b-{board}\" }", ".path has a placeholder or wildcard");
    check("{ path = \"/{board}/{board}\" }", ".path has a second {board}");
    check("{ path = \"/**/{board}\" }", ".path goes on behind");
    check("{ query = \"\" }", ".query is empty");
    check("{ header = \"X Board\" }", ".header is not");
    check("{ header = \"Handover-Board\" }", ".header is stripped");
    check("{ cookie = \"a;b\" }", ".cookie is not the name");
    check("{ paht = \"/{board}\", query = \"b\" }", ".paht is not a key");
}

#[test]
fn a_route_behind_one_that_takes_its_requests_is_a_warning() {
    let with_second = |board: &str| extended(&format!("[[routes]]\nname = \"second\"\nboard = {board}"));
    let same = with_second("{ path = \"/boards/{board}/ws\" }");
    check_one_warning(&same, "22 routes[1].board is never reached");
    let wider = with_second("{ path = \"/boards/{board}/**\" }");
    assert_eq!(findings(&wider), (vec![], vec![]));
}

#[test]
fn close_codes_and_commands_are_checked() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535] {
        check_route_fault(&format!("close_code = {code}"), "close_code must not be sent");
    }
    check_route_fault("close_code = 65536", "close_code is out of bounds");
    check_route_fault("close_code = -1", "close_code is out of bounds");
    for code in [1000, 1008, 3500, 4099, 4400] {
        check_route_warning(&format!("close_code = {code}"), "close_code may keep clients away");
    }
    let long = "x".repeat(124);
    check_route_fault(&format!("close_reason = \"{long}\""), "close_reason has 124 bytes");
    check_route_fault("command = \"\"", "command is empty");
    check_route_fault("command = \"go {bord}\"", "command has the unknown placeholder {bord}");
    check_route_warning("command = '{\"b\":{board}}'", "command begins like JSON and is none");
}

#[test]
fn replays_greetings_and_patterns_are_checked() {
    check_route_fault("replay = { }", "replay does not say");
    check_route_fault("replay = { first = 0 }", "replay.first is out of bounds");
    check_route_fault(
        "replay = { first = 1, matching = 'a' }",
        "replay.matching is a second rule",
    );
    check_route_fault(
        "replay = { first = 1, messages_max = 9 }",
        "replay.messages_max is for patterns",
    );
    let broken = "replay.matching is not a regular expression: unclosed group";
    check_route_fault("replay = { matching = 'a(' }", broken);
    check_route_fault("replay = { matching = 'a', awate = true }", "replay.awate is not a key");
    check_route_fault("quiet_pattern = '['", "quiet_pattern is not a regular expression");
    check_route_fault("greeting = { }", "greeting.messages is missing");
    check_route_fault("settle_hook = \"https://h/x\"", "settle_hook asks for TLS");
    check_route_fault("mode = \"fast\"", "mode is no mode");
}

#[test]
fn deadlines_fit_into_each_other() {
    check_route_fault("hold_timeout = \"6s\"", "hold_timeout is longer than any hold may last");
    check_route_fault("hold_timeout = \"0s\"", "hold_timeout is out of bounds");
    check_route_fault("freeze_timeout = \"5s\"", "freeze_timeout is 5s and must end before");
    check_route_fault("quiet = \"2s\"", "quiet is longer than quiet_max (1s)");
    let switch = extended("hold_timeout = \"3500ms\"\nswitch_timeout = \"4s\"");
    check_one_fault(&switch, "21 routes[0].switch_timeout is 4s, longer than the hold");
}

#[test]
fn a_transparent_route_at_an_opaque_server_fits_into_the_hold() {
    let too_long = extended("mode = \"transparent\"\nsettle = \"2001ms\"");
    check_one_fault(&too_long, "20 routes[0].mode cannot be transparent at servers[1]");
    let by_setting = extended("opaque_transparent = true\nsettle = \"3s\"");
    check_one_fault(&by_setting, "17 routes[0].mode cannot be transparent at servers[1]");
    for fine in [
        "mode = \"transparent\"",
        "settle = \"3s\"",
        "mode = \"reconnect\"\nsettle = \"3s\"",
        "mode = \"transparent\"\nopaque_transparent = false\nsettle = \"3s\"",
    ] {
        assert_eq!(findings(&extended(fine)), (vec![], vec![]), "{fine}");
    }
    let control = "9002\"\ncontrol_url = \"http://127.0.0.1:9102\"\n";
    let with_contract = too_long.replace("9002\"\n", control);
    assert_eq!(findings(&with_contract), (vec![], vec![]));
}

#[test]
fn settings_without_effect_are_warnings() {
    let with_mode = |mode: &str, line: &str| findings(&extended(&format!("{line}\nmode = \"{mode}\""))).1;
    let nothing = |key: &str| format!("20 routes[0].{key} does nothing in this route's mode");
    let check = |mode: &str, line: &str, key: &str| assert_eq!(with_mode(mode, line), [nothing(key)]);
    check("reconnect", "replay = { first = 1 }", "replay");
    check("stay", "greeting = { messages = 1 }", "greeting");
    check("reconnect", "opaque_transparent = true", "opaque_transparent");
    check("stay", "command = \"go\"", "command");
    assert!(with_mode("auto", "replay = { first = 1 }").is_empty());
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
    let (config, _) = parse(&extended("[metrics]\nopen_boards_alias = \"\"")).unwrap();
    assert_eq!(config.metrics.open_boards_alias, None);
}

#[test]
fn an_empty_file_says_what_must_be_there() {
    let expected = [
        "0 listen.traffic is missing",
        "0 listen.admin is missing",
        "0 registry.file is missing",
        "0 releases.current is missing",
        "0 servers is empty",
        "0 routes is empty",
    ];
    assert_begin(&findings("").0, &expected, "");
}

#[test]
fn the_first_route_that_takes_a_request_names_its_board() {
    let text = extended("[[routes]]\nname = \"rest\"\nboard = { query = \"b\" }");
    let (config, _) = parse(&text).unwrap();
    let check = |uri: &str, expected: Option<(&str, Option<&str>)>| {
        let (parts, ()) = http::Request::builder().uri(uri).body(()).unwrap().into_parts();
        let found = config.route_of(&parts);
        let shown = found
            .as_ref()
            .map(|(route, board)| (&*route.name, board.as_ref().ok().map(|board| board.as_str())));
        assert_eq!(shown, expected, "{uri}");
    };
    check("/boards/7/ws?b=8", Some(("boards", Some("7"))));
    check("/boards/7?b=8", Some(("rest", Some("8"))));
    check("/boards/%2e%2e/ws", Some(("boards", None)));
    check("/?b=1&b=2", Some(("rest", None)));
    check("/", None);
}

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
