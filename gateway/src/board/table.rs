//! The boards that this gateway knows, and the way in.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use handover_protocol::admin::BoardView;
use handover_protocol::{BoardId, CoordinatorId, Owner, Placement, ServerName, SessionId, Term};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::holdings::{Held, Holdings};
use super::memory::{BoardMemory, Memories};
use super::pass::{Entrant, Entry, Pass};
use super::place::{PlaceError, Placer};
use super::{Board, GateState, view_of};
use crate::config::Route;
use crate::registry::{CasError, Registry, RegistryError};
use crate::session::SessionHandle;
use crate::telemetry::Metrics;
use crate::upstream::{Server, Servers};

/// Every board that has a placement which this gateway has read.
pub struct Boards {
    table: DashMap<BoardId, Arc<Board>>,
    pub(super) servers: Arc<Servers>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) coordinator: CoordinatorId,
    pub(super) metrics: Arc<Metrics>,
    placer: Placer,
    holdings: Arc<Holdings>,
    memories: Memories,
    sessions: TaskTracker,
}

/// Says why nobody could come in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EntryError {
    /// The board was parked for longer than the route's hold; come back.
    #[error("the board is being moved and was not released within {0:?}")]
    Parked(Duration),
    /// The outcome of the board's last commit is unknown; nobody may serve it until the registry answers.
    #[error("the board's owner is unknown until the registry answers")]
    Shut,
    /// The registry could not be read.
    #[error("the board's placement could not be read: {0}")]
    Registry(Arc<RegistryError>),
    /// No server took the board.
    #[error(transparent)]
    Place(#[from] Arc<PlaceError>),
}

impl Boards {
    /// Starts with the placements that the registry gave back.
    ///
    /// Their users count as told to reconnect just now: the end of the process before has told them, or has cut them.
    pub fn new(
        placements: Vec<(BoardId, Placement)>,
        servers: Arc<Servers>,
        registry: Arc<dyn Registry>,
        coordinator: CoordinatorId,
        metrics: Arc<Metrics>,
        placer: Placer,
        sessions: TaskTracker,
    ) -> Arc<Self> {
        let table = DashMap::new();
        let holdings = Arc::new(Holdings::default());
        for (id, placement) in placements {
            if placement.term != Term::Vacant {
                let board = Board::new(
                    id.clone(),
                    placement,
                    BoardMemory::by_start(),
                    Arc::clone(&holdings),
                    sessions.clone(),
                );
                table.insert(id, board);
            }
        }
        Arc::new(Self {
            table,
            servers,
            registry,
            coordinator,
            metrics,
            placer,
            holdings,
            memories: Memories::default(),
            sessions,
        })
    }

    /// Waits for the way in to a board: until its owner is known and no move holds it.
    ///
    /// Cancel-safe: a placement that was begun goes on in a task of its own.
    ///
    /// # Errors
    /// See [`EntryError`]; all of them are worth a later try.
    pub async fn enter(
        self: &Arc<Self>,
        route: &Arc<Route>,
        id: &BoardId,
        entrant: Entrant,
    ) -> Result<Pass, EntryError> {
        let is_servers_own = self.servers.is_servers_own(entrant.peer);
        let mut deadline = Instant::now() + route.hold_timeout;
        let mut parked = None;
        loop {
            let board = self
                .find(id)
                .await
                .map_err(|error| EntryError::Registry(Arc::new(error)))?;
            let mut gate = board.gate.subscribe();
            gate.borrow_and_update();
            match board.try_enter(entrant.purpose, route, is_servers_own, |owner| self.serving(owner)) {
                Entry::Pass(pass) => return Ok(pass),
                Entry::Shut => return Err(EntryError::Shut),
                Entry::Gone => {}
                Entry::Unowned => {
                    self.place(&board, route).await?;
                    // A first load may take longer than a hold; who waited for it has not been held yet.
                    deadline = Instant::now() + route.hold_timeout;
                }
                Entry::Wait => {
                    parked.get_or_insert_with(|| self.metrics.parked());
                    if timeout_at(deadline, gate.changed()).await.is_err() {
                        self.metrics.parked_expired();
                        return Err(EntryError::Parked(route.hold_timeout));
                    }
                }
            }
        }
    }

