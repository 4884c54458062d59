//! Plain requests: passed on whole, streamed, counted, and cut where the route says so.

use std::time::Duration;

use super::gateway::{Gateway, eventually};
use super::servers::{Line, Scripted};

const GET: &str = "GET /b/7/state?x=1 HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn requests_of_a_connection_go_to_their_boards_owner_one_by_one() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut client = gateway.client().await;
    let mut line = None;
    for number in 1..=2 {
        client.say(GET).await;
        // The second goes over the connection of the first.
        let mut used = match line.take() {
            Some(line) => line,
            None => server.next().await,
        };
        let head = used.head().await;
        assert!(head.starts_with("GET /b/7/state?x=1 HTTP/1.1\r\n"), "{head}");
        let is_told = head.contains("handover-board: 7\r\n") && head.contains("handover-generation: 1\r\n");
        assert!(is_told && !head.contains("handover-session"), "{head}");
        used.say(format!(
            "HTTP/1.1 200 OK\r\nHandover-Mode: x\r\nContent-Length: 1\r\n\r\n{number}"
        ))
        .await;
        let head = client.head().await;
        assert!(
            head.contains("content-length: 1\r\n") && !head.contains("handover"),
            "{head}"
        );
        assert_eq!(client.hear(&number.to_string()).await, number.to_string());
        line = Some(used);
    }
    gateway.shows("handover_requests_total{outcome=\"answered\"} 2").await;
    assert_eq!(gateway.board("7").in_flight().requests, 0);
}

/// Has one request answered and returns the connection that it went over, idle now.
async fn used_connection(gateway: &Gateway, server: &Scripted) -> Line {
    let mut client = gateway.client().await;
    client.say(GET).await;
    let mut line = server.next().await;
    line.head().await;
    line.say(OK).await;
    client.hear("ok").await;
    gateway.shows("handover_requests_total{outcome=\"answered\"} 1").await;
    line
}

#[tokio::test]
async fn a_connection_that_its_server_has_closed_is_not_used_again() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    drop(used_connection(&gateway, &server).await);
    let mut client = gateway.client().await;
    client.say(GET).await;
    let mut line = server.next().await;
    line.head().await;
    line.say(OK).await;
    client.hear("ok").await;
}

#[tokio::test]
async fn a_request_that_a_used_connection_swallowed_is_sent_over_a_new_one() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut used = used_connection(&gateway, &server).await;
    let mut client = gateway.client().await;
    client.say(GET).await;
    // The server had made up its mind to close it when the request came.
    used.head().await;
    drop(used);
    let mut line = server.next().await;
    assert!(line.head().await.starts_with("GET /b/7/state?x=1 HTTP/1.1\r\n"));
    line.say(OK).await;
    client.hear("ok").await;
    gateway.shows("handover_requests_total{outcome=\"answered\"} 2").await;
}

#[tokio::test]
async fn a_request_that_must_not_be_sent_twice_gets_a_new_connection_and_one_try() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut used = used_connection(&gateway, &server).await;
    for request in [
        "POST /b/7/x HTTP/1.1\r\nHost: h\r\n\r\n",
        "DELETE /b/7/x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /b/7/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let mut client = gateway.client().await;
        client.say(request).await;
        let mut line = server.next().await;
        line.head().await;
        drop(line);
        assert!(client.head().await.starts_with("HTTP/1.1 502 "), "{request}");
    }
    let mut client = gateway.client().await;
    client.say(GET).await;
    used.head().await;
    used.say(OK).await;
    client.hear("ok").await;
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut client = gateway.client().await;
    client
        .say("POST /b/7/import HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    let mut line = server.next().await;
    let head = line.head().await;
    assert!(
        head.contains("transfer-encoding: chunked\r\n") && !head.contains("expect") && head.contains("trailer: x-sum"),
        "{head}"
    );
    client.say("3\r\none\r\n").await;
    assert_eq!(line.hear(8).await, b"3\r\none\r\n");
    line.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nuno.\r\n")
        .await;
    client.head().await;
    client.hear("uno.\r\n").await;
    assert_eq!(gateway.board("7").in_flight().requests, 1);
    client.say("3\r\ntwo\r\n0\r\nx-sum: 1\r\n\r\n").await;
    let rest = b"3\r\ntwo\r\n0\r\nx-sum: 1\r\n\r\n";
    assert_eq!(line.hear(rest.len()).await, rest);
    line.say("4\r\ndos.\r\n0\r\n\r\n").await;
    client.hear("dos.\r\n0\r\n\r\n").await;
    eventually(|| gateway.board("7").in_flight().requests == 0, "the request is over").await;
}

