//! The boards, servers and moves of this gateway, as drains and the admin API ask for them.

mod naming;
mod reconcile;

use std::sync::Arc;

use futures_util::future::join_all;
use handover_protocol::admin::{
    BoardView, DeathReport, DrainMode, MoveRecord, MoveReport, ServerRequest, ServerState, ServerTls, ServerView,
    SessionView,
};
use handover_protocol::close::CloseCode;
use handover_protocol::machine::drain::TargetLoad;
use handover_protocol::machine::health::Verdict;
use handover_protocol::{BoardId, ServerName, SessionId};
use tracing::{info, warn};

pub use reconcile::RosterError;

use crate::board::{Boards, Held, Newcomers};
use crate::config::ServerTlsConfig;
use crate::drain::{CORDONED, Fleet, FleetFuture, NamingError};
use crate::mover::{MoveOrder, Mover, Outlook};
use crate::registry::{Registry, RegistryError};
use crate::telemetry::{EVENT, Metrics};
use crate::upstream::{Dead, Poller, Server, ServerMemory, Servers};

/// What the composition root has put together.
pub struct GatewayFleet {
    /// The boards.
    pub boards: Arc<Boards>,
    /// The servers.
    pub servers: Arc<Servers>,
    /// Who moves boards.
    pub mover: Arc<Mover>,
    /// Where what operators say of servers is kept.
    pub registry: Arc<dyn Registry>,
    /// Who asks servers how they are.
    pub poller: Poller,
    /// Where certificates of servers are shown.
    pub metrics: Arc<Metrics>,
    /// Held while a server is named, changed or removed, and while what operators say of one is noted.
    pub naming: tokio::sync::Mutex<()>,
}

impl GatewayFleet {
    /// Reads whether boards, sessions or moves need a server, or are on their way to it.
    fn is_in_use(&self, server: &Server) -> bool {
        // First what is on its way: a board that arrives meanwhile is counted as the server's own before it leaves there.
        self.boards.placer().is_awaited_at(server.name())
            || self.boards.held_by(server.name()) != Held::default()
            || attached(server) > 0
    }

    /// Counts the sessions of a board that will outlive its server and wait for an answer of it.
    fn unanswered(&self, board: &BoardId) -> u64 {
        let sessions = self.boards.get(board).map(|board| board.sessions());
        let sessions = sessions.unwrap_or_default();
        sessions.iter().filter(|session| session.is_unanswered()).count() as u64
    }
}

impl Fleet for GatewayFleet {
    fn servers(&self) -> Vec<ServerView> {
        let held = self.boards.held();
        let newcomers = self.boards.placer().newcomers();
        let view = |server: &Arc<Server>| {
            let held = held.get(server.name()).copied().unwrap_or_default();
            let sessions = attached(server);
            let (state, reason) = state_of(server);
            let takes_newcomers = state == ServerState::Ready
                && *server.release() == newcomers.release
                && !newcomers.closed.contains(server.name());
            let is_idle = !self.is_in_use(server);
            ServerView {
                name: server.name().clone(),
                url: server.url().to_string(),
                release: server.release().clone(),
                ready: server.is_ready(),
                incarnation: server.incarnation(),
                level: server.level(),
                boards: held.owned as u64,
                sessions,
                drain: None,
                state,
                reason,
                safe_to_terminate: !takes_newcomers && is_idle,
                new_boards: takes_newcomers && server.allotment().weight > 0 && server.room(held.owned) != Some(0),
                weight: server.allotment().weight,
                capacity: server.allotment().capacity,
                labels: server.allotment().labels.clone(),
                origin: server.origin(),
                tls: server.tls().map(|config| server_tls(&config)),
            }
        };
        self.servers.all().iter().map(view).collect()
    }

    fn is_ready(&self, server: &ServerName) -> bool {
        self.servers.get(server).is_some_and(|server| server.is_ready())
    }

    fn target(&self, server: &ServerName) -> Option<TargetLoad> {
        let target = self.servers.get(server).filter(|target| target.is_ready())?;
        Some(TargetLoad {
            server: server.clone(),
            load: self.load(server),
            weight: target.allotment().weight,
            room: target.room(self.boards.owned_by(server)),
        })
    }

    fn has_met_ready_server(&self) -> bool {
        self.servers.has_met_ready()
    }

    fn open(&self, server: Option<&ServerName>) -> Vec<BoardView> {
        self.boards.open(server)
    }

    fn owner(&self, board: &BoardId) -> Option<ServerName> {
        self.boards.get(board)?.owner()
    }

    fn is_awaited_at(&self, server: &ServerName) -> bool {
        self.boards.placer().is_awaited_at(server)
    }

    fn page(
        &self,
        server: Option<&ServerName>,
        after: Option<&BoardId>,
        limit: usize,
    ) -> (Vec<BoardView>, Option<BoardId>) {
        self.boards.page(server, after, limit)
    }

    fn load(&self, server: &ServerName) -> u64 {
        let sessions = self.servers.get(server).map_or(0, |server| attached(&server));
        self.boards.owned_by(server) as u64 + sessions
    }

    fn view<'a>(&'a self, board: &'a BoardId) -> FleetFuture<'a, Result<Option<BoardView>, RegistryError>> {
        Box::pin(self.boards.view(board))
    }

    fn sessions(&self, board: &BoardId) -> Vec<SessionView> {
        let board = self.boards.get(board);
        board.map(|board| board.session_views()).unwrap_or_default()
    }

