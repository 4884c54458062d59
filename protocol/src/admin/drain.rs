//! What a drain is asked for, and what is told of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Level, MoveReport, Pace, PaceRequest, ServerSet};
use crate::id::{BoardId, DrainId, ServerName};

/// `POST /v1/drains`: move every board off some servers. What is left out goes by `[drain]` of the gateway's configuration
/// as it is when the drain begins.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<DrainMode>,
    /// How fast.
    #[serde(default)]
    pub pace: PaceRequest,
    /// How long it may take, in seconds, from its start and without the time that it was paused; 0: as long as it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 604800)]
    pub deadline_seconds: Option<u64>,
    /// What happens when the deadline has passed with boards left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_deadline: Option<OnDeadline>,
    /// What happens when a target stops being ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_target_down: Option<OnTargetDown>,
    /// For how long the sources keep what they had, so that an undo is quick; 0: they drop it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 86400)]
    pub undo_window_seconds: Option<u64>,
    /// What the caller notes with it: a ticket, a commit, who started it. Given back as it was, at most 16 pairs of
    /// 64 and 256 bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl DrainRequest {
    /// Asks for a drain with everything else left out.
    pub fn new(from: ServerSet, to: ServerSet) -> Self {
        Self {
            id: None,
            from,
            to,
            mode: None,
            pace: PaceRequest::default(),
            deadline_seconds: None,
            on_deadline: None,
            on_target_down: None,
            undo_window_seconds: None,
            labels: BTreeMap::new(),
        }
    }
}

/// What a drain does when its deadline has passed with boards left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadline {
    /// It begins no more moves, lets those under way end, and ends as `failed`; what is left stays on the sources.
    #[default]
    Stop,
    /// It pauses and waits for an operator.
    Pause,
    /// It goes on without a pace, and by reconnect where a board could not be moved otherwise.
    Hurry,
    /// It goes on as before; `deadline_passed` tells.
    Continue,
}

/// What a drain does when a target stops being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTargetDown {
    /// It pauses before the next board: a new release that falls over should not be given more.
    #[default]
    Pause,
    /// It goes on with the targets that are left, and waits while there is none.
    Continue,
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

impl DrainMode {
    /// Returns it as the API writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Reconnect => "reconnect",
            Self::Transparent => "transparent",
            Self::Stay => "stay",
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
    /// Whether it has ended, in whatever way.
    #[serde(default)]
    pub done: bool,
    /// One line for people: how far it is, and what it waits for.
    #[serde(default)]
    pub progress: String,
    /// When it was accepted, in milliseconds since 1970.
    #[serde(default)]
    pub started_at_ms: u64,
    /// When it ended, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    /// How many seconds it still needs at its rate; absent while that cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<f64>,
    /// The moves per second and at once that it allows itself now: less than asked for where targets slow down or fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace_now: Option<Pace>,
    /// Whether its deadline has passed with boards left.
    #[serde(default)]
    pub deadline_passed: bool,
    /// Why it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<PausedBy>,
    /// What keeps it from going on now, the weightiest first; empty while it goes on.
    #[serde(default)]
    pub waits_for: Vec<Hindrance>,
    /// Boards that failed, wait or were given up, with their last reason; at most 20, those given up first.
    #[serde(default)]
    pub troubled: Vec<TroubledBoard>,
    /// Until when an undo finds the sources warm, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_until_ms: Option<u64>,
    /// The boards that an undo has brought back so far.
    #[serde(default)]
    pub undone: u64,
    /// The request as it was accepted, with everything in it that it left out.
    pub request: DrainRequest,
}

/// Why a drain is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// Somebody asked for it.
    Operator,
    /// Its deadline has passed and `on_deadline` says `pause`.
    Deadline,
    /// A target stopped being ready and `on_target_down` says `pause`.
    TargetDown,
}

/// What keeps a drain from going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hindrance {
    /// A stable slug.
    pub reason: String,
    /// What exactly, and what can be done.
    pub detail: String,
    /// How many boards wait for it.
    pub boards: u64,
}

/// A board that a drain could not move so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TroubledBoard {
    /// The board.
    pub board: BoardId,
    /// Where it is.
    pub server: ServerName,
    /// Its sessions when it was last counted.
    pub sessions: u64,
    /// The slug of its last failure.
    pub reason: String,
    /// Moves begun so far.
    pub tries: u32,
    /// In how many seconds it is tried again; absent where it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_seconds: Option<f64>,
}

/// `POST /v1/plans`: what a drain would do, without doing it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainPreview {
    /// Whether a drain with this request would be accepted now.
    pub acceptable: bool,
    /// What would be refused, or would keep it from its end.
    pub problems: Vec<Hindrance>,
    /// The servers that would be emptied.
    pub sources: Vec<ServerName>,
    /// The servers that would be filled.
    pub targets: Vec<ServerName>,
    /// How many boards would go, by how.
    pub totals: PreviewTotals,
    /// How many seconds it would take at its pace and with the load times seen so far.
    pub estimate_seconds: f64,
    /// Every board in the order that it would be moved, at most 1000.
    pub boards: Vec<PlannedBoard>,
    /// Whether there are more boards than are listed.
    pub truncated: bool,
    /// Where the drain stands that the same request has started already: nothing would be started, and no board is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_already: Option<DrainState>,
}

/// The boards of a drain that was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PreviewTotals {
    /// Boards that are open on the sources.
    pub boards: u64,
    /// Their sessions.
    pub sessions: u64,
    /// Boards whose sockets would stay open.
    pub transparent: u64,
    /// Boards whose sessions would be told to reconnect.
    pub reconnect: u64,
    /// Boards that would be waited for.
    pub stay: u64,
}

/// One board of a drain that was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedBoard {
    /// The board.
    pub board: BoardId,
    /// Its owner.
    pub from: ServerName,
    /// Where it would go; absent while no target is ready.
    pub to: Option<ServerName>,
    /// Its sessions.
    pub sessions: u64,
    /// How they would cross.
    pub mode: DrainMode,
    /// At which level.
    pub level: Level,
    /// What stands in its way now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<Hindrance>,
}

/// One event of `GET /v1/drains/{id}/events`, in its `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum DrainEvent {
    /// The drain's state changed, or it began.
    State {
        /// How far it is.
        status: Box<DrainStatus>,
    },
    /// How far it is, at most once a second while that changes.
    Progress {
        /// How far it is.
        status: Box<DrainStatus>,
    },
    /// A move of the drain has ended.
    Move {
        /// Where the board was.
        from: ServerName,
        /// Where it was to go.
        to: ServerName,
        /// How it ended.
        report: MoveReport,
    },
}

/// Where a drain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrainState {
    /// Boards are being moved.
    Running,
    /// No move is begun until it is resumed; moves under way end as they would.
    Paused,
    /// Nothing is left on the sources.
    Done,
    /// It gave up with boards left; `failures` says why.
    Failed,
    /// It was aborted; moves that had not committed were undone.
    Aborted,
    /// The boards that it moved are being moved back.
    Undoing,
    /// The boards that it moved are back: `undone` of `boards.moved`.
    Undone,
}

impl DrainState {
    /// Reads whether nothing more will happen by itself.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Undoing => false,
            Self::Done | Self::Failed | Self::Aborted | Self::Undone => true,
        }
    }
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
    /// Boards of `moved` that came to another server without this drain: theirs died, or somebody else moved them.
    #[serde(default)]
    pub taken_over: u64,
    /// Boards of `left` that were moved, or whose users were told to reconnect, of late: they wait for board_move_interval or bounce_limit.
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
