//! What all boards of a server share.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_protocol::contract::{BoardReport, BoardRole};
use handover_protocol::generation::Attempt;
use handover_protocol::id::{BoardId, Incarnation, ReleaseName, ServerName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span, warn};

use super::board::{Actor, Event, SessionKey};
use crate::store::{Store, Writer};

/// One server process.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) incarnation: Incarnation,
    /// `name/incarnation`: who writes.
    pub(super) owner: Arc<str>,
    pub(super) store: Store,
    pub(super) writer: Writer,
    /// Fires when the server is to end.
    pub(super) stopping: CancellationToken,
    /// Boards and connections.
    pub(super) tasks: TaskTracker,
    loads: Arc<Semaphore>,
    boards: Mutex<Boards>,
    keys: AtomicU64,
    alarms: AtomicU64,
}

/// How a server behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name under which a gateway knows it.
    pub name: ServerName,
    /// The version that it claims to run.
    pub release: ReleaseName,
    /// Whether it implements the control contract.
    pub contract: bool,
    /// How long a board takes to load.
    pub load_time: Duration,
    /// How long a batch of changes takes to save.
    pub save_time: Duration,
    /// How long changes are gathered before they are saved.
    pub save_delay: Duration,
    /// Filler in each change as others are shown it.
    pub shown_pad: Option<String>,
    /// Boards that are loaded at once.
    pub concurrent_loads: usize,
}

/// The way to a board's task.
#[derive(Debug, Clone)]
pub(super) struct BoardHandle {
    pub(super) mailbox: mpsc::Sender<Event>,
    pub(super) report: watch::Receiver<Option<BoardReport>>,
}

#[derive(Debug, Default)]
struct Boards {
    open: BTreeMap<BoardId, BoardHandle>,
    /// Up to which attempt everything is over, of boards that were dropped a little while ago.
    forgotten: HashMap<BoardId, (Attempt, Instant)>,
}

impl Server {
    /// Makes a server without boards.
    pub(super) fn new(settings: Settings, incarnation: Incarnation, store: Store, writer: Writer) -> Self {
        Self {
            owner: owner(&settings.name, &incarnation).into(),
            loads: Arc::new(Semaphore::new(settings.concurrent_loads)),
            settings,
            incarnation,
            store,
            writer,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            boards: Mutex::default(),
            keys: AtomicU64::new(0),
            alarms: AtomicU64::new(0),
        }
    }

    /// Reads whether the server implements the control contract.
    pub(super) fn is_contract(&self) -> bool {
        self.settings.contract
    }

    /// Returns the board's task, if the board is in memory.
    pub(super) fn board(&self, board: &BoardId) -> Option<BoardHandle> {
        self.boards().open.get(board).cloned()
    }

    /// Returns the board's task, begun where there is none.
    pub(super) fn board_or_new(self: &Arc<Self>, board: &BoardId) -> BoardHandle {
        let mut boards = self.boards();
        // A task that has ended is about to take itself out.
        if let Some(handle) = boards.open.get(board).filter(|handle| !handle.mailbox.is_closed()) {
            return handle.clone();
        }
        let closed = boards.forgotten.get(board).map(|(attempt, _)| *attempt);
        let (mailbox, events) = mpsc::channel(MAILBOX_MAX);
        let (reporter, report) = watch::channel(None);
        let handle = BoardHandle { mailbox, report };
        boards.open.insert(board.clone(), handle.clone());
        let (server, mailbox) = (self.clone(), handle.mailbox.clone());
        let board = board.clone();
        let span = info_span!("board", server = %self.settings.name);
        let task = async move {
            let closed = Actor::new(server.clone(), board.clone(), closed, reporter)
                .run(events)
                .await;
            server.boards().forget(&board, closed, &mailbox);
        };
        self.tasks.spawn(task.instrument(span));
        handle
    }

