//! The control contract: what a board server implements so that its boards can be moved.
//!
//! JSON over HTTP at the server's control URL. Calls are idempotent by (board, generation, attempt); a lower attempt
//! is answered 409. Durations count from receipt. `contract.md` shows each call by example.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::generation::{Attempt, Generation, Revision};
use crate::id::{BoardId, Incarnation, ReleaseName, ServerName, SessionId};
use crate::placement::Owner;

/// `GET /handover/v1/server`: who answers, and whether it can take boards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerReport {
    /// The name under which the gateway's configuration knows the server.
    pub name: ServerName,
    /// Random per process start.
    pub incarnation: Incarnation,
    /// The version that runs.
    pub release: ReleaseName,
    /// What the server can do beyond the contract's core; unknown ones are ignored. Known: `transparent`.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Whether boards may be placed there now.
    pub ready: bool,
    /// How many boards the server owns and holds in memory.
    pub open_boards: u64,
}

/// `GET /handover/v1/boards?after=&limit=`: one page of what the server holds in memory, by board id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardPage {
    /// The process that answers.
    pub incarnation: Incarnation,
    /// At most `limit` boards whose ids sort (by bytes) behind `after`.
    pub boards: Vec<BoardReport>,
    /// The `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<BoardId>,
}

/// One board in a server's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardReport {
    /// The board.
    pub board: BoardId,
    /// The generation that the server holds it under; for a standby the source's.
    pub generation: Generation,
    /// What the server does with it.
    pub role: BoardRole,
    /// The last change that was saved.
    pub revision: Revision,
    /// How many sessions are attached.
    pub sessions: u64,
}

/// What a server does with a board in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoardRole {
    /// It serves the board.
    Owner,
    /// It has loaded the board and waits to be activated.
    Standby,
    /// It has saved the board and takes no more changes.
    Frozen,
}

/// `PUT /handover/v1/boards/{board}`: load the board as a standby while another server serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareRequest {
    /// The source's generation.
    pub generation: Generation,
    /// This try.
    pub attempt: Attempt,
}

/// The standby is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prepared {
    /// Up to which change it was loaded.
    pub revision: Revision,
}

/// `POST /handover/v1/boards/{board}/freeze`: handle what was passed on, save it, and take no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    /// The source's generation.
    pub generation: Generation,
    /// This try.
    pub attempt: Attempt,
    /// n for each session: how many WebSocket data messages the gateway has passed on to this server, replayed ones
    /// included, control frames not.
    pub sessions: BTreeMap<SessionId, u64>,
    /// How long the server stays frozen without word from the gateway, counted from receipt; then it thaws itself,
    /// but only after reading that the fence is still its own.
    pub deadline_ms: u64,
}

/// The source has handled and saved everything that it was told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Frozen {
    /// The last change that was saved.
    pub revision: Revision,
    /// m for each session: how many data messages the server has sent to it, in all of this connection.
    pub sent: BTreeMap<SessionId, u64>,
    /// Sessions of which fewer than n messages were handled, with how many were: they had gone, or messages were lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub short: BTreeMap<SessionId, u64>,
    /// Anything the target needs and the database does not have; handed to it untouched. At most 64 KiB as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub checkpoint: Option<serde_json::Value>,
}

/// `POST /handover/v1/boards/{board}/activate`: take the fence in the database and own the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateRequest {
    /// The new term's generation; the fence must be lower, or be this very server's already.
    pub generation: Generation,
    /// This try.
    pub attempt: Attempt,
    /// What the source had saved. The server reads to the end of the database: more is taken in and is an alarm, less
    /// is refused with `revision-missing`. Absent at a first placement and after a server's death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The sessions that will come; those that do not within a few seconds are announced to the others as gone.
    #[serde(default)]
    pub sessions: Vec<SessionId>,
    /// What the source gave in its answer to the freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub checkpoint: Option<serde_json::Value>,
}

/// The server owns the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Activated {
    /// Up to which change it was loaded.
    pub revision: Revision,
}

/// `POST /handover/v1/boards/{board}/thaw`: the move is off, take the board back. Closes the attempt: a freeze of it
/// that comes later is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ThawRequest {
    /// The source's generation.
    pub generation: Generation,
    /// The attempt that is closed, with all below it.
    pub attempt: Attempt,
    /// Sessions that have gone since the hold began: the others may be told.
    #[serde(default)]
    pub gone: Vec<SessionId>,
}

/// The source serves the board again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Thawed {
    /// The last change that was saved.
    pub revision: Revision,
}

/// The query of `DELETE /handover/v1/boards/{board}`: forget the standby or the frozen copy, never an active board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetQuery {
    /// The generation that the copy is held under.
    pub generation: Generation,
    /// The attempt that made the copy.
    pub attempt: Attempt,
}

/// The `type` of a problem that a board server answers with, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContractProblemType {
    /// The call's generation is below what the server or the database has seen; carries `fence`.
    StaleGeneration,
    /// The call's attempt is below what the server has seen, or was closed by a thaw.
    StaleAttempt,
    /// The server does not own the board under that generation.
    NotOwner,
    /// The server has no such board in memory.
    UnknownBoard,
    /// The board is not frozen.
    NotFrozen,
    /// The database ends before the revision that the source had saved.
    RevisionMissing,
    /// Try again later: too many loads at once, or the server is on its way out.
    Busy,
}

/// `application/problem+json` (RFC 9457) of a board server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContractProblem {
    /// What kind of refusal.
    #[serde(rename = "type")]
    pub kind: ContractProblemType,
    /// The HTTP status once more.
    pub status: u16,
    /// One line for people.
    pub title: String,
    /// What exactly, with values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// With `stale-generation`: the generation in the database's fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Generation>,
    /// With `stale-generation`: who holds the fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence_owner: Option<Owner>,
}

impl ContractProblemType {
    /// Every type, for documents and tests.
    pub const ALL: [Self; 7] = [
        Self::StaleGeneration,
        Self::StaleAttempt,
        Self::NotOwner,
        Self::UnknownBoard,
        Self::NotFrozen,
        Self::RevisionMissing,
        Self::Busy,
    ];

    /// Returns the HTTP status that goes with the type.
    pub const fn status(self) -> u16 {
        match self {
            Self::UnknownBoard => 404,
            Self::Busy => 503,
            Self::StaleGeneration | Self::StaleAttempt | Self::NotOwner | Self::NotFrozen | Self::RevisionMissing => {
                409
            }
        }
    }
}

/// Paths, headers and bounds that both sides of the contract share.
pub mod wire {
    /// Every path of the contract starts with this.
    pub const PREFIX: &str = "/handover/v1";
    /// To the server: the board that was decoded from the request, percent-encoded.
    pub const BOARD_HEADER: &str = "handover-board";
    /// To the server: the term under which the gateway believes that it owns the board.
    pub const GENERATION_HEADER: &str = "handover-generation";
    /// To the server: the session's id.
    pub const SESSION_HEADER: &str = "handover-session";
    /// To the target of a move: `server/session`, so that nobody is told of people who left or came.
    pub const FROM_HEADER: &str = "handover-from";
    /// In the server's 101: `transparent` or `reconnect`.
    pub const MODE_HEADER: &str = "handover-mode";
    /// In the server's 101: `first=<n>[;await]` or `none`.
    pub const REPLAY_HEADER: &str = "handover-replay";
    /// Largest `limit` of the board list.
    pub const BOARDS_PER_PAGE_MAX: u32 = 1000;
    /// Largest control body in either direction, in bytes.
    pub const CONTROL_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
}
