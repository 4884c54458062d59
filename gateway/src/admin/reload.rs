//! `POST /v1/config/reload`: the configuration is read anew.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::Uri;
use handover_protocol::admin::{ConfigFinding, ConfigReloaded, Problem, ProblemType};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::Admin;
use super::listener::Caller;
use super::query;
use super::refusal::Refusal;

/// What came of one order: what has changed, or everything that is wrong, and then nothing has.
pub type ReloadOutcome = Result<ConfigReloaded, Vec<ConfigFinding>>;

/// Where a reload is ordered. Whoever carries orders out holds the other end.
#[derive(Debug, Clone)]
pub struct ReloadDesk {
    orders: mpsc::Sender<oneshot::Sender<ReloadOutcome>>,
}

impl ReloadDesk {
    /// Opens a desk, and returns the end at which orders come out, one after the other.
    ///
    /// When it is full, whoever orders waits: orders are few, and each is answered within a reading of the file.
    pub fn open() -> (Self, mpsc::Receiver<oneshot::Sender<ReloadOutcome>>) {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        (Self { orders }, receiver)
    }

    /// Orders a reload; none where the gateway is going down.
    pub async fn reload(&self) -> Option<ReloadOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.orders.send(answer).await.ok()?;
        outcome.await.ok()
    }
}

/// `POST /v1/config/reload`.
pub(super) async fn reload(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<ConfigReloaded>, Refusal> {
    query::none(&uri)?;
    info!(%caller, "reload of the configuration requested through the admin API");
    match admin.reload.reload().await {
        Some(Ok(reloaded)) => Ok(Json(reloaded)),
        Some(Err(faults)) => {
            let detail = "nothing has changed; `faults` says what to correct, as `handover config check` does";
            Err(Problem::new(ProblemType::ConfigInvalid, detail)
                .with_faults(faults)
                .into())
        }
        None => Err(Problem::new(ProblemType::ShuttingDown, "the gateway is shutting down").into()),
    }
}

/// More at once are a script gone wild.
const ORDERS_MAX: usize = 8;
