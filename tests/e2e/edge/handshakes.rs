//! Handshakes: those that are refused before anybody is dialled, and what the origin sees of the others.

use handover_tests::Route;

use super::{HANDSHAKE, Stage, handshake_and, handshake_but, only_status, values};

#[tokio::test]
async fn a_handshake_that_is_not_that_of_rfc_6455_reaches_no_origin() {
    let stage = Stage::start().await;
    let check = async |what: &str, handshake: String, status: u16| {
        let answer = stage.ask(handshake.as_bytes()).await;
        assert_eq!(only_status(&answer), Some(status), "{what}: {answer}");
        let (head, _) = answer.split_once("\r\n\r\n").expect("it has a head");
        let version = values(head, "sec-websocket-version");
        assert_eq!(
            version,
            if status == 426 { vec!["13"] } else { vec![] },
            "{what}: {answer}"
        );
        let connection = values(head, "connection").join(", ");
        assert!(connection.starts_with("close"), "{what}: {answer}");
        assert_eq!(stage.origin.take_heard(), [[0; 0]; 0], "{what}");
    };
    let but = handshake_but;
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
    check("no key", but(KEY, ""), 400).await;
    check("a key of 15 bytes", but(NONCE, "dGhlIHNhbXBsZSBub25j"), 400).await;
    check("a key of 17 bytes", but(NONCE, "dGhlIHNhbXBsZSBub25jZWE="), 400).await;
    check("a key that is no base64", but("dGhl", "d!hl"), 400).await;
    check("two keys", but(KEY, &KEY.repeat(2)), 400).await;
    check("two versions", but(VERSION, &VERSION.repeat(2)), 400).await;
    check("no version", but(VERSION, ""), 426).await;
    check("version 8", but("Version: 13", "Version: 8"), 426).await;
    check("a list of versions", but("Version: 13", "Version: 13, 8"), 426).await;
    check("POST", but("GET", "POST"), 400).await;
    check("HTTP/1.0", but("HTTP/1.1", "HTTP/1.0"), 400).await;
    check("a body", handshake_and("Content-Length: 5") + "12345", 400).await;
    check(
        "a chunked body",
        handshake_and("Transfer-Encoding: chunked") + "0\r\n\r\n",
        400,
    )
    .await;
}

#[tokio::test]
async fn only_websocket_is_ever_relayed() {
    let stage = Stage::start().await;
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let check = async |what: &str, handshake: String| {
        stage.origin.will_answer(OK);
        let answer = stage.ask(format!("{handshake}PRI * HTTP/2.0\r\n\r\n").as_bytes()).await;
        assert_eq!(only_status(&answer), Some(200), "{what}: {answer}");
        let heard = stage.origin.take_heard();
        assert_eq!(heard.len(), 1, "{what}: {heard:?}");
        let head = String::from_utf8_lossy(&heard[0]);
        assert!(head.ends_with("\r\n\r\n") && !head.contains("PRI"), "{what}: {head}");
        for name in ["upgrade", "http2-settings"] {
            assert_eq!(values(&head, name), [""; 0], "{what}: {head}");
        }
        let connection = values(&head, "connection").join(",").to_lowercase();
        assert!(!connection.contains("upgrade"), "{what}: {head}");
    };
    check("h2c", handshake_but("websocket", "h2c")).await;
    let settings = handshake_but("websocket", "h2c");
    let settings = settings.replacen(
        "Upgrade\r\n",
        "Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
        1,
    );
    check("h2c with settings", settings).await;
    check("a version of the token", handshake_but("websocket", "websocket/13")).await;
    check("a token of one's own", handshake_but("websocket", "x")).await;

    stage.origin.will_answer(super::ScriptedOrigin::SWITCHING);
    let mut client = stage.client().await;
    client.say(handshake_but("websocket", "h2c, WebSocket")).await;
    let answer = client.head().await;
    assert_eq!(only_status(&answer), Some(101), "{answer}");
    assert_eq!(values(&stage.origin.head().await, "upgrade"), ["websocket"]);
}

