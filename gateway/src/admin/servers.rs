//! `/v1/servers`: which servers there are, and what operators say of them.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use handover_protocol::ServerName;
use handover_protocol::admin::{DeathReport, Problem, ProblemType, ServerList, ServerRequest, ServerState, ServerView};
use tracing::info;

use super::Admin;
use super::body::JsonBody;
use super::listener::Caller;
use super::query;
use super::refusal::Refusal;
use crate::telemetry::EVENT;

/// `GET /v1/servers`.
pub(super) async fn list(State(admin): State<Admin>, uri: Uri) -> Result<Json<ServerList>, Refusal> {
    query::none(&uri)?;
    Ok(Json(ServerList { servers: all(&admin) }))
}

/// `GET /v1/servers/{name}`.
pub(super) async fn view(State(admin): State<Admin>, uri: Uri) -> Result<Json<ServerView>, Refusal> {
    query::none(&uri)?;
    Ok(Json(find(&admin, &uri)?))
}

/// `PUT /v1/servers/{name}`.
pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    JsonBody(request): JsonBody<ServerRequest>,
) -> Result<(StatusCode, Json<ServerView>), Refusal> {
    query::none(&uri)?;
    let name = name(&uri)?;
    info!(target: EVENT, event = "order", order = "name", server = %name, %caller, "naming of a server requested through the admin API");
    let is_new = admin.fleet.put_server(&name, request).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(find(&admin, &uri)?)))
}

/// `DELETE /v1/servers/{name}`.
pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<StatusCode, Refusal> {
    query::none(&uri)?;
    let name = query::id_text(&uri).parse().map_err(|_| unknown(&uri))?;
    info!(target: EVENT, event = "order", order = "remove", server = %name, %caller, "removal of a server requested through the admin API");
    admin.fleet.remove_server(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/servers/{name}/cordon`.
pub(super) async fn cordon(
    state: State<Admin>,
    caller: Extension<Caller>,
    uri: Uri,
) -> Result<Json<ServerView>, Refusal> {
    set_cordoned(state, caller, uri, true).await
}

/// `POST /v1/servers/{name}/uncordon`.
pub(super) async fn uncordon(
    state: State<Admin>,
    caller: Extension<Caller>,
    uri: Uri,
) -> Result<Json<ServerView>, Refusal> {
    set_cordoned(state, caller, uri, false).await
}

async fn set_cordoned(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    is_cordoned: bool,
) -> Result<Json<ServerView>, Refusal> {
    query::none(&uri)?;
    let name = find(&admin, &uri)?.name;
    let order = if is_cordoned { "cordon" } else { "uncordon" };
    info!(target: EVENT, event = "order", order, server = %name, %caller, "asked through the admin API");
    admin.fleet.cordon(&name, is_cordoned).await?;
    Ok(Json(find(&admin, &uri)?))
}

/// `POST /v1/servers/{name}/dead`.
pub(super) async fn dead(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<DeathReport>, Refusal> {
    query::none(&uri)?;
    let server = find(&admin, &uri)?;
    if server.state != ServerState::Down {
        // Whoever says so of a server that answers has most likely mistyped.
        let detail = format!(
            "server {} answers its health checks; end its process first, or cordon it and drain it",
            server.name
        );
        return Err(Problem::new(ProblemType::ServerAlive, detail).into());
    }
    info!(target: EVENT, event = "order", order = "dead", server = %server.name, %caller, "declared dead through the admin API");
    let report = admin.fleet.declare_dead(&server.name).await?;
    Ok(Json(report.ok_or_else(|| unknown(&uri))?))
}

/// Lists every server, with the drain that empties it.
pub(super) fn all(admin: &Admin) -> Vec<ServerView> {
    let mut servers = admin.fleet.servers();
    for server in &mut servers {
        server.drain = admin.drains.emptying(&server.name);
        if let Some(drain) = &server.drain
            && server.state.while_drained() != server.state
        {
            server.state = server.state.while_drained();
            server.reason = Some(format!("drain {drain} empties it"));
        }
    }
    servers
}

fn find(admin: &Admin, uri: &Uri) -> Result<ServerView, Problem> {
    // What is no name at all is nobody's either.
    let name: ServerName = query::id_text(uri).parse().map_err(|_| unknown(uri))?;
    let found = all(admin).into_iter().find(|server| server.name == name);
    found.ok_or_else(|| unknown(uri))
}

fn name(uri: &Uri) -> Result<ServerName, Problem> {
    query::id_text(uri)
        .parse()
        .map_err(|error| Problem::new(ProblemType::ImpossibleServer, format!("the server's name {error}")).at("name"))
}

fn unknown(uri: &Uri) -> Problem {
    let detail = format!("no server is named {}; GET /v1/servers lists all", query::id_text(uri));
    Problem::new(ProblemType::UnknownServer, detail)
}
