//! Where drains are let in, kept apart from each other, looked up and taken up again after a restart.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use handover_protocol::admin::{DrainDefaults, DrainRequest, DrainState, DrainStatus, ServerView};
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
use super::plan::{DrainPlan, PlanError};
use super::record::DrainRecord;
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
    metrics: Arc<Metrics>,
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

/// Says why a drain was not let in. Nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request cannot be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Another request has that id.
    #[error("drain {id} was started by another request; choose another id, or none")]
    Exists {
        /// The id.
        id: DrainId,
    },
    /// Another request came with that idempotency key.
    #[error("the idempotency key came with another request before, which started drain {id}; choose another key")]
    KeyReused {
        /// That drain.
        id: DrainId,
    },
    /// A running drain empties a source or target of this one, or fills one of its sources.
    #[error("drain {running} is running and touches servers of this one; wait for its end, or abort it")]
    Conflict {
        /// That drain.
        running: DrainId,
    },
    /// The drain would take the last servers from new boards, and leads to no single release for them.
    #[error("new boards go to release {release}, and no ready server of it would be left; let `to` be of one release")]
    NoHome {
        /// The current release.
        release: ReleaseName,
    },
    /// There is nobody to take a board.
    #[error("none of the targets is ready: {}", .targets.join("; "))]
    NoTarget {
        /// The targets, and what is the matter with each.
        targets: Vec<String>,
    },
    /// The drain could not be kept; a retry is sound.
    #[error("the drain could not be written to the registry")]
    Registry(#[from] RegistryError),
    /// What the registry kept has not been read yet; a retry is sound.
    #[error("the gateway is starting and does not know its drains yet; try again")]
    Starting,
    /// The gateway is going down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// Says why nobody can rely on it that a drain does what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such drain.
    #[error("there is no such drain")]
    Unknown,
    /// This process does so, and the registry does not know: the next would not. A retry is sound.
    #[error("drain {id} does so now, but the registry has not kept that, and a restart would forget it; ask again")]
    NotKept {
        /// The drain.
        id: DrainId,
    },
    /// The gateway is going down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

impl StartError {
    /// Returns a stable name for it.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Plan(_) => "impossible_drain",
            Self::Exists { .. } => "drain_exists",
            Self::KeyReused { .. } => "idempotency_mismatch",
            Self::Conflict { .. } => "drain_conflict",
            Self::NoHome { .. } => "no_home",
            Self::NoTarget { .. } => "target_not_ready",
            Self::Registry(_) => "registry_unavailable",
            Self::Starting => "starting",
            Self::ShuttingDown => "shutting_down",
        }
    }
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

    /// Says anew where newcomers go, and counts the drains by state.
    pub(super) fn announce(&self) {
        let jobs: Vec<Arc<Job>> = self.jobs().values().cloned().collect();
        let drains: Vec<(DrainState, DrainRecord)> = jobs.iter().map(|job| (job.state(), job.record())).collect();
        self.fleet
            .direct_newcomers(newcomers_after(&drains, &self.configured_release.load()));
        for state in DrainState::ALL {
            let count = drains.iter().filter(|(other, _)| other == state).count();
            self.metrics
                .drains
                .of(*state)
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Reserves the drain's place, so that nothing that conflicts with it can come in while it is being kept.
    ///
    /// What a repeated call is compared with is what was asked for: what that leaves out may have changed since.
    fn admit(&self, asked: DrainRequest, key: Option<String>) -> Result<(Arc<Job>, bool), StartError> {
        let servers = self.fleet.servers();
        let mut jobs = self.jobs();
        if let Some(job) = key
            .as_ref()
            .and_then(|key| jobs.values().find(|job| job.key.as_ref() == Some(key)))
        {
            return if job.original == asked {
                Ok((Arc::clone(job), false))
            } else {
                Err(StartError::KeyReused { id: job.id.clone() })
            };
        }
        if let Some(job) = asked.id.as_ref().and_then(|id| jobs.get(id)) {
            return if job.original == asked {
                Ok((Arc::clone(job), false))
            } else {
                Err(StartError::Exists { id: job.id.clone() })
            };
        }
        let request = self.defaults.load().complete(&asked);
        let plan = DrainPlan::new(&request, &servers)?;
        self.check(&jobs, &plan, &servers)?;
        let number = 1 + jobs.values().map(|job| job.number).max().unwrap_or_default();
        let mut id = asked.id.clone().unwrap_or_else(random_id);
        loop {
            match jobs.entry(id) {
                Entry::Vacant(place) => {
                    let id = place.key().clone();
                    let job = Job::new(
                        id,
                        number,
                        asked,
                        request,
                        key,
                        plan,
                        self.configured_release.load().as_ref().clone(),
                    );
                    return Ok((Arc::clone(place.insert(Arc::new(job))), true));
                }
                Entry::Occupied(_) => id = random_id(),
            }
        }
    }

    /// Says why a request that makes sense would be refused now.
    pub(super) fn refusal(&self, request: &DrainRequest) -> Option<StartError> {
        let servers = self.fleet.servers();
        let jobs = self.jobs();
        if let Some(id) = request.id.as_ref().filter(|id| jobs.contains_key(*id)) {
            return Some(StartError::Exists { id: id.clone() });
        }
        let plan = match DrainPlan::new(request, &servers) {
            Ok(plan) => plan,
            Err(error) => return Some(error.into()),
        };
        self.check(&jobs, &plan, &servers).err()
    }

    /// Checks a plan against the servers and the drains as they are now.
    pub(super) fn check(
        &self,
        jobs: &BTreeMap<DrainId, Arc<Job>>,
        plan: &DrainPlan,
        servers: &[ServerView],
    ) -> Result<(), StartError> {
        let is_running = |job: &&Arc<Job>| !job.state().is_over();
        let mut running = jobs.values().filter(is_running);
        if let Some(running) = running.find(|job| job.plan.conflicts_with(plan)) {
            return Err(StartError::Conflict {
                running: running.id.clone(),
            });
        }
        if !plan.targets.iter().any(|target| self.fleet.is_ready(target)) {
            let targets = plan.targets.iter().map(|target| why_not(target, servers)).collect();
            return Err(StartError::NoTarget { targets });
        }
        self.check_home(jobs, plan, servers)
    }

    /// Sees to it that new boards would still find a server, where they do now.
    fn check_home(
        &self,
        jobs: &BTreeMap<DrainId, Arc<Job>>,
        plan: &DrainPlan,
        servers: &[ServerView],
    ) -> Result<(), StartError> {
        if plan.release.is_some() {
            return Ok(());
        }
        let drains: Vec<(DrainState, DrainRecord)> = jobs.values().map(|job| (job.state(), job.record())).collect();
        let newcomers = newcomers_after(&drains, &self.configured_release.load());
        let takes = |server: &&ServerView| {
            server.ready && server.release == newcomers.release && !newcomers.closed.contains(&server.name)
        };
        let mut homes = servers.iter().filter(takes).peekable();
        if homes.peek().is_some() && homes.all(|home| plan.sources.contains(&home.name)) {
            let release = newcomers.release;
            return Err(StartError::NoHome { release });
        }
        Ok(())
    }

    /// Writes a new drain down and lets it run, or forgets it.
    async fn keep(self: Arc<Self>, job: Arc<Job>) {
        let kept = self.registry.put_drain(&job.id, job.record().encode()).await;
        match &kept {
            Ok(()) => {
                self.announce();
                info!(target: EVENT, event = "drain", drain = job.id.as_str(), undoes = job.undoes.as_ref().map(DrainId::as_str),
                    from = names(&job.plan.sources), to = names(&job.plan.targets), request = ?job.request, "drain begins");
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

/// Says what is the matter with a target that is not ready.
fn why_not(target: &ServerName, servers: &[ServerView]) -> String {
    let view = servers.iter().find(|server| server.name == *target);
    match view.and_then(|view| view.reason.as_deref()) {
        Some(reason) => format!("{target}: {reason}"),
        None => target.to_string(),
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

fn names(servers: &[ServerName]) -> String {
    servers.iter().map(ServerName::as_str).collect::<Vec<_>>().join(",")
}

/// Names a drain whose caller did not.
fn random_id() -> DrainId {
    let mut bytes = [0; 8];
    // The operating system's source fails only before it was ever seeded.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let text = format!("drain-{:016x}", u64::from_be_bytes(bytes));
    text.parse().expect("hexadecimal digits behind a word")
}
