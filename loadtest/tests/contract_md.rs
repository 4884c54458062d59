//! Runs the examples of `protocol/contract.md`, in order, against two board servers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use handover_loadtest::board_server::{BoardServer, Options};
use handover_protocol::contract::ContractProblemType;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A fenced block of the document.
struct Block {
    line: usize,
    kind: String,
    text: String,
}

/// The head of a message and its body.
struct Parsed<'a> {
    first: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: Option<Value>,
}

/// What a real server answered.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// The two servers of the document, and the sockets that were opened; the newest is the one that is spoken over.
struct Story {
    addresses: HashMap<String, SocketAddr>,
    sockets: Vec<WebSocketStream<MaybeTlsStream<TcpStream>>>,
}

#[tokio::test]
async fn every_example_of_the_contract_holds() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story {
        addresses: HashMap::new(),
        sockets: Vec::new(),
    };
    let one = start(directory.path(), "board-1", "r1", &mut story).await;
    let two = start(directory.path(), "board-2", "r2", &mut story).await;
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/contract.md")).unwrap();
    let blocks = blocks(&document);
    let mut calls = BTreeSet::new();
    let mut refusals = BTreeSet::new();
    let mut blocks = blocks.iter().filter(|block| block.kind != "sql");
    while let Some(block) = blocks.next() {
        if block.kind == "websocket" {
            story.speak(block).await;
            continue;
        }
        let request = parse(&block.text);
        let expected = blocks.next().expect("a request is followed by its answer");
        let answer = story.ask(&request).await;
        check(expected, &answer);
        calls.insert(shape(request.first));
        if let Ok(problem) = serde_json::from_slice::<Value>(&answer.body) {
            refusals.extend(problem["type"].as_str().map(str::to_owned));
        }
    }
    let every_call = [
        "DELETE board",
        "GET boards",
        "GET server",
        "GET ws",
        "POST activate",
        "POST freeze",
        "POST thaw",
        "PUT board",
    ];
    assert_eq!(calls, every_call.map(str::to_owned).into());
    for kind in ContractProblemType::ALL {
        let name = serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned();
        assert!(
            document.contains(&format!("| `{name}` | {} |", kind.status())),
            "{name} is not in the table"
        );
        // A server is busy only for a moment.
        assert!(
            kind == ContractProblemType::Busy || refusals.contains(&name),
            "{name} has no example"
        );
    }
    drop(story);
    one.stop().await;
    two.stop().await;
}

