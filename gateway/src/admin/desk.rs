//! The threads that answer the admin API.
//!
//! They are not those of sessions and moves. A drain at full speed keeps hundreds of tasks ready to run; a scraper, a
//! probe or an operator who asks how far it is would wait behind them. The kernel lets these threads run beside the
//! others, so that the answer comes while the gateway is busiest, when it is wanted most.
//!
//! Only looks are answered here. What changes something is carried out `at_home`, on the threads of sessions and
//! moves: what it starts lives on there, and a caller who hangs up does not stop it half way.

use std::io;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use handover_protocol::admin::{Problem, ProblemType};
use tokio::runtime::{Builder, Runtime};
use tracing::error;

use super::Admin;
use super::access::is_look;
use super::refusal::Refusal;

/// Starts the threads. Listener and connections of the admin API belong to them.
///
/// # Errors
///
/// The system gives no thread or no descriptor.
pub fn admin_threads() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("handover-admin")
        .enable_all()
        .build()
}

/// Carries a change out on the threads of sessions and moves; a look is answered here.
pub(super) async fn at_home(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    if is_look(request.method()) {
        return next.run(request).await;
    }
    match admin.home.spawn(next.run(request)).await {
        Ok(response) => response,
        Err(failed) => {
            error!(error = %failed, "a call of the admin API was not carried out to its end");
            Refusal::from(Problem::new(ProblemType::Internal, "the gateway's log says more")).into_response()
        }
    }
}

/// One may be writing a list of every board while the other answers a probe.
const THREADS: usize = 2;
