//! Servers that are slow, silent or not there: whose fault it is can be told from the answer, and each bound is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handover_tests::{Gateway, RawClient, Route, eventually};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{HANDSHAKE, SOON, Stage, counted, only_status};

const GET: &str = "GET /boards/b/ws HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let route = Route::whiteboard().with("dial_timeout", "\"500ms\"");
    let limits = "\n[limits]\nupgrade_timeout = \"500ms\"\nanswer_timeout = \"500ms\"\n";
    let stage = Stage::with(&route, limits).await;
    for (request, limit) in [(HANDSHAKE, "upgrade_timeout"), (GET, "answer_timeout")] {
        let _dam = stage.origin.hold_answers();
        let answer = stage.ask(request.as_bytes()).await;
        assert_eq!(only_status(&answer), Some(504), "{limit}: {answer}");
        assert!(answer.contains("\"server-timeout\""), "{limit}: {answer}");
        counted(&stage, limit, 1.0).await;
    }
    // Half a head is no answer.
    stage.origin.stays_open();
    stage.origin.will_answer("HTTP/1.1 200 OK\r\nContent-Le");
    let answer = stage.ask(GET.as_bytes()).await;
    assert_eq!(only_status(&answer), Some(504), "{answer}");
    counted(&stage, "answer_timeout", 2.0).await;
    // An answer that has begun may take its time.
    stage
        .origin
        .will_answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    let mut client = stage.client().await;
    client.say(GET).await;
    client.head().await;
    assert_eq!(client.hear(1).await, b"o");
    let _dam = stage.origin.hold_answers();
    let answer = stage.ask(GET.as_bytes()).await;
    assert_eq!(only_status(&answer), Some(504), "{answer}");
    counted(&stage, "answer_timeout", 3.0).await;
    stage.origin.say_more("k");
    assert_eq!(client.hear(1).await, b"k");
}

#[tokio::test]
async fn a_server_that_takes_no_connection_is_a_timeout_and_one_that_refuses_is_unreachable() {
    // It is asked how it is by connections as well, and no verdict may come in between.
    let patient = "\n[health]\ndown_after = \"5m\"\nrefused_down_after = \"5m\"\n";
    let socket = TcpSocket::new_v4().expect("there is a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a port is free");
    let listener = Arc::new(socket.listen(1).expect("it is bound"));
    let address = listener.local_addr().expect("it is bound");
    // At first it hangs up on everybody.
    let hanging_up = tokio::spawn({
        let listener = Arc::clone(&listener);
        async move { while listener.accept().await.is_ok() {} }
    });
    let gateway = Gateway::builder("r1")
        .origin("board-1", "r1", address)
        .route(&Route::whiteboard().with("dial_timeout", "\"500ms\""))
        .toml(patient)
        .start()
        .await;
    gateway.all_ready().await;
    let ask = async |kind: &str, status: u16| {
        let mut client = RawClient::connect(gateway.traffic()).await;
        client.say(GET).await;
        let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert_eq!(only_status(&answer), Some(status), "{answer}");
        assert!(answer.contains(kind), "{answer}");
    };
    ask("\"server-unreachable\"", 502).await;
    // Then it takes nobody any more: the kernel lets who comes wait once its queue is full.
    hanging_up.abort();
    let _ = hanging_up.await;
    let mut queue = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        queue.push(stream.expect("it listens"));
        assert!(queue.len() < 64, "the queue has no end");
    }
    ask("\"server-timeout\"", 504).await;
    let hits = async || {
        let metrics = gateway.admin().metrics().await.expect("it has metrics");
        metrics.value("handover_limit_hits_total", &[("limit", "dial_timeout")])
    };
    eventually("it is counted", SOON, || async { hits().await == Some(1.0) }).await;
    drop((listener, queue));
    ask("\"server-unreachable\"", 502).await;
    assert_eq!(hits().await, Some(1.0));
}
