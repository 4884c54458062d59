//! What keeps a board at an opaque source: a hook that does not say that it was saved, a target that is not there.

use std::time::Duration;

use handover_protocol::admin::{BoardState, DrainMode, DrainRequest, DrainState, MoveRequest};
use handover_tests::{AdminError, Heard, Program, SettleHook, User, eventually};
use serde_json::json;

use super::{Handler, PATIENCE, QUIET, Stage, declared, move_to_target, stage, try_move};

#[tokio::test]
async fn a_hook_that_does_not_confirm_keeps_a_board_and_its_open_sockets() {
    let hook = SettleHook::start().await;
    let route = declared().with("settle_hook", &hook.toml()).with("settle", "\"500ms\"");
    let it = stage(Program::NodeWs, Handler::Plain, route).await;
    let mut ann = User::join(it.gateway.traffic(), "b", "ann").await;
    let mut bob = User::join(it.gateway.traffic(), "b", "bob").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;

    let report = try_move(&it.gateway, DrainMode::Transparent).await;
    assert_eq!(report.result, "save_unconfirmed", "{report:?}");
    assert_eq!(report.server.as_ref().map(|server| server.as_str()), Some("board-1"));
    assert!(hook.asked().iter().all(|path| path == "/saved/b"), "{:?}", hook.asked());
    assert!(!hook.asked().is_empty());
    // The source was dialled again, and both are in company there.
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let of_bob = bob.hear_until_quiet(QUIET).await;
    let is_ours = |heard: &Heard| matches!(heard, Heard::Drawn { user, seq: 2, .. } if user == "ann");
    assert!(of_bob.iter().any(is_ours), "{of_bob:?}");
    assert!(
        !of_bob.iter().any(|heard| matches!(heard, Heard::Closed(_))),
        "{of_bob:?}"
    );
    assert_owner(&it, "board-1").await;

    hook.confirm();
    let report = move_to_target(&it.gateway, DrainMode::Transparent).await;
    assert_eq!((report.switched, report.unconfirmed.len()), (2, 0), "{report:?}");
    let seq = ann.draw().await;
    ann.saved(seq).await;
    assert_eq!(it.database.repeats("b").await, 0);
}

#[tokio::test]
async fn a_drain_by_reconnect_tells_that_a_save_was_not_confirmed() {
    let hook = SettleHook::start().await;
    let route = declared()
        .with("mode", "\"reconnect\"")
        .with("replay", "{ first = 1 }")
        .with("settle_hook", &hook.toml())
        .with("settle", "\"500ms\"");
    let it = stage(Program::Websockets, Handler::Plain, route).await;
    let mut ann = User::join(it.gateway.traffic(), "b", "ann").await;
    let request: DrainRequest = serde_json::from_value(json!({
        "id": "d", "from": {"release": "r1"}, "to": {"release": "r2"}, "mode": "reconnect",
    }))
    .expect("the tests ask for what there is");
    it.gateway.admin().drain(&request).await.expect("it is let in");
    assert_eq!(ann.closed(PATIENCE).await, Some(1012));
    let mut ann = User::join(it.gateway.traffic(), "b", "ann").await;
    eventually("the reason is told", PATIENCE, || async {
        let status = it.gateway.admin().drain_status("d").await.expect("it is known");
        let unconfirmed = status
            .failures
            .iter()
            .find(|failure| failure.reason == "save_unconfirmed");
        unconfirmed.is_some_and(|failure| failure.count > 0)
    })
    .await;

    hook.confirm();
    let status = it.gateway.admin().drained("d", Duration::from_secs(60)).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 1), "{status:?}");
    ann.closed(PATIENCE).await;
    assert_owner(&it, "board-2").await;
}

#[tokio::test]
async fn a_target_that_takes_no_connections_disturbs_nobody() {
    let mut it = stage(Program::NodeWs, Handler::Plain, declared()).await;
    let mut ann = User::join(it.gateway.traffic(), "b", "ann").await;
    let order = MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode: DrainMode::Transparent,
    };
    // The gateway looks every second whether a server is there; what is to be seen is a move that begins before it has.
    let mut is_dialled = false;
    for _ in 0..20 {
        it.target.process().kill();
        match it.gateway.admin().move_board("b", &order).await {
            Ok(report) if report.result == "target_down" => is_dialled = true,
            Ok(report) => assert_eq!(report.result, "target_not_ready", "{report:?}"),
            Err(AdminError::Refused { body, .. }) => assert!(body.contains("target-not-ready"), "{body}"),
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(ann.hear_until_quiet(Duration::from_millis(1)).await, []);
        let seq = ann.draw().await;
        ann.saved(seq).await;
        assert_owner(&it, "board-1").await;
        if is_dialled {
            break;
        }
        it.target.restart().await;
        it.gateway.all_ready().await;
    }
    assert!(is_dialled, "no move began before the gateway had noticed");
    // One handshake: nobody was parted from the source.
    assert_eq!(it.before_source.handshakes(), 1);
    it.target.restart().await;
    eventually("the board can be moved", PATIENCE, || async {
        let moved = it.gateway.admin().move_board("b", &order).await;
        moved.is_ok_and(|report| report.is_moved() && report.switched == 1)
    })
    .await;
}

async fn assert_owner(it: &Stage, server: &str) {
    let view = it.gateway.admin().board("b").await.expect("it is open");
    assert_eq!(view.server.as_ref().map(|owner| owner.as_str()), Some(server));
    assert_eq!(view.state, BoardState::Settled);
}
