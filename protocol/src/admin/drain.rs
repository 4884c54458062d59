//! What a drain is asked for, and what is told of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Level, Pace};
use crate::id::{DrainId, ReleaseName, ServerName};

/// `POST /v1/drains`: move every board off some servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// The caller's own name for the drain; makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DrainId>,
    /// Where boards leave.
    pub from: ServerSet,
    /// Where they go.
    pub to: ServerSet,
    /// How sessions cross; can only narrow what each route allows.
    #[serde(default)]
    pub mode: DrainMode,
    /// How fast.
    #[serde(default)]
    pub pace: Pace,
}

/// Some servers by name, or all of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerSet {
    /// These servers.
    Servers(Vec<ServerName>),
    /// Every configured server that runs this release.
    Release(ReleaseName),
}

/// How sessions cross, as a drain or a route asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrainMode {
    /// Transparently where allowed, else by reconnect.
    #[default]
    Auto,
    /// Every session is told to reconnect.
    Reconnect,
    /// The socket stays open; a session that cannot cross so falls back to reconnect and is counted.
    Transparent,
    /// Boards are not moved; the drain waits until they are closed.
    Stay,
}

/// `GET /v1/drains/{id}`: how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainStatus {
    /// The drain.
    pub id: DrainId,
    /// Where it stands.
    pub state: DrainState,
    /// How many boards.
    pub boards: DrainCounts,
    /// Boards moved per second over the last ten seconds.
    pub rate: f64,
    /// Why moves failed, the most frequent reason first.
    pub failures: Vec<FailureCount>,
    /// How many boards were moved at each level.
    pub levels: Vec<LevelCount>,
    /// Sessions of which something could not be confirmed.
    pub unconfirmed_sessions: u64,
    /// Sessions that were told to reconnect although their route allows a transparent crossing.
    pub fallen_back_sessions: u64,
    /// The request as it was accepted.
    pub request: DrainRequest,
}

/// Where a drain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrainState {
    /// Boards are being moved.
    Running,
    /// Nothing is left on the sources.
    Done,
    /// It gave up with boards left; `failures` says why.
    Failed,
    /// It was aborted; moves that had not committed were undone.
    Aborted,
}

/// The boards of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DrainCounts {
    /// Boards found so far.
    pub total: u64,
    /// Boards that another server owns now.
    pub moved: u64,
    /// Moves that ended where they began; such a board is tried again while tries are left.
    pub failed: u64,
    /// Boards still on the sources.
    pub left: u64,
    /// Boards that were closed before they were moved: `total` is `moved`, `left` and `closed`.
    #[serde(default)]
    pub closed: u64,
    /// Boards of `left` whose move is under way.
    #[serde(default)]
    pub moving: u64,
    /// Boards of `left` whose users were told to reconnect of late: they wait until the bounce limit has passed.
    #[serde(default)]
    pub put_off: u64,
}

/// How often a move failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureCount {
    /// A stable slug.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// How many boards were moved at a level of integration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LevelCount {
    /// The level.
    pub level: Level,
    /// How many boards.
    pub count: u64,
}

/// `GET /v1/drains`: every drain that the gateway remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainList {
    /// By id.
    pub drains: Vec<DrainStatus>,
}
