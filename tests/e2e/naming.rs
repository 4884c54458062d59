//! Servers that operators name, change and remove while the gateway runs.

use std::time::Duration;

use handover_protocol::admin::{DrainMode, MoveRequest};
use handover_tests::{Gateway, Route, User, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fleet::Pair;

#[tokio::test]
async fn a_server_is_named_serves_boards_outlives_a_restart_and_is_removed() {
    let pair = Pair::of_releases(["r1", "r1"], Duration::ZERO).await;
    let [first, second] = &pair.servers;
    let route = Route::whiteboard();
    let mut gateway = Gateway::builder("r1").server(first).route(&route).start().await;
    gateway.all_ready().await;
    let mut naming = json!({
        "url": format!("http://{}", second.traffic()),
        "control_url": format!("http://{}", second.control().expect("it has the contract")),
        "control_token_file": second.token_file(),
        "release": "r1",
        "labels": {"zone": "b"},
    });
    let put = async |gateway: &Gateway, name: &str, body: &Value| {
        gateway
            .admin()
            .call(Method::PUT, &format!("/v1/servers/{name}"), Some(body))
            .await
    };

    let (status, view) = put(&gateway, "board-2", &naming).await;
    assert_eq!((status, &view["origin"]), (201, &json!("api")), "{view}");
    assert_eq!((&view["labels"], &view["weight"]), (&json!({"zone": "b"}), &json!(100)));
    assert_eq!(put(&gateway, "board-2", &naming).await.0, 200, "it is safe to repeat");
    gateway.all_ready().await;
    assert_eq!(series(&gateway).await, Some(0.0));

    // What cannot be: each is refused, and nothing changes.
    let refused = async |name: &str, key: &str, value: Value, kind: &str| {
        let mut wrong = naming.clone();
        wrong[key] = value;
        let (_, problem) = put(&gateway, name, &wrong).await;
        assert_eq!(problem["type"], kind, "{name} {key}: {problem}");
    };
    refused("board-1", "release", json!("r1"), "server-configured").await;
    refused("board-3", "release", json!("r1"), "impossible-server").await;
    refused("board-2", "url", json!("wss://h:1"), "impossible-server").await;
    refused("board-2", "control_url", json!(null), "impossible-server").await;
    refused(
        "board-2",
        "control_token_file",
        json!("board.token"),
        "impossible-server",
    )
    .await;
    refused("board-2", "weight", json!(10_001), "impossible-server").await;
    refused("board-2", "capacity", json!(0), "impossible-server").await;

    // Nothing new goes to a server without a weight, or beyond its capacity.
    naming["weight"] = json!(0);
    assert_eq!(put(&gateway, "board-2", &naming).await.0, 200);
    for number in 0..3 {
        drop(User::join(gateway.traffic(), &format!("w{number}"), "ann").await);
        assert_eq!(owner(&gateway, &format!("w{number}")).await, "board-1");
    }
    (naming["weight"], naming["capacity"]) = (json!(10_000), json!(2));
    assert_eq!(put(&gateway, "board-2", &naming).await.0, 200);
    let mut users = Vec::new();
    for number in 0..4 {
        users.push(User::join(gateway.traffic(), &format!("c{number}"), "ann").await);
    }
    let mut owners = Vec::new();
    for number in 0..4 {
        owners.push(owner(&gateway, &format!("c{number}")).await);
    }
    assert_eq!(owners, ["board-2", "board-2", "board-1", "board-1"]);

    // While it is in use it can be neither removed nor reached otherwise.
    let remove = async |gateway: &Gateway, name: &str| {
        gateway
            .admin()
            .call(Method::DELETE, &format!("/v1/servers/{name}"), None)
            .await
    };
    assert_eq!(remove(&gateway, "board-2").await.1["type"], "server-in-use");
    let mut other = naming.clone();
    other["release"] = json!("r2");
    assert_eq!(put(&gateway, "board-2", &other).await.1["type"], "server-in-use");
    assert_eq!(remove(&gateway, "board-1").await.1["type"], "server-configured");
    assert_eq!(remove(&gateway, "board-9").await.1["type"], "unknown-server");

    drop(users);
    gateway.restart().await;
    gateway.all_ready().await;
    let view = gateway.admin().call(Method::GET, "/v1/servers/board-2", None).await.1;
    assert_eq!(
        (&view["origin"], &view["capacity"]),
        (&json!("api"), &json!(2)),
        "{view}"
    );
    let mut ann = User::join(gateway.traffic(), "c0", "ann").await;
    assert_eq!(owner(&gateway, "c0").await, "board-2", "it is served where it was");
    let seq = ann.draw().await;
    ann.saved(seq).await;

    for board in ["c0", "c1"] {
        let request = MoveRequest {
            to: "board-1".parse().expect("a good name"),
            mode: DrainMode::Transparent,
        };
        if owner(&gateway, board).await == "board-2" {
            let moved = gateway.admin().move_board(board, &request).await;
            assert!(moved.as_ref().is_ok_and(|report| report.is_moved()), "{moved:?}");
        }
    }
    eventually("nothing needs it any more", SOON, || async {
        remove(&gateway, "board-2").await.0 == 204
    })
    .await;
    assert_eq!(series(&gateway).await, None, "its series have gone with it");
    gateway.restart().await;
    assert_eq!(
        gateway.admin().call(Method::GET, "/v1/servers/board-2", None).await.0,
        404,
        "it stays removed"
    );
}

async fn owner(gateway: &Gateway, board: &str) -> String {
    let view = gateway.admin().board(board).await.expect("the board is known");
    view.server.map(|server| server.to_string()).unwrap_or_default()
}

/// Returns how many sessions the metrics show at the second server; nothing without a series.
async fn series(gateway: &Gateway) -> Option<f64> {
    let metrics = gateway.admin().metrics().await.expect("it answers");
    metrics.value("handover_sessions", &[("server", "board-2")])
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);
