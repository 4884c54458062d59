//! One drain as the desk and its driver share it: what was asked, the machine, what is told, and who waits for what.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handover_protocol::admin::{DrainRequest, DrainState, DrainStatus};
use handover_protocol::machine::drain::{Drain, Event, Terms};
use handover_protocol::{DrainId, ReleaseName};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::events::Events;
use super::moved::Moved;
use super::plan::DrainPlan;
use super::record::DrainRecord;
use crate::registry::RegistryError;

/// One drain.
pub(super) struct Job {
    pub(super) id: DrainId,
    pub(super) number: u64,
    /// What was asked for.
    pub(super) original: DrainRequest,
    /// The same with everything that it goes by.
    pub(super) request: DrainRequest,
    /// What the caller sent as `Idempotency-Key`.
    pub(super) key: Option<String>,
    /// The drain whose moves it takes back.
    pub(super) undoes: Option<DrainId>,
    /// What it has moved, while that may be taken back.
    pub(super) moved: Mutex<Moved>,
    /// Whether the sources have dropped what they kept warm.
    pub(super) is_cooled: AtomicBool,
    pub(super) plan: DrainPlan,
    configured_release: ReleaseName,
    pub(super) machine: Mutex<Drain>,
    epoch: Instant,
    started_at_ms: u64,
    ended_at_ms: OnceLock<u64>,
    asks: mpsc::Sender<Ask>,
    /// The driver takes it when it begins.
    asked: Mutex<Option<mpsc::Receiver<Ask>>>,
    pub(super) events: Events,
    /// The registry did not take the last record; it is tried again.
    is_unkept: AtomicBool,
    /// Whether the registry has kept it; nothing while that is not known.
    pub(super) accepted: watch::Sender<Option<Result<(), RegistryError>>>,
}

/// What an operator wants of a drain.
pub(super) struct Ask {
    pub(super) verb: Verb,
    /// Told when the machine has taken it in, and the registry was asked to keep it.
    pub(super) taken: oneshot::Sender<()>,
}

/// What an operator can want of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Begin no more moves, and undo those that have not committed.
    Abort,
    /// Begin no more moves for now.
    Pause,
    /// Go on.
    Resume,
    /// Ask again after boards that wait for a limit: the configuration has changed.
    JudgeAgain,
}

impl Verb {
    /// Returns its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::JudgeAgain => "judge-again",
        }
    }

    /// Returns what the machine is told.
    pub(super) fn event(self) -> Event {
        match self {
            Self::Abort => Event::AbortRequested,
            Self::Pause => Event::PauseRequested,
            Self::Resume => Event::ResumeRequested,
            Self::JudgeAgain => Event::RulesChanged,
        }
    }
}

impl Job {
    pub(super) fn new(
        id: DrainId,
        number: u64,
        original: DrainRequest,
        request: DrainRequest,
        key: Option<String>,
        plan: DrainPlan,
        configured_release: ReleaseName,
    ) -> Self {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        Self {
            id,
            number,
            key,
            undoes: None,
            moved: Mutex::default(),
            is_cooled: AtomicBool::new(false),
            plan,
            configured_release,
            machine: Mutex::new(Drain::new(Terms::from(&request))),
            original,
            request,
            epoch: Instant::now(),
            started_at_ms: wall_clock_ms(),
            ended_at_ms: OnceLock::new(),
            asks,
            asked: Mutex::new(Some(asked)),
            events: Events::new(),
            is_unkept: AtomicBool::new(false),
            accepted: watch::Sender::new(None),
        }
    }

    /// Makes it the undo of another drain.
    pub(super) fn taking_back(self, undoes: DrainId) -> Self {
        Self {
            undoes: Some(undoes),
            ..self
        }
    }

