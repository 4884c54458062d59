//! Handshakes that have to wait, or come when there is no room: while a board is parked, at the bounds, at the end.

use std::time::Duration;

use super::gateway::{Client, Gateway, eventually};
use super::handshakes::{HANDSHAKE, SWITCHING};
use super::servers::{Scripted, echo};

/// Opens board 7 with a session, so that a test can park it.
async fn open_board(gateway: &Gateway, server: &Scripted) -> Client {
    let mut client = gateway.client().await;
    client.say(HANDSHAKE).await;
    let mut line = server.next().await;
    line.head().await;
    line.say(SWITCHING).await;
    client.head().await;
    client
}

#[tokio::test]
async fn a_handshake_waits_while_its_board_is_parked() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let _first = open_board(&gateway, &server).await;
    gateway.board("7").park();
    let mut client = gateway.client().await;
    client.say(HANDSHAKE).await;
    assert!(client.is_kept_waiting().await);
    gateway.board("7").unpark();
    let mut line = server.next().await;
    line.head().await;
    line.say(SWITCHING).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(gateway.board("7").sessions().len(), 2);
}

#[tokio::test]
async fn a_dial_is_given_up_when_the_board_is_parked_and_made_anew_afterwards() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let _first = open_board(&gateway, &server).await;
    let mut client = gateway.client().await;
    client.say(HANDSHAKE).await;
    let mut given_up = server.next().await;
    given_up.head().await;
    assert_eq!(gateway.board("7").in_flight().dials, 1);
    gateway.board("7").park();
    given_up.is_left().await;
    tokio::time::timeout(Duration::from_secs(5), gateway.board("7").wait_until_still())
        .await
        .unwrap();
    gateway.board("7").unpark();
    let mut line = server.next().await;
    line.head().await;
    line.say(SWITCHING).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn whoever_waits_for_longer_than_a_hold_is_told_to_come_back() {
    let server = Scripted::start().await;
    let route = "hold_timeout = \"400ms\"\nfreeze_timeout = \"200ms\"\nboundary_timeout = \"100ms\"\nquiet = \"10ms\"\nquiet_max = \"20ms\"\nrequest_timeout = \"100ms\"\nsettle = \"10ms\"\nswitch_timeout = \"100ms\"\nclose_deadline = \"100ms\"";
    let gateway = Gateway::start_with(server.address, route, |limits| limits.parked_max = 1).await;
    let _first = open_board(&gateway, &server).await;
    gateway.board("7").park();
    let mut client = gateway.client().await;
    client.say(HANDSHAKE).await;
    assert!(client.is_kept_waiting().await);
    let turned_away = gateway.ask(HANDSHAKE).await;
    assert!(
        turned_away.starts_with("HTTP/1.1 503 ") && turned_away.contains("\"type\":\"overloaded\""),
        "{turned_away}"
    );
    gateway.shows("handover_limit_hits_total{limit=\"parked_max\"} 1").await;
    let answer = client.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"type\":\"board-parked\""),
        "{answer}"
    );
    assert!(answer.contains("retry-after: "), "{answer}");
    gateway
        .shows("handover_upgrades_total{outcome=\"unavailable\"} 1")
        .await;
    let answer = gateway
        .ask("GET /b/7/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"type\":\"board-parked\""),
        "{answer}"
    );
    assert!(answer.contains("retry-after: "), "{answer}");
    gateway
        .shows("handover_requests_total{outcome=\"unavailable\"} 1")
        .await;
}

#[tokio::test]
async fn there_are_no_more_sessions_than_there_may_be() {
    let gateway = Gateway::start_with(echo().await, "", |limits| limits.sessions_max = 1).await;
    let mut first = gateway.client().await;
    first.say(HANDSHAKE).await;
    first.head().await;
    let answer = gateway.ask(HANDSHAKE).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"type\":\"overloaded\""),
        "{answer}"
    );
    gateway
        .shows("handover_limit_hits_total{limit=\"sessions_max\"} 1")
        .await;
    drop(first);
    eventually(|| gateway.board("7").sessions().is_empty(), "the first session is over").await;
    let mut second = gateway.client().await;
    second.say(HANDSHAKE).await;
    assert!(second.head().await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_sessions_and_turns_away_who_waits() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let _first = open_board(&gateway, &server).await;
    gateway.board("7").park();
    let mut waiting = gateway.client().await;
    waiting.say(HANDSHAKE).await;
    assert!(waiting.is_kept_waiting().await);
    gateway.stop().await;
    assert!(waiting.rest().await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn a_handshake_that_succeeds_behind_the_shutdown_opens_no_session() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut client = gateway.client().await;
    client.say(HANDSHAKE).await;
    let mut line = server.next().await;
    line.head().await;
    let board = gateway.board("7");
    let stopping = tokio::spawn(gateway.stop());
    tokio::time::sleep(Duration::from_millis(50)).await;
    line.say(SWITCHING).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 503 "));
    line.is_left().await;
    stopping.await.unwrap();
    assert!(board.sessions().is_empty());
}
