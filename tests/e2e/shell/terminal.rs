//! What is different at a terminal: a bar, keys, and Ctrl-C.

use std::time::Duration;

use handover_protocol::admin::DrainState;
use handover_tests::{Route, eventually};

use super::{SOON, START, stage};

#[tokio::test]
async fn ctrl_c_on_a_watch_leaves_the_drain_running_and_says_so() {
    let stage = stage(Route::whiteboard().with("mode", "\"stay\""), Duration::ZERO).await;
    let _users = stage.fleet.users(2).await;
    let mut terminal = stage.shell.at_terminal(&START);
    eventually("the bar is drawn", SOON, || async {
        terminal.shown().contains("0/2 running, 0 of 2 boards moved")
    })
    .await;
    terminal.press("\u{3}");
    assert_eq!(terminal.ended().await, 130, "{}", terminal.shown());
    let shown = terminal.shown();
    assert!(
        shown.contains("the drain goes on; watch it again: handover drain watch d"),
        "{shown}"
    );
    let status = stage
        .fleet
        .gateway
        .admin()
        .drain_status("d")
        .await
        .expect("it is known");
    assert_eq!(status.state, DrainState::Running);
}

#[tokio::test]
async fn top_is_drawn_until_q_and_gives_the_terminal_back() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let users = stage.fleet.users(2).await;
    let mut terminal = stage.shell.at_terminal(&["top", "--every", "200ms"]);
    let sessions = |count: &str| {
        let shown = terminal.shown();
        let picture = shown.rsplit("\u{1b}[H").next().unwrap_or_default().to_owned();
        let row = picture.lines().find(|line| line.contains("board-1")).map(str::to_owned);
        row.is_some_and(|row| row.replace("\u{1b}[K", "").split_whitespace().nth(5) == Some(count))
    };
    eventually("both sessions are shown", SOON, || async { sessions("2") }).await;
    drop(users);
    eventually("their end is shown", SOON, || async { sessions("0") }).await;
    terminal.press("q");
    assert_eq!(terminal.ended().await, 0, "{}", terminal.shown());
    assert!(terminal.shown().ends_with("\u{1b}[?1049l"), "{:?}", terminal.shown());
}

#[tokio::test]
async fn a_server_is_declared_dead_only_by_a_yes() {
    let stage = stage(Route::whiteboard(), Duration::ZERO).await;
    let mut terminal = stage.shell.at_terminal(&["servers", "dead", "board-1"]);
    eventually("the question is asked", SOON, || async {
        terminal.shown().contains("[y/N]")
    })
    .await;
    terminal.press("n\n");
    assert_eq!(terminal.ended().await, 2, "{}", terminal.shown());
    assert!(terminal.shown().contains("nothing was done"), "{}", terminal.shown());
}
