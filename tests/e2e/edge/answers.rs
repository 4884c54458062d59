//! What an origin answers to a handshake, or to a plain request: only a 101 that is in order opens a session.

use handover_tests::{ScriptedOrigin, eventually};

use super::{HANDSHAKE, SOON, Stage, handshake_and, only_status, values};

/// A sound 101, with something else in the place of one of its parts.
fn switching_but(part: &str, other: &str) -> String {
    assert!(ScriptedOrigin::SWITCHING.contains(part), "{part}");
    ScriptedOrigin::SWITCHING.replacen(part, other, 1)
}

fn switching_and(lines: &str) -> String {
    switching_but("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

#[tokio::test]
async fn a_101_that_is_wrong_opens_nothing() {
    let stage = Stage::start().await;
    const PLAIN: &str = "GET /boards/b/ws HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let check = async |what: &str, request: &str, answer: String| {
        stage.origin.will_answer(&answer);
        let answer = stage.ask(request.as_bytes()).await;
        assert_eq!(only_status(&answer), Some(502), "{what}: {answer}");
        assert_eq!(stage.origin.take_heard().len(), 1, "{what}: dialled once");
        eventually("the origin's connection is closed", SOON, || async {
            stage.origin.connections() == 0
        })
        .await;
    };
    check(
        "no accept",
        HANDSHAKE,
        switching_but("Sec-WebSocket-Accept", "X-Accept"),
    )
    .await;
    let of_another = switching_but("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=");
    check("the accept of another key", HANDSHAKE, of_another).await;
    check("no upgrade", HANDSHAKE, switching_but("Upgrade: websocket\r\n", "")).await;
    check("no connection", HANDSHAKE, switching_but("Connection: Upgrade\r\n", "")).await;
    check("another token", HANDSHAKE, switching_but("websocket", "h2c")).await;
    check(
        "a second token",
        HANDSHAKE,
        switching_but("websocket", "websocket, h2c"),
    )
    .await;
    check("to a plain GET", PLAIN, ScriptedOrigin::SWITCHING.to_owned()).await;
    let protocol = switching_and("Sec-WebSocket-Protocol: chat");
    check("a subprotocol and no offer", HANDSHAKE, protocol.clone()).await;
    let offer = handshake_and("Sec-WebSocket-Protocol: v1, v2");
    check("a subprotocol not offered", &offer, protocol).await;
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate";
    check("an extension and no offer", HANDSHAKE, switching_and(deflate)).await;
    let offer = handshake_and(deflate);
    check(
        "bits out of bounds",
        &offer,
        switching_and(&format!("{deflate}; server_max_window_bits=99")),
    )
    .await;
    check(
        "an extension twice",
        &offer,
        switching_and(&format!("{deflate}, permessage-deflate")),
    )
    .await;
}

#[tokio::test]
async fn an_offer_of_which_no_sense_can_be_made_is_dropped() {
    let stage = Stage::start().await;
    let check = async |offer: &str, expected: &[&str]| {
        let mut client = stage.client().await;
        client
            .say(handshake_and(&format!("Sec-WebSocket-Extensions: {offer}")))
            .await;
        let answer = client.head().await;
        assert_eq!(only_status(&answer), Some(101), "{offer}: {answer}");
        let head = stage.origin.head().await;
        assert_eq!(values(&head, "sec-websocket-extensions"), expected, "{offer}: {head}");
        stage.origin.take_heard();
    };
    check("permessage-deflate; server_max_window_bits=99", &[]).await;
    check("permessage-deflate; server_max_window_bits=7", &[]).await;
    check(
        "permessage-deflate; client_max_window_bits",
        &["permessage-deflate; client_max_window_bits"],
    )
    .await;
}

#[tokio::test]
async fn any_other_answer_is_plain_http_and_no_tunnel() {
    let stage = Stage::start().await;
    for status in ["200 OK", "401 Unauthorized", "426 Upgrade Required"] {
        let lines = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nContent-Length: 4";
        stage
            .origin
            .will_answer(format!("HTTP/1.1 {status}\r\n{lines}\r\n\r\nbody"));
        let answer = stage
            .ask(&[HANDSHAKE.as_bytes(), &[0x81, 0x80, 0, 0, 0, 0]].concat())
            .await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("it has a head");
        assert_eq!(body, "body");
        assert_eq!(values(head, "upgrade"), [""; 0], "{head}");
        assert_eq!(values(head, "connection"), ["close"], "{head}");
        let heard = stage.origin.take_heard();
        assert!(
            heard.len() == 1 && heard[0].ends_with(b"\r\n\r\n"),
            "{status}: {heard:?}"
        );
    }
}
