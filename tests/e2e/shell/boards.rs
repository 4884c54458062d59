//! Servers, boards, moves and health, in every format.

use std::time::Duration;

use handover_protocol::admin::{BoardView, MoveReport, ServerList, ServerView};
use handover_tests::{Route, Shell, eventually};
use serde_json::Value;

use super::{SOON, stage};

#[tokio::test]
async fn servers_are_told_in_every_format() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(3).await;
    let text = stage.shell.run(&["servers"]).await;
    assert_eq!(text.code, 0, "{text:?}");
    let rows: Vec<Vec<&str>> = text
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 3, "{text:?}");
    assert_eq!(rows[0][..3], ["NAME", "RELEASE", "STATE"]);
    assert_eq!(rows[0][4..7], ["BOARDS", "CAPACITY", "SESSIONS"], "{text:?}");
    assert_eq!(
        (rows[1][0], &rows[1][4..7]),
        ("board-1", &["3", "-", "3"][..]),
        "{text:?}"
    );
    let json: ServerList = stage.shell.run(&["servers", "list", "--output", "json"]).await.json();
    assert_eq!(json.servers[0].boards, 3);
    let lines = stage.shell.run(&["--output", "jsonl", "servers"]).await;
    assert_eq!(
        lines.code, 2,
        "an option of the gateway stands behind its command: {lines:?}"
    );
    let lines: Vec<ServerView> = stage.shell.run(&["servers", "--output", "jsonl"]).await.json_lines();
    assert_eq!(lines, json.servers);
    let env = stage.shell.run(&["servers", "--output", "env"]).await.env().await;
    assert_eq!(env["HANDOVER_SERVERS_COUNT"], "2");
    assert_eq!(env["HANDOVER_SERVERS_1_NAME"], "board-2");
    let shown: ServerView = stage
        .shell
        .run(&["servers", "show", "board-2", "--output", "json"])
        .await
        .json();
    assert_eq!(shown.release.as_str(), "r2");
    let unknown = stage.shell.run(&["servers", "show", "board-9"]).await;
    assert_eq!(unknown.code, 5, "{unknown:?}");
    assert!(unknown.stderr.contains("there are board-1, board-2"), "{unknown:?}");
}

#[tokio::test]
async fn a_wait_that_is_not_fulfilled_in_time_says_what_it_waited_for() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(1).await;
    let late = stage
        .shell
        .run(&["servers", "wait", "board-1", "--timeout", "700ms"])
        .await;
    assert_eq!(late.code, 4, "{late:?}");
    assert!(late.stderr.contains("with 1 boards and 1 sessions"), "{late:?}");
    assert_eq!(late.stdout, "");
}

#[tokio::test]
async fn a_server_is_closed_emptied_and_waited_for() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(2).await;
    let state = async |args: &[&str]| {
        let ran = stage.shell.run(&[args, &["--output", "env"]].concat()).await;
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.env().await["HANDOVER_SERVER_STATE"].clone()
    };
    assert_eq!(state(&["servers", "cordon", "board-1"]).await, "cordoned");
    assert_eq!(state(&["servers", "cordon", "board-1"]).await, "cordoned");
    let shell = stage.shell.clone();
    let wait = tokio::spawn(async move { shell.run(&["servers", "wait", "board-1", "--timeout", "50s"]).await });
    let drain = ["drain", "start", "--from", "board-1", "--to", "board-2"];
    let drain = stage.shell.run(&drain).await;
    assert_eq!(drain.code, 0, "{drain:?}");
    let waited = wait.await.expect("it does not panic");
    assert_eq!(waited.code, 0, "{waited:?}");
    assert!(waited.stdout.contains("safe to terminate  yes"), "{waited:?}");
    let uncordoned = stage.shell.run(&["servers", "uncordon", "board-1"]).await;
    assert_eq!(uncordoned.code, 0, "{uncordoned:?}");
    let ready = ["servers", "wait", "board-1", "--until", "ready", "--timeout", "50s"];
    let ready = stage.shell.run(&ready).await;
    assert_eq!(ready.code, 0, "{ready:?}");
}

