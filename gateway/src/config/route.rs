//! A route: which requests are its, where they name their board, and what its sessions need to cross.

use std::sync::Arc;
use std::time::Duration;

use handover_protocol::BoardId;
pub use handover_protocol::admin::DrainMode as RouteMode;
use http::request::Parts;
use regex::bytes::Regex;

use super::board_source::{BoardIdFault, BoardSource};
use super::command::CommandTemplate;
use super::origins::Origins;
use super::settle_hook::SettleHook;

/// What the sessions of one kind of board need.
#[derive(Debug, Clone)]
pub struct Route {
    /// Unique among the routes; a label of metrics.
    pub name: Arc<str>,
    /// Where a request names its board.
    pub board: BoardSource,
    /// From which pages browsers may open sessions; left to the servers where absent.
    pub origins: Option<Origins>,
    /// How sessions cross.
    pub mode: RouteMode,
    /// Whether sessions may cross transparently between servers without the contract.
    pub opaque_transparent: bool,
    /// The code that tells a client to reconnect (RFC 6455 section 7.4).
    pub close_code: u16,
    /// The reason beside the code; at most 123 bytes (RFC 6455 section 5.5).
    pub close_reason: Arc<str>,
    /// A text message that tells a client to reconnect before the close does.
    pub command: Option<CommandTemplate>,
    /// From the text command to the close; newcomers wait meanwhile.
    pub grace: Duration,
    /// What is said again to a target.
    pub replay: Replay,
    /// What a target says that the client has heard already.
    pub greeting: Greeting,
    /// Opaque: how long a server takes to save a board after its last session left.
    pub settle: Duration,
    /// Opaque: asked instead of waiting `settle` out, which then bounds the asking.
    pub settle_hook: Option<SettleHook>,
    /// Opaque: this long without a frame from the source to anyone on the board counts as quiet.
    pub quiet: Duration,
    /// Opaque: longest wait for the quiet.
    pub quiet_max: Duration,
    /// Opaque: a message of the source that matches proves the quiet at once.
    pub quiet_pattern: Option<Regex>,
    /// Longest hold; at most 5 s.
    pub hold_timeout: Duration,
    /// Within a hold: longest wait for the end of a message under way.
    pub boundary_timeout: Duration,
    /// From a Close to the peer's own, after which the connection is cut.
    pub close_deadline: Duration,
    /// Longest time that one session takes to be attached to the target: dial, replay, answer.
    pub switch_timeout: Duration,
    /// Longest time that a target takes to load a board.
    pub prepare_timeout: Duration,
    /// Longest time that a source takes to handle and save what was sent; below `hold_timeout`.
    pub freeze_timeout: Duration,
    /// Longest time that a TCP connection to a server takes.
    pub dial_timeout: Duration,
    /// Within a hold: longest wait for the board's plain HTTP requests in flight; after it the move is aborted.
    pub request_timeout: Duration,
    /// Whether answers that stream are cut at a hold instead of waited for.
    pub cut_streams: bool,
    /// Bytes of a held session that are read beyond what the kernel keeps.
    pub hold_bytes: usize,
    /// Largest message, in bytes; more is 1009.
    pub message_bytes_max: u64,
    /// Bytes recorded of a session for its replay; a session that needs more reconnects.
    pub replay_bytes_max: usize,
    /// What becomes of sessions whose server dies.
    pub on_server_death: OnServerDeath,
    /// How often a move may tell the users of a board to reconnect.
    pub bounce: BounceBound,
}

impl Route {
    /// Makes a route that leaves everything but its board at the defaults.
    pub fn new(name: &str, board: BoardSource) -> Self {
        Self {
            name: name.into(),
            board,
            origins: None,
            mode: RouteMode::Auto,
            opaque_transparent: false,
            close_code: CLOSE_CODE,
            close_reason: CLOSE_REASON.into(),
            command: None,
            grace: CLOSE_DEADLINE,
            replay: Replay::None,
            greeting: Greeting { messages: 0 },
            settle: SETTLE,
            settle_hook: None,
            quiet: QUIET,
            quiet_max: QUIET_MAX,
            quiet_pattern: None,
            hold_timeout: HOLD_TIMEOUT,
            boundary_timeout: BOUNDARY_TIMEOUT,
            close_deadline: CLOSE_DEADLINE,
            switch_timeout: SWITCH_TIMEOUT,
            prepare_timeout: PREPARE_TIMEOUT,
            freeze_timeout: FREEZE_TIMEOUT,
            dial_timeout: DIAL_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            cut_streams: false,
            hold_bytes: HOLD_BYTES,
            message_bytes_max: MESSAGE_BYTES_MAX,
            replay_bytes_max: REPLAY_BYTES_MAX,
            on_server_death: OnServerDeath::Reconnect,
            bounce: BounceBound {
                limit: BOUNCE_LIMIT,
                count: BOUNCE_COUNT,
            },
        }
    }

