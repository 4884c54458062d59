//! The boards and servers of the gateway, as drains and the admin API see them.

use std::pin::Pin;

use crate::board::Newcomers;
use crate::config::NamedFault;
use crate::mover::{MoveOrder, Outlook};
use crate::registry::RegistryError;
use handover_protocol::admin::{
    BoardView, DeathReport, DrainMode, MoveRecord, MoveReport, ServerRequest, ServerView, SessionView,
};
use handover_protocol::close::CloseCode;
use handover_protocol::machine::drain::TargetLoad;
use handover_protocol::{BoardId, ServerName, SessionId};

/// What can be asked of the boards and servers, and done with them.
pub trait Fleet: Send + Sync + 'static {
    /// Lists every configured server; which drain empties it is filled in elsewhere.
    fn servers(&self) -> Vec<ServerView>;

    /// Reads whether a server may be given boards; false for one that is not configured.
    fn is_ready(&self, server: &ServerName) -> bool;

    /// Returns what a server carries that is ready, full or not.
    fn target(&self, server: &ServerName) -> Option<TargetLoad>;

    /// Reads whether any server was ever ready to be given boards, also if none is any more.
    fn has_met_ready_server(&self) -> bool;

    /// Lists open boards by id, all or one owner's, as this gateway knows them at this moment.
    fn open(&self, server: Option<&ServerName>) -> Vec<BoardView>;

    /// Returns who owns a board, as this gateway knows it at this moment.
    fn owner(&self, board: &BoardId) -> Option<ServerName>;

    /// Reads whether a board that counts elsewhere, or nowhere yet, is on its way to a server.
    fn is_awaited_at(&self, server: &ServerName) -> bool;

    /// Lists the first `limit` of them behind `after`; where there are more, with the id behind which the next page begins.
    fn page(
        &self,
        server: Option<&ServerName>,
        after: Option<&BoardId>,
        limit: usize,
    ) -> (Vec<BoardView>, Option<BoardId>);

    /// Returns a server's boards and their sessions, added up; it walks nothing.
    fn load(&self, server: &ServerName) -> u64;

    /// Reads one board, from memory or else from the registry.
    fn view<'a>(&'a self, board: &'a BoardId) -> FleetFuture<'a, Result<Option<BoardView>, RegistryError>>;

    /// Lists who is on a board, the oldest first.
    fn sessions(&self, board: &BoardId) -> Vec<SessionView>;

    /// Has a session's client closed with this code; false where there is no such session.
    fn close_session(&self, session: &SessionId, code: CloseCode) -> bool;

    /// Takes in anew what these servers say is open. Ends within a control call's deadline; what a silent server was
    /// known to have stays.
    fn refresh<'a>(&'a self, servers: &'a [ServerName]) -> FleetFuture<'a, ()>;

    /// Says how a board would go if it were moved now; nobody is disturbed. `target` is none where none is ready.
    fn outlook(&self, board: &BoardId, target: Option<&ServerName>, mode: DrainMode) -> Outlook;

    /// Moves a board in a task of its own; dropping the future leaves the move under way.
    fn move_board(&self, order: MoveOrder) -> FleetFuture<'static, MoveReport>;

    /// Has servers drop the copies of boards that they have kept warm and do not own.
    fn cool(&self, copies: Vec<(BoardId, ServerName)>) -> FleetFuture<'_, ()>;

    /// Lists the moves that ended of late, at most `limit`, the latest last.
    fn recent_moves(&self, limit: usize) -> Vec<MoveRecord>;

    /// Brings the gauges of open boards and of servers' states up to this moment; `is_drained` says of which servers a
    /// drain takes the boards.
    fn refresh_gauges(&self, is_drained: &dyn Fn(&ServerName) -> bool);

    /// Closes a server to new boards, or opens it again, also to those that somebody had said to be dead. False for one
    /// that is not known.
    fn cordon<'a>(&'a self, server: &'a ServerName, is_cordoned: bool) -> FleetFuture<'a, Result<bool, RegistryError>>;

    /// Names a server, or changes how it is named; returns whether it is new. Safe to repeat.
    fn put_server<'a>(
        &'a self,
        server: &'a ServerName,
        request: ServerRequest,
    ) -> FleetFuture<'a, Result<bool, NamingError>>;

    /// Names a server no more, and forgets what was said of it.
    fn remove_server<'a>(&'a self, server: &'a ServerName) -> FleetFuture<'a, Result<(), NamingError>>;

    /// Notes that a server's process is gone: its boards go to others. Nothing for one that is not known.
    fn declare_dead<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> FleetFuture<'a, Result<Option<DeathReport>, RegistryError>>;

    /// Says where boards without an owner go from now on.
    fn direct_newcomers(&self, newcomers: Newcomers);
}

/// Says why a server's naming stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NamingError {
    /// The request is at fault.
    #[error("{} {}", .0.field, .0.problem)]
    Fault(#[from] NamedFault),
    /// It stands in the configuration file, which is the place to change it.
    #[error("server {0} stands in the configuration file; change it there")]
    Configured(ServerName),
    /// Boards, sessions or moves need it as it is.
    #[error("server {0} owns boards, carries sessions or takes part in a move; drain it first")]
    InUse(ServerName),
    /// Nobody has named it.
    #[error("no server is named {0}; GET /v1/servers lists all")]
    Unknown(ServerName),
    /// It could not be kept; nothing was changed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// What a server's view says of one that somebody has cordoned.
pub const CORDONED: &str = "an operator has closed it to new boards";

/// What the fleet's slower answers come as.
pub type FleetFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
