//! Moving one board, and the moves that ended of late.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DrainMode, Level};
use crate::generation::Generation;
use crate::id::{BoardId, ServerName, SessionId};

/// `POST /v1/boards/{id}/move`: move one board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveRequest {
    /// The target.
    pub to: ServerName,
    /// How sessions cross; can only narrow what the route allows.
    #[serde(default)]
    pub mode: DrainMode,
}

/// The end of one move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveReport {
    /// The board.
    pub board: BoardId,
    /// Who owns it now.
    pub server: Option<ServerName>,
    /// Under which generation.
    pub generation: Generation,
    /// `moved`, or why not: a stable slug.
    pub result: String,
    /// At which level.
    pub level: Level,
    /// Sessions that crossed with their socket open.
    pub switched: u64,
    /// Sessions that were told to reconnect.
    pub reconnected: u64,
    /// Those of them whose route allows a transparent crossing.
    #[serde(default)]
    pub fallen_back: u64,
    /// Sessions of which something could not be confirmed.
    pub unconfirmed: Vec<SessionId>,
    /// With `bounce_limit` and `move_interval`: after how many milliseconds the move may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl MoveReport {
    /// The result of a move that reached its target.
    pub const MOVED: &str = "moved";

    /// The result for a board whose route or order says that it is not moved: it is waited for until it is closed.
    pub const STAY: &str = "stay";

    /// The result for a board whose users were told to reconnect of late and would be told again: nobody was disturbed.
    pub const BOUNCE_LIMIT: &str = "bounce_limit";

    /// The result for a board that was moved of late: nobody was disturbed.
    pub const MOVE_INTERVAL: &str = "move_interval";

    /// The result for a board that had left the source which the order named: nothing was begun.
    pub const NOT_AT_SOURCE: &str = "not_at_source";

    /// Reads whether the move reached its target.
    pub fn is_moved(&self) -> bool {
        self.result == Self::MOVED
    }
}

/// `GET /v1/moves`: the moves that ended of late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MoveList {
    /// By their end, the latest last; bounded, the oldest are forgotten first.
    pub moves: Vec<MoveRecord>,
}

/// One move that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MoveRecord {
    /// The board.
    pub board: BoardId,
    /// The source.
    pub from: ServerName,
    /// The target.
    pub to: ServerName,
    /// `moved`, or why not: a stable slug.
    pub result: String,
    /// At which level.
    pub level: Level,
    /// How its sessions crossed, or were to cross.
    pub mode: DrainMode,
    /// When its sessions were held, in milliseconds since 1970; absent where it did not come to that.
    pub hold_at_ms: Option<f64>,
    /// When its sessions went on at the target, in milliseconds since 1970; absent where they did not.
    pub switched_at_ms: Option<f64>,
    /// How many sessions it had.
    pub sessions: u64,
    /// When it ended, in milliseconds since 1970.
    #[serde(default)]
    pub ended_at_ms: u64,
    /// The drain that wanted it; absent where somebody moved one board.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
}
