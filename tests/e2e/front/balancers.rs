//! The PROXY protocol, by the byte and from a real HAProxy.

use std::net::Ipv4Addr;

use handover_tests::{HaProxy, Route, eventually};

use super::{ANSWER, BALANCER, PROXY, SOON, STRANGER, Stage, connect_from, values};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n";
const LINE_V6: &[u8] = b"PROXY TCP6 2001:db8::7 fd00::1 5000 443\r\n";

fn binary(command: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("it is short").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, 0x11], &length, body].concat()
}

/// `192.0.2.7:5000`, with an extension behind the addresses.
fn binary_client() -> Vec<u8> {
    binary(0x21, &[192, 0, 2, 7, 10, 0, 0, 1, 19, 136, 1, 187, 4, 0, 1, 0])
}

#[tokio::test]
async fn a_listed_balancer_says_whose_connection_it_is() {
    let stage = Stage::start(&Route::whiteboard(), "", "").await;
    let balancer = BALANCER.to_string();
    for is_tls in [false, true] {
        for (header, client) in [
            (LINE.to_vec(), "192.0.2.7"),
            (LINE_V6.to_vec(), "2001:db8::7"),
            (b"PROXY UNKNOWN\r\n".to_vec(), &balancer),
            (binary_client(), "192.0.2.7"),
            (binary(0x20, &[]), &balancer),
        ] {
            let shown = String::from_utf8_lossy(&header).into_owned();
            let line = stage.connect(BALANCER, &header, is_tls).await.expect("it is let in");
            let (answer, head) = stage.ask(line, "").await;
            assert!(answer.ends_with("ok"), "{shown:?}: {answer}");
            let head = head.expect("it was passed on");
            assert_eq!(values(&head, "x-forwarded-for"), [client], "{shown:?}");
            let scheme = if is_tls { "https" } else { "http" };
            assert_eq!(values(&head, "x-forwarded-proto"), [scheme], "{shown:?}");
            let line = stage.connect(BALANCER, &header, is_tls).await.expect("it is let in");
            assert_eq!(
                stage.session(line, "").await.expect("it is opened"),
                client,
                "{shown:?}"
            );
            stage.origin.will_answer(ANSWER);
        }
    }
    assert_eq!(stage.proxy_headers("client").await, 12.0);
    assert_eq!(stage.proxy_headers("itself").await, 8.0);
}

#[tokio::test]
async fn of_whoever_is_not_listed_no_proxy_header_is_read() {
    let stage = Stage::start(&Route::whiteboard(), "", "").await;
    for from in [STRANGER, PROXY] {
        let line = stage.connect(from, LINE, false).await.expect("it is let in");
        let (answer, head) = stage.ask(line, "").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(head, None, "nothing is passed on");
        assert!(
            stage.connect(from, &binary_client(), true).await.is_err(),
            "it is no hello"
        );
        let line = stage.connect(from, b"", false).await.expect("it is let in");
        let (answer, head) = stage.ask(line, "").await;
        assert!(answer.ends_with("ok"), "{answer}");
        assert_eq!(
            values(&head.expect("it was passed on"), "x-forwarded-for"),
            [from.to_string()]
        );
    }
    for outcome in ["client", "itself", "missing", "malformed", "timeout", "peer_gone"] {
        assert_eq!(stage.proxy_headers(outcome).await, 0.0, "{outcome}");
    }
}