#[tokio::test]
async fn answers_without_a_body_end_where_they_end() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut client = gateway.client().await;
    let mut check = async |method: &str, answer: &str, expected: &str| {
        client.say(format!("{method} /b/7/x HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let mut line = server.next().await;
        line.head().await;
        line.say(answer).await;
        let head = client.head().await;
        assert!(head.starts_with(expected), "{head}");
        head
    };
    let head = check(
        "HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        "HTTP/1.1 200 OK",
    )
    .await;
    assert!(head.contains("content-length: 500\r\n"), "{head}");
    check("DELETE", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content").await;
    check(
        "GET",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 304 Not Modified",
    )
    .await;
    check("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK").await;
    gateway.shows("handover_requests_total{outcome=\"answered\"} 4").await;
}

#[tokio::test]
async fn an_answer_of_http_1_0_is_passed_on_to_its_end() {
    let server = Scripted::start().await;
    let address = server.address;
    server.always("HTTP/1.0 200 OK\r\n\r\nup to the close");
    let gateway = Gateway::start(address, "").await;
    let answer = gateway.ask("GET /b/7/x HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nup to the close"), "{answer}");
    gateway.shows("handover_requests_total{outcome=\"answered\"} 1").await;
}

#[tokio::test]
async fn a_request_waits_while_its_board_is_parked_and_may_finish_when_it_is_parked_later() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut under_way = gateway.client().await;
    under_way.say(GET).await;
    let mut line = server.next().await;
    line.head().await;
    gateway.board("7").park();
    let mut waiting = gateway.client().await;
    waiting.say(GET).await;
    assert!(waiting.is_kept_waiting().await);
    assert_eq!(gateway.board("7").in_flight().requests, 1);
    line.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await;
    under_way.hear("one").await;
    tokio::time::timeout(Duration::from_secs(5), gateway.board("7").wait_until_still())
        .await
        .unwrap();
    gateway.board("7").unpark();
    line.head().await;
    line.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo").await;
    waiting.hear("two").await;
}

#[tokio::test]
async fn a_stream_is_cut_at_a_hold_where_the_route_says_so() {
    let check = async |route: &str, is_cut: bool| {
        let server = Scripted::start().await;
        let gateway = Gateway::start(server.address, route).await;
        let mut client = gateway.client().await;
        client.say(GET).await;
        let mut line = server.next().await;
        line.head().await;
        line.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            .await;
        client.hear("one\r\n").await;
        gateway.board("7").park();
        if is_cut {
            line.is_left().await;
            assert_eq!(
                client.rest().await,
                "",
                "no last chunk, so that the client knows that something is missing"
            );
            gateway.shows("handover_requests_total{outcome=\"cut\"} 1").await;
        } else {
            line.say("3\r\ntwo\r\n0\r\n\r\n").await;
            client.hear("two\r\n0\r\n\r\n").await;
            gateway.shows("handover_requests_total{outcome=\"answered\"} 1").await;
        }
        eventually(|| gateway.board("7").in_flight().requests == 0, "the request is over").await;
    };
    check("cut_streams = true", true).await;
    check("cut_streams = false", false).await;
}

#[tokio::test]
async fn whose_fault_it_is_can_be_told_from_the_answer() {
    let check = async |request: &str, answer: &str, status: &str, kind: &str, outcome: &str| {
        let server = Scripted::start().await;
        let address = server.address;
        server.always(answer);
        let gateway = Gateway::start(address, "").await;
        let mut client = gateway.client().await;
        client.say(request).await;
        let answer = client.hear("\r\n\r\n{").await + &client.hear("}").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("\"type\":\"{kind}\"")), "{answer}");
        gateway
            .shows(&format!("handover_requests_total{{outcome=\"{outcome}\"}} 1"))
            .await;
    };
    check(&GET.replace("/b/", "/c/"), "", "404", "no-route", "no_route").await;
    check(&GET.replace("/b/7", "/b/%zz"), "", "400", "bad-board", "no_route").await;
    check(
        &GET.replace("Host: h", "Host: h\r\nHost: i"),
        "",
        "400",
        "bad-request",
        "bad_request",
    )
    .await;
    check(GET, "", "502", "server-unreachable", "unreachable").await;
    check(
        GET,
        "HTTP/1.1 200 OK\r\nContent-Le",
        "502",
        "server-unreachable",
        "unreachable",
    )
    .await;
    check(GET, "SSH-2.0-OpenSSH\r\n", "502", "server-unreachable", "unreachable").await;
    let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    check(GET, switching, "502", "bad-answer", "bad_answer").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_have_broken_off() {
    let server = Scripted::start().await;
    let address = server.address;
    server.always("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let gateway = Gateway::start(address, "").await;
    let answer = gateway.ask(GET).await;
    assert!(
        answer.contains("content-length: 10\r\n") && answer.ends_with("half"),
        "{answer}"
    );
    gateway.shows("handover_requests_total{outcome=\"bad_answer\"} 1").await;
}

#[tokio::test]
async fn a_body_that_is_malformed_or_breaks_off_is_the_clients_fault() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut client = gateway.client().await;
    client
        .say("POST /b/7/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    let mut line = server.next().await;
    line.head().await;
    client.say("zz\r\n").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    line.is_left().await;
    gateway
        .shows("handover_requests_total{outcome=\"bad_request\"} 1")
        .await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let server = Scripted::start().await;
    let gateway = Gateway::start(server.address, "").await;
    let mut client = gateway.client().await;
    client.say(GET).await;
    let mut line = server.next().await;
    line.head().await;
    drop(client);
    line.is_left().await;
    gateway
        .shows("handover_requests_total{outcome=\"client_gone\"} 1")
        .await;
    assert_eq!(gateway.board("7").in_flight().requests, 0);
}
