//! What is said of routes.

use std::time::Duration;

use handover_gateway::config::{Replay, RouteMode};

use crate::{
    check_fault, check_one_fault, check_one_warning, check_route_fault, check_route_warning, edited, extended,
    findings, parse,
};

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
    let halves = extended("command = '{\"b\":{board}}'\ngrace = \"2s\"");
    check_one_warning(&halves, "20 routes[0].command begins like JSON and is none");
}

#[test]
fn what_bites_later_is_warned_of() {
    for code in [1012, 1013, 1014] {
        let expected = "close_code is taken for a fault of the protocol by .NET before 8";
        check_route_warning(&format!("close_code = {code}"), expected);
    }
    check_route_warning(
        "command = \"go\"",
        "command gives clients 1s, as long as close_deadline",
    );
    check_route_warning(
        "replay = { matching = 'Ticket' }",
        "replay repeats what may be good only once",
    );
    let quiet = |lines: &str| assert_eq!(findings(&extended(lines)), (vec![], vec![]), "{lines}");
    quiet("close_code = 1001");
    quiet("command = \"go\"\ngrace = \"1s\"");
    quiet("replay = { matching = 'hello' }");
    let by_query = |mode: &str| {
        let board = (
            "{ path = \"/boards/{board}/ws\" }",
            "{ query = \"ticket\", path = \"/ws\" }",
        );
        findings(&(edited(&[board]) + &format!("mode = \"{mode}\"\n"))).1
    };
    assert!(by_query("auto")[0].starts_with("19 routes[0].board names what may be good only once"));
    assert_eq!(by_query("reconnect"), [] as [String; 0]);
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
    check_route_fault("mode = \"fast\"", "mode is none of the words");
}

#[test]
fn deadlines_fit_into_each_other() {
    check_route_fault("hold_timeout = \"6s\"", "hold_timeout is longer than any hold may last");
    check_route_fault("hold_timeout = \"0s\"", "hold_timeout is out of bounds");
    check_route_fault("freeze_timeout = \"5s\"", "freeze_timeout is 5s and must end before");
    check_route_fault("quiet = \"2s\"", "quiet is longer than quiet_max (1s)");
    let switch = extended("settle = \"1s\"\nhold_timeout = \"3500ms\"\nswitch_timeout = \"4s\"");
    check_one_fault(&switch, "22 routes[0].switch_timeout is 4s, longer than the hold");
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
fn a_route_that_could_never_move_a_board_off_an_opaque_server_is_refused_in_every_mode_but_stay() {
    let check = |lines: &str, expected: &str| check_one_fault(&extended(lines), expected);
    let settle = "20 routes[0].settle is too long for any board to be moved off servers[1], which has no control_url: \
                  quiet_max 1s + close_deadline 1s + settle 3s1ms are 5s1ms, and a hold lasts 5s";
    check("settle = \"3001ms\"", settle);
    check("settle = \"3001ms\"\nmode = \"auto\"", settle);
    check("settle = \"3001ms\"\nmode = \"reconnect\"", settle);
    check(
        "settle = \"3001ms\"\nmode = \"transparent\"\nopaque_transparent = false",
        settle,
    );
    let with_hook = "settle = \"3001ms\"\nsettle_hook = \"http://127.0.0.1:9200/saved/{board}\"";
    check(with_hook, settle);
    check("quiet_max = \"3s\"", "20 routes[0].quiet_max is too long for any board");
    // The section's line, where the file leaves the culprit to its default.
    check(
        "hold_timeout = \"3500ms\"",
        "17 routes[0].settle is too long for any board",
    );
    for fine in [
        "settle = \"3s\"",
        "settle = \"5m\"\nmode = \"stay\"",
        "settle = \"4s\"\nquiet_max = \"500ms\"\nclose_deadline = \"500ms\"",
    ] {
        assert_eq!(findings(&extended(fine)), (vec![], vec![]), "{fine}");
    }
    let control = "9002\"\ncontrol_url = \"http://127.0.0.1:9102\"\n";
    let with_contract = extended("settle = \"5m\"").replace("9002\"\n", control);
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
