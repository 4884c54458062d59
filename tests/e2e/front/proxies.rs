//! Forwarding headers, true and made up.

use handover_tests::Route;

use super::{ANSWER, BALANCER, PROXY, STRANGER, Stage, values};

/// What a client may write to be taken for another.
const SPOOFED: &str = "X-Forwarded-For: 10.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
                       X-Real-IP: 10.6.6.6\r\nForwarded: for=10.6.6.6;proto=https\r\nX_Forwarded_For: 10.6.6.6\r\n\
                       X.Forwarded.For: 10.6.6.6\r\nX-Forwarded-Client-Cert: x\r\n";

#[tokio::test]
async fn only_listed_proxies_speak_for_others() {
    let stage = Stage::start(&Route::whiteboard(), "", "").await;
    let line = stage.connect(STRANGER, b"", false).await.expect("it is let in");
    let (_, head) = stage.ask(line, SPOOFED).await;
    let head = head.expect("it was passed on");
    assert_eq!(values(&head, "x-forwarded-for"), [STRANGER.to_string()]);
    assert_eq!(values(&head, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&head, "x-forwarded-host"), ["app.test"]);
    assert!(
        !head.contains("10.6.6.6") && !head.contains("evil") && !head.contains("client-cert"),
        "{head}"
    );

    let line = stage.connect(PROXY, b"", false).await.expect("it is let in");
    let lines = format!("{SPOOFED}X-Forwarded-For: 192.0.2.7\r\n").replace("evil.test", "boards.test");
    let (_, head) = stage.ask(line, &lines).await;
    let head = head.expect("it was passed on");
    assert_eq!(
        values(&head, "x-forwarded-for"),
        [format!("10.6.6.6, 192.0.2.7, {PROXY}")]
    );
    assert_eq!(values(&head, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&head, "x-forwarded-host"), ["boards.test"]);
    assert_eq!(head.matches("10.6.6.6").count(), 1, "{head}");

    let session = async |from, header: &[u8], lines: &str| {
        let line = stage.connect(from, header, false).await.expect("it is let in");
        let client = stage.session(line, lines).await.expect("it is opened");
        stage.origin.will_answer(ANSWER);
        client
    };
    let lines = "X-Forwarded-For: 10.6.6.6, 192.0.2.7\r\n";
    assert_eq!(session(PROXY, b"", lines).await, "192.0.2.7");
    assert_eq!(session(STRANGER, b"", lines).await, STRANGER.to_string());
    // A balancer that passes bytes on may stand before the proxy, or before anybody.
    let proxy = b"PROXY TCP4 127.0.0.3 10.0.0.1 5000 443\r\n";
    assert_eq!(session(BALANCER, proxy, lines).await, "192.0.2.7");
    let client = b"PROXY TCP4 192.0.2.9 10.0.0.1 5000 443\r\n";
    assert_eq!(session(BALANCER, client, lines).await, "192.0.2.9");
}

#[tokio::test]
async fn the_page_of_a_handshake_is_compared_with_what_a_listed_proxy_was_asked_for() {
    let route = Route::whiteboard().with("origins", "[\"same\"]");
    let stage = Stage::start(&route, "forwarding_headers = \"forwarded\"", "").await;
    let is_opened = async |from, lines: &str| {
        let line = stage.connect(from, b"", false).await.expect("it is let in");
        match stage.session(line, lines).await {
            Ok(_) => true,
            Err(answer) => {
                assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
                false
            }
        }
    };
    let said = "Forwarded: for=192.0.2.7;proto=https;host=boards.test\r\n";
    let page = |origin: &str| format!("Origin: {origin}\r\n{said}");
    assert!(is_opened(PROXY, &page("https://boards.test")).await);
    assert!(!is_opened(PROXY, &page("http://boards.test")).await, "another scheme");
    assert!(!is_opened(PROXY, &page("https://app.test")).await, "another host");
    assert!(
        !is_opened(STRANGER, &page("https://boards.test")).await,
        "nobody believes a stranger"
    );
    assert!(is_opened(STRANGER, &page("https://app.test")).await, "its own host");
}
