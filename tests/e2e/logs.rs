//! What the log says of sessions, moves, servers and drains, and that no log stops the gateway.

use std::time::Duration;

use handover_protocol::admin::{DrainMode, MoveRequest};
use handover_tests::{Gateway, LogSink, Route, User, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fleet::Pair;

/// Returns the log's lines that are one JSON object each and have these fields.
fn lines(gateway: &Gateway, wanted: &[(&str, &str)]) -> Vec<Value> {
    let text = gateway.process().errors();
    // The last line may be half written.
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let parsed =
        whole.map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    parsed
        .filter(|line| wanted.iter().all(|(key, value)| line[*key] == *value))
        .collect()
}

async fn line(gateway: &Gateway, wanted: &[(&str, &str)]) -> Value {
    eventually(&format!("the log has {wanted:?}"), SOON, || async {
        !lines(gateway, wanted).is_empty()
    })
    .await;
    lines(gateway, wanted).remove(0)
}

#[tokio::test]
async fn a_sessions_lines_tell_its_life_and_the_moves_line_who_wanted_it_where_from_and_why() {
    let pair = Pair::start(Duration::ZERO).await;
    let gateway = pair.gateway(&Route::whiteboard()).start().await;
    gateway.all_ready().await;
    let mut ann = User::join(gateway.traffic(), "b", "ann&access_token=hunter2").await;
    let opened = line(&gateway, &[("target", "access"), ("event", "open")]).await;
    let session = opened["session"].as_str().expect("it has a session").to_owned();
    assert_eq!(
        (&opened["board"], &opened["route"], &opened["server"], &opened["client"]),
        (&json!("b"), &json!("boards"), &json!("board-1"), &json!("127.0.0.1"))
    );
    let request = opened["request"].as_str().expect("it has a request");
    assert!(request.starts_with("/boards/b/ws?user=ann&access_token="), "{request}");

    let order = MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode: DrainMode::Auto,
    };
    let moved = gateway.admin().move_board("b", &order).await.expect("it answers");
    assert!(moved.is_moved() && moved.switched == 1, "{moved:?}");
    let of_session = [("target", "access"), ("session", session.as_str())];
    let crossed = line(&gateway, &[of_session[0], of_session[1], ("event", "switch")]).await;
    assert_eq!(
        (&crossed["from"], &crossed["server"]),
        (&json!("board-1"), &json!("board-2"))
    );
    assert_eq!(crossed["generation"], json!(moved.generation));
    let told = line(&gateway, &[("target", "event"), ("event", "move")]).await;
    for (key, expected) in [
        ("board", json!("b")),
        ("from", json!("board-1")),
        ("to", json!("board-2")),
        ("outcome", json!("moved")),
        ("generation", json!(moved.generation)),
        ("level", json!("contract")),
        ("mode", json!("transparent")),
        ("switched", json!(1)),
        ("reconnected", json!(0)),
        ("unconfirmed", json!(0)),
    ] {
        assert_eq!(told[key], expected, "{key} in {told}");
    }
    assert!(told["caller"].is_string() && told["drain"].is_null(), "{told}");
    assert!(told["held_ms"].as_f64().is_some_and(|held| held >= 0.0), "{told}");

    let seq = ann.draw().await;
    ann.saved(seq).await;
    ann.leave().await;
    let closed = line(&gateway, &[of_session[0], of_session[1], ("event", "close")]).await;
    for (key, expected) in [
        ("servers", json!("board-1,board-2")),
        ("closed_by", json!("client")),
        ("code", json!(1005)),
        ("switches", json!(1)),
        ("messages_up", json!(2)),
        ("request", opened["request"].clone()),
    ] {
        assert_eq!(closed[key], expected, "{key} in {closed}");
    }
    assert!(
        closed["messages_down"].as_u64() >= Some(2) && closed["bytes_up"].as_u64() > Some(10),
        "{closed}"
    );
    assert!(
        !gateway.process().errors().contains("hunter2"),
        "the log lets its readers in"
    );
}

