//! The release in a run: its drain, and what is compared before and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover_protocol::admin::{DrainRequest, DrainState, DrainStatus, ServerSet};
use handover_protocol::id::{BoardId, DrainId, IdError, ServerName};
use tokio::time::{Instant, sleep};

use super::admin::{AdminClient, AdminError};
use super::database::Written;
use super::run::{Run, RunError};
use crate::report::{Quantiles, ReleaseReport, ServerBoards};
use crate::user::Micros;

/// What is kept of the release.
pub(super) struct Released {
    pub(super) request: DrainRequest,
    pub(super) status: DrainStatus,
    pub(super) seconds: f64,
    pub(super) began: Micros,
    pub(super) boards_before: BTreeMap<ServerName, u64>,
    pub(super) metrics_before: String,
}

impl Run {
    /// Drains as asked and returns when the drain has ended, however it ended; `watch` is shown each status.
    ///
    /// # Errors
    /// When the admin API fails, or the drain does not end within `limit`.
    pub async fn release(
        &mut self,
        mut request: DrainRequest,
        limit: Duration,
        mut watch: impl FnMut(&DrainStatus),
    ) -> Result<(), RunError> {
        let admin = self.stand.admin.clone().ok_or(RunError::NoAdmin)?;
        let id = match &request.id {
            Some(id) => id.clone(),
            None => fresh_drain_id()?,
        };
        request.id = Some(id.clone());
        let boards_before = count_boards(&admin).await?;
        let metrics_before = admin.metrics().await?;
        let begun = Instant::now();
        let began = self.clock.now();
        admin.start_drain(&request).await?;
        if let Some(watch) = &mut self.watch {
            let paths = GETS.iter().map(|path| (*path).to_owned());
            let paths: Vec<_> = paths.chain([format!("/v1/drains/{id}")]).collect();
            watch.ask(&admin, self.clock, &paths);
        }
        let status = loop {
            let status = admin.drain(&id).await?;
            watch(&status);
            match status.state {
                DrainState::Done | DrainState::Failed | DrainState::Aborted | DrainState::Undone => break status,
                DrainState::Running | DrainState::Paused | DrainState::Undoing => {
                    if begun.elapsed() > limit {
                        return Err(RunError::DrainTimeout(limit));
                    }
                    sleep(DRAIN_POLL).await;
                }
            }
        };
        self.release = Some(Released {
            request,
            status,
            seconds: begun.elapsed().as_secs_f64(),
            began,
            boards_before,
            metrics_before,
        });
        self.look_away().await;
        Ok(())
    }

    /// Ends the watch of the admin GETs with the drain that they were asked during.
    async fn look_away(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.stop_asking().await;
        }
    }

    /// Finds the boards that a source still owns: by the gateway, or by the fence in the database.
    pub(super) async fn left_on_sources(&self, written: &Written) -> Result<Vec<BoardId>, RunError> {
        let (Some(released), Some(admin)) = (&self.release, &self.stand.admin) else {
            return Ok(Vec::new());
        };
        let sources: BTreeSet<String> = match &released.request.from {
            ServerSet::Servers(names) => names.iter().map(ToString::to_string).collect(),
            ServerSet::Release(release) => {
                let servers = admin.servers().await?;
                let of_release = servers.iter().filter(|server| server.release == *release);
                of_release.map(|server| server.name.to_string()).collect()
            }
        };
        let open = admin.boards().await?;
        let by_gateway = open.iter().filter(|view| {
            let server = view.server.as_ref().map(ServerName::as_str);
            server.is_some_and(|server| sources.contains(server))
        });
        // The fence of a board that is no longer open may be a source's: nobody writes it.
        let is_open: BTreeSet<_> = open.iter().map(|view| &view.board).collect();
        let by_fence = written
            .fences
            .iter()
            .filter(|(board, server)| is_open.contains(board) && sources.contains(server));
        let left: BTreeSet<_> = by_gateway
            .map(|view| &view.board)
            .chain(by_fence.map(|(board, _)| board))
            .collect();
        Ok(left.into_iter().cloned().collect())
    }

    pub(super) async fn release_report(&self) -> Result<Option<ReleaseReport>, RunError> {
        let (Some(released), Some(admin)) = (&self.release, &self.stand.admin) else {
            return Ok(None);
        };
        let after = count_boards(admin).await?;
        let count = |of: &BTreeMap<ServerName, u64>, server: &ServerName| of.get(server).copied().unwrap_or(0);
        let servers = admin.servers().await?.into_iter().map(|server| ServerBoards {
            before: count(&released.boards_before, &server.name),
            after: count(&after, &server.name),
            server: server.name.to_string(),
            release: server.release.to_string(),
        });
        let status = &released.status;
        let failures = status.failures.iter();
        Ok(Some(ReleaseReport {
            mode: format!("{:?}", released.status.request.mode.unwrap_or_default()).to_lowercase(),
            state: format!("{:?}", status.state).to_lowercase(),
            boards_total: status.boards.total,
            boards_moved: status.boards.moved,
            boards_per_second: status.boards.moved as f64 / released.seconds.max(1e-3),
            boards_failed: status.boards.failed,
            failures: failures
                .map(|failure| (failure.reason.clone(), failure.count))
                .collect(),
            fallen_back_sessions: status.fallen_back_sessions,
            unconfirmed_sessions: status.unconfirmed_sessions,
            servers: servers.collect(),
        }))
    }

    pub(super) async fn hold_ms(&self) -> Result<Option<Quantiles>, RunError> {
        let (Some(released), Some(admin)) = (&self.release, &self.stand.admin) else {
            return Ok(None);
        };
        let metrics = admin.metrics().await?;
        Ok(Some(Quantiles::of_metric(
            &metrics,
            &released.metrics_before,
            HOLD_METRIC,
        )))
    }
}

async fn count_boards(admin: &AdminClient) -> Result<BTreeMap<ServerName, u64>, AdminError> {
    let mut counts = BTreeMap::new();
    for view in admin.boards().await? {
        if let Some(server) = view.server {
            *counts.entry(server).or_default() += 1;
        }
    }
    Ok(counts)
}

fn fresh_drain_id() -> Result<DrainId, IdError> {
    format!("loadtest-{:08x}", rand::random::<u32>()).parse()
}

/// What is asked of the admin API while boards move.
const GETS: [&str; 7] = [
    "/v1/drains",
    "/v1/servers",
    "/v1/boards",
    "/v1/moves",
    "/metrics",
    "/livez",
    "/readyz",
];
const DRAIN_POLL: Duration = Duration::from_millis(100);
/// The gateway's histogram of how long sessions were held.
const HOLD_METRIC: &str = "handover_hold_seconds";
