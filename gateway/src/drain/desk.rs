//! Where drains are kept, looked up, asked for something and taken up again after a restart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use handover_protocol::admin::{DrainDefaults, DrainRequest, DrainState, DrainStatus, PausedBy};
use handover_protocol::{DrainId, ReleaseName, ServerName};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span};

use super::driver::Driver;
use super::events::Read;
use super::fleet::Fleet;
use super::job::{Job, Verb};
use super::moved::Moved;
use super::newcomers::newcomers_after;
use super::record::DrainRecord;
use super::refusal::{AskError, StartError};
use crate::registry::{Registry, RegistryError};
use crate::telemetry::label::DrainBoards;
use crate::telemetry::{EVENT, Label, Metrics};

/// Every drain of this gateway.
pub struct Drains {
    is_resumed: AtomicBool,
    jobs: Mutex<BTreeMap<DrainId, Arc<Job>>>,
    /// The current release as configured.
    pub(super) configured_release: ArcSwap<ReleaseName>,
    /// What requests leave out.
    pub(super) defaults: ArcSwap<DrainDefaults>,
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

/// A drain that was let in.
#[derive(Debug)]
pub struct Started {
    /// How far it is.
    pub status: DrainStatus,
    /// Whether this call started it, or found it.
    pub is_new: bool,
}

impl Drains {
    /// Opens the desk, without any drain; see [`Drains::resume`].
    ///
    /// `shutdown` ends the drivers and leaves their drains to be resumed; `tasks` waits for them.
    pub fn new(
        configured_release: ReleaseName,
        fleet: Arc<dyn Fleet>,
        registry: Arc<dyn Registry>,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            is_resumed: AtomicBool::new(false),
            jobs: Mutex::default(),
            configured_release: ArcSwap::from_pointee(configured_release),
            defaults: ArcSwap::default(),
            fleet,
            registry,
            metrics,
            tasks,
            shutdown,
        })
    }

    /// Takes up every drain that the registry kept; running ones go on. Call it once, before newcomers come in.
    ///
    /// # Errors
    /// When the registry cannot be read. A record that is none is logged and left alone.
    pub async fn resume(self: &Arc<Self>) -> Result<(), RegistryError> {
        let mut running = Vec::new();
        for (id, bytes) in self.registry.drains().await? {
            let record = match DrainRecord::decode(&bytes) {
                Ok(record) => record,
                Err(error) => {
                    error!(drain = %id, %error, "the registry's record of a drain is damaged; it is not resumed");
                    continue;
                }
            };
            // Where it cannot be read there is nothing to take back.
            let moved = Moved::read(&*self.registry, &id).await.unwrap_or_else(|error| {
                error!(drain = %id, %error, "what the drain has moved cannot be read; it cannot be undone");
                Moved::default()
            });
            let job = Arc::new(Job::resumed(id.clone(), record, moved));
            if job.state().is_over() {
                self.cool_later(&job);
            } else {
                running.push(Arc::clone(&job));
            }
            self.jobs().insert(id, job);
        }
        self.announce();
        for job in running {
            info!(target: EVENT, event = "drain", drain = job.id.as_str(), "a drain from before the start goes on");
            self.drive(job);
        }
        self.is_resumed.store(true, Ordering::Release);
        Ok(())
    }

    /// Returns the tasks that the gateway waits for at its end.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Reads whether every drain is known, so that answers about drains are true.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed.load(Ordering::Acquire)
    }

    /// Starts a drain, or finds the one that the same request started before.
    ///
    /// Cancel-safe: a drain that was let in goes on.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(self: &Arc<Self>, request: DrainRequest, key: Option<String>) -> Result<Started, StartError> {
        if self.shutdown.is_cancelled() {
            return Err(StartError::ShuttingDown);
        }
        if !self.is_resumed() {
            return Err(StartError::Starting);
        }
        let (job, is_new) = self.admit(request, key)?;
        if is_new {
            self.let_in(Arc::clone(&job)).await?;
        } else {
            accepted(&job).await?;
        }
        Ok(Started {
            status: job.status(),
            is_new,
        })
    }

    /// Has a new drain written down, and waits for that.
    ///
    /// Cancel-safe: it is seen to in a task of its own.
    pub(super) async fn let_in(self: &Arc<Self>, job: Arc<Job>) -> Result<(), StartError> {
        let (desk, kept) = (Arc::clone(self), Arc::clone(&job));
        let span = info_span!("drain", id = %job.id);
        self.tasks.spawn(async move { desk.keep(kept).await }.instrument(span));
        accepted(&job).await
    }

    /// Aborts, pauses or resumes a drain; one that has ended stays as it is.
    ///
    /// Returns once the registry knows; moves under way may still be ending.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, id: &DrainId, verb: Verb) -> Result<DrainStatus, AskError> {
        let job = self.job(id).ok_or(AskError::Unknown)?;
        if !job.state().is_over() && !job.ask(verb).await && !job.state().is_over() {
            return Err(match self.shutdown.is_cancelled() {
                true => AskError::ShuttingDown,
                // The registry has not taken it in, and it is forgotten.
                false => AskError::Unknown,
            });
        }
        // An end as well: a restart would go on with the drain.
        if job.is_unkept() {
            return Err(AskError::NotKept { id: id.clone() });
        }
        Ok(self.status_of(&job))
    }

    /// Returns what has happened to a drain after an event, and the watch that tells when there is more.
    pub fn events(&self, id: &DrainId, after: Option<u64>) -> Option<(Read, watch::Receiver<u64>)> {
        let job = self.job(id)?;
        let latest = job.events.watch();
        let read = match after {
            Some(after) => job.events.after(after),
            None => Read::Gap(*latest.borrow()),
        };
        Some((read, latest))
    }

    /// Tells how far a drain is.
    pub fn status(&self, id: &DrainId) -> Option<DrainStatus> {
        Some(self.status_of(&*self.job(id)?))
    }

    /// Tells of every drain, by id.
    pub fn list(&self) -> Vec<DrainStatus> {
        let jobs: Vec<Arc<Job>> = self.jobs().values().cloned().collect();
        jobs.iter().map(|job| self.status_of(job)).collect()
    }

    /// Returns the running drain that empties a server.
    pub fn emptying(&self, server: &ServerName) -> Option<DrainId> {
        let empties = |job: &&Arc<Job>| job.plan.sources.contains(server) && !job.state().is_over();
        self.jobs().values().find(empties).map(|job| job.id.clone())
    }

    /// Brings the gauge of boards that drains have left up to this moment.
    pub fn refresh_gauges(&self) {
        let jobs: Vec<Arc<Job>> = self.jobs().values().cloned().collect();
        let (mut left, mut moving, mut put_off) = (0, 0, 0);
        for job in jobs.iter().filter(|job| !job.state().is_over()) {
            let counts = job.machine().counts();
            left += counts.left;
            moving += counts.moving;
            put_off += counts.put_off;
        }
        let set = |state, count: u64| {
            let gauge = self.metrics.drain_boards.of(state);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(DrainBoards::Left, left);
        set(DrainBoards::Moving, moving);
        set(DrainBoards::PutOff, put_off);
    }

    /// Takes another current release from the configuration.
    pub fn configure_release(&self, release: &ReleaseName) {
        if **self.configured_release.load() != *release {
            self.configured_release.store(Arc::new(release.clone()));
            self.announce();
        }
    }

    /// Takes what drains go by, that begin from now on, where their requests say nothing.
    pub fn configure_defaults(&self, defaults: &DrainDefaults) {
        self.defaults.store(Arc::new(defaults.clone()));
    }

    /// Has running drains ask again after boards that wait for a limit or for their route: both may have changed.
    pub fn judge_again(&self) {
        let jobs: Vec<Arc<Job>> = self.jobs().values().cloned().collect();
        for job in jobs.iter().filter(|job| !job.state().is_over()) {
            // Where nobody takes it, the boards are asked after once their time is over.
            job.tell(Verb::JudgeAgain);
        }
    }

    /// Says anew where newcomers go, and counts the drains by state.
    pub(super) fn announce(&self) {
        let jobs: Vec<Arc<Job>> = self.jobs().values().cloned().collect();
        let drains: Vec<(DrainState, DrainRecord)> = jobs.iter().map(|job| (job.state(), job.record())).collect();
        self.fleet
            .direct_newcomers(newcomers_after(&drains, &self.configured_release.load()));
        let told: Vec<DrainState> = jobs.iter().map(|job| self.state_of(job)).collect();
        for state in DrainState::ALL {
            let count = told.iter().filter(|other| *other == state).count();
            self.metrics
                .drains
                .of(*state)
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let paused: Vec<PausedBy> = jobs.iter().filter_map(|job| job.machine().paused_by()).collect();
        for by in PausedBy::ALL {
            let count = paused.iter().filter(|other| *other == by).count();
            let gauge = self.metrics.paused_drains.of(*by);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Writes a new drain down and lets it run, or forgets it.
    async fn keep(self: Arc<Self>, job: Arc<Job>) {
        let kept = self.registry.put_drain(&job.id, job.record().encode()).await;
        match &kept {
            Ok(()) => {
                self.announce();
                info!(target: EVENT, event = "drain", drain = job.id.as_str(), undoes = job.undoes.as_ref().map(DrainId::as_str),
                    from = names(&job.plan.sources), to = names(&job.plan.targets), request = written(&job.request), "drain begins");
                self.drive(Arc::clone(&job));
            }
            Err(_) => {
                self.jobs().remove(&job.id);
                // Nobody will answer.
                job.take_asked();
            }
        }
        let is_kept = kept.is_ok();
        job.accepted.send_replace(Some(kept));
        if is_kept {
            self.forget_old().await;
        }
    }

    fn drive(self: &Arc<Self>, job: Arc<Job>) {
        let span = info_span!(parent: None, "drain", id = %job.id);
        self.tasks
            .spawn(Driver::new(Arc::clone(self), job).run().instrument(span));
    }

    pub(super) fn job(&self, id: &DrainId) -> Option<Arc<Job>> {
        self.jobs().get(id).cloned()
    }

    pub(super) fn jobs(&self) -> MutexGuard<'_, BTreeMap<DrainId, Arc<Job>>> {
        // No section under this lock can leave the table half changed.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the registry has kept a drain, or has not.
async fn accepted(job: &Job) -> Result<(), StartError> {
    let mut accepted = job.accepted.subscribe();
    match accepted.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(error))) => Err(error.into()),
        Ok(None) | Err(_) => Err(StartError::ShuttingDown),
    }
}

/// Writes a request as the API does.
fn written(request: &DrainRequest) -> String {
    serde_json::to_string(request).expect("the bodies of the admin API are JSON")
}

fn names(servers: &[ServerName]) -> String {
    servers.iter().map(ServerName::as_str).collect::<Vec<_>>().join(",")
}
