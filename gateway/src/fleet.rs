//! The boards, servers and moves of this gateway, as drains and the admin API ask for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use handover_protocol::admin::{
    BoardView, DEFAULT_WEIGHT, MoveRecord, MoveReport, ServerOrigin, ServerState, ServerView,
};
use handover_protocol::{BoardId, ServerName};
use tracing::warn;

use crate::board::{Boards, Newcomers};
use crate::drain::{Fleet, FleetFuture};
use crate::mover::{MoveOrder, Mover};
use crate::registry::RegistryError;
use crate::upstream::Servers;

/// What the composition root has put together.
pub struct GatewayFleet {
    /// The boards.
    pub boards: Arc<Boards>,
    /// The servers.
    pub servers: Arc<Servers>,
    /// Who moves boards.
    pub mover: Arc<Mover>,
}

impl Fleet for GatewayFleet {
    fn servers(&self) -> Vec<ServerView> {
        let mut counts: HashMap<ServerName, (u64, u64)> = HashMap::new();
        for view in self.boards.open(None) {
            if let Some(server) = view.server {
                let (boards, sessions) = counts.entry(server).or_default();
                *boards += 1;
                *sessions += view.sessions;
            }
        }
        let view = |server: &Arc<crate::upstream::Server>| {
            let (boards, sessions) = counts.get(server.name()).copied().unwrap_or_default();
            ServerView {
                name: server.name().clone(),
                url: server.url().to_string(),
                release: server.release().clone(),
                ready: server.is_ready(),
                incarnation: server.incarnation(),
                level: server.level(),
                boards,
                sessions,
                drain: None,
                state: ServerState::default(),
                reason: None,
                safe_to_terminate: false,
                weight: DEFAULT_WEIGHT,
                capacity: None,
                labels: BTreeMap::new(),
                origin: ServerOrigin::Config,
            }
        };
        self.servers.all().iter().map(view).collect()
    }

    fn is_ready(&self, server: &ServerName) -> bool {
        self.servers.get(server).is_some_and(|server| server.is_ready())
    }

    fn has_met_ready_server(&self) -> bool {
        self.servers.has_met_ready()
    }

    fn open(&self, server: Option<&ServerName>) -> Vec<BoardView> {
        self.boards.open(server)
    }

    fn view<'a>(&'a self, board: &'a BoardId) -> FleetFuture<'a, Result<Option<BoardView>, RegistryError>> {
        Box::pin(self.boards.view(board))
    }

    fn refresh<'a>(&'a self, servers: &'a [ServerName]) -> FleetFuture<'a, ()> {
        Box::pin(async move {
            let servers: Vec<_> = servers.iter().filter_map(|name| self.servers.get(name)).collect();
            let reads = servers.iter().map(|server| async move {
                if let Err(error) = server.read_boards().await {
                    warn!(server = %server.name(), %error, "the server does not list its boards; what is known stays");
                }
            });
            join_all(reads).await;
            self.mover.adopt_listed().await;
            self.mover.tidy().await;
        })
    }

    fn move_board(&self, order: MoveOrder) -> FleetFuture<'static, MoveReport> {
        let mover = Arc::clone(&self.mover);
        Box::pin(async move { mover.move_board(order).await })
    }

    fn recent_moves(&self) -> Vec<MoveRecord> {
        self.mover.recent()
    }

    fn refresh_gauges(&self) {
        self.mover.count_boards();
    }

    fn direct_newcomers(&self, newcomers: Newcomers) {
        self.boards.placer().direct(newcomers);
    }
}