#[tokio::test]
async fn nobody_speaks_in_anothers_name() {
    let stage = Stage::start().await;
    let check = async |lines: &str, name: &str, expected: &[&str]| {
        let mut client = stage.client().await;
        client.say(handshake_and(lines)).await;
        let answer = client.head().await;
        assert_eq!(only_status(&answer), Some(101), "{lines}: {answer}");
        let head = stage.origin.head().await;
        assert_eq!(values(&head, name), expected, "{lines}: {head}");
        assert_eq!(values(&head, "connection"), ["Upgrade"], "{lines}: {head}");
        stage.origin.take_heard();
    };
    check("X-Auth: admin\r\nConnection: X-Auth", "x-auth", &[]).await;
    check("X-Auth: admin\r\nConnection: upgrade,x-AUTH", "x-auth", &[]).await;
    check("X-Auth: admin", "x-auth", &["admin"]).await;
    check("Connection: X-Forwarded-For", "x-forwarded-for", &["127.0.0.1"]).await;
    check("X-Forwarded-For: 10.0.0.1", "x-forwarded-for", &["127.0.0.1"]).await;
    check("Forwarded: for=10.0.0.1", "forwarded", &[]).await;
    check("Handover-Generation: 99", "handover-generation", &["1"]).await;
    check("Connection: Handover-Generation", "handover-generation", &["1"]).await;
    check("Handover-From: board-9", "handover-from", &[]).await;
    check("Handover_Generation: 99", "handover_generation", &[]).await;
    check("X_Auth: admin", "x_auth", &[]).await;
    check("X.Auth: admin", "x.auth", &[]).await;
    check("Proxy: http://evil", "proxy", &[]).await;
    check("Cookie: a=1\r\nCookie: b=2", "cookie", &["a=1", "b=2"]).await;
}

#[tokio::test]
async fn a_page_that_is_not_on_the_list_opens_nothing() {
    let route = Route::whiteboard().with("origins", "[\"same\", \"https://app.example.com\"]");
    let stage = Stage::with(&route, "").await;
    let check = async |lines: &str, status: u16| {
        let mut client = stage.client().await;
        client.say(handshake_and(lines)).await;
        let answer = client.head().await;
        assert_eq!(only_status(&answer), Some(status), "{lines}: {answer}");
        let dialled = stage.origin.take_heard().len();
        assert_eq!(dialled, usize::from(status == 101), "{lines}");
    };
    check("Origin: http://h", 101).await;
    check("Origin: https://app.example.com", 101).await;
    check("Origin: https://app.example.com.evil.example", 403).await;
    check("Origin: http://app.example.com", 403).await;
    check("Origin: https://app.example.com:8443", 403).await;
    check("Origin: null", 403).await;
    check("Origin: http://h\r\nOrigin: http://evil.example", 403).await;
}

#[tokio::test]
async fn bytes_behind_a_handshake_wait_for_the_101_and_are_no_request_without_it() {
    let stage = Stage::start().await;
    let frame = |text: &str| [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat();
    let said_at_once = [&[0x81, 4][..], b"here"].concat();
    stage
        .origin
        .will_answer([super::ScriptedOrigin::SWITCHING.as_bytes(), &said_at_once].concat());
    let dam = stage.origin.hold_answers();
    let mut client = stage.client().await;
    client
        .say([HANDSHAKE.as_bytes(), &frame("one"), &frame("two")].concat())
        .await;
    stage.origin.head().await;
    client.say(frame("three")).await;
    assert_eq!(stage.origin.rest_of_first(), Some(Vec::new()), "nothing before the 101");
    dam.notify_one();
    let expected = [frame("one"), frame("two"), frame("three")].concat();
    assert_eq!(stage.origin.behind_head(expected.len()).await, expected);
    client.head().await;
    assert_eq!(
        client.hear(said_at_once.len()).await,
        said_at_once,
        "not lost behind the 101"
    );

    const SECOND: &str = "GET /boards/b/secret HTTP/1.1\r\nHost: h\r\n\r\n";
    stage
        .origin
        .will_answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nwho");
    for (handshake, status) in [
        (HANDSHAKE.to_owned(), 401),
        (handshake_but("websocket", "h2c"), 401),
        (handshake_but("13", "8"), 426),
        (handshake_but("/boards/b", "/nowhere"), 404),
    ] {
        let answer = stage.ask((handshake + SECOND).as_bytes()).await;
        assert_eq!(only_status(&answer), Some(status), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    let heard = stage.origin.take_heard();
    let leaked = heard
        .iter()
        .any(|bytes| String::from_utf8_lossy(bytes).contains("secret"));
    assert!(!leaked, "{heard:?}");
}
