//! `/v1/boards` and `/v1/moves`: what is where, and moving one board.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::Uri;
use handover_protocol::admin::{
    BoardList, BoardState, BoardView, MoveList, MoveReport, MoveRequest, Problem, ProblemType,
};
use handover_protocol::{BoardId, ServerName};
use tracing::info;

use super::Admin;
use super::body::JsonBody;
use super::listener::Caller;
use super::query;
use super::refusal::Refusal;
use crate::mover::{AskedBy, MoveOrder, Spacing};
use crate::telemetry::EVENT;

/// `GET /v1/boards?server=&limit=&after=`.
pub(super) async fn list(State(admin): State<Admin>, uri: Uri) -> Result<Json<BoardList>, Refusal> {
    let [server, limit, after] = query::some_of(&uri, ["server", "limit", "after"])?;
    let server = server.map(|name| known_server(&admin, &name, "server")).transpose()?;
    let limit = page_limit(limit)?;
    let after: Option<BoardId> = match after.map(|text| text.parse()) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(error)) => {
            let detail = format!("{error}; give what the page before has as `next`");
            return Err(Problem::new(ProblemType::InvalidField, detail).at("after").into());
        }
    };
    let (boards, next) = admin.fleet.page(server.as_ref(), after.as_ref(), limit);
    Ok(Json(BoardList { boards, next }))
}

/// `GET /v1/boards/{id}`.
pub(super) async fn view(State(admin): State<Admin>, uri: Uri) -> Result<Json<BoardView>, Refusal> {
    query::none(&uri)?;
    Ok(Json(find(&admin, &board(&uri)?).await?))
}

/// `POST /v1/boards/{id}/move`.
///
/// A move that was tried and ended where it began is told by the report's `result`; a problem says that none began.
pub(super) async fn carry(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    JsonBody(request): JsonBody<MoveRequest>,
) -> Result<Json<MoveReport>, Refusal> {
    query::none(&uri)?;
    let board = board(&uri)?;
    let target = known_server(&admin, request.to.as_str(), "to")?;
    check_movable(&find(&admin, &board).await?, &target)?;
    if let Some(drain) = admin.drains.emptying(&target) {
        let detail = format!("drain {drain} is emptying server {target}");
        return Err(Problem::new(ProblemType::DrainConflict, detail)
            .at("to")
            .because_of(drain)
            .into());
    }
    if !admin.fleet.is_ready(&target) {
        let detail = format!("server {target} is not ready to take boards");
        return Err(Problem::new(ProblemType::TargetNotReady, detail).at("to").into());
    }
    info!(target: EVENT, event = "order", order = "move", %board, to = %target, mode = request.mode.word(), %caller,
        "move requested through the admin API");
    let order = MoveOrder {
        board,
        from: None,
        target,
        mode: request.mode,
        spacing: Spacing::Kept,
        keep_warm: false,
        asked_by: AskedBy::Caller(caller.to_string()),
        cancel: admin.readiness.shutdown().child_token(),
        prepared: None,
    };
    let report = admin.fleet.move_board(order).await;
    if report.result == MoveReport::MOVE_INTERVAL {
        let left = Duration::from_millis(report.retry_after_ms.unwrap_or_default());
        let detail = format!(
            "the board was moved of late and stays where it is for another {:.1} s (drain.board_move_interval); an undo of \
             a drain does not wait for that",
            left.as_secs_f64()
        );
        return Err(Problem::new(ProblemType::BoardNotMovable, detail).after(left).into());
    }
    Ok(Json(report))
}

/// `GET /v1/moves?limit=`.
pub(super) async fn moves(State(admin): State<Admin>, uri: Uri) -> Result<Json<MoveList>, Refusal> {
    let [limit] = query::some_of(&uri, ["limit"])?;
    Ok(Json(MoveList {
        moves: admin.fleet.recent_moves(page_limit(limit)?),
    }))
}

fn page_limit(asked: Option<String>) -> Result<usize, Problem> {
    asked.map_or(Ok(PAGE), |text| query::number(&text, "limit", 1..=PAGE_MAX))
}

pub(super) async fn find(admin: &Admin, board: &BoardId) -> Result<BoardView, Refusal> {
    let view = admin.fleet.view(board).await?;
    let unknown = || {
        Problem::new(
            ProblemType::UnknownBoard,
            format!("no board {:?} was ever placed", board.as_str()),
        )
    };
    Ok(view.ok_or_else(unknown)?)
}

fn check_movable(view: &BoardView, target: &ServerName) -> Result<(), Problem> {
    let detail = match (view.state, &view.server) {
        (BoardState::Vacant, _) | (_, None) => "nobody owns the board; it goes where its first session goes".to_owned(),
        (BoardState::Moving, Some(source)) => format!("the board is being moved off server {source}"),
        (BoardState::Activating, Some(owner)) => format!("server {owner} is just taking the board"),
        (BoardState::Settled, Some(owner)) if owner == target => format!("server {owner} owns the board already"),
        (BoardState::Settled, Some(_)) => return Ok(()),
    };
    Err(Problem::new(ProblemType::BoardNotMovable, detail))
}

pub(super) fn board(uri: &Uri) -> Result<BoardId, Problem> {
    BoardId::from_url_segment(query::id_segment(uri))
        .map_err(|error| Problem::new(ProblemType::InvalidField, format!("the board's id {error}")).at("id"))
}

fn known_server(admin: &Admin, name: &str, field: &str) -> Result<ServerName, Problem> {
    let servers = admin.fleet.servers();
    match servers.iter().find(|server| server.name.as_str() == name) {
        Some(server) => Ok(server.name.clone()),
        None => {
            let known: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
            let detail = format!(
                "no server is named {name:?}; the configuration has {}",
                known.join(", ")
            );
            Err(Problem::new(ProblemType::UnknownReference, detail).at(field))
        }
    }
}

/// More boards than this on one page nobody reads as a page.
const PAGE_MAX: usize = 10_000;

/// A list of everything that is open would hold up other answers.
const PAGE: usize = 1_000;
