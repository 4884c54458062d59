//! One drain as the desk and its driver share it: what was asked, the machine, and who waits for what.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_protocol::admin::{DrainRequest, DrainState, DrainStatus};
use handover_protocol::machine::drain::Drain;
use handover_protocol::{DrainId, ReleaseName};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::DrainPlan;
use super::record::DrainRecord;
use crate::registry::RegistryError;

/// One drain.
pub(super) struct Job {
    pub(super) id: DrainId,
    pub(super) number: u64,
    pub(super) request: DrainRequest,
    pub(super) plan: DrainPlan,
    configured_release: ReleaseName,
    pub(super) machine: Mutex<Drain>,
    epoch: Instant,
    pub(super) abort: CancellationToken,
    /// Whether the machine has taken the abort in and it is kept.
    pub(super) is_abort_kept: watch::Sender<bool>,
    /// Whether the registry has kept it; nothing while that is not known.
    pub(super) accepted: watch::Sender<Option<Result<(), RegistryError>>>,
}

impl Job {
    pub(super) fn new(
        id: DrainId,
        number: u64,
        request: DrainRequest,
        plan: DrainPlan,
        configured_release: ReleaseName,
    ) -> Self {
        Self {
            id,
            number,
            plan,
            configured_release,
            machine: Mutex::new(Drain::new(request.mode, request.pace)),
            request,
            epoch: Instant::now(),
            abort: CancellationToken::new(),
            is_abort_kept: watch::Sender::new(false),
            accepted: watch::Sender::new(None),
        }
    }

    pub(super) fn resumed(id: DrainId, record: DrainRecord) -> Self {
        let machine = Drain::resume(record.request.mode, record.request.pace, record.snapshot);
        Self {
            machine: Mutex::new(machine),
            accepted: watch::Sender::new(Some(Ok(()))),
            ..Self::new(
                id,
                record.number,
                record.request,
                record.plan,
                record.configured_release,
            )
        }
    }

    /// Returns what the registry has to keep now.
    pub(super) fn record(&self) -> DrainRecord {
        DrainRecord {
            number: self.number,
            request: self.request.clone(),
            plan: self.plan.clone(),
            configured_release: self.configured_release.clone(),
            snapshot: self.machine().snapshot(),
        }
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Drain> {
        // The machine only panics where an invariant of its own is broken, and then nothing better is to be had.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time on the machine's clock.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Returns when the machine wants to be woken.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let wake_at = self.machine().wake_at()?;
        self.epoch.checked_add(wake_at)
    }

    pub(super) fn state(&self) -> DrainState {
        self.machine().state()
    }

    pub(super) fn status(&self) -> DrainStatus {
        let now = self.now();
        self.machine().status(self.id.clone(), self.request.clone(), now)
    }
}