    fn close_session(&self, session: &SessionId, code: CloseCode) -> bool {
        let session = self.boards.session(session);
        session.inspect(|session| session.dismiss(code)).is_some()
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

    fn outlook(&self, board: &BoardId, target: Option<&ServerName>, mode: DrainMode) -> Outlook {
        self.mover.outlook(board, target, mode)
    }

    fn move_board(&self, order: MoveOrder) -> FleetFuture<'static, MoveReport> {
        let mover = Arc::clone(&self.mover);
        Box::pin(async move { mover.move_board(order).await })
    }

    fn cool(&self, copies: Vec<(BoardId, ServerName)>) -> FleetFuture<'_, ()> {
        Box::pin(self.mover.cool(copies))
    }

    fn recent_moves(&self, limit: usize) -> Vec<MoveRecord> {
        self.mover.recent(limit)
    }

    fn refresh_gauges(&self, is_drained: &dyn Fn(&ServerName) -> bool) {
        self.mover.count_boards();
        for server in self.servers.all() {
            let (state, _) = state_of(&server);
            server.metrics().set_state(match is_drained(server.name()) {
                true => state.while_drained(),
                false => state,
            });
        }
    }

    fn cordon<'a>(&'a self, server: &'a ServerName, is_cordoned: bool) -> FleetFuture<'a, Result<bool, RegistryError>> {
        Box::pin(async move {
            let _naming = self.naming.lock().await;
            let Some(server) = self.servers.get(server) else {
                return Ok(false);
            };
            let memory = ServerMemory {
                cordoned: is_cordoned,
                dead: server.memory().dead.filter(|_| is_cordoned),
                ..server.memory()
            };
            self.registry.put_server(server.name(), memory.encode()).await?;
            server.remember(memory);
            let change = if is_cordoned { "cordoned" } else { "uncordoned" };
            info!(target: EVENT, event = "server", server = server.name().as_str(), change, "server cordoned or uncordoned");
            Ok(true)
        })
    }

    fn put_server<'a>(
        &'a self,
        server: &'a ServerName,
        request: ServerRequest,
    ) -> FleetFuture<'a, Result<bool, NamingError>> {
        Box::pin(self.name_server(server, request))
    }

    fn remove_server<'a>(&'a self, server: &'a ServerName) -> FleetFuture<'a, Result<(), NamingError>> {
        Box::pin(self.unname_server(server))
    }

    fn declare_dead<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> FleetFuture<'a, Result<Option<DeathReport>, RegistryError>> {
        Box::pin(async move {
            let _naming = self.naming.lock().await;
            let Some(server) = self.servers.get(server) else {
                return Ok(None);
            };
            let boards = self.boards.open(Some(server.name()));
            let sessions = boards.iter().map(|board| board.sessions).sum();
            let memory = ServerMemory {
                dead: Some(Dead {
                    incarnation: server.incarnation(),
                }),
                ..server.memory()
            };
            self.registry.put_server(server.name(), memory.encode()).await?;
            // What it had not saved nobody can know; with the contract the acknowledged part is in the database. What was not
            // answered is said again by clients that come back; those of the others count themselves as they cross.
            let unconfirmed_sessions = if server.has_contract() {
                boards.iter().map(|board| self.unanswered(&board.board)).sum()
            } else {
                self.mover.count_unconfirmed(sessions);
                sessions
            };
            server.remember(memory);
            warn!(target: EVENT, event = "server", server = server.name().as_str(), change = "dead", boards = boards.len(),
                sessions, "somebody says that the server's process is gone");
            Ok(Some(DeathReport {
                server: server.name().clone(),
                boards: boards.len() as u64,
                sessions,
                unconfirmed_sessions,
            }))
        })
    }

    fn direct_newcomers(&self, newcomers: Newcomers) {
        self.boards.placer().direct(newcomers);
    }
}

/// Says how a server is checked over TLS.
fn server_tls(config: &ServerTlsConfig) -> ServerTls {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    ServerTls {
        ca_file: config.ca_file.as_ref().map(path),
        server_name: config.server_name.as_deref().map(str::to_owned),
        client_certificate_file: config.client.as_ref().map(|files| path(&files.certificate)),
        client_key_file: config.client.as_ref().map(|files| path(&files.key)),
    }
}

/// Counts the sessions that the gateway carries to a server.
fn attached(server: &Server) -> u64 {
    u64::try_from(server.metrics().sessions.get()).unwrap_or_default()
}

/// Says whether a server takes boards, and why not.
fn state_of(server: &Server) -> (ServerState, Option<String>) {
    let status = server.status();
    let told = |state, reason: &str| (state, Some(reason.to_owned()));
    if server.is_dead() {
        return told(
            ServerState::Down,
            "somebody said that its process is gone; uncordon it once another has taken its place",
        );
    }
    match (status.was_asked, status.silent_since, status.verdict) {
        (false, _, _) => told(ServerState::Down, "it has not been asked yet"),
        (true, Some(since), _) => {
            let fault = status.fault.as_deref().unwrap_or("it has not answered");
            let reason = format!("{fault} (for {} s)", since.elapsed().as_secs());
            (ServerState::Down, Some(reason))
        }
        (true, None, Verdict::Down | Verdict::Unknown) => told(
            ServerState::Down,
            "it answers again, and has not yet done so often enough",
        ),
        (true, None, Verdict::Up | Verdict::Suspect) if server.is_cordoned() => told(ServerState::Cordoned, CORDONED),
        (true, None, Verdict::Up | Verdict::Suspect) if server.is_leaving() => told(
            ServerState::Cordoned,
            "the configuration names it no more, or otherwise; drain it, and reload the configuration then",
        ),
        (true, None, Verdict::Up | Verdict::Suspect) if !status.is_ready => told(
            ServerState::Cordoned,
            "it says itself that it is not ready to take boards",
        ),
        (true, None, Verdict::Up | Verdict::Suspect) => (ServerState::Ready, None),
    }
}
