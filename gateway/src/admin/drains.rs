//! `/v1/drains`: start, watch and abort drains.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use handover_protocol::DrainId;
use handover_protocol::admin::{DrainList, DrainRequest, DrainStatus, Problem, ProblemType};
use tracing::info;

use super::Admin;
use super::body::JsonBody;
use super::listener::Caller;
use super::query;
use super::refusal::Refusal;

/// `POST /v1/drains`.
pub(super) async fn start(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    JsonBody(request): JsonBody<DrainRequest>,
) -> Result<Response, Refusal> {
    query::none(&uri)?;
    let started = admin.drains.start(request).await?;
    let id = &started.status.id;
    if started.is_new {
        info!(drain = %id, %caller, "drain started through the admin API");
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
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<(StatusCode, Json<DrainStatus>), Refusal> {
    query::none(&uri)?;
    let id = id(&uri).ok_or_else(|| unknown(&uri))?;
    info!(drain = %id, %caller, "abort of a drain requested through the admin API");
    let status = admin.drains.abort(&id).await.ok_or_else(|| unknown(&uri))?;
    Ok((StatusCode::ACCEPTED, Json(status)))
}

fn id(uri: &Uri) -> Option<DrainId> {
    query::id_segment(uri).parse().ok()
}

fn unknown(uri: &Uri) -> Problem {
    let detail = format!(
        "no drain has the id {}; GET /v1/drains lists all",
        query::id_segment(uri)
    );
    Problem::new(ProblemType::UnknownDrain, detail)
}
