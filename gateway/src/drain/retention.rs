//! How long drains that have ended are remembered: the latest of them, and what something still needs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use handover_protocol::DrainId;
use tracing::{info, warn};

use super::desk::Drains;
use super::job::{Job, wall_clock_ms};

impl Drains {
    /// Forgets the drains that ended before the latest [`DRAINS_KEPT`], and the events of those that ended a while ago:
    /// somebody who drains every hour must not fill memory and registry.
    pub(super) async fn forget_old(&self) {
        let now = wall_clock_ms();
        let ended: Vec<Arc<Job>> = {
            let jobs = self.jobs();
            let mut ended: Vec<_> = jobs.values().filter(|job| job.state().is_over()).cloned().collect();
            ended.sort_by_key(|job| std::cmp::Reverse(job.number));
            ended
        };
        for job in &ended {
            let ended_at = job.ended_at_ms(job.state()).unwrap_or(now);
            if Duration::from_millis(now.saturating_sub(ended_at)) > EVENTS_KEPT {
                job.events.forget();
            }
        }
        let is_any_forgotten = ended.len() > DRAINS_KEPT;
        for job in ended.into_iter().skip(DRAINS_KEPT).filter(|job| !self.is_needed(job)) {
            if let Err(error) = self.registry.forget_drain(&job.id).await {
                warn!(drain = %job.id, %error, "an old drain is not forgotten; the next one tries again");
                return;
            }
            info!(drain = %job.id, "old drain forgotten");
            self.jobs().remove(&job.id);
        }
        if is_any_forgotten {
            self.announce();
        }
    }

    /// Reads whether something still goes by a drain that has ended: new boards, a running undo, one that may come, or
    /// what its sources keep warm until then.
    fn is_needed(&self, job: &Job) -> bool {
        let is_warm = job.undo_until_ms(job.state()).is_some() && !job.is_cooled.load(Ordering::Relaxed);
        let jobs = self.jobs();
        let is_being_undone = || {
            let mut others = jobs.values();
            others.any(|other| other.undoes.as_ref() == Some(&job.id) && !other.state().is_over())
        };
        is_warm || is_being_undone() || leading(jobs.values()) == Some(&job.id)
    }
}

/// Returns the latest drain that led new boards to a release.
fn leading<'a>(jobs: impl Iterator<Item = &'a Arc<Job>>) -> Option<&'a DrainId> {
    let leads = jobs.filter(|job| job.plan.release.is_some());
    leads.max_by_key(|job| job.number).map(|job| &job.id)
}

/// Enough to look back some weeks of releases.
pub(super) const DRAINS_KEPT: usize = 200;

/// A reader that was cut off is back by then; who comes later gets the drain's last state.
const EVENTS_KEPT: Duration = Duration::from_secs(600);
