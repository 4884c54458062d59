//! A small board server for tests: it speaks the contract over real sockets, and misbehaves where it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use handover_protocol::contract::{ContractProblem, ContractProblemType};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Control, ServerConfig};

/// What the server does with the next calls.
#[derive(Debug, Clone, Default)]
pub(super) enum Mood {
    /// As the contract says.
    #[default]
    Fine,
    /// The right answer after so long.
    Slow(Duration),
    /// Never lists its boards, and does all else as the contract says.
    WithoutList,
    /// This status, content type and body.
    Says(StatusCode, &'static str, String),
    /// A problem of the contract.
    Refuses(ContractProblem),
    /// A redirection to a path that would answer well.
    Redirects,
}

/// One call as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Value,
}

/// What the server is and has heard.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) mood: Mood,
    pub(super) name: String,
    pub(super) incarnation: String,
    pub(super) is_ready: bool,
    pub(super) boards: Vec<String>,
    pub(super) page: usize,
    pub(super) calls: Vec<Call>,
}

/// The running server.
pub(super) struct ContractServer {
    pub(super) address: SocketAddr,
    pub(super) story: Arc<Mutex<Story>>,
    stop: CancellationToken,
}

impl ContractServer {
    pub(super) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub(super) async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let story = Arc::new(Mutex::new(Story {
            mood: Mood::Fine,
            name: "board-1".to_owned(),
            incarnation: "first".to_owned(),
            is_ready: true,
            boards: Vec::new(),
            page: 2,
            calls: Vec::new(),
        }));
        let stop = CancellationToken::new();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&story));
        let stopped = stop.clone();
        tokio::spawn(async move {
            let serve = IntoFuture::into_future(axum::serve(listener, router));
            stopped.run_until_cancelled(serve).await;
        });
        Self { address, story, stop }
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Story)) {
        change(&mut self.story.lock().unwrap());
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.story.lock().unwrap().calls.clone()
    }

    /// Stops listening.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn config(&self) -> ServerConfig {
        contract(&self.address.to_string())
    }
}

impl Drop for ContractServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Accepts connections, reads a request and then says `answer` (nothing where it is empty) and closes.
pub(super) async fn raw_server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

/// An address that refuses connections.
pub(super) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

pub(super) fn contract(authority: &str) -> ServerConfig {
    ServerConfig {
        control: Some(Control {
            url: format!("http://{authority}").parse().unwrap(),
            token: Some("s3cret".parse().unwrap()),
        }),
        ..opaque("board-1", authority)
    }
}

pub(super) fn opaque(name: &str, authority: &str) -> ServerConfig {
    ServerConfig {
        name: name.parse().unwrap(),
        url: format!("http://{authority}").parse().unwrap(),
        control: None,
        tls: None,
        release: "r1".parse().unwrap(),
        allotment: crate::config::Allotment::default(),
    }
}

async fn answer(State(story): State<Arc<Mutex<Story>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let (mood, right) = {
        let mut story = story.lock().unwrap();
        let authorization = head.headers.get("authorization");
        story.calls.push(Call {
            method: head.method.to_string(),
            target: head.uri.to_string(),
            authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        });
        (story.mood.clone(), right_answer(&story, &head))
    };
    match mood {
        Mood::WithoutList if head.uri.path().ends_with("/boards") => std::future::pending().await,
        Mood::Fine | Mood::WithoutList => right,
        Mood::Slow(pause) => {
            tokio::time::sleep(pause).await;
            right
        }
        Mood::Says(status, content_type, body) => respond(status, content_type, body),
        Mood::Refuses(problem) => respond(
            StatusCode::from_u16(problem.status).unwrap(),
            "application/problem+json",
            serde_json::to_string(&problem).unwrap(),
        ),
        Mood::Redirects if head.uri.path().ends_with("/elsewhere") => right,
        Mood::Redirects => Response::builder()
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(LOCATION, format!("{}/elsewhere", head.uri.path()))
            .body(Body::empty())
            .unwrap(),
    }
}

fn right_answer(story: &Story, head: &http::request::Parts) -> Response {
    let path = head.uri.path();
    let body = match (head.method.as_str(), path) {
        ("GET", "/handover/v1/server") => json!({
            "name": story.name,
            "incarnation": story.incarnation,
            "release": "r1",
            "capabilities": ["transparent", "of-a-later-version"],
            "ready": story.is_ready,
            "open_boards": story.boards.len(),
            "later": true,
        }),
        ("GET", "/handover/v1/boards") => page(story, head.uri.query().unwrap_or_default()),
        ("PUT", _) => json!({"revision": 7}),
        ("DELETE", _) => return respond(StatusCode::NO_CONTENT, "", String::new()),
        ("POST", path) if path.ends_with("/freeze") => json!({"revision": 8, "sent": {"s1": 4}, "short": {"s2": 1}}),
        ("POST", path) if path.ends_with("/activate") => json!({"revision": 8}),
        ("POST", path) if path.ends_with("/thaw") => json!({"revision": 8}),
        (method, path) => panic!("no call of the contract: {method} {path}"),
    };
    respond(StatusCode::OK, "application/json; charset=utf-8", body.to_string())
}

fn page(story: &Story, query: &str) -> Value {
    let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    assert_eq!(query["limit"], "1000");
    let after = query.get("after").map(|segment| {
        let board = handover_protocol::BoardId::from_url_segment(segment).unwrap();
        board.as_str().to_owned()
    });
    let rest: Vec<_> = story
        .boards
        .iter()
        .filter(|board| Some(*board) > after.as_ref())
        .collect();
    let boards: Vec<_> = rest.iter().take(story.page).collect();
    let next = (rest.len() > story.page).then(|| boards.last().unwrap().to_string());
    let reports: Vec<_> = boards
        .iter()
        .map(|board| json!({"board": board, "generation": 3, "role": "owner", "revision": 5, "sessions": 0}))
        .collect();
    match next {
        Some(next) => json!({"incarnation": story.incarnation, "boards": reports, "next": next}),
        None => json!({"incarnation": story.incarnation, "boards": reports}),
    }
}

fn respond(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::builder().status(status);
    if !content_type.is_empty() {
        response = response.header(CONTENT_TYPE, content_type);
    }
    response.body(Body::from(body.into())).unwrap()
}

pub(super) fn stale(fence: u64) -> ContractProblem {
    ContractProblem {
        kind: ContractProblemType::StaleGeneration,
        status: 409,
        title: "another server holds the fence".to_owned(),
        detail: Some(format!("the fence is {fence}")),
        fence: Some(handover_protocol::Generation::new(fence)),
        fence_owner: None,
    }
}
