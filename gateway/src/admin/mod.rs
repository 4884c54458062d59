//! The admin listener: the API of drains, boards, moves and servers, the metrics and the probes.
//!
//! Where nobody is asked who he is, it answers on this machine, under loopback names only; else whoever has a token or a
//! client certificate; and never a web page of another origin.
//! Handlers read and give orders; what an order comes to is decided by [`crate::drain`] and behind [`Fleet`].

mod access;
mod boards;
mod body;
mod connections;
mod drain_events;
mod drains;
mod guard;
mod listener;
mod probes;
mod query;
mod refusal;
mod reload;
mod reserve;
mod servers;
mod sessions;
mod socket;
#[cfg(test)]
mod tests;
mod threads;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use handover_protocol::admin::{Problem, ProblemType};
use tokio::runtime::Handle;

use self::guard::Guard;
use self::refusal::Refusal;
use crate::drain::{Drains, Fleet};
use crate::telemetry::Metrics;

pub use access::Access;
pub use listener::serve;
pub use probes::Readiness;
pub use reload::{ReloadDesk, ReloadOutcome};
pub use socket::{AdminBindError, AdminListener};
pub use threads::admin_threads;

/// What the admin API answers from.
#[derive(Clone)]
pub struct Admin {
    /// The drains.
    pub drains: Arc<Drains>,
    /// The boards and servers.
    pub fleet: Arc<dyn Fleet>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` tells.
    pub readiness: Arc<Readiness>,
    /// Where a reload is ordered.
    pub reload: ReloadDesk,
    /// Who may ask.
    pub access: Arc<Access>,
    /// The threads of sessions and moves, where changes are carried out.
    pub home: Handle,
}

impl Admin {
    /// Lays the paths out.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/plans", post(drains::plan))
            .route("/v1/drains", get(drains::list).post(drains::start))
            .route("/v1/drains/{id}", get(drains::status).put(drains::put))
            .route("/v1/drains/{id}/events", get(drain_events::follow))
            .route("/v1/drains/{id}/abort", post(drains::abort))
            .route("/v1/drains/{id}/pause", post(drains::pause))
            .route("/v1/drains/{id}/resume", post(drains::resume))
            .route("/v1/drains/{id}/undo", post(drains::undo))
            .route("/v1/boards", get(boards::list))
            .route("/v1/boards/{id}", get(boards::view))
            .route("/v1/boards/{id}/move", post(boards::carry))
            .route("/v1/boards/{id}/sessions", get(sessions::list))
            .route("/v1/sessions/{id}", delete(sessions::close))
            .route("/v1/moves", get(boards::moves))
            .route("/v1/config/reload", post(reload::reload))
            .route("/v1/servers", get(servers::list))
            .route(
                "/v1/servers/{name}",
                get(servers::view).put(servers::put).delete(servers::remove),
            )
            .route("/v1/servers/{name}/cordon", post(servers::cordon))
            .route("/v1/servers/{name}/uncordon", post(servers::uncordon))
            .route("/v1/servers/{name}/dead", post(servers::dead))
            .route_layer(from_fn_with_state(self.clone(), wait_for_start))
            .route("/metrics", get(probes::metrics))
            .route("/livez", get(probes::live))
            .route("/healthz", get(probes::live))
            .route("/readyz", get(probes::ready))
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .layer(from_fn_with_state(self.guard(), guard::admit))
            .layer(map_response(never_store))
            .with_state(self)
    }
}

impl Admin {
    fn guard(&self) -> Guard {
        Guard {
            access: Arc::clone(&self.access),
            tasks: self.drains.tasks().clone(),
            home: self.home.clone(),
        }
    }
}

async fn unknown_path(uri: Uri) -> Refusal {
    Problem::new(ProblemType::UnknownPath, format!("{} is not served here", uri.path())).into()
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("{} does not know {method}; see Allow", uri.path());
    Problem::new(ProblemType::MethodNotAllowed, detail).into()
}

/// Answers nothing of the API before the gateway knows again what it did before: else a drain would seem unknown.
async fn wait_for_start(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    if admin.drains.is_resumed() {
        return next.run(request).await;
    }
    let detail = "the gateway is reading what it did before; try again";
    Refusal::from(Problem::new(ProblemType::Starting, detail)).into_response()
}

/// Keeps answers out of caches: each is true for a moment only.
async fn never_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
