//! Moves boards: carries out what [`handover_protocol::machine::moving`] says, and what a restart left unfinished.
//!
//! ```text
//!   Mover::move_board ─▶ plan ─▶ Drive (one task a move) ─▶ calls    (registry, control contract)
//!                                     │                  └▶ barrier  (the board's sessions, all together)
//!                                     └ machine::moving: what comes next
//! ```

mod asker;
mod barrier;
mod calls;
mod drift;
mod drive;
mod driven;
mod event;
mod heirs;
mod hindrance;
mod opaque;
mod plan;
mod recover;
mod report;
mod steps;
mod takeover;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use handover_protocol::admin::{DrainMode, MoveRecord, MoveReport};
use handover_protocol::{BoardId, ServerName};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span};

use self::driven::Driven;
pub use asker::AskedBy;
pub use plan::Outlook;

use crate::board::{Board, Boards};
use crate::config::{BOARD_MOVE_INTERVAL, Route};
use crate::telemetry::Metrics;
use crate::upstream::Servers;

/// The order to move one board.
#[derive(Debug)]
pub struct MoveOrder {
    /// The board.
    pub board: BoardId,
    /// Where it leaves; a board that another server owns is not moved. None takes it from whoever owns it.
    pub from: Option<ServerName>,
    /// Where it goes.
    pub target: ServerName,
    /// How sessions cross; can only narrow what the route allows.
    pub mode: DrainMode,
    /// Whether the board may be moved although it was moved of late.
    pub spacing: Spacing,
    /// Whether the source keeps what it has, as a standby: the board may soon come back.
    pub keep_warm: bool,
    /// On whose behalf.
    pub asked_by: AskedBy,
    /// Undoes the move, if it has not committed.
    pub cancel: CancellationToken,
    /// Told when the target has loaded the board.
    pub prepared: Option<oneshot::Sender<()>>,
}

/// Whether a move heeds when the board was moved last. A board whose source is lost is put off in no case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// It waits until `drain.board_move_interval` has passed.
    Kept,
    /// It goes at once: it takes a move back that should not have been.
    Waived,
}

/// Carries moves out, each in a task of its own.
pub struct Mover {
    boards: Arc<Boards>,
    servers: Arc<Servers>,
    metrics: Arc<Metrics>,
    /// Those of the configuration. The first is that of boards that nobody has come to since the start.
    routes: ArcSwap<Vec<Arc<Route>>>,
    /// Between two moves of a board.
    move_interval: ArcSwap<Duration>,
    recent: Mutex<VecDeque<MoveRecord>>,
    driven: Driven,
    tasks: TaskTracker,
}

impl Mover {
    /// Starts without any move; `tasks` outlives every one.
    pub fn new(
        boards: Arc<Boards>,
        servers: Arc<Servers>,
        metrics: Arc<Metrics>,
        fallback_route: Arc<Route>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            boards,
            servers,
            metrics,
            routes: ArcSwap::from_pointee(vec![fallback_route]),
            move_interval: ArcSwap::from_pointee(BOARD_MOVE_INTERVAL),
            recent: Mutex::default(),
            driven: Driven::default(),
            tasks,
        })
    }

    /// Takes the configuration's routes, in its order; moves that begin from now on go by them.
    pub fn set_routes(&self, routes: Vec<Arc<Route>>) {
        for board in self.boards.all() {
            board.follow(&routes);
        }
        self.routes.store(Arc::new(routes));
    }

    /// Takes how long a board stays where a move has brought it; moves that begin from now on go by it.
    pub fn set_move_interval(&self, interval: Duration) {
        self.move_interval.store(Arc::new(interval));
    }

    /// Returns the route that a board is moved by: that by which a session came last, as it is configured now.
    ///
    /// A route that has left the configuration serves the boards that it has to their end.
    fn route_of(&self, board: &Board) -> Arc<Route> {
        let routes = self.routes.load();
        let came_by = board.route();
        let current = came_by.as_ref().and_then(|came_by| {
            let mut same = routes.iter().filter(|route| route.name == came_by.name);
            same.next().cloned()
        });
        let first = || routes.first().cloned().expect("a configuration has a route");
        current.or(came_by).unwrap_or_else(first)
    }

    /// Moves a board and reports how that ended.
    ///
    /// Cancel-safe: dropping the future leaves the move under way; the order's token undoes it.
    pub async fn move_board(self: &Arc<Self>, order: MoveOrder) -> MoveReport {
        let board = order.board.clone();
        let span = info_span!("move", %board, to = %order.target);
        let mover = Arc::clone(self);
        let task = self
            .tasks
            .spawn(async move { drive::run(&mover, order).await }.instrument(span));
        match task.await {
            Ok(report) => report,
            Err(_) => report::unmoved(board, "gateway_stopped"),
        }
    }

    /// Lists the moves that ended of late, at most `limit`, the latest last.
    pub fn recent(&self, limit: usize) -> Vec<MoveRecord> {
        let recent = self.lock_recent();
        let earlier = recent.len().saturating_sub(limit);
        recent.iter().skip(earlier).cloned().collect()
    }

    /// Counts sessions of which something could not be confirmed.
    pub fn count_unconfirmed(&self, sessions: u64) {
        self.metrics.unconfirmed_sessions.inc_by(sessions);
    }

    fn remember(&self, record: MoveRecord) {
        let mut recent = self.lock_recent();
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(record);
    }

    fn lock_recent(&self) -> std::sync::MutexGuard<'_, VecDeque<MoveRecord>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves that are remembered for `GET /v1/moves`.
const RECENT_MAX: usize = 10_000;