    pub(super) fn resumed(id: DrainId, record: DrainRecord, moved: Moved) -> Self {
        let machine = Drain::resume(Terms::from(&record.request), record.snapshot);
        Self {
            undoes: record.undoes,
            moved: Mutex::new(moved),
            is_cooled: AtomicBool::new(record.is_cooled),
            machine: Mutex::new(machine),
            accepted: watch::Sender::new(Some(Ok(()))),
            started_at_ms: record.started_at_ms,
            ended_at_ms: record.ended_at_ms.map_or_else(OnceLock::new, OnceLock::from),
            ..Self::new(
                id,
                record.number,
                record.original.unwrap_or_else(|| record.request.clone()),
                record.request,
                record.key,
                record.plan,
                record.configured_release,
            )
        }
    }

    /// Returns what the registry has to keep now.
    pub(super) fn record(&self) -> DrainRecord {
        let snapshot = self.machine().snapshot();
        DrainRecord {
            number: self.number,
            original: Some(self.original.clone()),
            request: self.request.clone(),
            key: self.key.clone(),
            undoes: self.undoes.clone(),
            is_cooled: self.is_cooled.load(Ordering::Relaxed),
            plan: self.plan.clone(),
            configured_release: self.configured_release.clone(),
            started_at_ms: self.started_at_ms,
            ended_at_ms: self.ended_at_ms(snapshot.state),
            snapshot,
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
        let status = self.machine().status(self.id.clone(), self.request.clone(), now);
        DrainStatus {
            started_at_ms: self.started_at_ms,
            ended_at_ms: self.ended_at_ms(status.state),
            undo_until_ms: self.undo_until_ms(status.state),
            ..status
        }
    }

    /// Wants something of the driver, and returns whether that was taken in: false where the driver has ended meanwhile.
    ///
    /// Cancel-safe: what was asked is done.
    pub(super) async fn ask(&self, verb: Verb) -> bool {
        let (taken, answer) = oneshot::channel();
        self.asks.send(Ask { verb, taken }).await.is_ok() && answer.await.is_ok()
    }

    /// Wants something of the driver and does not wait; false where the driver has ended, or too much is asked of it.
    pub(super) fn tell(&self, verb: Verb) -> bool {
        let (taken, _) = oneshot::channel();
        self.asks.try_send(Ask { verb, taken }).is_ok()
    }

    /// Reads whether a restart would not find the drain as it is.
    pub(super) fn is_unkept(&self) -> bool {
        self.is_unkept.load(Ordering::Acquire)
    }

    /// Notes whether the registry has taken the last record, and returns what was noted before.
    pub(super) fn set_unkept(&self, is_unkept: bool) -> bool {
        self.is_unkept.swap(is_unkept, Ordering::AcqRel)
    }

    /// Returns for how long the sources keep what they had; nothing where they drop it at once.
    pub(super) fn undo_window(&self) -> Option<Duration> {
        let seconds = self.request.undo_window_seconds.filter(|seconds| *seconds > 0)?;
        Some(Duration::from_secs(seconds))
    }

    /// Returns until when the moves can be taken back, by the wall clock; nothing before the end, or where nothing was
    /// moved.
    pub(super) fn undo_until_ms(&self, state: DrainState) -> Option<u64> {
        let window = u64::try_from(self.undo_window()?.as_millis()).unwrap_or(u64::MAX);
        let is_any_moved = !self.moved().boards().is_empty();
        self.ended_at_ms(state)
            .filter(|_| is_any_moved)
            .map(|ended| ended.saturating_add(window))
    }

    pub(super) fn moved(&self) -> MutexGuard<'_, Moved> {
        // No section under this lock can leave the list half changed.
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is asked; nothing the second time.
    pub(super) fn take_asked(&self) -> Option<mpsc::Receiver<Ask>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns when it ended, by the wall clock; nothing before that.
    pub(super) fn ended_at_ms(&self, state: DrainState) -> Option<u64> {
        state.is_over().then(|| *self.ended_at_ms.get_or_init(wall_clock_ms))
    }
}

/// Tells the wall clock: for people and reports only.
pub(super) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Operators who ask at once; one more waits.
const ASKS_MAX: usize = 16;
