//! The traffic listener: the whiteboard's page, its WebSocket, and some plain HTTP beside it.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use handover_protocol::contract::wire::GENERATION_HEADER;
use handover_protocol::generation::Generation;
use handover_protocol::id::BoardId;
use serde::{Deserialize, Serialize};

use super::board::Event;
use super::control::ask;
use super::problem::{PlainProblem, Refused};
use super::server::Server;
use super::socket;
use crate::wire::{Body, Drawn};

/// Builds what clients see.
pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/boards/{board}/", get(async || Html(PAGE)))
        .route("/boards/{board}/ws", get(socket::join))
        .route("/boards/{board}/changes", get(list_changes))
        .route("/boards/{board}/server", get(name_server))
        .route("/boards/{board}/echo", post(echo))
        .with_state(server)
}

/// `GET /boards/{board}/changes`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeList {
    /// The board.
    pub board: String,
    /// The server that answers.
    pub server: String,
    /// In the board's order.
    pub changes: Vec<Drawn>,
}

#[derive(Debug, Deserialize)]
struct ChangesQuery {
    /// The revision behind which to begin.
    #[serde(default)]
    after: u64,
}

async fn list_changes(
    State(server): State<Arc<Server>>,
    Path(board): Path<String>,
    Query(query): Query<ChangesQuery>,
    headers: HeaderMap,
) -> Response {
    let Ok(board) = board.parse::<BoardId>() else {
        return PlainProblem::new(StatusCode::BAD_REQUEST, None).into_response();
    };
    if server.is_contract() {
        let generation = generation_of(&headers);
        let check = ask(
            &server,
            |board| server.board(board),
            &board,
            |reply| Event::Check(generation, reply),
        );
        if let Err(problem) = check.await {
            return Refused(problem).into_response();
        }
    }
    let rows = match server.store.changes_after(&board, query.after).await {
        Ok(rows) => rows,
        Err(fault) => {
            return PlainProblem::new(StatusCode::SERVICE_UNAVAILABLE, Some(fault.to_string())).into_response();
        }
    };
    let changes = rows.iter().filter_map(|row| {
        let body: Body = serde_json::from_str(&row.body).ok()?;
        Some(body.drawn(&row.author, row.seq, row.revision))
    });
    let list = ChangeList {
        board: board.as_str().to_owned(),
        server: server.settings.name.as_str().to_owned(),
        changes: changes.collect(),
    };
    Json(list).into_response()
}

/// `GET /boards/{board}/server`: who would serve the board. Over an open socket nobody tells, and a page wants to show.
#[derive(Debug, Serialize)]
struct ServerName {
    server: String,
    release: String,
}

async fn name_server(State(server): State<Arc<Server>>) -> Json<ServerName> {
    Json(ServerName {
        server: server.settings.name.to_string(),
        release: server.settings.release.to_string(),
    })
}

/// Sends a body back as it comes.
async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut response = Response::new(body);
    if let Some(kind) = head.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

/// Reads under which term a gateway believes the board to be here.
pub(super) fn generation_of(headers: &HeaderMap) -> Option<Generation> {
    let value = headers.get(GENERATION_HEADER)?.to_str().ok()?;
    value.parse().ok().map(Generation::new)
}

/// One file, without outside resources.
const PAGE: &str = include_str!("../page/whiteboard.html");
