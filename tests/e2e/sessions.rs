//! What operators see of sessions, and the end of one by their hand.

use std::time::Duration;

use handover_protocol::admin::{DrainMode, MoveRequest, SessionList};
use handover_tests::{Gateway, Route, User};
use reqwest::Method;

use crate::fleet::Fleet;

#[tokio::test]
async fn sessions_are_listed_where_they_are_and_closed_one_by_one() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
    let gateway = &fleet.gateway;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let list = sessions(gateway, "b").await.sessions;
    let [of_ann] = list.as_slice() else {
        panic!("one session is there: {list:?}")
    };
    assert_eq!((of_ann.board.as_str(), of_ann.server.as_str()), ("b", "board-1"));
    assert_eq!((of_ann.client.as_str(), of_ann.switches), ("127.0.0.1", 0));
    assert!(of_ann.transparent && of_ann.opened_at_ms > 0, "{of_ann:?}");

    let mut bob = User::join(gateway.traffic(), "b", "bob").await;
    let list = sessions(gateway, "b").await.sessions;
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].session, of_ann.session, "the oldest comes first");

    let request = MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode: DrainMode::Transparent,
    };
    let moved = gateway.admin().move_board("b", &request).await;
    assert!(moved.as_ref().is_ok_and(|report| report.is_moved()), "{moved:?}");
    for session in sessions(gateway, "b").await.sessions {
        assert_eq!((session.server.as_str(), session.switches), ("board-2", 1));
    }

    let path = format!("/v1/sessions/{}", of_ann.session);
    let refused = delete(gateway, &format!("{path}?code=1005")).await;
    assert_eq!(refused, (400, "invalid-field".to_owned()));
    let closed = delete(gateway, &format!("{path}?code=4001")).await;
    assert_eq!(closed.0, 204, "{closed:?}");
    assert_eq!(ann.closed(SOON).await, Some(4001));
    let of_bob = &list[1].session;
    assert_eq!(delete(gateway, &format!("/v1/sessions/{of_bob}")).await.0, 204);
    assert_eq!(bob.closed(SOON).await, Some(1008));
    let unknown = delete(gateway, "/v1/sessions/nobody").await;
    assert_eq!(unknown, (404, "unknown-session".to_owned()));
    let metrics = gateway.admin().metrics().await.expect("it answers");
    assert_eq!(
        metrics.value("handover_bounced_sessions_total", &[]),
        Some(0.0),
        "who is closed for good is not told to come back"
    );
}

async fn sessions(gateway: &Gateway, board: &str) -> SessionList {
    let path = format!("/v1/boards/{board}/sessions");
    let body = gateway.admin().send_raw(Method::GET, &path, None::<&()>).await;
    serde_json::from_str(&body.expect("the gateway answers")).expect("it lists sessions")
}

/// Returns the status and the problem's type, where it is one.
async fn delete(gateway: &Gateway, path: &str) -> (u16, String) {
    let (status, body) = gateway.admin().call(Method::DELETE, path, None).await;
    (status, body["type"].as_str().unwrap_or_default().to_owned())
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);
