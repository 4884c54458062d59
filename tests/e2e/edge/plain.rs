//! Plain HTTP of a route: streamed both ways whatever its size, with all that HTTP/1.1 knows of bodies.

use super::{Stage, only_status, values};

const MIB: usize = 1024 * 1024;
/// Far more than may be kept of a body, in MiB.
const SIZE: usize = 100;
/// What a body may cost while it passes, in KiB.
const COST: u64 = 16 * 1024;

fn request(method: &str, lines: &str) -> String {
    format!("{method} /boards/b/ws HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n")
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways_and_cost_no_memory() {
    let stage = Stage::start().await;
    let body = vec![b'x'; SIZE * MIB];
    let before = stage.resident();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    stage.origin.will_answer([head.as_bytes(), &body].concat());
    let mut client = stage.client().await;
    client.say(request("GET", "")).await;
    assert_eq!(only_status(&client.head().await), Some(200));
    // Nobody reads yet: the rest is the kernel's and the origin's to keep.
    assert!(stage.resident().saturating_sub(before) < COST);
    assert!(client.rest().await == body, "the body came as it was sent");
    assert!(stage.resident().saturating_sub(before) < COST);

    stage.origin.take_heard();
    stage.origin.answers_behind(body.len());
    stage
        .origin
        .will_answer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let mut client = stage.client().await;
    client
        .say(request("POST", &format!("Content-Length: {}\r\n", body.len())))
        .await;
    assert!(client.say(&body).await);
    assert_eq!(only_status(&client.head().await), Some(201));
    assert!(
        stage.origin.rest_of_first().as_ref() == Some(&body),
        "the body came as it was sent"
    );
    assert!(stage.resident().saturating_sub(before) < COST);
}

#[tokio::test]
async fn an_answer_without_a_body_stays_one() {
    let stage = Stage::start().await;
    let check = async |method: &str, answer: &str, length: &[&str]| {
        stage.origin.will_answer(format!("HTTP/1.1 {answer}\r\n\r\n"));
        let told = stage.ask(request(method, "").as_bytes()).await;
        let (head, body) = told.split_once("\r\n\r\n").expect("it has a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {}", &answer[..3])), "{told}");
        assert_eq!((values(head, "content-length"), body), (length.to_vec(), ""), "{told}");
    };
    check("HEAD", "200 OK\r\nContent-Length: 5", &["5"]).await;
    check("GET", "304 Not Modified\r\nETag: \"x\"", &[]).await;
    check("GET", "204 No Content", &[]).await;
    check("DELETE", "200 OK\r\nContent-Length: 0", &["0"]).await;
}

#[tokio::test]
async fn chunks_and_their_trailers_pass_both_ways() {
    let stage = Stage::start().await;
    let body = "5\r\nabcde\r\n0\r\nX-Sum: 9\r\n\r\n";
    let spoofed = body.replace("X-Sum", "Handover-Generation: 99\r\nX-Forwarded-For: 10.0.0.1\r\nX-Sum");
    stage.origin.answers_behind(body.len());
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    stage.origin.will_answer(format!("{head}{body}"));
    let lines =
        "Transfer-Encoding: chunked\r\nTrailer: X-Sum, Handover-Generation, X-Forwarded-For\r\nTE: trailers\r\n";
    let answer = stage.ask((request("POST", lines) + &spoofed).as_bytes()).await;
    assert_eq!(only_status(&answer), Some(200), "{answer}");
    let seen = stage.origin.rest_of_first().expect("the origin has a head");
    let seen = String::from_utf8_lossy(&seen).to_lowercase();
    let answer = answer.to_lowercase();
    for (whose, chunks) in [("the request's", &seen), ("the answer's", &answer)] {
        assert!(chunks.contains("5\r\nabcde\r\n"), "{whose}: {chunks}");
        assert!(chunks.ends_with("0\r\nx-sum: 9\r\n\r\n"), "{whose}: {chunks}");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let stage = Stage::start().await;
    stage.origin.answers_behind(5);
    stage.origin.will_answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut client = stage.client().await;
    client
        .say(request("POST", "Content-Length: 5\r\nExpect: 100-continue\r\n"))
        .await;
    assert_eq!(only_status(&client.head().await), Some(100));
    client.say("hello").await;
    assert_eq!(only_status(&client.head().await), Some(200));
    assert_eq!(stage.origin.behind_head(5).await, b"hello");
}

#[tokio::test]
async fn a_stream_of_events_passes_event_by_event() {
    let stage = Stage::start().await;
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\ndata: 1\n\n";
    stage.origin.stays_open();
    stage.origin.will_answer(events);
    let mut client = stage.client().await;
    client.say(request("GET", "")).await;
    client.head().await;
    // The stream has not ended, and its first event is here.
    assert_eq!(client.hear(9).await, b"data: 1\n\n");
}
