//! Dials to servers over real sockets: one of tokio-tungstenite, and ones that say just what a case wants.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::config::Replay;
use crate::upstream::TermsMode;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn handshake() -> Handshake {
    let request = Request::get("/boards/7/ws?token=x")
        .header("host", "boards.example")
        .header("cookie", "a=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY)
        .header("sec-websocket-protocol", "chat, v2")
        .header("sec-websocket-extensions", "permessage-deflate; client_max_window_bits");
    Handshake::new(&request.body(()).unwrap().into_parts().0)
}

fn ids() -> DialIds {
    DialIds {
        board: "a/7".parse().unwrap(),
        generation: Generation::new(4),
        session: "s-1".parse().unwrap(),
        from: Some(("board-1".parse().unwrap(), "s-1".parse().unwrap())),
    }
}

fn plain(address: std::net::SocketAddr) -> Destination {
    Destination::new(format!("http://{address}").parse().unwrap(), None)
}

/// Dials a server that says `answer` to the first head it gets, and returns what it got.
async fn dial_scripted(answer: String) -> (Result<Dialled, DialError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = plain(listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let handshake = handshake();
    let deadlines = DialDeadlines::at(Instant::now() + Duration::from_secs(10));
    let outcome = dial(&to, &handshake, &ids(), Asking::AsOffered, deadlines).await;
    (outcome, server.await.unwrap())
}

fn switching(headers: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{headers}\r\n")
}

#[tokio::test]
async fn the_server_gets_the_same_request_and_is_told_whose_it_is() {
    let (outcome, head) = dial_scripted(switching(&format!(
        "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n"
    )))
    .await;
    outcome.unwrap();
    assert!(head.starts_with("GET /boards/7/ws?token=x HTTP/1.1\r\n"), "{head}");
    for line in [
        "host: boards.example",
        "cookie: a=1",
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        &format!("sec-websocket-key: {KEY}"),
        "sec-websocket-protocol: chat, v2",
        "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
        "handover-board: a%2F7",
        "handover-generation: 4",
        "handover-session: s-1",
        "handover-from: board-1/s-1",
    ] {
        assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {head}");
    }
}

#[tokio::test]
async fn frames_in_the_same_packet_as_the_101_are_kept() {
    let (outcome, _) = dial_scripted(
        switching(&format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\
             Sec-WebSocket-Protocol: v2\r\nHandover-Mode: transparent\r\nHandover-Replay: first=1;await\r\n"
        )) + "\u{1}early",
    )
    .await;
    let mut dialled = outcome.unwrap();
    let mut said = dialled.early.to_vec();
    dialled.stream.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"\x01early");
    assert_eq!(dialled.agreement.subprotocol(), Some("v2"));
    assert_eq!(dialled.terms.mode, Some(TermsMode::Transparent));
    let replay = dialled.terms.replay.unwrap();
    assert!(
        matches!(
            replay,
            Replay::First {
                count: 1,
                await_answer: true
            }
        ),
        "{replay:?}"
    );
}

#[tokio::test]
async fn a_101_that_is_wrong_is_not_believed() {
    let check = async |headers: &str, expected: UpgradeFault| {
        let (outcome, _) = dial_scripted(switching(headers)).await;
        match outcome {
            Err(DialError::BadUpgrade(fault)) => assert_eq!(fault, expected, "{headers}"),
            other => panic!("{headers}: {other:?}"),
        }
    };
    let good = format!("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n");
    check("", UpgradeFault::Token).await;
    check(&good.replace("Upgrade: websocket", "Upgrade: h2c"), UpgradeFault::Token).await;
    check(
        &good.replace("Upgrade: websocket", "Upgrade: websocket, h2c"),
        UpgradeFault::Token,
    )
    .await;
    check(&good.replace("Connection: Upgrade\r\n", ""), UpgradeFault::Connection).await;
    check(
        &good.replace("Connection: Upgrade", "Connection: close"),
        UpgradeFault::Connection,
    )
    .await;
    check(
        &good.replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        UpgradeFault::Accept,
    )
    .await;
    check("Upgrade: websocket\r\nConnection: Upgrade\r\n", UpgradeFault::Accept).await;
    check(
        &format!("{good}Sec-WebSocket-Accept: {ACCEPT}\r\n"),
        UpgradeFault::Accept,
    )
    .await;
    check(
        &format!("{good}Sec-WebSocket-Protocol: v3\r\n"),
        AgreementFault::SubprotocolNotOffered.into(),
    )
    .await;
    check(
        &format!("{good}Sec-WebSocket-Extensions: x-other\r\n"),
        AgreementFault::ExtensionNotOffered.into(),
    )
    .await;
    check(
        &format!("{good}Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n"),
        AgreementFault::Extension(crate::upstream::ExtensionFault::Parameter).into(),
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_no_101_comes_with_its_body() {
    let (outcome, _) = dial_scripted(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nwho\r\n1\r\n?\r\n0\r\n\r\n"
            .to_owned(),
    )
    .await;
    let Err(DialError::Refused(response)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "who?");
}

#[tokio::test]
async fn whose_fault_a_failed_dial_is_can_be_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let to = plain(address);
    let deadlines = DialDeadlines::at(Instant::now() + Duration::from_millis(200));
    let outcome = dial(&to, &handshake(), &ids(), Asking::AsOffered, deadlines).await;
    assert!(
        matches!(outcome, Err(DialError::Exchange(ExchangeError::Timeout))),
        "mute: {outcome:?}"
    );

    drop(listener);
    let deadlines = DialDeadlines::at(Instant::now() + Duration::from_secs(10));
    let outcome = dial(&to, &handshake(), &ids(), Asking::AsOffered, deadlines).await;
    assert!(
        matches!(outcome, Err(DialError::Connect(ConnectError::Io(_)))),
        "absent: {outcome:?}"
    );

    let (outcome, _) = dial_scripted(String::new()).await;
    assert!(
        matches!(outcome, Err(DialError::Exchange(ExchangeError::Broken(_)))),
        "hung up: {outcome:?}"
    );

    let (outcome, _) = dial_scripted("SSH-2.0-OpenSSH\r\n\r\n".to_owned()).await;
    assert!(
        matches!(outcome, Err(DialError::Exchange(ExchangeError::Broken(_)))),
        "no HTTP: {outcome:?}"
    );
}

#[tokio::test]
async fn a_websocket_library_is_served_over_the_raw_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = plain(listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let message = socket.next().await.unwrap().unwrap();
        socket.send(message).await.unwrap();
    });
    let deadlines = DialDeadlines::at(Instant::now() + Duration::from_secs(10));
    let dialled = dial(&to, &handshake(), &ids(), Asking::AsOffered, deadlines)
        .await
        .unwrap();
    let mut socket =
        WebSocketStream::from_partially_read(dialled.stream, dialled.early.to_vec(), Role::Client, None).await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    server.await.unwrap();
}