#[tokio::test]
async fn a_listed_balancer_without_a_sound_header_is_closed_and_counted() {
    let stage = Stage::start(&Route::whiteboard(), "", "[limits]\nhead_timeout = \"3s\"\n").await;
    for (header, outcome) in [
        (&b""[..], "missing"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 5000\r\n", "malformed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "malformed"),
    ] {
        let before = stage.proxy_headers(outcome).await;
        let line = stage.connect(BALANCER, header, false).await.expect("it is let in");
        let (answer, head) = stage.ask(line, "").await;
        assert_eq!((answer.as_str(), head), ("", None), "{header:?}");
        eventually(outcome, SOON, || async {
            stage.proxy_headers(outcome).await == before + 1.0
        })
        .await;
    }
    let hello = stage.connect(BALANCER, b"", true).await;
    assert!(hello.is_err(), "a hello is no PROXY header");
    stage
        .gateway
        .process()
        .logs("a peer of listen.proxy_protocol was closed")
        .await;

    let silent = stage.connect(BALANCER, &LINE[..20], false).await.expect("it is let in");
    eventually("it is given up", SOON, || async {
        stage.proxy_headers("timeout").await == 1.0
    })
    .await;
    let metrics = stage.gateway.admin().metrics().await.expect("it has metrics");
    let hits = metrics.value("handover_limit_hits_total", &[("limit", "head_timeout")]);
    assert_eq!(hits, Some(1.0));
    drop(silent);
    drop(stage.connect(BALANCER, &LINE[..20], false).await.expect("it is let in"));
    eventually("it has left", SOON, || async {
        stage.proxy_headers("peer_gone").await == 1.0
    })
    .await;
}

#[tokio::test]
async fn haproxy_names_its_clients() {
    let stage = Stage::start(&Route::whiteboard(), "", "").await;
    let (plain, tls) = (stage.gateway.traffic(), stage.traffic_tls);
    let passing = |to: String| format!("  mode tcp\n  source {BALANCER}\n  server gw {to}");
    let lines = [
        passing(format!("{plain} send-proxy")),
        passing(format!("{plain} send-proxy-v2")),
        passing(format!("{tls} send-proxy")),
        passing(format!("{tls} send-proxy-v2")),
        passing(format!("{tls} send-proxy-v2 ssl verify none sni str(board.test)")),
        format!(
            "  mode http\n  source {PROXY}\n  option forwardfor\n  http-request set-header X-Forwarded-Proto https\n  \
             http-request set-header X-Forwarded-Host %[req.hdr(host)]\n  server gw {plain}"
        ),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let haproxy = HaProxy::start(&lines).await;
    for (number, scheme) in ["http", "http", "https", "https", "https", "https"]
        .into_iter()
        .enumerate()
    {
        let to = (Ipv4Addr::LOCALHOST, haproxy.port(number)).into();
        let stream = connect_from(STRANGER, to).await;
        let line: Box<dyn super::Line> = match number {
            2 | 3 => Box::new(stage.tls(stream).await.expect("TLS passes through")),
            _ => Box::new(stream),
        };
        let (answer, head) = stage.ask(line, "X-Forwarded-For: 10.6.6.6\r\n").await;
        assert!(answer.ends_with("ok"), "{number}: {answer}");
        let head = head.expect("it was passed on");
        let addresses = values(&head, "x-forwarded-for").join(", ");
        if number < 5 {
            assert_eq!(addresses, STRANGER.to_string(), "{number}");
        } else {
            assert_eq!(
                addresses,
                format!("10.6.6.6, {STRANGER}, {PROXY}"),
                "it was appended to"
            );
        }
        assert_eq!(values(&head, "x-forwarded-proto"), [scheme], "{number}");
        if number != 2 && number != 3 {
            let line = Box::new(connect_from(STRANGER, to).await);
            let client = stage
                .session(line, "X-Forwarded-For: 10.6.6.6\r\n")
                .await
                .expect("it is opened");
            assert_eq!(client, STRANGER.to_string(), "{number}");
            stage.origin.will_answer(ANSWER);
        }
    }
    let checked = passing(format!("{plain} send-proxy-v2 check inter 500ms"));
    let _checking = HaProxy::start(&[&checked]).await;
    let missing = stage.proxy_headers("missing").await;
    eventually("it is checked", SOON, || async {
        stage.proxy_headers("itself").await >= 2.0
    })
    .await;
    assert_eq!(stage.proxy_headers("missing").await, missing);
}
