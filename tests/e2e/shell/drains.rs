//! Drains from start to end, and how their watch ends.

use std::time::Duration;

use handover_protocol::admin::{DrainEvent, DrainList, DrainState, DrainStatus};
use handover_tests::{BoardServer, Database, Gateway, Program, Route, Shell, User, eventually};
use serde_json::Value;

use super::{SOON, START, stage};

#[tokio::test]
async fn a_drain_is_started_and_watched_to_its_end() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let mut users = stage.fleet.users(5).await;
    let labelled = [&START[..], &["--label", "ticket=A 'quoted' one", "--output", "env"]].concat();
    let ran = stage.shell.run(&labelled).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let env = ran.env().await;
    let expected = [
        ("ID", "d"),
        ("STATE", "done"),
        ("DONE", "true"),
        ("TOTAL", "5"),
        ("MOVED", "5"),
        ("LEFT", "0"),
        ("UNCONFIRMED_SESSIONS", "0"),
        ("LABEL_TICKET", "A 'quoted' one"),
    ];
    for (key, value) in expected {
        assert_eq!(env[&format!("HANDOVER_DRAIN_{key}")], value, "{key}: {ran:?}");
    }
    assert!(ran.stderr.contains("drain d is accepted"), "{ran:?}");
    for user in &mut users {
        let seq = user.draw().await;
        user.saved(seq).await;
    }
    // The same start is the same drain; another one of that name is none.
    let again = stage.shell.run(&labelled).await;
    assert_eq!(again.code, 0, "{again:?}");
    let other = ["drain", "start", "--from", "board-2", "--to", "board-1", "--id", "d"];
    let other = stage.shell.run(&other).await;
    assert_eq!(other.code, 5, "{other:?}");
    assert!(other.stderr.contains("drain-exists"), "{other:?}");
    let list: DrainList = stage.shell.run(&["drain", "list", "--output", "json"]).await.json();
    assert_eq!(list.drains.len(), 1);
    let shown: DrainStatus = stage
        .shell
        .run(&["drain", "show", "d", "--output", "json"])
        .await
        .json();
    assert_eq!(shown.state, DrainState::Done);
    let text = stage.shell.run(&["drain", "show", "d"]).await;
    assert!(text.stdout.contains("5 moved, 0 left, 0 closed of 5"), "{text:?}");
}

#[tokio::test]
async fn a_watch_is_a_stream_of_events_where_asked_for() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(3).await;
    let start = [
        "drain",
        "start",
        "--from",
        "board-1",
        "--to",
        "board-2",
        "--boards-per-second",
        "2",
    ];
    let ran = stage.shell.run(&[&start[..], &["--output", "jsonl"]].concat()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let events: Vec<DrainEvent> = ran.json_lines();
    let last = events.last().expect("the stream has an end");
    assert!(
        matches!(last, DrainEvent::State { status } if status.state == DrainState::Done),
        "{last:?}"
    );
    let moves = events.iter().filter(|event| matches!(event, DrainEvent::Move { .. }));
    assert_eq!(moves.count(), 3, "{ran:?}");
}

#[tokio::test]
async fn a_watch_goes_on_across_a_restart_of_the_gateway() {
    let mut stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(12).await;
    let args = [&START[..], &["--boards-per-second", "2"]].concat();
    let mut terminal = stage.shell.at_terminal(&args);
    eventually("some boards have moved", SOON, || async {
        let status = stage.fleet.gateway.admin().drain_status("d").await;
        status.is_ok_and(|status| status.boards.moved >= 2)
    })
    .await;
    stage.fleet.gateway.process().kill();
    eventually("it is noticed", SOON, || async {
        terminal.shown().contains("trying again")
    })
    .await;
    stage.fleet.gateway.restart().await;
    assert_eq!(terminal.ended().await, 0, "{}", terminal.shown());
    let shown = terminal.shown();
    assert!(shown.contains("12 moved, 0 left, 0 closed of 12"), "{shown}");
}