    /// Returns the board that a request names; none where the request is another route's.
    ///
    /// The error stands for a request that is this route's and names no valid board.
    pub fn board_of(&self, parts: &Parts) -> Option<Result<BoardId, BoardIdFault>> {
        self.board.board_of(parts)
    }
}

/// What is said again to a target on a session's behalf, before its held messages.
#[derive(Debug, Clone)]
pub enum Replay {
    /// Nothing.
    None,
    /// The first client messages of the session.
    First {
        /// How many.
        count: u32,
        /// Each is sent when the one before has been answered, and the last must be answered too.
        await_answer: bool,
    },
    /// The client messages that match, in their order.
    Matching {
        /// Matched against the whole payload, text or binary.
        pattern: Regex,
        /// Each is sent when the one before has been answered, and the last must be answered too.
        await_answer: bool,
        /// Messages kept; a session with more reconnects.
        messages_max: u32,
    },
}

/// What a target says first to every newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Greeting {
    /// How many of the target's first messages are swallowed on a switch.
    pub messages: u32,
}

/// What becomes of sessions whose server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnServerDeath {
    /// Their clients are told to reconnect.
    Reconnect,
    /// Their sockets stay open, and they are attached to the server that takes the board; their clients send again by
    /// themselves what was not answered.
    Transparent,
}

/// How often moves may tell the users of a board to reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BounceBound {
    /// Within this; zero sets no bound.
    pub limit: Duration,
    /// So often.
    pub count: u32,
}

/// Service restart: every client library studied retries after it.
pub const CLOSE_CODE: u16 = 1012;

/// Shown in consoles and client logs; names nobody's internals.
pub const CLOSE_REASON: &str = "service restart";

/// A close frame carries 125 bytes, two of them the code (RFC 6455 section 5.5).
pub const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Most servers save within a second or two after the last user left.
pub const SETTLE: Duration = Duration::from_secs(2);

/// No answer was lost after this long a quiet, on six servers tried.
pub const QUIET: Duration = Duration::from_millis(250);

/// A board that is never quiet must not hold its users for longer.
pub const QUIET_MAX: Duration = Duration::from_secs(1);

/// Clients give up or reset after 5 to 10 s of silence.
pub const HOLD_TIMEOUT: Duration = Duration::from_secs(5);

/// Promised to every client: no setting goes beyond it.
pub const HOLD_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// A message of 16 MiB under way ends in this time on a usual line; leaves 3 s of the hold.
pub const BOUNDARY_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that lives answers a Close within a round trip.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// Some round trips and a replay; a session that needs longer must not hold up its board.
pub const SWITCH_TIMEOUT: Duration = Duration::from_secs(1);

/// Users notice nothing of a load, so only one that hangs must end.
pub const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);

/// Leaves 2 s of the hold for commit, activation and switch, or for the thaw.
pub const FREEZE_TIMEOUT: Duration = Duration::from_secs(3);

/// Beyond a lost SYN and its repetitions at 1 and 3 s a server is not there.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a plain request takes at most before its board is better left where it is.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Enough for the Pings and small messages of a hold; a thousand held sessions cost 64 MB at the very most.
pub const HOLD_BYTES: usize = 64 * 1024;

/// What servers' libraries take at most by default is 1 to 100 MiB; nothing here is kept, so it only bounds the wait
/// for a boundary.
pub const MESSAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A hello, a token and some subscriptions.
pub const REPLAY_BYTES_MAX: usize = 64 * 1024;

/// Subscriptions of one session; beyond that a replay would not end within the switch.
pub const REPLAY_MESSAGES_MAX: u32 = 64;

/// Long enough that a user who came back has settled, short enough for a second release soon after.
pub const BOUNCE_LIMIT: Duration = Duration::from_secs(30);

/// A second time within the limit is already felt as an outage.
pub const BOUNCE_COUNT: u32 = 1;

/// More often within an hour nobody would call a limit.
pub const BOUNCE_COUNT_MAX: u32 = 10;

/// A user who was told an hour ago may be told again.
pub const BOUNCE_LIMIT_MAX: Duration = Duration::from_hours(1);
