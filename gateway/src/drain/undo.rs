//! Taking a drain back: what it moved goes home, while the sources still have it in memory.
//!
//! An undo is a drain of its own, named after the one that it takes back, from that one's targets to its sources; it
//! moves only what that one has moved. So it pauses, survives and tells as any drain does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use handover_protocol::admin::{
    DrainDefaults, DrainEvent, DrainRequest, DrainState, DrainStatus, OnTargetDown, ServerSet,
};
use handover_protocol::{BoardId, DrainId, ServerName};
use tracing::info;

use super::desk::Drains;
use super::job::{Job, Verb, wall_clock_ms};
use super::plan::DrainPlan;
use super::refusal::StartError;
use crate::registry::RegistryError;

/// Says why a drain is not taken back. Nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is no such drain.
    #[error("there is no such drain")]
    Unknown,
    /// Its sources have dropped what they had.
    #[error(
        "the sources of drain {id} have dropped what they had (undo_window_seconds); drain back with a new drain from its \
         targets to its sources"
    )]
    WindowOver {
        /// The drain.
        id: DrainId,
    },
    /// It is an undo itself.
    #[error("drain {id} is an undo; start a new drain instead")]
    IsUndo {
        /// The drain.
        id: DrainId,
    },
    /// It would be refused as a drain.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Drains {
    /// Takes a drain back: stops it where it runs, then moves what it moved back to where it was. Safe to repeat.
    ///
    /// # Errors
    /// See [`UndoError`].
    pub async fn undo(self: &Arc<Self>, id: &DrainId) -> Result<DrainStatus, UndoError> {
        let job = self.job(id).ok_or(UndoError::Unknown)?;
        if job.undoes.is_some() {
            return Err(UndoError::IsUndo { id: id.clone() });
        }
        if job.undo_window().is_none() {
            return Err(UndoError::WindowOver { id: id.clone() });
        }
        if !self.undo_of(&job).is_some_and(|undo| undo.stands()) {
            self.stop(&job).await;
            let is_over = job
                .undo_until_ms(job.state())
                .is_some_and(|until| until < wall_clock_ms());
            if is_over {
                return Err(UndoError::WindowOver { id: id.clone() });
            }
            self.begin_undo(&job).await?;
        }
        Ok(self.status_of(&job))
    }

    /// Tells how far a drain is, and how far it has been taken back.
    pub(super) fn status_of(&self, job: &Job) -> DrainStatus {
        let status = self.explained(job, job.status());
        let Some(undo) = self.undo_of(job) else { return status };
        let back = undo.status();
        let state = state_after(status.state, back.state);
        DrainStatus {
            state,
            done: state != DrainState::Undoing,
            progress: format!("{}; undo {}", status.progress, back.progress),
            undone: back.boards.moved,
            waits_for: back.waits_for,
            troubled: back.troubled,
            // What is back, or on its way, is not taken back again.
            undo_until_ms: status.undo_until_ms.filter(|_| state == status.state),
            ..status
        }
    }

    /// Tells where a drain stands, or its undo.
    pub(super) fn state_of(&self, job: &Job) -> DrainState {
        let state = job.state();
        let undo = self.undo_of(job);
        undo.map_or(state, |undo| state_after(state, undo.state()))
    }

    /// Returns what an undo moves, and where each board was; nothing for any other drain.
    pub(super) fn undone_boards(&self, job: &Job) -> Option<HashMap<BoardId, Option<ServerName>>> {
        let undone = self.job(job.undoes.as_ref()?)?;
        let moved = undone.moved();
        let home = moved
            .boards()
            .iter()
            .map(|moved| (moved.board.clone(), moved.source.clone()));
        Some(home.collect())
    }

    /// Tells those who read along with a drain how its undo goes.
    pub(super) fn tell_undone(&self, undo: &Job) {
        let Some(undone) = undo.undoes.as_ref().and_then(|id| self.job(id)) else {
            return;
        };
        let status = Box::new(self.status_of(&undone));
        undone.events.push(DrainEvent::State { status });
    }

    /// Has the sources of a drain that has ended drop what they keep warm, once nobody can take it back any more.
    pub(super) fn cool_later(self: &Arc<Self>, job: &Arc<Job>) {
        let Some(until) = job.undo_until_ms(job.state()) else {
            return;
        };
        if job.is_cooled.load(Ordering::Relaxed) {
            return;
        }
        let left = Duration::from_millis(until.saturating_sub(wall_clock_ms()));
        let (desk, job) = (Arc::clone(self), Arc::clone(job));
        self.tasks.spawn(async move {
            let window = desk.shutdown.run_until_cancelled(tokio::time::sleep(left)).await;
            if window.is_none() {
                return;
            }
            let moved = job.moved().boards().to_vec();
            // Where a restart has lost where a board was, any source may have it.
            let sources = |source: Option<ServerName>| source.map_or_else(|| job.plan.sources.clone(), |one| vec![one]);
            let copies = moved.into_iter().flat_map(|moved| {
                let servers = sources(moved.source).into_iter();
                servers.map(move |server| (moved.board.clone(), server))
            });
            desk.fleet.cool(copies.collect()).await;
            job.is_cooled.store(true, Ordering::Relaxed);
            if let Err(error) = desk.registry.put_drain(&job.id, job.record().encode()).await {
                // The next start has them dropped once more, which harms nobody.
                info!(drain = %job.id, %error, "it is not kept that nothing stays warm");
            }
        });
    }

    fn undo_of(&self, job: &Job) -> Option<Arc<Job>> {
        undo_among(&self.jobs(), &job.id)
    }

    /// Aborts a drain that runs, and waits until its last move has ended.
    async fn stop(&self, job: &Job) {
        let mut latest = job.events.watch();
        if !job.state().is_over() {
            job.ask(Verb::Abort).await;
        }
        // Each end of a move is an event; the state is the last.
        while !job.state().is_over() {
            let changed = self.shutdown.run_until_cancelled(latest.changed()).await;
            if !matches!(changed, Some(Ok(()))) {
                return;
            }
        }
    }

    async fn begin_undo(self: &Arc<Self>, job: &Arc<Job>) -> Result<(), StartError> {
        let undo = {
            let servers = self.fleet.servers();
            let mut jobs = self.jobs();
            if undo_among(&jobs, &job.id).is_some_and(|undo| undo.stands()) {
                // Somebody else was quicker.
                return Ok(());
            }
            let asked = DrainRequest {
                mode: job.request.mode,
                pace: job.request.pace,
                on_target_down: Some(OnTargetDown::Continue),
                labels: job.request.labels.clone(),
                ..DrainRequest::new(
                    ServerSet::Servers(job.plan.targets.clone()),
                    ServerSet::Servers(job.plan.sources.clone()),
                )
            };
            // What is configured for releases, a deadline say, is not meant for taking one back.
            let request = DrainDefaults::default().complete(&asked);
            let plan = DrainPlan::new(&request, &servers)?;
            self.check(&jobs, &plan, &servers)?;
            let number = 1 + jobs.values().map(|job| job.number).max().unwrap_or_default();
            let id = undo_id(&job.id, &jobs);
            let undo = Job::new(
                id.clone(),
                number,
                asked,
                request,
                None,
                plan,
                self.configured_release.load().as_ref().clone(),
            );
            let undo = Arc::new(undo.taking_back(job.id.clone()));
            jobs.insert(id, Arc::clone(&undo));
            undo
        };
        self.let_in(undo).await
    }
}

