//! Drains against the real registry and a fleet in memory.

mod admission;
mod course;
mod restarts;
mod undo;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use handover_protocol::DrainId;
use handover_protocol::admin::{DrainRequest, DrainState, DrainStatus, PausedBy};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::memory_fleet::{Handle, MemoryFleet, board, name};
use super::retention::DRAINS_KEPT;
use super::*;
use crate::config::MetricsConfig;
use crate::registry::{EmbeddedRegistry, SimDisk};
use crate::telemetry::Metrics;

/// One life of a gateway.
pub(crate) struct Life {
    pub(crate) drains: Arc<Drains>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Life {
    pub(crate) async fn begin(folder: &Path, fleet: &Arc<MemoryFleet>, release: &str) -> Self {
        let life = Self::prepare(folder, fleet, release);
        life.drains.resume().await.unwrap();
        life
    }

    /// Puts the parts together and does not yet take up what was kept.
    pub(crate) fn prepare(folder: &Path, fleet: &Arc<MemoryFleet>, release: &str) -> Self {
        let registry = EmbeddedRegistry::open(&folder.join("handover.db")).unwrap();
        Self::prepare_on(registry, fleet, release)
    }

    fn prepare_on(registry: EmbeddedRegistry, fleet: &Arc<MemoryFleet>, release: &str) -> Self {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
        let drains = Drains::new(
            release.parse().unwrap(),
            Arc::new(Handle(Arc::clone(fleet))),
            Arc::new(registry),
            Arc::clone(&metrics),
            tasks.clone(),
            shutdown.clone(),
        );
        Self {
            drains,
            metrics,
            tasks,
            shutdown,
        }
    }

    /// Ends as on SIGTERM: moves that have not committed are undone, drains stay as they were.
    async fn finish(self) {
        self.shutdown.cancel();
        self.rest().await;
    }

    /// Waits for the tasks of drains that have ended.
    async fn rest(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn wait_for(&self, id: &DrainId, wanted: impl Fn(&DrainStatus) -> bool) -> DrainStatus {
        for _ in 0..2000 {
            let status = self.drains.status(id).unwrap();
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("drain {id} never came that far: {:?}", self.drains.status(id));
    }

    /// Waits until the metrics have this line.
    async fn until_counted(&self, line: &str) {
        for _ in 0..6000 {
            if self.metrics.render().lines().any(|other| other == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{line} never came:\n{}", self.metrics.render());
    }

    async fn end(&self, id: &DrainId) -> DrainStatus {
        self.wait_for(id, |status| status.done).await
    }

    async fn start(&self, request: &str) -> Result<Started, StartError> {
        self.drains.start(request_of(request), None).await
    }
}

fn request_of(text: &str) -> DrainRequest {
    serde_json::from_str(text).unwrap()
}

const R1_TO_R2: &str = r#"{"id": "d1", "from": {"release": "r1"}, "to": {"release": "r2"},
    "pace": {"boards_per_second": 0, "boards_at_once": 4, "loads_per_target": 4}}"#;
