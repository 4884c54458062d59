//! What the admin API tells about servers and about moves that have ended.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DrainMode, DrainStatus, Level};
use crate::id::{BoardId, DrainId, Incarnation, ReleaseName, ServerName};

/// `GET /v1/drains`: every drain that the gateway remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainList {
    /// By id.
    pub drains: Vec<DrainStatus>,
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
}

/// `GET /v1/servers`: every configured server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerList {
    /// In the order of the configuration.
    pub servers: Vec<ServerView>,
}

/// One board server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// Its name.
    pub name: ServerName,
    /// Where sessions and requests go.
    pub url: String,
    /// The version that it runs, as configured.
    pub release: ReleaseName,
    /// Whether it may be given boards.
    pub ready: bool,
    /// The process that runs, where the server tells it.
    pub incarnation: Option<Incarnation>,
    /// What the server was changed for Handover.
    pub level: Level,
    /// Open boards that it owns.
    pub boards: u64,
    /// Sessions that the gateway carries to it.
    pub sessions: u64,
    /// The running drain that empties it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainId>,
}
