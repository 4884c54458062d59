//! A client that stops reading on a board where others go on: it is sent away, and nobody else notices.

use std::time::Duration;

use handover_tests::{BoardServer, Database, Gateway, Program, RawClient, Route, User, eventually};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::frames::masked;

#[tokio::test]
async fn a_client_that_stops_reading_is_sent_away_and_its_board_goes_on() {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database)
        .start()
        .await;
    let gateway = Gateway::builder("r1")
        .server(&server)
        .route(&Route::whiteboard().with("close_deadline", "\"1s\""))
        .toml("\n[limits]\nstall_timeout = \"1s\"\n")
        .start()
        .await;
    gateway.all_ready().await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let mut bob = User::join(gateway.traffic(), "b", "bob").await;
    let mut eve = RawClient::connect_with_little_room(gateway.traffic()).await;
    eve.say(super::HANDSHAKE).await;
    assert!(eve.head().await.starts_with("HTTP/1.1 101 "));
    eve.say(masked(0x81, br#"{"type":"hello","user":"eve"}"#)).await;
    let before = gateway.process().resident();
    let hits = async || {
        let metrics = gateway.admin().metrics().await.expect("it has metrics");
        metrics.value("handover_limit_hits_total", &[("limit", "stall_timeout")])
    };
    // Each stroke is told to everybody; more than the kernels keep for eve is on its way to her soon.
    let mut strokes = 0;
    while hits().await == Some(0.0) {
        for _ in 0..8 {
            strokes += 1;
            let points = [[1.0, 2.5]; 4000].as_slice();
            let stroke = json!({"type": "draw", "seq": strokes, "color": "#e33", "points": points});
            ann.send(Message::text(stroke.to_string())).await;
            ann.saved(strokes).await;
        }
        assert!(strokes < 5000, "she is still there");
    }
    let grown = gateway.process().resident().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for one who does not read");
    let seq = bob.draw().await;
    bob.saved(seq).await;
    eventually("she has gone", SOON, || async {
        gateway.admin().board("b").await.expect("it is open").sessions == 2
    })
    .await;
    assert_eq!(hits().await, Some(1.0), "bob and ann are well");
    assert_eq!(database.changes("b").await.len() as u64, strokes + 1);
    eve.rest().await;
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);
