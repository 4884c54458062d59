//! What an operator has laid down once for all: how often a board may move, how often its users may be told, and what a
//! drain goes by where its request says nothing.

use std::time::Duration;

use handover_protocol::admin::{DrainMode, DrainState, DrainStatus, MoveRequest};
use handover_tests::{Route, User, eventually, eventually_some};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Pair};

/// A server of each of two releases, and a gateway whose newcomers go to the first.
struct Stage(Fleet);

impl Stage {
    async fn start(route: &Route, tables: &str) -> Self {
        let pair = Pair::start(Duration::ZERO).await;
        let gateway = pair.gateway(route).toml(tables);
        Self(Fleet::behind(gateway, pair).await)
    }

    async fn join(&self, name: &str) -> User {
        User::join(self.0.gateway.traffic(), "b", name).await
    }

    async fn move_to(&self, server: &str) -> (u16, Value) {
        let body = json!({"to": server});
        let admin = self.0.gateway.admin();
        admin.call(Method::POST, "/v1/boards/b/move", Some(&body)).await
    }

    async fn start_drain(&self, request: &Value) -> (u16, Value) {
        self.0
            .gateway
            .admin()
            .call(Method::POST, "/v1/drains", Some(request))
            .await
    }

    async fn status(&self, drain: &str) -> DrainStatus {
        self.0.gateway.admin().drain_status(drain).await.expect("it is known")
    }

    async fn owner(&self) -> Option<String> {
        let view = self.0.gateway.admin().board("b").await.expect("it is known");
        view.server.map(|server| server.to_string())
    }

    async fn hits(&self, limit: &str) -> f64 {
        let metrics = self.0.gateway.admin().metrics().await.expect("it has metrics");
        let hits = metrics.value("handover_limit_hits_total", &[("limit", limit)]);
        hits.expect("every series is there")
    }
}

fn interval(text: &str) -> String {
    format!("\n[drain]\nboard_move_interval = \"{text}\"\n")
}

async fn draws(user: &mut User) {
    let seq = user.draw().await;
    user.saved(seq).await;
}

#[tokio::test]
async fn a_board_that_was_moved_of_late_is_put_off_without_using_up_a_try() {
    let stage = Stage::start(&Route::whiteboard(), &interval("20s")).await;
    let mut ann = stage.join("ann").await;
    draws(&mut ann).await;
    let (status, report) = stage.move_to("board-2").await;
    assert_eq!((status, &report["result"]), (200, &json!("moved")), "{report}");
    draws(&mut ann).await;
    let (status, problem) = stage.move_to("board-1").await;
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("board-not-movable")),
        "{problem}"
    );
    assert!(
        (1..=20).contains(&problem["retry_after_seconds"].as_u64().expect("it says when")),
        "{problem}"
    );
    assert_eq!(stage.hits("board_move_interval").await, 1.0);

    let back = json!({"id": "back", "from": {"release": "r2"}, "to": {"release": "r1"}});
    let (_, plan) = stage
        .0
        .gateway
        .admin()
        .call(Method::POST, "/v1/plans", Some(&back))
        .await;
    assert_eq!(plan["problems"][0]["reason"], "move_interval", "{plan}");
    assert_eq!(stage.start_drain(&back).await.0, 202);
    let waiting = eventually_some("the drain says what it waits for", SOON, || async {
        let status = stage.status("back").await;
        (!status.waits_for.is_empty()).then_some(status).ok_or("nothing")
    })
    .await;
    assert_eq!(waiting.waits_for[0].reason, "move_interval", "{waiting:?}");
    assert_eq!((waiting.boards.put_off, waiting.boards.moved), (1, 0), "{waiting:?}");
    assert_eq!(waiting.troubled[0].tries, 0, "{waiting:?}");
    let status = stage.0.gateway.admin().drained("back", SOON).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 1), "{status:?}");
    assert_eq!((status.boards.failed, status.failures.len()), (0, 0), "{status:?}");
    draws(&mut ann).await;
}

#[tokio::test]
async fn neither_an_undo_nor_a_death_waits_until_a_board_may_move_again_and_a_restart_does() {
    let mut stage = Stage::start(&Route::whiteboard(), &interval("1h")).await;
    let mut ann = stage.join("ann").await;
    draws(&mut ann).await;
    let there = json!({"id": "there", "from": {"release": "r1"}, "to": {"release": "r2"}, "undo_window_seconds": 600});
    assert_eq!(stage.start_drain(&there).await.0, 202);
    let status = stage.0.gateway.admin().drained("there", SOON).await;
    assert_eq!(status.boards.moved, 1, "{status:?}");
    assert_eq!(stage.0.gateway.admin().post("/v1/drains/there/undo").await.0, 202);
    eventually("it is taken back", SOON, || async {
        stage.status("there").await.state == DrainState::Undone
    })
    .await;
    draws(&mut ann).await;
    assert_eq!(stage.owner().await.as_deref(), Some("board-1"));
    assert_eq!(stage.hits("board_move_interval").await, 0.0);
    assert_eq!(stage.move_to("board-2").await.0, 409, "the undo was a move as well");

    stage.0.servers[0].process().kill();
    eventually("the board has a living owner", SOON, || async {
        stage.owner().await.as_deref() == Some("board-2")
    })
    .await;
    stage.0.servers[0].restart().await;
    stage.0.gateway.all_ready().await;
    let mut ann = stage.join("ann").await;
    ann.continue_after(2);
    draws(&mut ann).await;

    stage.0.gateway.restart().await;
    stage.0.gateway.all_ready().await;
    let _ann = stage.join("ann").await;
    let (status, problem) = stage.move_to("board-1").await;
    assert_eq!(status, 409, "when it was moved is not known: {problem}");
    assert!(
        problem["retry_after_seconds"]
            .as_u64()
            .is_some_and(|seconds| seconds > 3000)
    );
}