#[tokio::test]
async fn who_watches_is_told_by_the_exit_code_that_somebody_aborted() {
    let stage = stage(Route::whiteboard().with("mode", "\"stay\""), Duration::ZERO).await;
    let _users = stage.fleet.users(2).await;
    let detached = stage
        .shell
        .run(&[&START[..], &["--detach", "--output", "json"]].concat())
        .await;
    assert_eq!(detached.code, 0, "{detached:?}");
    assert_eq!(detached.json::<DrainStatus>().state, DrainState::Running);
    let conflict = ["drain", "start", "--from", "board-1", "--to", "board-2", "--id", "e"];
    let conflict = stage.shell.run(&conflict).await;
    assert_eq!(conflict.code, 5, "{conflict:?}");
    assert!(conflict.stderr.contains("handover drain show d"), "{conflict:?}");
    let late = stage.shell.run(&["drain", "watch", "d", "--timeout", "1s"]).await;
    assert_eq!(late.code, 4, "{late:?}");
    assert!(late.stderr.contains("the drain goes on; watch it again"), "{late:?}");
    let shell = stage.shell.clone();
    let watch = tokio::spawn(async move { shell.run(&["drain", "watch", "d"]).await });
    let abort = stage.shell.run(&["drain", "abort", "d"]).await;
    assert_eq!(abort.code, 0, "{abort:?}");
    assert!(abort.stdout.contains("drain d: aborted"), "{abort:?}");
    let watch = watch.await.expect("it does not panic");
    assert_eq!(watch.code, 1, "{watch:?}");
    let unknown = stage.shell.run(&["drain", "show", "x"]).await;
    assert_eq!(unknown.code, 5, "{unknown:?}");
}

