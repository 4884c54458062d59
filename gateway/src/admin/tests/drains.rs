//! Drains that are begun, watched and aborted, and requests for them that are wrong.

use super::*;

#[tokio::test]
async fn a_drain_is_started_watched_and_ends() {
    let gateway = Gateway::start(12).await;
    let request = json!({"id": "d1", "from": {"release": "r1"}, "to": {"servers": ["c", "d"]},
        "mode": "transparent", "pace": {"boards_per_second": 0}});
    let answer = gateway.post("/v1/drains", &request).await;
    assert_eq!(answer.header("location"), Some("/v1/drains/d1"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let status: DrainStatus = answer.json(202);
    assert_eq!(status.request.pace.boards_at_once, Some(32));
    let status = gateway.drained("d1").await;
    assert_eq!(
        (status.state, status.boards.moved, status.boards.left),
        (DrainState::Done, 12, 0)
    );
    assert!(status.rate > 0.0);
    let again = gateway.post("/v1/drains", &request).await.json::<DrainStatus>(202);
    assert_eq!(again.state, DrainState::Done);
    let list: Value = gateway.get("/v1/drains").await.json(200);
    assert_eq!(
        list["drains"][0]["boards"],
        json!({"total": 12, "moved": 12, "failed": 0, "left": 0, "closed": 0, "moving": 0, "taken_over": 0, "put_off": 0})
    );
    let moves: MoveList = gateway.get("/v1/moves").await.json(200);
    assert_eq!(moves.moves.len(), 12);
    assert!(
        moves
            .moves
            .iter()
            .all(|one| one.result == "moved" && one.hold_at_ms.is_some())
    );
    let boards: Value = gateway.get("/v1/boards?server=a").await.json(200);
    assert_eq!(boards, json!({"boards": []}));
}

#[tokio::test]
async fn a_drain_without_an_id_is_given_one() {
    let gateway = Gateway::start(0).await;
    let request = json!({"from": {"release": "r1"}, "to": {"release": "r2"}});
    let answer = gateway.post("/v1/drains", &request).await;
    let status: DrainStatus = answer.json(202);
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/drains/{}", status.id).as_str())
    );
    assert_eq!(gateway.drained(status.id.as_str()).await.state, DrainState::Done);
}

#[tokio::test]
async fn a_running_drain_stands_in_the_way_until_it_is_aborted() {
    let gateway = Gateway::start(4).await;
    gateway.fleet.set_move_time(Duration::from_secs(60));
    let to_r2 = |id: &str| json!({"id": id, "from": {"release": "r1"}, "to": {"release": "r2"}});
    gateway.post("/v1/drains", &to_r2("d1")).await.json::<DrainStatus>(202);
    let conflict = gateway
        .post("/v1/drains", &to_r2("d2"))
        .await
        .refusal(ProblemType::DrainConflict, None);
    assert_eq!(conflict.drain.unwrap().as_str(), "d1");
    let other = json!({"id": "d1", "from": {"servers": ["a"]}, "to": {"release": "r2"}});
    gateway
        .post("/v1/drains", &other)
        .await
        .refusal(ProblemType::DrainExists, Some("id"));
    let back = gateway.post("/v1/boards/board%20000/move", &json!({"to": "b"})).await;
    back.refusal(ProblemType::DrainConflict, Some("to"));
    let servers: ServerList = gateway.get("/v1/servers").await.json(200);
    let emptied: Vec<bool> = servers.servers.iter().map(|server| server.drain.is_some()).collect();
    assert_eq!(emptied, [true, true, false, false]);
    gateway
        .call("POST", "/v1/drains/d1/abort", &[], "")
        .await
        .json::<DrainStatus>(202);
    let status = gateway.drained("d1").await;
    assert_eq!(
        (status.state, status.boards.moved, status.boards.left),
        (DrainState::Aborted, 0, 4)
    );
    gateway.fleet.set_move_time(Duration::from_millis(2));
    gateway.post("/v1/drains", &to_r2("d2")).await.json::<DrainStatus>(202);
    assert_eq!(gateway.drained("d2").await.state, DrainState::Done);
}

#[tokio::test]
async fn whatever_is_wrong_is_named_and_nothing_begins() {
    let gateway = Gateway::start(1).await;
    let (from, to) = (json!({"release": "r1"}), json!({"release": "r2"}));
    let refused = async |request: Value, kind: ProblemType, field: &str| {
        gateway.post("/v1/drains", &request).await.refusal(kind, Some(field));
    };
    let check = async |request: Value, field: &str| refused(request, ProblemType::InvalidField, field).await;
    check(json!({}), "from").await;
    check(json!({"from": from}), "to").await;
    check(json!({"from": from, "to": to, "force": true}), "force").await;
    refused(
        json!({"from": {"servers": []}, "to": to}),
        ProblemType::ImpossibleDrain,
        "from.servers",
    )
    .await;
    refused(
        json!({"from": {"servers": ["a", "x"]}, "to": to}),
        ProblemType::UnknownReference,
        "from.servers[1]",
    )
    .await;
    refused(
        json!({"from": from, "to": {"release": "r9"}}),
        ProblemType::UnknownReference,
        "to.release",
    )
    .await;
    refused(json!({"from": from, "to": from}), ProblemType::ImpossibleDrain, "to").await;
    refused(
        json!({"from": {"servers": ["a"]}, "to": {"servers": ["a"]}}),
        ProblemType::ImpossibleDrain,
        "to",
    )
    .await;
    check(json!({"from": from, "to": to, "mode": "quick"}), "mode").await;
    check(json!({"from": from, "to": to, "id": "a b"}), "id").await;
    check(
        json!({"from": from, "to": to, "pace": {"boards_at_once": 0}}),
        "pace.boards_at_once",
    )
    .await;
    check(
        json!({"from": from, "to": to, "pace": {"loads_per_target": "4"}}),
        "pace.loads_per_target",
    )
    .await;
    check(
        json!({"from": from, "to": to, "pace": {"boards_per_second": -1}}),
        "pace.boards_per_second",
    )
    .await;
    check(
        json!({"from": from, "to": to, "pace": {"boards_per_second": 1e300}}),
        "pace.boards_per_second",
    )
    .await;

    let json_type = [("Content-Type", "application/json; charset=utf-8")];
    let bad = gateway.call("POST", "/v1/drains", &json_type, "{\"from\":").await;
    bad.refusal(ProblemType::BadJson, None);
    let untyped = gateway
        .call("POST", "/v1/drains", &[("Content-Type", "text/plain")], "{}")
        .await;
    untyped.refusal(ProblemType::UnsupportedMediaType, None);
    let large = format!("{{\"id\": \"{}\"}}", "x".repeat(300_000));
    let large = gateway.call("POST", "/v1/drains", &json_type, &large).await;
    large.refusal(ProblemType::BodyTooLarge, None);
    gateway.fleet.set_unready(&["c", "d"]);
    let unready = gateway.post("/v1/drains", &json!({"from": from, "to": to})).await;
    unready.refusal(ProblemType::TargetNotReady, Some("to"));
    assert!(gateway.life.drains.list().is_empty());
}

#[tokio::test]
async fn a_gateway_that_does_not_know_its_drains_yet_says_so() {
    let gateway = Gateway::boot(1).await;
    let early = gateway.get("/v1/drains/d1").await;
    early.refusal(ProblemType::Starting, None);
    assert_eq!(early.header("retry-after"), Some("1"));
    let request = json!({"from": {"release": "r1"}, "to": {"release": "r2"}});
    gateway
        .post("/v1/drains", &request)
        .await
        .refusal(ProblemType::Starting, None);
    assert_eq!(gateway.get("/livez").await.status, 200);
    gateway.life.drains.resume().await.unwrap();
    gateway
        .get("/v1/drains/d1")
        .await
        .refusal(ProblemType::UnknownDrain, None);
}
