//! `/v1/boards/{id}/sessions` and `/v1/sessions`: who is on a board, and closing one of them.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use handover_protocol::SessionId;
use handover_protocol::admin::{Problem, ProblemType, SessionList};
use handover_protocol::close::CloseCode;
use tracing::info;

use super::Admin;
use super::boards;
use super::listener::Caller;
use super::query;
use super::refusal::Refusal;
use crate::telemetry::EVENT;

/// `GET /v1/boards/{id}/sessions`.
pub(super) async fn list(State(admin): State<Admin>, uri: Uri) -> Result<Json<SessionList>, Refusal> {
    query::none(&uri)?;
    let view = boards::find(&admin, &boards::board(&uri)?).await?;
    Ok(Json(SessionList {
        sessions: admin.fleet.sessions(&view.board),
    }))
}

/// `DELETE /v1/sessions/{id}?code=`.
///
/// The answer says that the close frame is on its way; the client has the route's `close_deadline` to answer it.
pub(super) async fn close(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<StatusCode, Refusal> {
    let code = match query::only(&uri, "code")? {
        Some(text) => code_of(&text)?,
        None => CloseCode::POLICY_VIOLATION,
    };
    let segment = query::id_text(&uri);
    let unknown = || {
        let detail = format!("no session has the id {segment}; GET /v1/boards/{{id}}/sessions lists those of a board");
        Problem::new(ProblemType::UnknownSession, detail)
    };
    let session: SessionId = segment.parse().map_err(|_| unknown())?;
    if !admin.fleet.close_session(&session, code) {
        return Err(unknown().into());
    }
    info!(target: EVENT, event = "order", order = "close_session", %session, %code, %caller, "session closed through the admin API");
    Ok(StatusCode::NO_CONTENT)
}

fn code_of(text: &str) -> Result<CloseCode, Problem> {
    let code = text.parse().ok().map(CloseCode::new).filter(|code| code.may_be_sent());
    code.ok_or_else(|| {
        let detail = format!(
            "{text:?} is no close code that may be sent; take 1008, or one of 3000 to 4999 that the client knows"
        );
        Problem::new(ProblemType::InvalidField, detail).at("code")
    })
}