    /// Lists what is in memory behind `after`, by board, at most `limit`, and whether there is more.
    pub(super) fn reports(&self, after: Option<&BoardId>, limit: usize) -> (Vec<BoardReport>, bool) {
        let boards = self.boards();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = boards.open.range::<BoardId, _>((from, Bound::Unbounded));
        let mut reports: Vec<BoardReport> = behind
            .filter_map(|(_, handle)| handle.report.borrow().clone())
            .take(limit + 1)
            .collect();
        let has_more = reports.len() > limit;
        reports.truncate(limit);
        (reports, has_more)
    }

    /// Counts the boards that the server serves.
    pub(super) fn owned_boards(&self) -> u64 {
        self.boards().open.values().filter(|handle| handle.is_owner()).count() as u64
    }

    /// Lists the tasks of the boards that the server serves.
    fn owned(&self) -> Vec<(BoardId, BoardHandle)> {
        let boards = self.boards();
        let open = boards.open.iter().filter(|(_, handle)| handle.is_owner());
        open.map(|(board, handle)| (board.clone(), handle.clone())).collect()
    }

    /// Looks until the server ends whether boards were given to others behind its back: while the process stood still,
    /// or was not reached, it was told of nothing.
    pub(super) async fn watch_fences(self: Arc<Self>) {
        while self
            .stopping
            .run_until_cancelled(sleep(FENCES_INTERVAL))
            .await
            .is_some()
        {
            // Listed before the fences are read: what is served by then has its fence in what is read.
            let owned = self.owned();
            if owned.is_empty() {
                continue;
            }
            match self.store.fences_of(&self.owner).await {
                Ok(held) => {
                    for (_, handle) in owned.iter().filter(|(board, _)| !held.contains(board)) {
                        // One whose mailbox is full is looked at again.
                        let _ = handle.mailbox.try_send(Event::FenceDoubted);
                    }
                }
                Err(fault) => warn!(%fault, "cannot read the fences"),
            }
        }
    }

    /// Takes a place among the loads, if one is free.
    pub(super) fn try_place_among_loads(&self) -> Option<OwnedSemaphorePermit> {
        self.loads.clone().try_acquire_owned().ok()
    }

    /// Waits for a place among the loads.
    pub(super) async fn place_among_loads(&self) -> OwnedSemaphorePermit {
        let place = self.loads.clone().acquire_owned().await;
        place.expect("the semaphore is never closed")
    }

    /// Names a connection.
    pub(super) fn next_key(&self) -> SessionKey {
        SessionKey(self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts something that must never happen.
    pub(super) fn note_alarm(&self) {
        self.alarms.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often something happened that must never happen.
    pub(super) fn alarms(&self) -> u64 {
        self.alarms.load(Ordering::Relaxed)
    }

    fn boards(&self) -> MutexGuard<'_, Boards> {
        // Nothing panics while it holds the lock.
        self.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoardHandle {
    fn is_owner(&self) -> bool {
        let report = self.report.borrow();
        report.as_ref().is_some_and(|report| report.role == BoardRole::Owner)
    }
}

impl Boards {
    fn forget(&mut self, board: &BoardId, closed: Option<Attempt>, mailbox: &mpsc::Sender<Event>) {
        let is_current = |handle: &BoardHandle| handle.mailbox.same_channel(mailbox);
        if self.open.get(board).is_some_and(is_current) {
            self.open.remove(board);
        }
        let now = Instant::now();
        self.forgotten.retain(|_, (_, at)| now < *at + FORGOTTEN);
        if let Some(closed) = closed {
            self.forgotten.insert(board.clone(), (closed, now));
        }
    }
}

/// Names a process as it stands in the database.
pub(super) fn owner(name: &ServerName, incarnation: &Incarnation) -> String {
    format!("{name}/{incarnation}")
}

/// Events that may wait for a board; who sends more waits.
const MAILBOX_MAX: usize = 1024;
/// A server that has lost a board says so this late at most; one query each time, however many boards there are.
const FENCES_INTERVAL: Duration = Duration::from_secs(2);
/// How long a call that was delayed on its way is recognised after its board was dropped.
const FORGOTTEN: Duration = Duration::from_secs(60);
