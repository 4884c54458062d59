//! A fleet in memory for tests: its moves take as long as they are told to, and fail as often.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use handover_protocol::admin::{
    BoardState, BoardView, DEFAULT_WEIGHT, DeathReport, DrainMode, Level, MoveRecord, MoveReport, ServerOrigin,
    ServerRequest, ServerState, ServerView, SessionView,
};
use handover_protocol::close::CloseCode;
use handover_protocol::machine::drain::TargetLoad;
use handover_protocol::{BoardId, Generation, ServerName, SessionId};

use tokio::sync::Semaphore;

use super::*;
use crate::board::Newcomers;
use crate::mover::{MoveOrder, Outlook};
use crate::registry::RegistryError;

/// Servers `a` and `b` of release r1, `c` and `d` of r2, and where each board is.
pub(crate) struct MemoryFleet {
    state: Mutex<State>,
    /// Cordons take one each; without any they wait.
    pub(crate) cordons: Semaphore,
}

pub(crate) struct State {
    pub(super) boards: BTreeMap<BoardId, (ServerName, u64)>,
    unready: Vec<ServerName>,
    /// Whether no server has room for another board.
    pub(super) is_full: bool,
    pub(crate) has_met_ready: bool,
    move_time: Duration,
    /// How often a board still fails before it moves.
    pub(super) failures: HashMap<BoardId, u32>,
    under_way: usize,
    pub(super) most_under_way: usize,
    pub(super) begun: Vec<BoardId>,
    newcomers: Option<Newcomers>,
    moves: Vec<MoveRecord>,
    pub(crate) cordons_begun: usize,
    pub(crate) cordoned: Vec<ServerName>,
    /// Servers that a board is on its way to.
    pub(super) awaited: Vec<ServerName>,
    /// Which copies were dropped.
    pub(super) cooled: Vec<(BoardId, ServerName)>,
    /// Boards that their sources were asked to keep warm.
    pub(super) warm: Vec<(BoardId, ServerName)>,
}