#[tokio::test]
async fn users_are_told_by_as_many_moves_as_the_route_says_and_by_no_more() {
    let route = Route::whiteboard().with("mode", "\"reconnect\"");
    let route = route.with("bounce_limit", "\"1h\"").with("bounce_count", "2");
    let stage = Stage::start(&route, "").await;
    for server in ["board-2", "board-1"] {
        let mut ann = stage.join("ann").await;
        let to = server.parse().expect("a good name");
        let mode = DrainMode::Auto;
        let report = stage.0.gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
        assert_eq!(report.expect("the gateway answers").result, "moved");
        assert_eq!(ann.closed(SOON).await, Some(1012));
    }
    let mut ann = stage.join("ann").await;
    let (status, report) = stage.move_to("board-2").await;
    assert_eq!((status, &report["result"]), (200, &json!("bounce_limit")), "{report}");
    draws(&mut ann).await;
}

#[tokio::test]
async fn a_reload_that_lifts_a_limit_lets_the_boards_go_that_wait_for_it() {
    let route = Route::whiteboard().with("mode", "\"reconnect\"");
    let stage = Stage::start(&route.with("bounce_limit", "\"1h\""), "").await;
    let mut ann = stage.join("ann").await;
    let (_, report) = stage.move_to("board-2").await;
    assert_eq!(report["result"], "moved", "{report}");
    assert_eq!(ann.closed(SOON).await, Some(1012));
    let _ann = stage.join("ann").await;
    let drain = json!({"id": "back", "from": {"servers": ["board-2"]}, "to": {"servers": ["board-1"]}});
    let (status, started) = stage.start_drain(&drain).await;
    assert_eq!(status, 202, "{started}");
    eventually("its board waits", SOON, || async {
        stage.status("back").await.boards.put_off == 1
    })
    .await;

    let file = stage.0.gateway.directory().join("handover.toml");
    let text = std::fs::read_to_string(&file).expect("the gateway reads it");
    std::fs::write(&file, text.replace("\"1h\"", "\"0s\"")).expect("it can be written");
    let (status, reloaded) = stage.0.gateway.admin().post("/v1/config/reload").await;
    assert_eq!(status, 200, "{reloaded}");
    let status = stage.0.gateway.admin().drained("back", SOON).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 1), "{status:?}");
}

#[tokio::test]
async fn a_drain_goes_by_the_configuration_where_it_says_nothing_and_a_reload_changes_later_ones_only() {
    let tables = "\n[drain]\nmode = \"stay\"\nboards_per_second = 7\nboards_at_once = 3\ndeadline = \"10m\"\n\
                  on_deadline = \"pause\"\non_target_down = \"continue\"\nundo_window = \"1m\"\n";
    let stage = Stage::start(&Route::whiteboard(), tables).await;
    let _ann = stage.join("ann").await;
    let plain = |id: &str| json!({"id": id, "from": {"release": "r1"}, "to": {"release": "r2"}});
    let (status, first) = stage.start_drain(&plain("first")).await;
    assert_eq!(status, 202, "{first}");
    let request = &first["request"];
    let pace = json!({"boards_per_second": 7.0, "boards_at_once": 3, "loads_per_target": 16});
    assert_eq!((&request["mode"], &request["pace"]), (&json!("stay"), &pace), "{first}");
    assert_eq!(request["deadline_seconds"], 600, "{first}");
    assert_eq!(
        (&request["on_deadline"], &request["on_target_down"]),
        (&json!("pause"), &json!("continue"))
    );
    assert_eq!(request["undo_window_seconds"], 60, "{first}");

    let file = stage.0.gateway.directory().join("handover.toml");
    let text = std::fs::read_to_string(&file).expect("the gateway reads it");
    let text = text.replace("mode = \"stay\"\nboards_per_second = 7", "boards_per_second = 9");
    std::fs::write(&file, text).expect("it can be written");
    let (status, reloaded) = stage.0.gateway.admin().post("/v1/config/reload").await;
    assert_eq!(status, 200, "{reloaded}");
    assert_eq!(
        reloaded["reloaded"],
        json!(["drain.boards_per_second", "drain.mode"]),
        "{reloaded}"
    );
    let (status, again) = stage.start_drain(&plain("first")).await;
    assert_eq!(
        (status, &again["request"]["mode"]),
        (202, &json!("stay")),
        "the same call: {again}"
    );
    assert_eq!(stage.0.gateway.admin().post("/v1/drains/first/abort").await.0, 202);
    eventually("it is over", SOON, || async { stage.status("first").await.done }).await;

    let mut own = plain("second");
    own["pace"] = json!({"boards_at_once": 1});
    own["deadline_seconds"] = json!(0);
    let (status, second) = stage.start_drain(&own).await;
    assert_eq!(status, 202, "{second}");
    let pace = json!({"boards_per_second": 9.0, "boards_at_once": 1, "loads_per_target": 16});
    assert_eq!(
        (&second["request"]["mode"], &second["request"]["pace"]),
        (&json!("auto"), &pace)
    );
    assert_eq!(second["request"]["deadline_seconds"], 0, "it wants none");
    let status = stage.0.gateway.admin().drained("second", SOON).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 1), "{status:?}");
}

/// Generous: the machine may be busy.
const SOON: Duration = Duration::from_secs(60);