#[tokio::test]
async fn a_drain_is_paused_and_goes_on_while_somebody_watches() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(6).await;
    let args = [&START[..], &["--boards-per-second", "2"]].concat();
    let mut terminal = stage.shell.at_terminal(&args);
    eventually("a board has moved", SOON, || async {
        let status = stage.fleet.gateway.admin().drain_status("d").await;
        status.is_ok_and(|status| status.boards.moved >= 1)
    })
    .await;
    let paused = stage.shell.run(&["drain", "pause", "d", "--output", "json"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    assert_eq!(paused.json::<DrainStatus>().state, DrainState::Paused);
    eventually("who watches sees it", SOON, || async {
        terminal.shown().contains("paused by operator")
    })
    .await;
    let resumed = stage.shell.run(&["drain", "resume", "d"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(terminal.ended().await, 0, "{}", terminal.shown());
    let late = stage.shell.run(&["drain", "pause", "d"]).await;
    assert_eq!(late.code, 5, "{late:?}");
    assert!(late.stderr.contains("drain-ended"), "{late:?}");
}

#[tokio::test]
async fn a_plan_is_told_and_nothing_begins() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(3).await;
    let request = ["--from-release", "r1", "--to-release", "r2"];
    let plan = [&["drain", "plan"][..], &request[..]].concat();
    let text = stage.shell.run(&plan).await;
    assert_eq!(text.code, 0, "{text:?}");
    assert!(
        text.stdout.contains("3 boards with 3 sessions: 3 transparently"),
        "{text:?}"
    );
    let boards: Vec<Value> = stage
        .shell
        .run(&[&plan[..], &["--output", "jsonl"]].concat())
        .await
        .json_lines();
    assert_eq!(boards.len(), 3);
    assert_eq!(boards[0]["to"], "board-2", "{boards:?}");
    let dry = [&["drain", "start"][..], &request[..], &["--dry-run", "--output", "env"]].concat();
    let env = stage.shell.run(&dry).await.env().await;
    assert_eq!(env["HANDOVER_PLAN_ACCEPTABLE"], "true");
    assert_eq!(env["HANDOVER_PLAN_TOTALS_BOARDS"], "3");
    let list: DrainList = stage.shell.run(&["drain", "list", "--output", "json"]).await.json();
    assert_eq!(list.drains.len(), 0);
    let cordon = stage.shell.run(&["servers", "cordon", "board-2"]).await;
    assert_eq!(cordon.code, 0, "{cordon:?}");
    let hindered = stage.shell.run(&plan).await;
    assert_eq!(hindered.code, 5, "{hindered:?}");
    assert!(hindered.stdout.contains("problem: "), "{hindered:?}");
}

#[tokio::test]
async fn a_drain_is_undone_and_its_boards_are_back() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let mut users = stage.fleet.users(3).await;
    let start = stage.shell.run(&[&START[..], &["--undo-window", "10m"]].concat()).await;
    assert_eq!(start.code, 0, "{start:?}");
    let undo = stage.shell.run(&["drain", "undo", "d", "--output", "env"]).await;
    assert_eq!(undo.code, 0, "{undo:?}");
    let env = undo.env().await;
    assert_eq!(
        (&*env["HANDOVER_DRAIN_STATE"], &*env["HANDOVER_DRAIN_UNDONE"]),
        ("undone", "3")
    );
    let watch = stage.shell.run(&["drain", "watch", "d"]).await;
    assert_eq!(watch.code, 0, "{watch:?}");
    for user in &mut users {
        let seq = user.draw().await;
        user.saved(seq).await;
    }
    let back: Value = stage
        .shell
        .run(&["boards", "--server", "board-1", "--output", "json"])
        .await
        .json();
    assert_eq!(back["boards"].as_array().map(Vec::len), Some(3), "{back}");
}

#[tokio::test]
async fn a_deadline_ends_the_watch_by_what_was_to_happen_then() {
    for (action, code, state) in [("stop", 4, "failed"), ("pause", 7, "paused")] {
        let stage = stage(Route::whiteboard().with("mode", "\"stay\""), Duration::ZERO).await;
        let _users = stage.fleet.users(2).await;
        let args = ["--deadline", "1s", "--on-deadline", action, "--output", "env"];
        let ran = stage.shell.run(&[&START[..], &args[..]].concat()).await;
        assert_eq!(ran.code, code, "{action}: {ran:?}");
        let env = ran.env().await;
        assert_eq!(env["HANDOVER_DRAIN_STATE"], state, "{ran:?}");
        assert_eq!(env["HANDOVER_DRAIN_DEADLINE_PASSED"], "true", "{ran:?}");
        assert_eq!(env["HANDOVER_DRAIN_LEFT"], "2", "{ran:?}");
    }
}

#[tokio::test]
async fn a_drain_with_unconfirmed_sessions_is_told_from_one_without() {
    let database = Database::fresh().await;
    let server = async |name: &str, release: &str| {
        let builder = BoardServer::builder(Program::Websockets, name, release, &database);
        builder.without_contract().slow().start().await
    };
    let servers = [server("board-1", "r1").await, server("board-2", "r2").await];
    let route = Route::whiteboard()
        .with("mode", "\"transparent\"")
        .with("replay", "{ first = 1, await_answer = true }")
        .with("greeting", "{ messages = 1 }")
        .with("settle", "\"100ms\"")
        .with("quiet_max", "\"400ms\"");
    let gateway = Gateway::builder("r1").server(&servers[0]).server(&servers[1]);
    let gateway = gateway.route(&route).start().await;
    gateway.all_ready().await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    // The work of more than a second, and less patience than that.
    for _ in 0..80 {
        ann.draw().await;
    }
    let shell = Shell::new(gateway.admin().url());
    let ran = shell.run(&START).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("1 sessions unconfirmed (0 allowed)"), "{ran:?}");
    let allowed = shell.run(&["drain", "watch", "d", "--unconfirmed-max", "1"]).await;
    assert_eq!(allowed.code, 0, "{allowed:?}");
    let status: Value = shell.run(&["drain", "show", "d", "--output", "json"]).await.json();
    assert_eq!(status["unconfirmed_sessions"], 1);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_before_the_gateway_is_asked() {
    let shell = Shell::new("http://127.0.0.1:1");
    let check = async |args: &[&str], said: &str| {
        let ran = shell.run(args).await;
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {ran:?}");
    };
    check(&["drain", "start", "--to", "b"], "--from").await;
    let both = ["drain", "start", "--from", "a", "--from-release", "r", "--to", "b"];
    check(&both, "cannot be used with").await;
    let start = ["drain", "start", "--from", "a", "--to", "b"];
    check(&[&start[..], &["--mode", "fast"]].concat(), "transparent").await;
    check(&[&start[..], &["--deadline", "10"]].concat(), "time unit").await;
    check(&[&start[..], &["--label", "x"]].concat(), "KEY=VALUE").await;
    check(&["drain", "show", "a/b"], "letters, digits").await;
}
