//! `/metrics`, and the probes of orchestrators: they read the status only, the text is for people.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use handover_protocol::admin::{Problem, ProblemType};
use tokio_util::sync::CancellationToken;

use super::Admin;
use super::query;
use super::refusal::Refusal;

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
    admin.fleet.refresh_gauges();
    let media_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (media_type, admin.metrics.render()).into_response()
}

/// `GET /livez` and `GET /healthz`: this task runs, and no other question is asked.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`, with `?verbose` for people; `?exclude=` leaves a check out, and may be given more than once.
pub(super) async fn ready(State(admin): State<Admin>, uri: Uri) -> Result<Response, Refusal> {
    let asked = query::each(&uri, &["verbose", "exclude"])?;
    let is_verbose = asked.iter().any(|(key, _)| key == "verbose");
    let servers = admin.fleet.servers();
    let readiness = &admin.readiness;
    let checks = [
        (
            "traffic",
            readiness.is_serving.load(Ordering::Relaxed),
            "the listeners are not open yet",
        ),
        (
            "servers",
            admin.fleet.has_met_ready_server(),
            "no server has been ready yet",
        ),
        (
            "shutdown",
            !readiness.shutdown.is_cancelled(),
            "the gateway is going down",
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
    if is_verbose {
        for (name, is_fine, fault) in checks {
            text += &if excluded.contains(&name) {
                format!("[+]{name} excluded\n")
            } else if is_fine {
                format!("[+]{name} ok\n")
            } else {
                format!("[-]{name} failed: {fault}\n")
            };
        }
        for server in servers.iter().filter(|server| !server.ready) {
            text += &format!("[!]server {} is not ready\n", server.name);
        }
    }
    text += if is_ready { "ready\n" } else { "not ready\n" };
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((status, text).into_response())
}
