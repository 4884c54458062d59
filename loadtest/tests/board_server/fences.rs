//! A board was given to another server behind the back of the one that had it.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::harness::{Bench, eventually, on_every_store};

#[test]
fn a_thaw_that_comes_after_the_board_went_elsewhere_gives_nothing_back() {
    on_every_store(async |bench: Bench| {
        let source = bench.owner("board-1", &[]).await;
        let target = bench.server("board-2", &[]).await;
        let (mut anna, _) = source.user("anna").await;
        let freeze = json!({"generation": 1, "attempt": 2, "sessions": {"anna": 1}, "deadline_ms": 30_000});
        source.ok("POST", "/freeze", freeze).await;
        target
            .ok("POST", "/activate", json!({"generation": 2, "attempt": 3}))
            .await;
        let thaw = json!({"generation": 1, "attempt": 3});
        let problem = source.refused("POST", "/thaw", thaw, "stale-generation").await;
        assert_eq!(
            (&problem["fence"], &problem["fence_owner"]["server"]),
            (&json!(2), &json!("board-2"))
        );
        assert_eq!(anna.closed().await, 1012);
        eventually(async || source.listed().await.is_none()).await;
    });
}

#[test]
fn a_server_notices_that_its_board_went_elsewhere_though_nobody_tells_it() {
    on_every_store(async |bench: Bench| {
        let source = bench.owner("board-1", &[]).await;
        let target = bench.server("board-2", &[]).await;
        let (mut anna, _) = source.user("anna").await;
        target
            .ok("POST", "/activate", json!({"generation": 2, "attempt": 2}))
            .await;
        assert_eq!(anna.closed().await, 1012);
        eventually(async || source.listed().await.is_none()).await;
        assert_eq!(target.listed().await.unwrap()["role"], "owner");
    });
}

#[test]
fn a_server_that_was_fenced_out_acknowledges_nothing_and_closes_its_sessions() {
    on_every_store(async |bench: Bench| {
        let source = bench.owner("board-1", &["--save-time", "100ms"]).await;
        let target = bench.server("board-2", &[]).await;
        let (mut anna, _) = source.user("anna").await;
        anna.draw(1).await;
        // While the change waits to be saved, another server takes the board.
        sleep(Duration::from_millis(20)).await;
        target
            .ok("POST", "/activate", json!({"generation": 2, "attempt": 2}))
            .await;
        assert!(
            matches!(anna.raw().await, tokio_tungstenite::tungstenite::Message::Close(Some(frame)) if u16::from(frame.code) == 1012)
        );
        eventually(async || source.listed().await.is_none()).await;
        assert!(bench.saved().await.is_empty());
        assert_eq!(target.alarms(), 0);
    });
}
