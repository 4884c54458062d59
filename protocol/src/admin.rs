//! The bodies of the admin API: drains, boards and moves. Later versions add fields and change none.

mod problem;
mod view;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use problem::{Problem, ProblemType};
pub use view::{DrainList, MoveList, MoveRecord, ServerList, ServerView};

use crate::generation::Generation;
use crate::id::{BoardId, DrainId, ReleaseName, ServerName, SessionId};

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

/// How fast a drain goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Moves begun per second, spread evenly; 0 sets no limit.
    #[schema(minimum = 0.0)]
    pub boards_per_second: f64,
    /// Moves under way at once.
    #[schema(minimum = 1)]
    pub boards_at_once: u32,
    /// Boards that one target loads at once.
    #[schema(minimum = 1)]
    pub loads_per_target: u32,
}

/// Says which part of a pace is out of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} has to be {allowed}")]
pub struct PaceFault {
    /// The part.
    pub field: &'static str,
    /// What it may be.
    pub allowed: &'static str,
}

impl Pace {
    /// Checks that every part is in its range.
    ///
    /// # Errors
    /// Names the first part that is not.
    pub fn check(&self) -> Result<(), PaceFault> {
        let fault = |field, allowed| Err(PaceFault { field, allowed });
        let rate = self.boards_per_second;
        // One board in a thousand seconds is a pause; more per second than this is no pace.
        if rate != 0.0 && !(0.001..=10_000.0).contains(&rate) {
            return fault("boards_per_second", "0 for no limit, or 0.001 to 10000");
        }
        if !(1..=1000).contains(&self.boards_at_once) {
            return fault("boards_at_once", "1 to 1000");
        }
        if !(1..=1000).contains(&self.loads_per_target) {
            return fault("loads_per_target", "1 to 1000");
        }
        Ok(())
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            boards_per_second: 50.0,
            boards_at_once: 32,
            loads_per_target: 16,
        }
    }
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

/// What a server was changed for Handover, and so what can be promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing; what the server had not saved in time is the server's risk.
    Opaque,
    /// It implements the control contract.
    Contract,
}

/// `GET /v1/boards?server=`: open boards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardList {
    /// By board id.
    pub boards: Vec<BoardView>,
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
    #[schema(value_type = Vec<String>)]
    pub unconfirmed: Vec<SessionId>,
    /// With `bounce_limit`: after how many milliseconds the move may be tried again.
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

    /// The result for a board that had left the source which the order named: nothing was begun.
    pub const NOT_AT_SOURCE: &str = "not_at_source";

    /// Reads whether the move reached its target.
    pub fn is_moved(&self) -> bool {
        self.result == Self::MOVED
    }
}
