//! Handshakes: what becomes a session, and what the others are told.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::gateway::{Gateway, eventually};
use super::servers::{Scripted, echo};

pub(super) const HANDSHAKE: &str = "GET /b/7/ws?t=1 HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub(super) const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A smuggler's request, behind another.
const SECOND: &str = "GET /b/8/secret HTTP/1.1\r\nHost: h\r\n\r\n";

/// A text frame of a client, with a mask of zeros.
fn from_client(text: &str) -> Vec<u8> {
    let length = 0x80 | u8::try_from(text.len()).unwrap();
    [&[0x81, length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// A text frame of a server.
fn from_server(text: &str) -> Vec<u8> {
    [&[0x81, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn handshake_with(lines: &str) -> String {
    HANDSHAKE.replace("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

fn switching_with(lines: &str) -> String {
    SWITCHING.replace("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

#[tokio::test]
async fn messages_flow_both_ways_through_a_session() {
    let gateway = Gateway::start(echo().await, "").await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://h/b/7/ws", stream).await.unwrap();
    for text in ["hello", "", "again"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    socket.send(Message::binary(vec![7; 300_000])).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().len(), 300_000);
    gateway.shows("handover_upgrades_total{outcome=\"opened\"} 1").await;
    gateway
        .shows("handover_requests_total{outcome=\"client_gone\"} 0")
        .await;
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    eventually(|| gateway.board("7").sessions().is_empty(), "the session is over").await;
}

#[tokio::test]
async fn nobody_speaks_in_anothers_name() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut client = gateway.client().await;
    let lines = "Handover-Generation: 99\r\nHandover-From: x/y\r\nX-Forwarded-For: 10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\n\
                 Forwarded: for=10.0.0.1\r\nX-Auth: admin\r\nConnection: X-Auth\r\nCookie: a=1";
    client.say(handshake_with(lines)).await;
    let mut line = server.next().await;
    let head = line.head().await;
    assert!(head.starts_with("GET /b/7/ws?t=1 HTTP/1.1\r\n"), "{head}");
    let values = |name: &str| -> Vec<&str> {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value)
            .collect()
    };
    assert_eq!(values("handover-board"), ["7"]);
    assert_eq!(values("handover-generation"), ["1"]);
    assert_eq!(values("handover-session").len(), 1);
    assert_eq!(values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values("x-forwarded-proto"), ["http"]);
    assert_eq!(values("x-forwarded-host"), ["h"]);
    assert_eq!(values("connection"), ["Upgrade"]);
    assert_eq!(values("cookie"), ["a=1"]);
    for gone in ["handover-from", "x_forwarded_for", "forwarded", "x-auth"] {
        assert_eq!(values(gone), [""; 0], "{gone}");
    }
    let answer = "Handover-Mode: transparent\r\nHandover-Replay: first=1\r\nSet-Cookie: s=1\r\nContent-Length: 0";
    line.say(switching_with(answer)).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(
        head.contains("set-cookie: s=1\r\n") && head.contains("sec-websocket-accept: s3p"),
        "{head}"
    );
    assert!(!head.contains("handover") && !head.contains("content-length"), "{head}");
}

#[tokio::test]
async fn bytes_behind_the_handshake_wait_for_the_101_and_keep_their_order() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut client = gateway.client().await;
    client
        .say([HANDSHAKE.as_bytes(), &from_client("one\n#"), &from_client("two")].concat())
        .await;
    let mut line = server.next().await;
    line.head().await;
    client.say(from_client("three")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let early = line.stream.try_read(&mut [0; 16]);
    assert_eq!(
        early.unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "nothing before the 101"
    );
    line.say([SWITCHING.as_bytes(), &from_server("said at once")].concat())
        .await;
    let expected = [from_client("one\n#"), from_client("two"), from_client("three")].concat();
    assert_eq!(line.hear(expected.len()).await, expected);
    client.head().await;
    let mut said = vec![0; from_server("said at once").len()];
    client.stream.read_exact(&mut said).await.unwrap();
    assert_eq!(said, from_server("said at once"));
}

#[tokio::test]
async fn bytes_behind_a_handshake_that_is_refused_are_never_a_request() {
    let server = Scripted::start().await;
    let address = server.address;
    let mut heads = server.always("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nwho");
    let gateway = Gateway::start(address, "").await;
    let check = async |handshake: String, status: &str| {
        let answer = gateway.ask(&format!("{handshake}{SECOND}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    };
    check(HANDSHAKE.to_owned(), "401").await;
    check(HANDSHAKE.replace("13", "8"), "426").await;
    check(HANDSHAKE.replace("/b/7", "/nowhere"), "404").await;
    check(HANDSHAKE.replace("websocket", "h2c"), "401").await;
    heads.close();
    while let Some(head) = heads.recv().await {
        assert!(!head.contains("secret"), "{head}");
    }
}

#[tokio::test]
async fn too_many_bytes_behind_a_handshake_end_the_connection() {
    let server = Scripted::start().await;
    let gateway = Gateway::start_with(server.address, "", |limits| limits.early_bytes_max = 10).await;
    let mut client = gateway.client().await;
    client.say(HANDSHAKE).await;
    let mut line = server.next().await;
    line.head().await;
    client.say("0123456789a").await;
    line.is_left().await;
    gateway
        .shows("handover_limit_hits_total{limit=\"early_bytes_max\"} 1")
        .await;
    gateway
        .shows("handover_upgrades_total{outcome=\"client_gone\"} 1")
        .await;
}

#[tokio::test]
async fn a_101_that_is_wrong_is_a_502() {
    let check = async |name: &str, answer: String| {
        let server = Scripted::start().await;
        let address = server.address;
        server.always(answer);
        let gateway = Gateway::start(address, "").await;
        let answer = gateway.ask(HANDSHAKE).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{name}: {answer}");
        assert!(answer.contains("\"type\":\"bad-answer\""), "{name}: {answer}");
        gateway.shows("handover_upgrades_total{outcome=\"bad_answer\"} 1").await;
    };
    check("accept of another key", SWITCHING.replace("s3pP", "AAAA")).await;
    check("no accept", SWITCHING.replace("Sec-WebSocket-Accept", "X")).await;
    check("no upgrade", SWITCHING.replace("Upgrade: websocket\r\n", "")).await;
    check("another token", SWITCHING.replace("Upgrade: websocket", "Upgrade: h2c")).await;
    check(
        "subprotocol not offered",
        switching_with("Sec-WebSocket-Protocol: chat"),
    )
    .await;
    check(
        "extension not offered",
        switching_with("Sec-WebSocket-Extensions: permessage-deflate"),
    )
    .await;
}

#[tokio::test]
async fn what_a_server_answers_instead_of_a_101_is_passed_on_as_plain_http() {
    let check = async |status: &str, lines: &str| {
        let server = Scripted::start().await;
        let address = server.address;
        server.always(format!(
            "HTTP/1.1 {status}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{lines}Content-Length: 4\r\n\r\nbody"
        ));
        let gateway = Gateway::start(address, "").await;
        let answer = gateway.ask(HANDSHAKE).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(
            !answer.contains("upgrade:") && answer.contains("connection: close\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains(&lines.to_lowercase()) && answer.ends_with("\r\n\r\nbody"),
            "{answer}"
        );
        gateway.shows("handover_upgrades_total{outcome=\"refused\"} 1").await;
    };
    check("200 OK", "").await;
    check("401 Unauthorized", "WWW-Authenticate: basic\r\n").await;
    check("426 Upgrade Required", "Sec-WebSocket-Version: 8\r\n").await;
}

#[tokio::test]
async fn whose_fault_it_is_can_be_told_from_the_answer() {
    let server = Scripted::start().await;
    let gateway = Gateway::start_with(server.address, "dial_timeout = \"300ms\"", |limits| {
        limits.upgrade_timeout = Duration::from_millis(300);
    })
    .await;
    let check = async |handshake: String, status: &str, kind: &str| {
        let answer = gateway.ask(&handshake).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(
            answer.contains("content-type: application/problem+json\r\n"),
            "{answer}"
        );
        assert!(answer.contains(&format!("\"type\":\"{kind}\"")), "{answer}");
        answer
    };
    check(HANDSHAKE.replace("/b/7/ws", "/c/7"), "404", "no-route").await;
    check(HANDSHAKE.replace("/b/7/ws", "/b/..%2f7/ws"), "400", "bad-board").await;
    check(HANDSHAKE.replace("/b/7/ws", "/b/7;x/ws"), "400", "bad-board").await;
    let answer = check(HANDSHAKE.replace("13", "8"), "426", "upgrade-required").await;
    assert!(answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
    check(handshake_with("Sec-WebSocket-Version: 13"), "400", "bad-handshake").await;
    check(HANDSHAKE.to_owned(), "504", "server-timeout").await;
    gateway
        .shows("handover_limit_hits_total{limit=\"upgrade_timeout\"} 1")
        .await;
    drop(server);
    check(HANDSHAKE.to_owned(), "502", "server-unreachable").await;
    gateway.shows("handover_upgrades_total{outcome=\"no_route\"} 3").await;
    gateway
        .shows("handover_upgrades_total{outcome=\"bad_request\"} 2")
        .await;
    gateway.shows("handover_upgrades_total{outcome=\"timeout\"} 1").await;
    gateway
        .shows("handover_upgrades_total{outcome=\"unreachable\"} 1")
        .await;
}

#[tokio::test]
async fn no_token_but_websocket_reaches_a_server() {
    let server = Scripted::start().await;
    let address = server.address;
    let mut heads = server.always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::start(address, "").await;
    let mut check = async |handshake: String| {
        let answer = gateway.ask(&handshake).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"),
            "{answer}"
        );
        let head = heads.recv().await.unwrap();
        assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
    };
    check(HANDSHAKE.replace("websocket", "h2c")).await;
    check(HANDSHAKE.replace("websocket", "h2c, TLS/1.0")).await;
    check(
        HANDSHAKE
            .replace("keep-alive, Upgrade", "Upgrade, HTTP2-Settings")
            .replace("websocket", "h2c\r\nHTTP2-Settings: AAMAAABk"),
    )
    .await;
    check(HANDSHAKE.replace("keep-alive, Upgrade", "keep-alive")).await;
}

#[tokio::test]
async fn a_client_whose_session_may_cross_is_told_to_compress_each_message_by_itself() {
    let check = async |route: &str, offered: &str, answered: &str, told: Option<&str>| {
        let server = Scripted::start().await;
        let gateway = Gateway::start(server.address, route).await;
        let mut client = gateway.client().await;
        client
            .say(handshake_with(&format!("Sec-WebSocket-Extensions: {offered}")))
            .await;
        let mut line = server.next().await;
        line.head().await;
        line.say(switching_with(answered)).await;
        let head = client.head().await;
        let extensions = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        assert_eq!(extensions, told, "{route:?} {offered:?} {answered:?}");
    };
    let transparent = "mode = \"auto\"\nopaque_transparent = true\nreplay = { first = 1 }";
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate";
    check(
        transparent,
        "permessage-deflate",
        deflate,
        Some("permessage-deflate; client_no_context_takeover"),
    )
    .await;
    check(transparent, "permessage-deflate", "X: y", None).await;
    check(
        "mode = \"reconnect\"",
        "permessage-deflate",
        deflate,
        Some("permessage-deflate"),
    )
    .await;
    check("", "permessage-deflate", deflate, Some("permessage-deflate")).await;
    let by_server = format!("{deflate}; server_max_window_bits=12\r\nHandover-Mode: transparent");
    let told = "permessage-deflate; client_no_context_takeover; server_max_window_bits=12";
    check("", "permessage-deflate", &by_server, Some(told)).await;
}

#[tokio::test]
async fn a_page_of_another_origin_opens_nothing() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "origins = [\"same\", \"https://app.example\"]").await;
    let answer = gateway.ask(&handshake_with("Origin: https://evil.example")).await;
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("\"type\":\"origin-refused\""),
        "{answer}"
    );
    let answer = gateway
        .ask(&handshake_with("Origin: http://h\r\nOrigin: https://evil.example"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    for lines in ["Origin: http://h", "Origin: https://app.example", "X: no origin"] {
        let mut client = gateway.client().await;
        client.say(handshake_with(lines)).await;
        let mut line = server.next().await;
        line.head().await;
        line.say(SWITCHING).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "), "{lines}");
    }
}

#[tokio::test]
async fn a_contract_server_that_does_not_own_the_board_is_not_the_clients_business() {
    let server = Scripted::start().await;
    let address = server.address;
    server.always(
        "HTTP/1.1 409 Conflict\r\nContent-Type: application/problem+json\r\nContent-Length: 20\r\n\r\n\
         {\"type\":\"not-owner\"}",
    );
    let gateway = Gateway::start_before_owner(address, "7").await;
    let answer = gateway.ask(HANDSHAKE).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("retry-after: ") && answer.contains("\"type\":\"board-unavailable\""),
        "{answer}"
    );
    gateway
        .shows("handover_upgrades_total{outcome=\"unavailable\"} 1")
        .await;
}
