//! The control listener: the calls of the contract over HTTP.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use handover_protocol::contract::wire::{BOARDS_PER_PAGE_MAX, CONTROL_BODY_BYTES_MAX};
use handover_protocol::contract::{BoardPage, ContractProblem, ContractProblemType, ForgetQuery, ServerReport};
use handover_protocol::id::BoardId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::board::{Event, Reply};
use super::problem::{PlainProblem, Refused, refusal};
use super::server::{BoardHandle, Server};
use super::token::ControlToken;

/// Builds the control API; `token` is asked of every call.
pub(super) fn router(server: Arc<Server>, token: Option<ControlToken>) -> Router {
    Router::new()
        .route("/handover/v1/server", get(report_server))
        .route("/handover/v1/boards", get(list_boards))
        .route("/handover/v1/boards/{board}", put(prepare).delete(forget))
        .route("/handover/v1/boards/{board}/freeze", post(freeze))
        .route("/handover/v1/boards/{board}/activate", post(activate))
        .route("/handover/v1/boards/{board}/thaw", post(thaw))
        .fallback(async || PlainProblem::new(StatusCode::NOT_FOUND, None))
        .method_not_allowed_fallback(async || PlainProblem::new(StatusCode::METHOD_NOT_ALLOWED, None))
        .layer(DefaultBodyLimit::max(CONTROL_BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(token, authorize))
        .with_state(server)
}

/// Which boards are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    after: Option<BoardId>,
    limit: Option<u32>,
}

async fn authorize(
    State(token): State<Option<ControlToken>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    match token {
        Some(token) if !given.is_some_and(|given| token.admits(given)) => {
            let detail = "the control token is missing or wrong".to_owned();
            PlainProblem::new(StatusCode::UNAUTHORIZED, Some(detail)).into_response()
        }
        Some(_) | None => next.run(request).await,
    }
}

async fn report_server(State(server): State<Arc<Server>>) -> Json<ServerReport> {
    Json(ServerReport {
        name: server.settings.name.clone(),
        incarnation: server.incarnation.clone(),
        release: server.settings.release.clone(),
        capabilities: vec!["transparent".to_owned()],
        ready: !server.stopping.is_cancelled(),
        open_boards: server.owned_boards(),
    })
}

async fn list_boards(
    State(server): State<Arc<Server>>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<BoardPage>, PlainProblem> {
    let Query(query) = query.map_err(|fault| bad_request(fault.body_text()))?;
    let limit = query.limit.unwrap_or(BOARDS_PER_PAGE_MAX);
    if !(1..=BOARDS_PER_PAGE_MAX).contains(&limit) {
        return Err(bad_request(format!("limit must be 1 to {BOARDS_PER_PAGE_MAX}")));
    }
    let (boards, has_more) = server.reports(query.after.as_ref(), limit as usize);
    let last = boards.last().map(|report| report.board.clone());
    Ok(Json(BoardPage {
        incarnation: server.incarnation.clone(),
        boards,
        next: last.filter(|_| has_more),
    }))
}

async fn prepare(State(server): State<Arc<Server>>, Path(board): Path<String>, body: Body) -> Response {
    let handle = |board: &BoardId| Some(server.board_or_new(board));
    call(&server, &board, body, handle, Event::Prepare).await
}

async fn activate(State(server): State<Arc<Server>>, Path(board): Path<String>, body: Body) -> Response {
    let handle = |board: &BoardId| Some(server.board_or_new(board));
    call(&server, &board, body, handle, Event::Activate).await
}

async fn freeze(State(server): State<Arc<Server>>, Path(board): Path<String>, body: Body) -> Response {
    call(&server, &board, body, |board| server.board(board), Event::Freeze).await
}

async fn thaw(State(server): State<Arc<Server>>, Path(board): Path<String>, body: Body) -> Response {
    call(&server, &board, body, |board| server.board(board), Event::Thaw).await
}

async fn forget(
    State(server): State<Arc<Server>>,
    Path(board): Path<String>,
    query: Result<Query<ForgetQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(fault) => return bad_request(fault.body_text()).into_response(),
    };
    let board = match board_id(&board) {
        Ok(board) => board,
        Err(problem) => return problem.into_response(),
    };
    // A board that is in memory no more has been forgotten already. A task is asked all the same, which remembers that
    // a call of that attempt may still be on its way.
    match ask(
        &server,
        |board| Some(server.board_or_new(board)),
        &board,
        |reply| Event::Forget(query.clone(), reply),
    )
    .await
    {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => Refused(problem).into_response(),
    }
}

type Body = Result<Bytes, BytesRejection>;

/// Reads a call, hands it to the board's task, and answers what that answers.
async fn call<Q, A>(
    server: &Server,
    board: &str,
    body: Body,
    handle: impl Fn(&BoardId) -> Option<BoardHandle>,
    event: impl Fn(Q, Reply<A>) -> Event,
) -> Response
where
    Q: DeserializeOwned + Clone,
    A: Serialize,
{
    let board = match board_id(board) {
        Ok(board) => board,
        Err(problem) => return problem.into_response(),
    };
    let body = match body {
        Ok(body) => body,
        Err(fault) => return PlainProblem::new(fault.status(), Some(fault.body_text())).into_response(),
    };
    let request: Q = match handover_protocol::json::read(&body) {
        Ok(request) => request,
        Err(fault) => return bad_request(fault.to_string()).into_response(),
    };
    match ask(server, handle, &board, |reply| event(request.clone(), reply)).await {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => Refused(problem).into_response(),
    }
}

/// Asks the board's task; where it ends before it answers, a new one is asked.
pub(super) async fn ask<A>(
    server: &Server,
    handle: impl Fn(&BoardId) -> Option<BoardHandle>,
    board: &BoardId,
    event: impl Fn(Reply<A>) -> Event,
) -> Result<A, ContractProblem> {
    while !server.stopping.is_cancelled() {
        let Some(handle) = handle(board) else {
            let detail = format!("board {board} is not in memory");
            return Err(refusal(ContractProblemType::UnknownBoard, detail));
        };
        let (reply, answer) = oneshot::channel();
        if handle.mailbox.send(event(reply)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        // The task is taking itself out of the list.
        tokio::task::yield_now().await;
    }
    Err(refusal(
        ContractProblemType::Busy,
        "the server is shutting down".to_owned(),
    ))
}

fn board_id(text: &str) -> Result<BoardId, PlainProblem> {
    text.parse()
        .map_err(|fault| bad_request(format!("the board's id {fault}")))
}

fn bad_request(detail: String) -> PlainProblem {
    PlainProblem::new(StatusCode::BAD_REQUEST, Some(detail))
}
