//! Drains over real processes: whole servers are emptied, also across the death of the gateway.

mod controls;
mod restarts;

use std::time::Duration;

use handover_protocol::admin::{BoardState, DrainRequest, DrainState, DrainStatus};
use handover_tests::{Route, User, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fleet::{Fleet, board};

impl Fleet {
    async fn drain(&self, request: Value) -> DrainStatus {
        let request: DrainRequest = serde_json::from_value(request).expect("the tests ask for what there is");
        self.gateway.admin().drain(&request).await.expect("it is let in")
    }

    /// Asks for something that changes a drain, and returns the status and the body of the answer.
    async fn post(&self, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.gateway.admin().call(Method::POST, path, body).await
    }

    /// Pauses, resumes, aborts or undoes the drain.
    async fn ask(&self, verb: &str) -> Value {
        let (status, body) = self.post(&format!("/v1/drains/d/{verb}"), None).await;
        assert_eq!(status, 202, "{verb}: {body}");
        body
    }

    async fn wait_for(&self, what: &str, wanted: impl Fn(&DrainStatus) -> bool) -> DrainStatus {
        eventually(what, SOON, || async { wanted(&self.status().await) }).await;
        self.status().await
    }

    async fn status(&self) -> DrainStatus {
        self.gateway.admin().drain_status("d").await.expect("it is known")
    }

    async fn owners(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for server in ["board-1", "board-2"] {
            let list = self.gateway.admin().boards(Some(server)).await.expect("it lists");
            counts.push(list.boards.len());
        }
        counts
    }
}

fn r1_to_r2(per_second: f64) -> Value {
    json!({"id": "d", "from": {"release": "r1"}, "to": {"release": "r2"}, "pace": {"boards_per_second": per_second}})
}

#[tokio::test]
async fn a_drain_goes_on_after_the_gateway_was_killed() {
    let mut fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
    let mut users = fleet.users(40).await;
    for user in &mut users {
        let seq = user.draw().await;
        user.saved(seq).await;
    }
    fleet.drain(r1_to_r2(8.0)).await;
    for moved in [5, 15, 25] {
        eventually("some boards have moved", SOON, || async {
            fleet.status().await.boards.moved >= moved
        })
        .await;
        fleet.gateway.restart().await;
        let status = fleet.status().await;
        assert_eq!(status.boards.total, 40, "{status:?}");
        assert!(status.boards.moved >= moved, "{status:?}");
    }
    let status = fleet.gateway.admin().drained("d", SOON).await;
    assert_eq!(status.state, DrainState::Done);
    assert_eq!(
        (status.boards.moved, status.boards.left, status.boards.closed),
        (40, 0, 0),
        "{status:?}"
    );
    assert_eq!(fleet.owners().await, [0, 40]);
    let mut late = User::join(fleet.gateway.traffic(), &board(0), "bob").await;
    let seq = late.draw().await;
    late.saved(seq).await;
    for number in 0..40 {
        let drawn = fleet.database.changes(&board(number)).await.len();
        assert_eq!(drawn, 1 + usize::from(number == 0), "{}", board(number));
    }
}

#[tokio::test]
async fn an_abort_leaves_users_where_they_are_and_new_boards_go_to_the_new_release() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::from_secs(5)).await;
    let mut users = fleet.users(2).await;
    fleet.drain(r1_to_r2(0.0)).await;
    eventually("both boards are on their way", SOON, || async {
        fleet.status().await.boards.moving == 2
    })
    .await;
    fleet.gateway.admin().abort_drain("d").await.expect("it runs");
    let status = fleet.gateway.admin().drained("d", SOON).await;
    assert_eq!(status.state, DrainState::Aborted);
    assert_eq!((status.boards.moved, status.boards.left), (0, 2), "{status:?}");
    let _newcomer = User::join(fleet.gateway.traffic(), "new", "cid").await;
    assert_eq!(fleet.owners().await, [2, 1]);
    for user in &mut users {
        let seq = user.draw().await;
        user.saved(seq).await;
    }
    for number in 0..2 {
        let view = fleet.gateway.admin().board(&board(number)).await.expect("it is known");
        assert_eq!(view.state, BoardState::Settled);
    }
}

#[tokio::test]
async fn boards_of_a_route_that_stays_are_left_alone_and_are_no_failures() {
    let route = Route::whiteboard().with("mode", "\"stay\"");
    let fleet = Fleet::start(route, Duration::ZERO).await;
    let mut users = fleet.users(3).await;
    fleet.drain(r1_to_r2(0.0)).await;
    eventually("every board was looked at", SOON, || async {
        let status = fleet.status().await;
        status.boards.total == 3 && status.boards.moving == 0
    })
    .await;
    for user in &mut users {
        let seq = user.draw().await;
        user.saved(seq).await;
    }
    assert_eq!(fleet.status().await.state, DrainState::Running);
    assert_eq!(fleet.status().await.boards.failed, 0);
    fleet.gateway.admin().abort_drain("d").await.expect("it runs");
    let status = fleet.gateway.admin().drained("d", SOON).await;
    assert_eq!(
        (status.state, status.boards.left),
        (DrainState::Aborted, 3),
        "{status:?}"
    );
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);
