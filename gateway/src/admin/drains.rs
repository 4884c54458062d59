//! `/v1/drains`: start, watch and abort drains.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use handover_protocol::DrainId;
use handover_protocol::admin::{DrainList, DrainPreview, DrainRequest, DrainStatus, Problem, ProblemType};
use tracing::info;

use super::Admin;
use super::body::JsonBody;
use super::listener::Caller;
use super::query;
use super::refusal::Refusal;
use crate::drain::{AskError, UndoError, Verb};
use crate::telemetry::EVENT;

/// `POST /v1/drains`.
pub(super) async fn start(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(request): JsonBody<DrainRequest>,
) -> Result<Response, Refusal> {
    query::none(&uri)?;
    let key = idempotency_key(&headers)?;
    accept(&admin, &caller, request, key).await
}

/// `POST /v1/plans`.
pub(super) async fn plan(
    State(admin): State<Admin>,
    uri: Uri,
    JsonBody(request): JsonBody<DrainRequest>,
) -> Result<Json<DrainPreview>, Refusal> {
    query::none(&uri)?;
    Ok(Json(admin.drains.preview(&request).await?))
}

/// `PUT /v1/drains/{id}`.
pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    JsonBody(mut request): JsonBody<DrainRequest>,
) -> Result<Response, Refusal> {
    query::none(&uri)?;
    let id: DrainId = query::id_text(&uri)
        .parse()
        .map_err(|error| Problem::new(ProblemType::InvalidField, format!("the drain's id {error}")).at("id"))?;
    if request.id.as_ref().is_some_and(|other| *other != id) {
        let detail = "the body names another id than the path; leave it out";
        return Err(Problem::new(ProblemType::ImpossibleDrain, detail).at("id").into());
    }
    request.id = Some(id);
    accept(&admin, &caller, request, None).await
}

async fn accept(
    admin: &Admin,
    caller: &Caller,
    request: DrainRequest,
    key: Option<String>,
) -> Result<Response, Refusal> {
    let started = admin.drains.start(request, key).await?;
    let id = &started.status.id;
    if started.is_new {
        info!(target: EVENT, event = "order", order = "start", drain = %id, %caller, "drain started through the admin API");
    }
    let headers = [
        (header::LOCATION, format!("/v1/drains/{id}")),
        (header::RETRY_AFTER, "1".to_owned()),
    ];
    Ok((StatusCode::ACCEPTED, headers, Json(started.status)).into_response())
}

/// `GET /v1/drains`.
pub(super) async fn list(State(admin): State<Admin>, uri: Uri) -> Result<Json<DrainList>, Refusal> {
    query::none(&uri)?;
    Ok(Json(DrainList {
        drains: admin.drains.list(),
    }))
}

/// `GET /v1/drains/{id}`.
pub(super) async fn status(State(admin): State<Admin>, uri: Uri) -> Result<Json<DrainStatus>, Refusal> {
    query::none(&uri)?;
    let status = id(&uri).and_then(|id| admin.drains.status(&id));
    Ok(Json(status.ok_or_else(|| unknown(&uri))?))
}

/// `POST /v1/drains/{id}/abort`.
pub(super) async fn abort(
    state: State<Admin>,
    caller: Extension<Caller>,
    uri: Uri,
) -> Result<(StatusCode, Json<DrainStatus>), Refusal> {
    ask(state, caller, uri, Verb::Abort).await
}

/// `POST /v1/drains/{id}/pause`.
pub(super) async fn pause(
    state: State<Admin>,
    caller: Extension<Caller>,
    uri: Uri,
) -> Result<(StatusCode, Json<DrainStatus>), Refusal> {
    ask(state, caller, uri, Verb::Pause).await
}

/// `POST /v1/drains/{id}/resume`.
pub(super) async fn resume(
    state: State<Admin>,
    caller: Extension<Caller>,
    uri: Uri,
) -> Result<(StatusCode, Json<DrainStatus>), Refusal> {
    ask(state, caller, uri, Verb::Resume).await
}

/// `POST /v1/drains/{id}/undo`.
pub(super) async fn undo(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<(StatusCode, Json<DrainStatus>), Refusal> {
    query::none(&uri)?;
    let id = id(&uri).ok_or_else(|| unknown(&uri))?;
    info!(target: EVENT, event = "order", order = "undo", drain = %id, %caller, "undo of a drain requested through the admin API");
    match admin.drains.undo(&id).await {
        Ok(status) => Ok((StatusCode::ACCEPTED, Json(status))),
        Err(UndoError::Unknown) => Err(unknown(&uri).into()),
        Err(UndoError::Start(error)) => Err(error.into()),
        Err(error @ (UndoError::WindowOver { .. } | UndoError::IsUndo { .. })) => {
            Err(Problem::new(ProblemType::UndoWindowOver, error.to_string())
                .because_of(id)
                .into())
        }
    }
}

async fn ask(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    verb: Verb,
) -> Result<(StatusCode, Json<DrainStatus>), Refusal> {
    query::none(&uri)?;
    let id = id(&uri).ok_or_else(|| unknown(&uri))?;
    info!(target: EVENT, event = "order", order = verb.name(), drain = %id, %caller, "asked through the admin API");
    let status = match admin.drains.ask(&id, verb).await {
        Ok(status) => status,
        Err(AskError::Unknown) => return Err(unknown(&uri).into()),
        Err(error @ AskError::NotKept { .. }) => {
            return Err(Problem::new(ProblemType::RegistryUnavailable, error.to_string())
                .because_of(id)
                .into());
        }
        Err(error @ AskError::ShuttingDown) => {
            return Err(Problem::new(ProblemType::ShuttingDown, error.to_string()).into());
        }
    };
    if status.done && verb != Verb::Abort {
        let detail = format!("drain {id} has ended ({}); start another", status.progress);
        return Err(Problem::new(ProblemType::DrainEnded, detail).because_of(id).into());
    }
    Ok((StatusCode::ACCEPTED, Json(status)))
}

/// Reads the header of draft-ietf-httpapi-idempotency-key-header: a quoted string; what comes without quotes is taken too.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let fault = |detail: &str| Err(Problem::new(ProblemType::InvalidField, detail).at("Idempotency-Key"));
    if values.next().is_some() {
        return fault("is sent twice");
    }
    let text = value.to_str().unwrap_or_default().trim();
    let key = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return fault("has to be 1 to 255 printable ASCII characters without blanks");
    }
    Ok(Some(key.to_owned()))
}

/// A UUID, or a pipeline's name and number, fits.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

pub(super) fn id(uri: &Uri) -> Option<DrainId> {
    query::id_text(uri).parse().ok()
}

pub(super) fn unknown(uri: &Uri) -> Problem {
    let detail = format!("no drain has the id {}; GET /v1/drains lists all", query::id_text(uri));
    Problem::new(ProblemType::UnknownDrain, detail)
}
