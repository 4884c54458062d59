//! Every call over a real socket, and every way in which a server can fail it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_protocol::contract::{
    ActivateRequest, BoardRole, ContractProblem, ContractProblemType, ForgetQuery, FreezeRequest, PrepareRequest,
    ThawRequest,
};
use handover_protocol::{Attempt, BoardId, Generation, Revision, SessionId};
use http::StatusCode;
use serde_json::json;

use super::{ControlClient, ControlError, Nonsense};
use crate::config::MetricsConfig;
use crate::telemetry::Metrics;
use crate::upstream::Destination;
use crate::upstream::contract_server::{ContractServer, Mood, contract, nobody, raw_server, stale};

const DEADLINE: Duration = Duration::from_secs(5);

fn client_of(authority: &str) -> (ControlClient, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let control = contract(authority).control.unwrap();
    let to = Destination::new(control.url, None);
    let client = ControlClient::new(to, control.token.as_ref(), DEADLINE, Arc::clone(&metrics));
    (client, metrics)
}

fn client(server: &ContractServer) -> (ControlClient, Arc<Metrics>) {
    client_of(&server.address.to_string())
}

fn board() -> BoardId {
    "a/b ü".parse().unwrap()
}

fn prepare_request() -> PrepareRequest {
    PrepareRequest {
        generation: Generation::new(7),
        attempt: Attempt::new(3),
    }
}

#[tokio::test]
async fn each_call_goes_to_its_path_with_the_token_and_its_body() {
    let server = ContractServer::start().await;
    let (client, _) = client(&server);
    let (generation, attempt) = (Generation::new(7), Attempt::new(3));
    let session: SessionId = "s1".parse().unwrap();

    let report = client.server(Duration::from_secs(3)).await.unwrap();
    assert!(report.ready && report.name.as_str() == "board-1");
    let prepared = client.prepare(&board(), &prepare_request(), DEADLINE).await.unwrap();
    assert_eq!(prepared.revision, Revision::new(7));
    let freeze = FreezeRequest {
        generation,
        attempt,
        sessions: [(session.clone(), 12)].into(),
        deadline_ms: 4000,
    };
    let frozen = client.freeze(&board(), &freeze, DEADLINE).await.unwrap();
    assert_eq!(frozen.sent, [(session.clone(), 4)].into());
    assert_eq!(frozen.short, [("s2".parse().unwrap(), 1)].into());
    let activate = ActivateRequest {
        generation: generation.next(),
        attempt,
        revision: Some(frozen.revision),
        sessions: vec![session],
        checkpoint: None,
    };
    client.activate(&board(), &activate, DEADLINE).await.unwrap();
    let thaw = ThawRequest {
        generation,
        attempt: attempt.next(),
        gone: Vec::new(),
    };
    client.thaw(&board(), &thaw, DEADLINE).await.unwrap();
    let forget = ForgetQuery { generation, attempt };
    client.forget(&board(), &forget, DEADLINE).await.unwrap();

    let calls = server.calls();
    assert!(
        calls
            .iter()
            .all(|call| call.authorization.as_deref() == Some("Bearer s3cret"))
    );
    let lines: Vec<_> = calls
        .iter()
        .map(|call| format!("{} {}", call.method, call.target))
        .collect();
    let path = "/handover/v1/boards/a%2Fb%20%C3%BC";
    assert_eq!(
        lines,
        [
            "GET /handover/v1/server".to_owned(),
            format!("PUT {path}"),
            format!("POST {path}/freeze"),
            format!("POST {path}/activate"),
            format!("POST {path}/thaw"),
            format!("DELETE {path}?generation=7&attempt=3"),
        ]
    );
    assert_eq!(calls[1].body, json!({"generation": 7, "attempt": 3}));
    assert_eq!(calls[2].body["sessions"], json!({"s1": 12}));
    assert_eq!(calls[3].body["revision"], json!(8));
}

#[tokio::test]
async fn all_pages_of_the_boards_are_read_and_must_follow_one_another() {
    let server = ContractServer::start().await;
    let (client, _) = client(&server);
    assert!(client.boards().await.unwrap().boards.is_empty());

    let boards = ["a", "b&c=d", "e f", "g", "ü"].map(str::to_owned);
    server.tell(|story| story.boards = boards.to_vec());
    let listing = client.boards().await.unwrap();
    let names: Vec<_> = listing.boards.iter().map(|report| report.board.as_str()).collect();
    assert_eq!(names, boards);
    assert_eq!(listing.boards[0].role, BoardRole::Owner);
    assert_eq!(server.calls().len(), 1 + 3);

    let endless = json!({"incarnation": "first", "boards": [], "next": "a"}).to_string();
    server.tell(|story| story.mood = Mood::Says(StatusCode::OK, "application/json", endless));
    let error = client.boards().await.unwrap_err();
    assert!(matches!(error, ControlError::Nonsense(Nonsense::Pages)), "{error:?}");
}

