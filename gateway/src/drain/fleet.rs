//! The boards and servers of the gateway, as drains and the admin API see them.

use std::pin::Pin;

use handover_protocol::admin::{BoardView, DrainMode, MoveRecord, MoveReport, ServerView};
use handover_protocol::{BoardId, ServerName};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::board::Newcomers;
use crate::registry::RegistryError;

/// What can be asked of the boards and servers, and done with them.
pub trait Fleet: Send + Sync + 'static {
    /// Lists every configured server; which drain empties it is filled in elsewhere.
    fn servers(&self) -> Vec<ServerView>;

    /// Reads whether a server may be given boards; false for one that is not configured.
    fn is_ready(&self, server: &ServerName) -> bool;

    /// Lists open boards by id, all or one owner's, as this gateway knows them at this moment.
    fn open(&self, server: Option<&ServerName>) -> Vec<BoardView>;

    /// Reads one board, from memory or else from the registry.
    fn view<'a>(&'a self, board: &'a BoardId) -> FleetFuture<'a, Result<Option<BoardView>, RegistryError>>;

    /// Takes in anew what these servers say is open. Ends within a control call's deadline; what a silent server was
    /// known to have stays.
    fn refresh<'a>(&'a self, servers: &'a [ServerName]) -> FleetFuture<'a, ()>;

    /// Moves a board in a task of its own; dropping the future leaves the move under way.
    fn move_board(&self, order: MoveOrder) -> FleetFuture<'static, MoveReport>;

    /// Lists the moves that ended of late, the latest last.
    fn recent_moves(&self) -> Vec<MoveRecord>;

    /// Says where boards without an owner go from now on.
    fn direct_newcomers(&self, newcomers: Newcomers);
}

/// What the fleet's slower answers come as.
pub type FleetFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The order to move one board.
#[derive(Debug)]
pub struct MoveOrder {
    /// The board.
    pub board: BoardId,
    /// Where it goes.
    pub target: ServerName,
    /// How sessions cross; can only narrow what the route allows.
    pub mode: DrainMode,
    /// Undoes the move, if it has not committed.
    pub cancel: CancellationToken,
    /// Told when the target has loaded the board.
    pub prepared: Option<oneshot::Sender<()>>,
}