impl MemoryFleet {
    pub(crate) fn new(boards: u64) -> Arc<Self> {
        let place = |number: u64| {
            let source = if number.is_multiple_of(2) { "a" } else { "b" };
            (board(number), (name(source), number % 3))
        };
        Arc::new(Self {
            state: Mutex::new(State {
                boards: (0..boards).map(place).collect(),
                unready: Vec::new(),
                is_full: false,
                has_met_ready: true,
                move_time: Duration::from_millis(2),
                failures: HashMap::new(),
                under_way: 0,
                most_under_way: 0,
                begun: Vec::new(),
                newcomers: None,
                moves: Vec::new(),
                cordons_begun: 0,
                cordoned: Vec::new(),
                awaited: Vec::new(),
                cooled: Vec::new(),
                warm: Vec::new(),
            }),
            cordons: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    pub(crate) fn set_move_time(&self, move_time: Duration) {
        self.lock().move_time = move_time;
    }

    pub(crate) fn set_unready(&self, servers: &[&str]) {
        self.lock().unready = servers.iter().map(|server| name(server)).collect();
    }

    pub(crate) fn newcomers(&self) -> Option<Newcomers> {
        self.lock().newcomers.clone()
    }

    pub(super) fn count(&self, servers: &[&str]) -> usize {
        let state = self.lock();
        let there = |(owner, _): &&(ServerName, u64)| servers.contains(&owner.as_str());
        state.boards.values().filter(there).count()
    }

    pub(super) fn recent_moves_by_board(&self) -> Vec<(BoardId, ServerName)> {
        let state = self.lock();
        state
            .moves
            .iter()
            .map(|record| (record.board.clone(), record.to.clone()))
            .collect()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn carry(self: Arc<Self>, order: MoveOrder) -> MoveReport {
        let move_time = {
            let mut state = self.lock();
            state.begun.push(order.board.clone());
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
            state.move_time
        };
        let load_time = (move_time / 2).min(Duration::from_millis(10));
        tokio::time::sleep(load_time).await;
        if let Some(prepared) = order.prepared {
            let _ = prepared.send(());
        }
        let is_cancelled = tokio::time::timeout(move_time - load_time, order.cancel.cancelled())
            .await
            .is_ok();
        let mut state = self.lock();
        state.under_way -= 1;
        let fails = state.failures.get_mut(&order.board).filter(|left| **left > 0);
        let result = match fails {
            Some(left) => {
                *left -= 1;
                "target-unready"
            }
            None if is_cancelled => "aborted",
            None => "moved",
        };
        let (owner, sessions) = state.boards.get_mut(&order.board).unwrap();
        assert!(
            order.from.is_none_or(|from| from == *owner),
            "a drain names where its boards are"
        );
        let from = owner.clone();
        if result == "moved" {
            *owner = order.target.clone();
        }
        let (server, sessions) = (owner.clone(), *sessions);
        if result == "moved" && order.keep_warm {
            state.warm.push((order.board.clone(), from.clone()));
        }
        state.moves.push(MoveRecord {
            board: order.board.clone(),
            from,
            to: order.target,
            result: result.to_owned(),
            level: Level::Contract,
            mode: order.mode,
            hold_at_ms: Some(1.5),
            switched_at_ms: Some(2.5),
            sessions,
            ended_at_ms: 3,
            drain: None,
        });
        MoveReport {
            board: order.board,
            server: Some(server),
            generation: Generation::new(2),
            result: result.to_owned(),
            level: Level::Contract,
            switched: sessions,
            reconnected: 0,
            fallen_back: 0,
            unconfirmed: Vec::new(),
            retry_after_ms: None,
        }
    }
}

/// The fleet as the gateway's parts hold it.
pub(crate) struct Handle(pub(crate) Arc<MemoryFleet>);

impl Fleet for Handle {
    fn servers(&self) -> Vec<ServerView> {
        [("a", "r1"), ("b", "r1"), ("c", "r2"), ("d", "r2")]
            .iter()
            .map(|(server, release)| ServerView {
                name: name(server),
                url: format!("http://{server}:9000"),
                release: release.parse().unwrap(),
                ready: self.is_ready(&name(server)),
                incarnation: None,
                level: Level::Contract,
                boards: self.open(Some(&name(server))).len() as u64,
                sessions: 0,
                drain: None,
                state: match self.is_ready(&name(server)) {
                    true => ServerState::Ready,
                    false => ServerState::Down,
                },
                reason: None,
                safe_to_terminate: false,
                new_boards: false,
                weight: DEFAULT_WEIGHT,
                capacity: None,
                labels: BTreeMap::new(),
                tls: None,
                origin: ServerOrigin::Config,
            })
            .collect()
    }

    fn is_ready(&self, server: &ServerName) -> bool {
        !self.0.lock().unready.contains(server)
    }

    fn target(&self, server: &ServerName) -> Option<TargetLoad> {
        self.is_ready(server).then(|| TargetLoad {
            server: server.clone(),
            load: self.open(Some(server)).iter().map(|board| 1 + board.sessions).sum(),
            weight: DEFAULT_WEIGHT,
            room: self.0.lock().is_full.then_some(0),
        })
    }

    fn has_met_ready_server(&self) -> bool {
        self.0.lock().has_met_ready
    }

    fn open(&self, server: Option<&ServerName>) -> Vec<BoardView> {
        let state = self.0.lock();
        let wanted = |(_, (owner, _)): &(&BoardId, &(ServerName, u64))| server.is_none_or(|server| server == owner);
        state
            .boards
            .iter()
            .filter(wanted)
            .map(|(board, (owner, sessions))| view(board, owner, *sessions))
            .collect()
    }

    fn owner(&self, board: &BoardId) -> Option<ServerName> {
        let state = self.0.lock();
        state.boards.get(board).map(|(owner, _)| owner.clone())
    }

    fn is_awaited_at(&self, server: &ServerName) -> bool {
        self.0.lock().awaited.contains(server)
    }

    fn page(
        &self,
        server: Option<&ServerName>,
        after: Option<&BoardId>,
        limit: usize,
    ) -> (Vec<BoardView>, Option<BoardId>) {
        let mut boards = self.open(server);
        boards.retain(|view| after.is_none_or(|after| view.board > *after));
        let is_cut = boards.len() > limit;
        boards.truncate(limit);
        let next = boards.last().filter(|_| is_cut).map(|view| view.board.clone());
        (boards, next)
    }

    fn load(&self, server: &ServerName) -> u64 {
        self.open(Some(server)).iter().map(|board| 1 + board.sessions).sum()
    }

    fn view<'a>(&'a self, board: &'a BoardId) -> FleetFuture<'a, Result<Option<BoardView>, RegistryError>> {
        let state = self.0.lock();
        let found = state
            .boards
            .get(board)
            .map(|(owner, sessions)| view(board, owner, *sessions));
        Box::pin(std::future::ready(Ok(found)))
    }

    fn sessions(&self, _: &BoardId) -> Vec<SessionView> {
        Vec::new()
    }

    fn close_session(&self, _: &SessionId, _: CloseCode) -> bool {
        false
    }

    fn refresh<'a>(&'a self, _: &'a [ServerName]) -> FleetFuture<'a, ()> {
        Box::pin(tokio::task::yield_now())
    }

    fn outlook(&self, _: &BoardId, target: Option<&ServerName>, _: DrainMode) -> Outlook {
        Outlook {
            mode: DrainMode::Transparent,
            level: Level::Contract,
            hindrance: target.is_none().then_some(("target_not_ready", None)),
        }
    }

    fn move_board(&self, order: MoveOrder) -> FleetFuture<'static, MoveReport> {
        let moving = tokio::spawn(Arc::clone(&self.0).carry(order));
        Box::pin(async { moving.await.unwrap() })
    }

    fn cool(&self, copies: Vec<(BoardId, ServerName)>) -> FleetFuture<'_, ()> {
        self.0.lock().cooled.extend(copies);
        Box::pin(async {})
    }

    fn recent_moves(&self, limit: usize) -> Vec<MoveRecord> {
        let state = self.0.lock();
        let earlier = state.moves.len().saturating_sub(limit);
        state.moves[earlier..].to_vec()
    }

    fn refresh_gauges(&self, _is_drained: &dyn Fn(&ServerName) -> bool) {}

    fn cordon<'a>(&'a self, server: &'a ServerName, _: bool) -> FleetFuture<'a, Result<bool, RegistryError>> {
        Box::pin(async move {
            self.0.lock().cordons_begun += 1;
            self.0.cordons.acquire().await.unwrap().forget();
            self.0.lock().cordoned.push(server.clone());
            Ok(self.servers().iter().any(|known| known.name == *server))
        })
    }

    fn put_server<'a>(
        &'a self,
        server: &'a ServerName,
        _: ServerRequest,
    ) -> FleetFuture<'a, Result<bool, NamingError>> {
        Box::pin(async { Err(NamingError::Configured(server.clone())) })
    }

    fn remove_server<'a>(&'a self, server: &'a ServerName) -> FleetFuture<'a, Result<(), NamingError>> {
        Box::pin(async { Err(NamingError::Configured(server.clone())) })
    }

    fn declare_dead<'a>(&'a self, _: &'a ServerName) -> FleetFuture<'a, Result<Option<DeathReport>, RegistryError>> {
        Box::pin(async { Ok(None) })
    }

    fn direct_newcomers(&self, newcomers: Newcomers) {
        self.0.lock().newcomers = Some(newcomers);
    }
}

fn view(board: &BoardId, owner: &ServerName, sessions: u64) -> BoardView {
    BoardView {
        board: board.clone(),
        server: Some(owner.clone()),
        generation: Generation::new(1),
        state: BoardState::Settled,
        sessions,
    }
}

pub(crate) fn board(number: u64) -> BoardId {
    format!("board {number:03}").parse().unwrap()
}

pub(crate) fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}
