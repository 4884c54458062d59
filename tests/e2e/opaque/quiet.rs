//! What an opaque source's silence proves, and what is said where there was none.

use handover_protocol::admin::DrainMode;
use handover_tests::{BoardServer, Heard, Program, User};
use tokio_tungstenite::tungstenite::Message;

use super::{Handler, PATIENCE, QUIET, declared, move_to_target, saved_of, stage, stage_of};

#[tokio::test]
async fn a_source_that_does_not_fall_silent_is_reported_as_unconfirmed() {
    // The work of more than a second, and less patience than that.
    let route = declared().with("quiet_max", "\"400ms\"");
    let stage = stage(Program::Websockets, Handler::Awaiting, route).await;
    let mut ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    for _ in 0..80 {
        ann.draw().await;
    }
    let report = move_to_target(&stage.gateway, DrainMode::Transparent).await;
    assert_eq!(report.unconfirmed.len(), 1, "{report:?}");
    let metrics = stage.gateway.admin().metrics().await.expect("it has metrics");
    assert_eq!(
        metrics.value("handover_unconfirmed_sessions_total", &[]),
        Some(1.0),
        "{}",
        metrics.text()
    );
}

/// Moves a board whose source says when it is idle, by a route on which mere silence never lasts long enough.
async fn unconfirmed_where_idle_is_told_to(whom: &str, pattern: &str) -> usize {
    let route = declared()
        .with("quiet", "\"2900ms\"")
        .with("quiet_max", "\"2900ms\"")
        .with("close_deadline", "\"500ms\"")
        .with("quiet_pattern", pattern);
    let habit = format!("--idle={whom}");
    let stage = stage_of(route, |name, release, database| {
        let server = BoardServer::builder(Program::NodeWs, name, release, database);
        server.slow().with_habit(&habit)
    })
    .await;
    let mut ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    let mut bob = User::join(stage.gateway.traffic(), "b", "bob").await;
    for _ in 0..BURST {
        ann.draw().await;
    }
    let report = move_to_target(&stage.gateway, DrainMode::Transparent).await;
    assert_eq!((report.switched, report.reconnected), (2, 0), "{report:?}");
    let heard = tokio::join!(ann.hear_until_quiet(QUIET), bob.hear_until_quiet(QUIET)).0;
    assert_eq!(saved_of(&heard), (1..=BURST).collect::<Vec<_>>(), "{whom}");
    report.unconfirmed.len()
}

#[tokio::test]
async fn a_word_of_the_source_to_everybody_proves_its_quiet() {
    assert_eq!(unconfirmed_where_idle_is_told_to("everyone", IDLE).await, 0);
}

#[tokio::test]
async fn a_word_to_one_session_says_nothing_of_the_others() {
    assert_eq!(unconfirmed_where_idle_is_told_to("author", IDLE).await, 2);
}

#[tokio::test]
async fn a_ping_of_ours_waits_until_the_clients_is_answered() {
    // This source answers late, and only the latest Ping that it has got.
    let route = declared().with("quiet", "\"100ms\"");
    let stage = stage_of(route, |name, release, database| {
        BoardServer::builder(Program::NodeWs, name, release, database).with_habit("--pong-after=400")
    })
    .await;
    let mut ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    ann.send(Message::Ping("hers".into())).await;
    // Behind the Ping: once it is saved the source has both.
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let report = move_to_target(&stage.gateway, DrainMode::Transparent).await;
    assert_eq!((report.switched, report.unconfirmed.len()), (1, 0), "{report:?}");
    // A Pong could be the gateway's, in the place of a source that heard another Ping too soon; this could not.
    assert_eq!(ann.hear(PATIENCE).await, Heard::Text(answering("hers")));
    assert_eq!(ann.hear(PATIENCE).await, Heard::Pong("hers".into()));
    let last = ann.hear(PATIENCE).await;
    assert!(
        matches!(&last, Heard::Text(text) if text.starts_with(ANSWERING)),
        "ours: {last:?}"
    );
}

/// What the source says before it answers a Ping.
fn answering(ping: &str) -> String {
    format!("{ANSWERING}{ping}\"}}")
}

const ANSWERING: &str = "{\"type\":\"answering\",\"ping\":\"";

const IDLE: &str = "'\"type\":\"idle\"'";

/// A second of work: the hold begins in its midst, and it ends long before `quiet_max`.
const BURST: u64 = 50;
