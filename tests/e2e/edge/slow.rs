//! Clients that take their time: each bound ends the connection, and is counted.

use std::time::Duration;

use handover_tests::{RawClient, Route, ScriptedOrigin};
use tokio::time::{interval, timeout};

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