#[tokio::test]
async fn who_ended_a_session_is_told_with_the_code_that_the_other_side_got() {
    let pair = Pair::start(Duration::ZERO).await;
    let gateway = pair.gateway(&Route::whiteboard()).start().await;
    gateway.all_ready().await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let opened = line(&gateway, &[("target", "access"), ("event", "open")]).await;
    let session = opened["session"].as_str().expect("it has a session").to_owned();
    let path = format!("/v1/sessions/{session}?code=4001");
    assert_eq!(gateway.admin().call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(ann.closed(SOON).await, Some(4001));
    let closed = line(&gateway, &[("event", "close"), ("session", &session)]).await;
    assert_eq!(
        (&closed["closed_by"], &closed["code"]),
        (&json!("operator"), &json!(4001))
    );

    let mut bob = User::join(gateway.traffic(), "c", "bob").await;
    let order = MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode: DrainMode::Reconnect,
    };
    let moved = gateway.admin().move_board("c", &order).await.expect("it answers");
    assert!(moved.is_moved(), "{moved:?}");
    assert_eq!(bob.closed(SOON).await, Some(1012));
    let closed = line(&gateway, &[("event", "close"), ("board", "c")]).await;
    assert_eq!(
        (&closed["closed_by"], &closed["code"]),
        (&json!("reconnect"), &json!(1012))
    );

    let mut eve = User::join(gateway.traffic(), "d", "eve").await;
    pair.servers[0].process().kill();
    eve.closed(SOON).await;
    let closed = line(&gateway, &[("event", "close"), ("board", "d")]).await;
    assert_eq!(
        (&closed["closed_by"], &closed["code"]),
        (&json!("server"), &json!(1012))
    );
    line(
        &gateway,
        &[
            ("target", "event"),
            ("event", "server"),
            ("server", "board-1"),
            ("change", "down"),
        ],
    )
    .await;
    let placed = line(&gateway, &[("event", "place"), ("board", "d"), ("from", "board-1")]).await;
    assert_eq!(placed["server"], json!("board-2"));
    eventually("the picture shows the server as down", SOON, || async {
        let metrics = gateway.admin().metrics().await.expect("it answers");
        let state = |state: &str| metrics.value("handover_server_state", &[("server", "board-1"), ("state", state)]);
        let refused = metrics.value(
            "handover_server_checks_total",
            &[("server", "board-1"), ("result", "refused")],
        );
        state("down") == Some(1.0) && state("ready") == Some(0.0) && refused > Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn a_drain_tells_of_its_steps_and_its_moves_name_it() {
    let pair = Pair::start(Duration::ZERO).await;
    let gateway = pair
        .gateway(&Route::whiteboard())
        .toml("\n[log]\naccess = \"all\"\n")
        .start()
        .await;
    gateway.all_ready().await;
    let _ann = User::join(gateway.traffic(), "b", "ann").await;
    let request = json!({"id": "to-r2", "from": {"release": "r1"}, "to": {"release": "r2"}});
    let (status, said) = gateway.admin().call(Method::POST, "/v1/drains", Some(&request)).await;
    assert_eq!(status, 202, "{said}");
    gateway.admin().drained("to-r2", SOON).await;
    let of_drain = [("target", "event"), ("drain", "to-r2")];
    let moved = line(&gateway, &[of_drain[0], of_drain[1], ("event", "move")]).await;
    assert_eq!((&moved["board"], &moved["outcome"]), (&json!("b"), &json!("moved")));
    line(
        &gateway,
        &[of_drain[0], of_drain[1], ("event", "order"), ("order", "start")],
    )
    .await;
    let done = line(
        &gateway,
        &[of_drain[0], of_drain[1], ("event", "drain"), ("state", "done")],
    )
    .await;
    assert_eq!((&done["moved"], &done["left"]), (&json!(1), &json!(0)), "{done}");

    let path = format!("http://{}/nowhere?token=hunter2", gateway.traffic());
    let answer = reqwest::get(path).await.expect("the gateway answers");
    assert_eq!(answer.status(), 404);
    let asked = line(&gateway, &[("target", "access"), ("event", "request")]).await;
    assert_eq!(
        (&asked["status"], &asked["outcome"]),
        (&json!(404), &json!("no_route")),
        "{asked}"
    );
    assert_eq!(asked["method"], json!("GET"));
    assert!(!gateway.process().errors().contains("hunter2"));
}

async fn check_that_no_log_stops_the_gateway(sink: LogSink, reason: &str) {
    let pair = Pair::start(Duration::ZERO).await;
    let gateway = pair
        .gateway(&Route::whiteboard())
        .toml("\n[log]\naccess = \"all\"\n")
        .log_to(sink)
        .start()
        .await;
    gateway.all_ready().await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    // More lines than may wait.
    ask_often(&gateway, 10_000).await;
    eventually("lines are lost and counted", SOON, || async {
        let metrics = gateway.admin().metrics().await.expect("it answers");
        metrics.value("handover_log_lines_lost_total", &[("reason", reason)]) > Some(0.0)
    })
    .await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let order = MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode: DrainMode::Auto,
    };
    let moved = gateway.admin().move_board("b", &order).await.expect("it answers");
    assert!(moved.is_moved() && moved.switched == 1, "{moved:?}");
    let seq = ann.draw().await;
    ann.saved(seq).await;
    gateway.process().terminate();
    assert!(gateway.process().exited(SOON).await.success());
}

/// Asks one after the other, on one connection, for what no route takes.
async fn ask_often(gateway: &Gateway, times: usize) {
    let stream = TcpStream::connect(gateway.traffic())
        .await
        .expect("the gateway listens");
    let (mut answers, mut requests) = stream.into_split();
    let asking = async {
        for number in 1..=times {
            let connection = if number == times { "close" } else { "keep-alive" };
            let request = format!("GET /nowhere HTTP/1.1\r\nHost: here\r\nConnection: {connection}\r\n\r\n");
            requests.write_all(request.as_bytes()).await.expect("the gateway reads");
        }
    };
    let mut heard = Vec::new();
    let ((), read) = tokio::join!(asking, answers.read_to_end(&mut heard));
    read.expect("the gateway answers");
    let heard = String::from_utf8(heard).expect("answers are text");
    assert_eq!(heard.matches("HTTP/1.1 404").count(), times);
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_nothing_else() {
    check_that_no_log_stops_the_gateway(LogSink::Unread, "queue_full").await;
}

#[tokio::test]
async fn a_log_on_a_full_disk_costs_lines_and_nothing_else() {
    check_that_no_log_stops_the_gateway(LogSink::Full, "write_failed").await;
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);