#[tokio::test]
async fn a_server_whose_process_is_gone_gives_its_boards_away() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(2).await;
    let alive = stage.shell.run(&["servers", "dead", "board-1", "--yes"]).await;
    assert_eq!(alive.code, 5, "{alive:?}");
    assert!(alive.stderr.contains("server-alive"), "{alive:?}");
    stage.fleet.servers[0].process().kill();
    eventually("it is declared dead", SOON, || async {
        stage.shell.run(&["servers", "dead", "board-1", "--yes"]).await.code == 0
    })
    .await;
    eventually("its boards are elsewhere", SOON, || async {
        let list: Value = stage
            .shell
            .run(&["boards", "--server", "board-1", "--output", "json"])
            .await
            .json();
        list["boards"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
}

#[tokio::test]
async fn nothing_is_declared_dead_where_nobody_can_confirm_it() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let asked = stage.shell.run(&["servers", "dead", "board-1"]).await;
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
}

#[tokio::test]
async fn a_board_is_found_and_moved() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let _users = stage.fleet.users(2).await;
    let json: Value = stage
        .shell
        .run(&["boards", "--server", "board-1", "--output", "json"])
        .await
        .json();
    assert_eq!(json["boards"][1]["board"], "board 1", "{json}");
    let one: Vec<BoardView> = stage
        .shell
        .run(&["boards", "list", "--limit", "1", "--output", "jsonl"])
        .await
        .json_lines();
    assert_eq!(one.len(), 1);
    let moved = stage
        .shell
        .run(&["boards", "move", "board 1", "--to", "board-2", "--output", "json"])
        .await;
    assert_eq!(moved.code, 0, "{moved:?}");
    assert_eq!(moved.json::<MoveReport>().switched, 1);
    let again = stage.shell.run(&["boards", "move", "board 1", "--to", "board-2"]).await;
    assert_eq!(again.code, 5, "{again:?}");
    assert!(again.stderr.contains("board-not-movable"), "{again:?}");
    let env = stage
        .shell
        .run(&["boards", "show", "board 1", "--output", "env"])
        .await
        .env()
        .await;
    assert_eq!(
        (
            env["HANDOVER_BOARD_SERVER"].as_str(),
            env["HANDOVER_BOARD_BOARD"].as_str()
        ),
        ("board-2", "board 1")
    );
    eventually("the move is listed", SOON, || async {
        let moves = stage.shell.run(&["moves"]).await;
        moves.stdout.contains("board 1") && moves.stdout.contains("moved")
    })
    .await;
    let top = stage.shell.run(&["top"]).await;
    assert_eq!(top.code, 0, "{top:?}");
    assert!(top.stdout.contains("board-1 -> board-2  moved"), "{top:?}");
    assert!(!top.stdout.contains('\u{1b}'), "{top:?}");
    let unknown = stage.shell.run(&["boards", "show", "nobody's"]).await;
    assert_eq!(unknown.code, 5, "{unknown:?}");
}

#[tokio::test]
async fn health_is_one_line_and_zero_or_one() {
    let mut stage = stage(Route::whiteboard(), Duration::ZERO).await;
    for args in [&["health"][..], &["health", "--ready"]] {
        let fine = stage.shell.run(args).await;
        assert_eq!((fine.code, fine.stdout.lines().count()), (0, 1), "{fine:?}");
    }
    stage.fleet.gateway.process().kill();
    let gone = stage.shell.run(&["health", "--output", "json"]).await;
    assert_eq!(gone.code, 1, "{gone:?}");
    assert_eq!(gone.json::<Value>()["ok"], false);
    stage.fleet.gateway.restart().await;
    assert_eq!(stage.shell.run(&["health", "--ready"]).await.code, 0);
}

#[tokio::test]
async fn completions_are_what_each_shell_can_read() {
    let shell = Shell::new("http://127.0.0.1:1");
    let bash = shell.run(&["completions", "bash"]).await;
    assert_eq!(bash.code, 0, "{bash:?}");
    let mut check = tokio::process::Command::new("bash");
    let file = tempfile::NamedTempFile::new().expect("there is room for a file");
    std::fs::write(file.path(), &bash.stdout).expect("the file was just made");
    let line = format!(
        ". {}; COMP_WORDS=(handover drain ab); COMP_CWORD=2; _handover handover ab drain; echo \"${{COMPREPLY[*]}}\"",
        file.path().display()
    );
    let output = check
        .args(["--norc", "-c", &line])
        .output()
        .await
        .expect("there is a bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "abort", "{output:?}");
    for name in ["zsh", "fish"] {
        let script = shell.run(&["completions", name]).await;
        assert!(script.code == 0 && script.stdout.contains("uncordon"), "{name}");
    }
}