#[test]
fn an_example_that_does_not_hold_is_found() {
    let check = |expected: &str, found: &str, holds: bool| {
        let (expected, found) = (
            serde_json::from_str(expected).unwrap(),
            serde_json::from_str(found).unwrap(),
        );
        assert_eq!(matches(&expected, &found), holds, "{expected} against {found}");
    };
    check(r#"{"a": "…", "b": [1]}"#, r#"{"a": {"c": 2}, "b": [1]}"#, true);
    check(r#"{"a": 1}"#, r#"{"a": 2}"#, false);
    check(r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#, false);
    check(r#"{"a": 1, "b": 2}"#, r#"{"a": 1}"#, false);
    check("[1, 2]", "[1]", false);
    check("[1]", "[1.0]", true);
}

async fn start(directory: &Path, name: &str, release: &str, story: &mut Story) -> BoardServer {
    let token = directory.join("token");
    std::fs::write(&token, "s3cret").unwrap();
    let database = format!("sqlite://{}/boards.sqlite", directory.display());
    let flags = [
        "board-server",
        "--name",
        name,
        "--release",
        release,
        "--listen",
        "127.0.0.1:0",
        "--control-listen",
        "127.0.0.1:0",
        "--control-token-file",
        token.to_str().unwrap(),
        "--database",
        &database,
    ];
    let server = BoardServer::start(Options::parse_from(flags)).await.unwrap();
    let addresses = server.addresses();
    story.addresses.insert(format!("{name}:9001"), addresses.listening);
    story
        .addresses
        .insert(format!("{name}:9101"), addresses.control.unwrap());
    server
}

impl Story {
    async fn ask(&mut self, request: &Parsed<'_>) -> Answer {
        let (method, url) = request.first.split_once(' ').unwrap();
        let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let address = self.addresses[authority];
        if request.headers.iter().any(|(name, _)| *name == "Upgrade") {
            return self.upgrade(&format!("ws://{address}/{path}"), request).await;
        }
        let url = format!("http://{address}/{path}");
        let mut call = reqwest::Client::new().request(method.parse().unwrap(), url);
        for (name, value) in &request.headers {
            call = call.header(*name, *value);
        }
        if let Some(body) = &request.body {
            call = call.body(body.to_string());
        }
        let response = call.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    async fn upgrade(&mut self, url: &str, request: &Parsed<'_>) -> Answer {
        let mut handshake = url.into_client_request().unwrap();
        for (name, value) in request.headers.iter().filter(|(name, _)| name.starts_with("Handover-")) {
            let name: reqwest::header::HeaderName = name.parse().unwrap();
            handshake.headers_mut().insert(name, value.parse().unwrap());
        }
        match connect_async(handshake).await {
            Ok((socket, response)) => {
                self.sockets.push(socket);
                Answer {
                    status: 101,
                    headers: response.headers().clone(),
                    body: Vec::new(),
                }
            }
            Err(Error::Http(response)) => Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: response.into_body().unwrap_or_default(),
            },
            Err(error) => panic!("{error}"),
        }
    }

    async fn speak(&mut self, block: &Block) {
        let socket = self.sockets.last_mut().expect("a handshake comes before");
        for line in block.text.lines() {
            let (direction, json) = line.split_once(' ').unwrap();
            let expected: Value = serde_json::from_str(json).unwrap();
            if direction == ">" {
                socket.send(Message::text(json)).await.unwrap();
                continue;
            }
            let message = timeout(PATIENCE, socket.next())
                .await
                .expect("nothing came")
                .unwrap()
                .unwrap();
            let found: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            assert!(
                matches(&expected, &found),
                "line {}: {expected} became {found}",
                block.line
            );
        }
    }
}

fn check(expected: &Block, answer: &Answer) {
    let body = String::from_utf8_lossy(&answer.body);
    let wanted = parse(&expected.text);
    let status = wanted.first.split(' ').nth(1).unwrap();
    assert_eq!(status, answer.status.to_string(), "line {}: {body}", expected.line);
    for (name, value) in wanted.headers {
        let found = answer.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(found, Some(value), "line {}: {name}", expected.line);
    }
    match wanted.body {
        None => assert!(body.is_empty(), "line {}: {body}", expected.line),
        Some(wanted) => {
            let found: Value = serde_json::from_str(&body).unwrap();
            assert!(
                matches(&wanted, &found),
                "line {}: {wanted} became {found}",
                expected.line
            );
        }
    }
}

/// Compares an example with what was answered; `"…"` stands for anything.
fn matches(expected: &Value, found: &Value) -> bool {
    if expected == "…" {
        return true;
    }
    if let (Some(expected), Some(found)) = (expected.as_object(), found.as_object()) {
        return expected.keys().eq(found.keys()) && expected.iter().all(|(name, value)| matches(value, &found[name]));
    }
    if let (Some(expected), Some(found)) = (expected.as_array(), found.as_array()) {
        return expected.len() == found.len() && expected.iter().zip(found).all(|(one, other)| matches(one, other));
    }
    expected == found || (expected.is_number() && expected.as_f64() == found.as_f64())
}

/// Names a call by its method and the end of its path.
fn shape(first: &str) -> String {
    let (method, url) = first.split_once(' ').unwrap();
    let path = url.split('?').next().unwrap();
    let last = path.rsplit('/').next().unwrap();
    let last = if last.starts_with('b') && last != "boards" {
        "board"
    } else {
        last
    };
    format!("{method} {last}")
}

fn parse(text: &str) -> Parsed<'_> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let body = (!body.trim().is_empty()).then(|| serde_json::from_str(body).unwrap());
    Parsed { first, headers, body }
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (number, line) in document.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(kind) => {
                is_inside = true;
                blocks.push(Block {
                    line: number + 1,
                    kind: kind.to_owned(),
                    text: String::new(),
                });
            }
            None if is_inside => {
                let text = &mut blocks.last_mut().unwrap().text;
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(line);
            }
            None => {}
        }
    }
    blocks
}

const PATIENCE: Duration = Duration::from_secs(10);
