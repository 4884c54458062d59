//! What the admin API tells of boards and of the sessions on them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::generation::Generation;
use crate::id::{BoardId, ServerName, SessionId};

/// `GET /v1/boards?server=&limit=&after=`: open boards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardList {
    /// By board id.
    pub boards: Vec<BoardView>,
    /// Where there are more than `limit`: give it as `after` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<BoardId>,
}

/// `GET /v1/boards/{id}`: one board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardView {
    /// The board.
    pub board: BoardId,
    /// Its owner; absent while nobody owns it.
    pub server: Option<ServerName>,
    /// The newest term that was granted.
    pub generation: Generation,
    /// What is happening to it.
    pub state: BoardState,
    /// How many sessions the gateway carries for it.
    pub sessions: u64,
}

/// What is happening to a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoardState {
    /// Nobody owns it.
    Vacant,
    /// Its owner serves it.
    Settled,
    /// It is being moved; the source still owns it.
    Moving,
    /// Its new owner has been granted the board and is taking it.
    Activating,
}

/// `GET /v1/boards/{id}/sessions`: who is on a board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionList {
    /// By their opening, the oldest first.
    pub sessions: Vec<SessionView>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// The session.
    pub session: SessionId,
    /// Its board.
    pub board: BoardId,
    /// The server that it is attached to.
    pub server: ServerName,
    /// The route that it came by.
    pub route: String,
    /// Where its client comes from, as far as the gateway knows.
    pub client: String,
    /// When it was opened, in milliseconds since 1970.
    pub opened_at_ms: u64,
    /// Whether its socket can stay open in a move.
    pub transparent: bool,
    /// How often it was switched to another server.
    pub switches: u32,
}
