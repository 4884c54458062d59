//! `/metrics`, and the probes of orchestrators: they read the status only, the text is for people.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use handover_protocol::ServerName;
use handover_protocol::admin::{Problem, ProblemType, ServerState};
use tokio_util::sync::CancellationToken;

use super::Admin;
use super::query;
use super::refusal::Refusal;
use super::servers;
use crate::telemetry::Label;

/// Whether newcomers may be sent to this gateway.
///
/// It says no before the traffic listeners are open and a first server was found ready, and from the beginning of the
/// end on. In between it never flaps: what is wrong with a server, open sessions and other servers do not feel.
#[derive(Debug)]
pub struct Readiness {
    is_serving: AtomicBool,
    shutdown: CancellationToken,
}

impl Readiness {
    /// Starts out as not ready.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            is_serving: AtomicBool::new(false),
            shutdown,
        }
    }

    /// Returns what is cancelled when the gateway begins to end.
    pub(super) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Says that the traffic listeners are open and every placement is known.
    pub fn set_serving(&self) {
        self.is_serving.store(true, Ordering::Relaxed);
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(admin): State<Admin>) -> Response {
    let is_drained = |server: &ServerName| admin.drains.emptying(server).is_some();
    admin.fleet.refresh_gauges(&is_drained);
    admin.drains.refresh_gauges();
    let media_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (media_type, admin.metrics.render()).into_response()
}

/// `GET /livez` and `GET /healthz`: this task runs, and no other question is asked.
pub(super) async fn live() -> String {
    format!("ok: handover {}\n", env!("CARGO_PKG_VERSION"))
}

/// `GET /readyz`, with `?verbose` for people; `?exclude=` leaves a check out, and may be given more than once.
///
/// What has failed is said in any case: an orchestrator shows it beside its own verdict.
pub(super) async fn ready(State(admin): State<Admin>, uri: Uri) -> Result<Response, Refusal> {
    let asked = query::each(&uri, &["verbose", "exclude"])?;
    let is_verbose = asked.iter().any(|(key, _)| key == "verbose");
    let readiness = &admin.readiness;
    let checks = [
        (
            "traffic",
            readiness.is_serving.load(Ordering::Relaxed),
            "the listeners are not open yet: the gateway is reading what it did before, and asks its servers",
        ),
        (
            "servers",
            admin.fleet.has_met_ready_server(),
            "no server has been ready yet; GET /v1/servers says why",
        ),
        (
            "shutdown",
            !readiness.shutdown.is_cancelled(),
            "the gateway is going down; its clients are told to come back",
        ),
    ];
    let excluded: Vec<&str> = asked
        .iter()
        .filter(|(key, _)| key == "exclude")
        .map(|(_, name)| name.as_str())
        .collect();
    let names = checks.map(|(name, _, _)| name);
    if let Some(unknown) = excluded.iter().find(|name| !names.contains(name)) {
        let detail = format!("there is no check {unknown:?}; the checks are {}", names.join(", "));
        return Err(Problem::new(ProblemType::InvalidField, detail).at("exclude").into());
    }
    let is_ready = checks
        .iter()
        .all(|(name, is_fine, _)| *is_fine || excluded.contains(name));
    let mut text = String::new();
    for (name, is_fine, fault) in checks {
        if !is_fine && !excluded.contains(&name) {
            text += &format!("[-]{name} failed: {fault}\n");
        } else if is_verbose {
            let verdict = if is_fine { "ok" } else { "excluded" };
            text += &format!("[+]{name} {verdict}\n");
        }
    }
    if is_verbose {
        text += &notes(&admin);
    }
    text += if is_ready { "ready\n" } else { "not ready\n" };
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((status, text).into_response())
}

/// Says what is no fault of the gateway and may be why somebody looks.
fn notes(admin: &Admin) -> String {
    let servers = servers::all(admin);
    let ready = servers.iter().filter(|server| server.ready).count();
    let mut text = format!("[i]servers: {ready} of {} ready\n", servers.len());
    for server in servers.iter().filter(|server| server.state != ServerState::Ready) {
        let reason = server.reason.as_deref().unwrap_or("GET /v1/servers says more");
        text += &format!("[!]server {} is {}: {reason}\n", server.name, server.state.text());
    }
    for drain in admin.drains.list().iter().filter(|drain| !drain.done) {
        text += &format!("[i]drain {}: {}\n", drain.id, drain.progress);
    }
    text
}