impl Job {
    /// Reads whether an undo goes on or has done its work; after any other end the drain can be taken back anew.
    fn stands(&self) -> bool {
        match self.state() {
            DrainState::Running | DrainState::Paused | DrainState::Done | DrainState::Undoing | DrainState::Undone => {
                true
            }
            DrainState::Failed | DrainState::Aborted => false,
        }
    }
}

/// Says where a drain stands that is being taken back, or was; an undo that came to nothing leaves it as it was.
fn state_after(state: DrainState, undo: DrainState) -> DrainState {
    match undo {
        DrainState::Running | DrainState::Paused | DrainState::Undoing => DrainState::Undoing,
        DrainState::Done | DrainState::Undone => DrainState::Undone,
        DrainState::Failed | DrainState::Aborted => state,
    }
}

/// Finds the latest undo of a drain.
fn undo_among(jobs: &BTreeMap<DrainId, Arc<Job>>, id: &DrainId) -> Option<Arc<Job>> {
    let undoes = jobs.values().filter(|other| other.undoes.as_ref() == Some(id));
    undoes.max_by_key(|undo| undo.number).cloned()
}

/// Names the undo of a drain by a name that nobody has; where it would be too long, by the drain's beginning.
fn undo_id(id: &DrainId, taken: &BTreeMap<DrainId, Arc<Job>>) -> DrainId {
    let name = |suffix: String| -> DrainId {
        let kept = &id.as_str()[..id.as_str().len().min(DrainId::BYTES_MAX - suffix.len())];
        format!("{kept}{suffix}")
            .parse()
            .expect("an id and plain letters behind it")
    };
    let later = (2u64..).map(|number| format!("{UNDO_SUFFIX}-{number}"));
    let mut names = std::iter::once(UNDO_SUFFIX.to_owned()).chain(later).map(name);
    names
        .find(|name| !taken.contains_key(name))
        .expect("there are more numbers than drains")
}

const UNDO_SUFFIX: &str = ".undo";

impl From<RegistryError> for UndoError {
    fn from(error: RegistryError) -> Self {
        Self::Start(StartError::Registry(error))
    }
}
