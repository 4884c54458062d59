//! Messages of every size and in pieces: a cut is made between them, never inside.

use std::time::Duration;

use handover_protocol::admin::{BoardState, DrainMode};
use handover_tests::{Database, Gateway, Route, User, eventually};
use sqlx::Row;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use super::{Stage, move_to_target, stage};

#[tokio::test]
async fn messages_of_every_length_arrive_once_in_order() {
    let Stage { database, gateway, .. } = &stage(&Route::whiteboard()).await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    // Both sides of every way to write a length (RFC 6455 section 5.2).
    let lengths = [1, 125, 126, 65_535, 65_536, 1 << 20];
    let mut expected = Vec::new();
    for length in lengths {
        send_both(&mut ann, length).await;
        expected.extend([length, length]);
    }
    let (report, ()) = tokio::join!(move_to_target(gateway, DrainMode::Transparent), async {
        for length in lengths {
            send_both(&mut ann, length).await;
            expected.extend([length, length]);
        }
    });
    assert_eq!((report.switched, report.reconnected), (1, 0), "{report:?}");
    send_both(&mut ann, 1).await;
    expected.extend([1, 1]);
    for seq in 1..=expected.len() as u64 {
        assert_eq!(ann.saved(seq).await, seq);
    }
    assert_eq!(saved_lengths(database, "b").await, expected);
    assert_eq!(database.repeats("b").await, 0);
}

#[tokio::test]
async fn a_message_under_way_at_the_cut_ends_before_its_session_moves() {
    let Stage { database, gateway, .. } = &stage(&Route::whiteboard()).await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    ann.send_fragment(Data::Binary, "one ".as_bytes(), false).await;
    let (report, ()) = tokio::join!(move_to_target(gateway, DrainMode::Transparent), async {
        moving(gateway).await;
        ann.send(Message::Ping("in between".into())).await;
        ann.send_fragment(Data::Continue, "two ".as_bytes(), false).await;
        ann.send_fragment(Data::Continue, "three".as_bytes(), true).await;
    });
    assert_eq!((report.switched, report.fallen_back), (1, 0), "{report:?}");
    assert_eq!(ann.saved(1).await, 1);
    ann.send(Message::binary("four")).await;
    ann.saved(2).await;
    assert_eq!(
        saved_lengths(database, "b").await,
        ["one two three".len(), "four".len()]
    );
}

#[tokio::test]
async fn a_message_that_does_not_end_costs_its_own_session_only() {
    let route = Route::whiteboard().with("boundary_timeout", "\"200ms\"");
    let Stage { database, gateway, .. } = &stage(&route).await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let mut bob = User::join(gateway.traffic(), "b", "bob").await;
    ann.send_fragment(Data::Text, "half of ".as_bytes(), false).await;
    let (report, code) = tokio::join!(
        move_to_target(gateway, DrainMode::Transparent),
        ann.closed(Duration::from_secs(10))
    );
    assert_eq!(code, Some(1012));
    assert_eq!((report.switched, report.fallen_back), (1, 1), "{report:?}");
    let metrics = gateway.admin().metrics().await.expect("it has metrics");
    let counted = metrics.value("handover_fallbacks_total", &[("reason", "boundary")]);
    assert_eq!(counted, Some(1.0), "{}", metrics.text());
    let seq = bob.draw().await;
    assert_eq!(bob.saved(seq).await, 1, "the half message is not taken");
    assert_eq!(database.changes("b").await.len(), 1);
}

async fn send_both(user: &mut User, length: usize) {
    user.send(Message::text("7".repeat(length))).await;
    user.send(Message::binary(vec![0xfe; length])).await;
}

async fn moving(gateway: &Gateway) {
    eventually("the board moves", Duration::from_secs(10), || async {
        let view = gateway.admin().board("b").await.expect("it is open");
        view.state != BoardState::Settled
    })
    .await;
}

/// Returns the lengths of the saved messages, in the board's order.
async fn saved_lengths(database: &Database, board: &str) -> Vec<usize> {
    let rows = sqlx::query("SELECT body FROM changes WHERE board = $1 ORDER BY revision")
        .bind(board)
        .fetch_all(database.pool())
        .await
        .expect("a server has made the tables");
    let length = |body: &str| {
        let body: serde_json::Value = serde_json::from_str(body).expect("servers keep JSON");
        usize::try_from(body["bytes"].as_u64().expect("it was no stroke")).expect("it was sent from here")
    };
    rows.iter().map(|row| length(row.get("body"))).collect()
}