    /// Returns a board that this gateway knows.
    pub fn get(&self, id: &BoardId) -> Option<Arc<Board>> {
        self.table.get(id).map(|board| Arc::clone(&board))
    }

    /// Returns a board, read from the registry where this gateway did not know it.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn find(&self, id: &BoardId) -> Result<Arc<Board>, RegistryError> {
        if let Some(board) = self.get(id) {
            return Ok(board);
        }
        let placement = self.registry.read(id).await?.unwrap_or(Placement::UNKNOWN);
        let board = self.table.entry(id.clone()).or_insert_with(|| {
            Board::new(
                id.clone(),
                placement,
                self.memories.take(id),
                Arc::clone(&self.holdings),
                self.sessions.clone(),
            )
        });
        Ok(Arc::clone(&board))
    }

    /// Returns every board in memory.
    pub fn all(&self) -> Vec<Arc<Board>> {
        self.table.iter().map(|entry| Arc::clone(entry.value())).collect()
    }

    /// Tells the admin API of one board: as in memory, else as in the registry.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn view(&self, id: &BoardId) -> Result<Option<BoardView>, RegistryError> {
        if let Some(board) = self.get(id) {
            return Ok(Some(board.view()));
        }
        let placement = self.registry.read(id).await?;
        Ok(placement.map(|placement| view_of(id, &placement, 0)))
    }

    /// Lists open boards by id: all, or one owner's.
    pub fn open(&self, server: Option<&ServerName>) -> Vec<BoardView> {
        let mut boards: Vec<BoardView> = self
            .table
            .iter()
            .filter_map(|entry| entry.value().view_under(server))
            .collect();
        boards.sort_by(|a, b| a.board.cmp(&b.board));
        boards
    }

    /// Lists the first `limit` open boards behind `after` by id, all or one owner's; where there are more, with the id
    /// behind which the next page begins.
    ///
    /// It looks at every board, and keeps and sorts no more than a page.
    pub fn page(
        &self,
        server: Option<&ServerName>,
        after: Option<&BoardId>,
        limit: usize,
    ) -> (Vec<BoardView>, Option<BoardId>) {
        let mut page: BinaryHeap<BoardId> = BinaryHeap::new();
        for entry in &self.table {
            let board = entry.key();
            let is_read = after.is_some_and(|after| board <= after);
            let is_beyond = page.len() > limit && page.peek().is_some_and(|last| board > last);
            if !is_read && !is_beyond && entry.value().is_under(server) {
                page.push(board.clone());
                if page.len() > limit + 1 {
                    page.pop();
                }
            }
        }
        let is_cut = page.len() > limit;
        let mut boards = page.into_sorted_vec();
        boards.truncate(limit);
        let next = boards.last().filter(|_| is_cut).cloned();
        // One that was closed or went elsewhere meanwhile is not told of.
        let views = boards.iter().filter_map(|id| self.get(id)?.view_under(server));
        (views.collect(), next)
    }

    /// Finds a session on whatever board. It walks all boards: for what an operator asks, not for traffic.
    pub fn session(&self, id: &SessionId) -> Option<Arc<SessionHandle>> {
        self.table.iter().find_map(|entry| entry.value().session(id))
    }

    /// Counts the boards that a server owns, moving ones under their source until the commit. It walks nothing.
    pub fn owned_by(&self, server: &ServerName) -> usize {
        self.holdings.of(server).owned
    }

    /// Counts what one server owns and what is being moved to it.
    pub fn held_by(&self, server: &ServerName) -> Held {
        self.holdings.of(server)
    }

    /// Counts, at one moment, what each server owns and what is being moved to it. A server without boards is missing.
    pub fn held(&self) -> HashMap<ServerName, Held> {
        self.holdings.all()
    }

    /// Writes a board's next placement, compared with the one this gateway knows, and mirrors the outcome.
    ///
    /// # Errors
    /// Refused: the registry holds another record, which is mirrored. Unknown: the write may have happened; nothing is
    /// mirrored, read back.
    pub async fn change(&self, board: &Board, next: Placement) -> Result<(), CasError> {
        let known = board.placement();
        let expected = (known != Placement::UNKNOWN).then_some(known);
        let outcome = self.registry.compare_and_set(board.id(), expected, next.clone()).await;
        match &outcome {
            Ok(()) => board.set_placement(next),
            Err(CasError::Refused { current }) => {
                board.set_placement(current.clone().unwrap_or(Placement::UNKNOWN));
            }
            Err(CasError::Unknown { .. } | CasError::Lowered { .. } | CasError::Unavailable { .. }) => {}
        }
        outcome
    }

    /// Reads a board's placement back from the registry and mirrors it.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn read_back(&self, board: &Board) -> Result<Placement, RegistryError> {
        let placement = self.registry.read(board.id()).await?.unwrap_or(Placement::UNKNOWN);
        board.set_placement(placement.clone());
        Ok(placement)
    }

    /// Drops the ownership of a board that is no longer open; its generation stays in the registry.
    pub async fn vacate(&self, board: &Arc<Board>) {
        let Ok(vacant) = board.placement().vacate() else { return };
        board.park();
        if board.empty_since().is_some() && self.change(board, vacant).await.is_ok() && board.try_drop() {
            self.memories.keep(board);
            self.table.remove_if(board.id(), |_, known| Arc::ptr_eq(known, board));
        }
        board.unpark();
    }

    /// Drops the record of a board that nobody owns and nobody is on: clients can name any number of boards that no server
    /// takes.
    pub fn drop_vacant(&self, board: &Arc<Board>) {
        let is_dropped = self.placer.unless_placing(board.id(), || board.try_drop());
        if is_dropped == Some(true) {
            self.memories.keep(board);
            self.table.remove_if(board.id(), |_, known| Arc::ptr_eq(known, board));
        }
    }

    /// Forgets what is remembered of boards without a record, where it has become of no use.
    pub fn tidy_memories(&self) {
        self.memories.tidy();
    }

    /// Returns the record of a server that is fit to serve as `owner`.
    ///
    /// A server that was restarted owns nothing of what its former process owned.
    fn serving(&self, owner: &Owner) -> Option<Arc<Server>> {
        let server = self.servers.get(&owner.server)?;
        server.may_serve(owner).then_some(server)
    }

    /// Returns the name under which this process carries out changes.
    pub fn coordinator(&self) -> &CoordinatorId {
        &self.coordinator
    }

    /// Sees a placement through that was granted and not confirmed; what fails is left to the next comer.
    pub async fn finish_placement(self: &Arc<Self>, board: &Arc<Board>, route: &Arc<Route>) {
        if let Err(error) = self.place(board, route).await {
            tracing::warn!(board = %board.id(), %error, "the board has no server yet");
        }
    }

    /// Has a board placed whose owner cannot serve it; false where nobody took it, or a move has it in its hands.
    pub async fn give_to_heir(self: &Arc<Self>, board: &Arc<Board>, route: &Arc<Route>) -> bool {
        board.gate.borrow().state == GateState::Open && self.placer.place(self, board, route).await.is_ok()
    }

    /// Returns who places boards.
    pub fn placer(&self) -> &Placer {
        &self.placer
    }

    async fn place(self: &Arc<Self>, board: &Arc<Board>, route: &Arc<Route>) -> Result<(), EntryError> {
        if board.gate.borrow().state != GateState::Open {
            return Ok(());
        }
        Ok(self.placer.place(self, board, route).await?)
    }
}