#[tokio::test]
async fn a_refusal_of_the_contract_carries_its_problem() {
    let server = ContractServer::start().await;
    let (client, metrics) = client(&server);
    server.tell(|story| story.mood = Mood::Refuses(stale(9)));
    let error = client
        .prepare(&board(), &prepare_request(), DEADLINE)
        .await
        .unwrap_err();
    let is_stale = |problem: &ContractProblem| problem.kind == ContractProblemType::StaleGeneration;
    assert!(
        matches!(&error, ControlError::Refused(problem) if is_stale(problem)),
        "{error:?}"
    );
    assert!(error.to_string().contains("the fence is 9"), "{error}");
    let ControlError::Refused(problem) = error else {
        panic!("{error:?}")
    };
    assert_eq!(problem.fence, Some(Generation::new(9)));
    let text = metrics.render();
    assert!(text.contains("handover_control_failures_total{call=\"prepare\",reason=\"refused\"} 1"));
    assert!(text.contains("handover_control_call_seconds_count{call=\"prepare\"} 1"));
}

#[tokio::test]
async fn what_is_none_of_the_contracts_answers_is_nonsense() {
    let server = ContractServer::start().await;
    let (client, metrics) = client(&server);
    let check = async |status: StatusCode, content_type: &'static str, body: &str, expected: fn(&Nonsense) -> bool| {
        server.tell(|story| story.mood = Mood::Says(status, content_type, body.to_owned()));
        let error = client
            .prepare(&board(), &prepare_request(), DEADLINE)
            .await
            .unwrap_err();
        let is_expected = matches!(&error, ControlError::Nonsense(nonsense) if expected(nonsense));
        assert!(is_expected, "{status} {content_type}: {error:?}");
    };
    let (fine, json) = (StatusCode::OK, "application/json");
    let is_type = |nonsense: &Nonsense| matches!(nonsense, Nonsense::ContentType { .. });
    let is_body = |nonsense: &Nonsense| matches!(nonsense, Nonsense::Body(_));
    let is_status = |nonsense: &Nonsense| matches!(nonsense, Nonsense::Status(_));
    check(fine, "text/html", r#"{"revision": 7}"#, is_type).await;
    check(fine, "", r#"{"revision": 7}"#, is_type).await;
    check(fine, json, "", is_body).await;
    check(fine, json, "{}", is_body).await;
    check(fine, json, r#"{"revision": -1}"#, is_body).await;
    check(fine, json, r#"{"revision": 7"#, is_body).await;
    check(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "oops", is_status).await;
    check(StatusCode::CONFLICT, json, r#"{"type": "busy"}"#, is_status).await;
    let unknown = r#"{"type": "tired", "status": 409, "title": "tired"}"#;
    check(StatusCode::CONFLICT, "application/problem+json", unknown, is_status).await;
    let large = format!(r#"{{"revision": 7, "x": "{}"}}"#, "x".repeat(4 * 1024 * 1024));
    check(fine, json, &large, |nonsense| matches!(nonsense, Nonsense::TooLarge)).await;
    let text = metrics.render();
    assert!(text.contains("handover_control_failures_total{call=\"prepare\",reason=\"nonsense\"} 10"));
    assert!(text.contains("handover_limit_hits_total{limit=\"control_body_bytes_max\"} 1"));
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let server = ContractServer::start().await;
    let (client, _) = client(&server);
    server.tell(|story| story.mood = Mood::Redirects);
    let error = client.server(Duration::from_secs(3)).await.unwrap_err();
    let status = StatusCode::TEMPORARY_REDIRECT;
    assert!(matches!(error, ControlError::Nonsense(Nonsense::Status(found)) if found == status));
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_not_accepted_points_at_its_setting() {
    let server = ContractServer::start().await;
    let (client, _) = client(&server);
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        server.tell(|story| story.mood = Mood::Says(status, "text/plain", String::new()));
        let error = client.server(Duration::from_secs(3)).await.unwrap_err();
        assert!(matches!(error, ControlError::Unauthorized { .. }), "{error:?}");
        assert!(error.to_string().contains("control_token_file"));
    }
}

#[tokio::test]
async fn a_slow_server_leaves_the_outcome_open_at_the_deadline() {
    let server = ContractServer::start().await;
    let (client, metrics) = client(&server);
    server.tell(|story| story.mood = Mood::Slow(Duration::from_secs(60)));
    let begun = Instant::now();
    let error = client
        .prepare(&board(), &prepare_request(), Duration::from_millis(100))
        .await
        .unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(matches!(error, ControlError::Unanswered(_)), "{error:?}");
    assert_eq!(server.calls().len(), 1);
    let text = metrics.render();
    assert!(text.contains("handover_limit_hits_total{limit=\"prepare_timeout\"} 1"));
    assert!(text.contains("handover_control_failures_total{call=\"prepare\",reason=\"unanswered\"} 1"));
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_leaves_the_outcome_open() {
    let check = async |answer: &'static [u8]| {
        let address = raw_server(answer).await;
        let (client, _) = client_of(&address.to_string());
        let error = client
            .prepare(&board(), &prepare_request(), DEADLINE)
            .await
            .unwrap_err();
        assert!(matches!(error, ControlError::Unanswered(_)), "{error:?}");
    };
    check(b"").await;
    check(b"HTTP/1.1 200 OK\r\nContent-Ty").await;
    check(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{").await;
    check(b"SSH-2.0-OpenSSH_9.2\r\n").await;
}

#[tokio::test]
async fn a_server_that_is_not_there_was_certainly_not_told() {
    let (client, metrics) = client_of(&nobody().await.to_string());
    let error = client
        .prepare(&board(), &prepare_request(), DEADLINE)
        .await
        .unwrap_err();
    assert!(matches!(error, ControlError::Unreachable(_)), "{error:?}");
    let text = metrics.render();
    assert!(text.contains("handover_control_failures_total{call=\"prepare\",reason=\"unreachable\"} 1"));
}
