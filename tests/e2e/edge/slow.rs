//! Clients that take their time: each bound ends the connection, and is counted.

use std::time::Duration;

use handover_tests::{RawClient, Route, ScriptedOrigin};
use tokio::time::{interval, timeout};

use super::frames::{close_code, masked};
use super::{SOON, Stage, counted};

/// Sends one byte at a time until nobody takes them any more.
async fn drip(client: &mut RawClient) {
    let mut ticks = interval(Duration::from_millis(50));
    for byte in b"GET /boards/b/ws HTTP/1.1\r\nX-A: "
        .iter()
        .chain(std::iter::repeat(&b'a'))
    {
        ticks.tick().await;
        if !client.say([*byte]).await {
            return;
        }
    }
}

#[tokio::test]
async fn a_head_that_drips_and_a_connection_that_says_nothing_are_ended() {
    let stage = Stage::with(&Route::whiteboard(), "\n[limits]\nhead_timeout = \"1s\"\n").await;
    let mut silent = stage.client().await;
    assert_eq!(silent.rest().await, b"");
    counted(&stage, "head_timeout", 1.0).await;
    let mut slow = stage.client().await;
    timeout(SOON, drip(&mut slow)).await.expect("it is ended");
    counted(&stage, "head_timeout", 2.0).await;
    assert_eq!(stage.origin.take_heard(), [[0; 0]; 0]);
    // Others come in as before.
    stage.session().await;
}

#[tokio::test]
async fn a_message_that_does_not_end_ends_its_session() {
    let stage = Stage::with(&Route::whiteboard(), "\n[limits]\nmessage_timeout = \"1s\"\n").await;
    let mut ann = stage.session().await;
    stage.origin.head().await;
    let half = &masked(0x82, &[7; 100])[..50];
    for (number, (what, begun)) in [
        ("a frame without its end", half.to_vec()),
        ("a header without its end", vec![0x82]),
        ("a fragment without the next", masked(0x01, b"once upon")),
        (
            "a Ping between fragments",
            [masked(0x01, b"a"), masked(0x89, b"")].concat(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bob = stage.session().await;
        bob.say(begun).await;
        assert_eq!(close_code(what, &mut bob).await, 1008, "{what}");
        counted(&stage, "message_timeout", number as f64 + 1.0).await;
    }
    // Empty fragments, one after the other, are no end either.
    let mut slow = stage.session().await;
    slow.say(masked(0x01, b"")).await;
    let dribble = async {
        let mut ticks = interval(Duration::from_millis(50));
        while slow.say(masked(0x00, b"")).await {
            ticks.tick().await;
        }
    };
    timeout(SOON, dribble).await.expect("it is ended");
    counted(&stage, "message_timeout", 5.0).await;
    // Who has said nothing all the while has begun nothing.
    let message = masked(0x81, b"ok");
    ann.say(&message).await;
    assert_eq!(stage.origin.behind_head(message.len()).await, message);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_told_to_come_back_later_and_costs_nobody_else_anything() {
    // The Close waits so long for room.
    let route = Route::whiteboard().with("close_deadline", "\"4s\"");
    let route = route.with("settle", "\"100ms\"").with("quiet_max", "\"250ms\"");
    let stage = Stage::with(&route, "\n[limits]\nstall_timeout = \"1s\"\n").await;
    let mut ann = stage.session().await;
    stage.origin.head().await;
    let frame = [&[0x82, 126, 0x10, 0][..], &[7; 0x1000]].concat();
    let before = stage.resident();
    stage
        .origin
        .will_answer([ScriptedOrigin::SWITCHING.as_bytes(), &frame.repeat(8 * 1024)].concat());
    let mut bob = stage.session().await;
    counted(&stage, "stall_timeout", 1.0).await;
    let grown = stage.resident().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for a client that takes nothing");
    let heard = bob.rest().await;
    assert!(
        heard.ends_with(&[0x88, 2, 0x03, 0xF5]),
        "no 1013 behind {} bytes",
        heard.len()
    );
    assert_eq!(
        (heard.len() - 4) % frame.len(),
        0,
        "whole frames, and the Close behind them"
    );

    let message = [0x81, 0x82, 0, 0, 0, 0, b'o', b'k'];
    ann.say(message).await;
    assert_eq!(stage.origin.behind_head(message.len()).await, message);
}
