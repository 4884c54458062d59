//! Bounds that hold for the whole gateway. Each has a metric for biting; those of a route stand with the route.

use std::time::Duration;

/// Bounds that hold for the whole gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at once; one more gets 503.
    pub sessions_max: usize,
    /// Accepted connections at once, sessions included; one more waits in the listener's backlog.
    pub connections_max: usize,
    /// Connections and requests that wait for boards under way; one more gets 503.
    pub parked_max: usize,
    /// Bytes of a request's head; more is 431.
    pub head_bytes_max: usize,
    /// Header lines of a request; more is 431.
    pub header_count_max: usize,
    /// Bytes of a request's target; more is 414.
    pub target_bytes_max: usize,
    /// Bytes that a client sends behind its handshake before the 101; more ends the connection.
    pub early_bytes_max: usize,
    /// Frames of one message; more ends the session by 1008.
    pub message_fragments_max: u32,
    /// Control frames of a client in a second, on average over a minute at most; more ends the session by 1008.
    pub control_frames_per_second_max: u32,
    /// From the first byte, or the last answer's end, to the end of a head.
    pub head_timeout: Duration,
    /// From an accepted connection to the end of its TLS handshake.
    pub tls_handshake_timeout: Duration,
    /// How long a connection without a request stays.
    pub idle_timeout: Duration,
    /// From a dialled upstream to its 101, or to the head of its answer to a handshake.
    pub upgrade_timeout: Duration,
    /// From the last byte of a plain request that a server was sent to the head of its answer; later is 504.
    pub answer_timeout: Duration,
    /// How long a session may take none of what waits for it before it gets 1013.
    pub stall_timeout: Duration,
    /// From the first byte of a client's message to its last, with a second more for each 16 KiB of it; later ends the
    /// session by 1008.
    pub message_timeout: Duration,
    /// From a control call to its whole answer, where the call has no deadline of its own.
    pub control_call_timeout: Duration,
    /// How often each server's list of open boards is read.
    pub boards_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: SESSIONS_MAX,
            connections_max: CONNECTIONS_MAX,
            parked_max: PARKED_MAX,
            head_bytes_max: HEAD_BYTES_MAX,
            header_count_max: HEADER_COUNT_MAX,
            target_bytes_max: TARGET_BYTES_MAX,
            early_bytes_max: EARLY_BYTES_MAX,
            message_fragments_max: MESSAGE_FRAGMENTS_MAX,
            control_frames_per_second_max: CONTROL_FRAMES_PER_SECOND_MAX,
            head_timeout: HEAD_TIMEOUT,
            tls_handshake_timeout: TLS_HANDSHAKE_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            upgrade_timeout: UPGRADE_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
            stall_timeout: STALL_TIMEOUT,
            message_timeout: MESSAGE_TIMEOUT,
            control_call_timeout: CONTROL_CALL_TIMEOUT,
            boards_interval: BOARDS_INTERVAL,
        }
    }
}

/// About what 1 GB carries: a session's two sockets cost the kernel some 9 KB and this process under 2 KB.
pub const SESSIONS_MAX: usize = 100_000;

/// Sessions, with a tenth on top for handshakes and plain requests.
pub const CONNECTIONS_MAX: usize = 110_000;

/// A parked connection lives at most as long as a hold; this many is a whole fleet coming back to boards under way.
pub const PARKED_MAX: usize = 20_000;

/// What the usual proxies take; cookies and tokens fit, floods do not.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What hyper and the usual proxies take.
pub const HEADER_COUNT_MAX: usize = 100;

/// Browsers and proxies are safe up to here.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// A correct client sends nothing before the 101 (RFC 6455 section 4.1); an eager one sends its hello.
pub const EARLY_BYTES_MAX: usize = 16 * 1024;

/// 16 MiB in fragments of 1 KiB pass, a million empty ones do not.
pub const MESSAGE_FRAGMENTS_MAX: u32 = 16 * 1024;

/// Clients ping every few seconds, those that measure at each frame of a screen, 60 a second.
pub const CONTROL_FRAMES_PER_SECOND_MAX: u32 = 100;

/// A head fits into a packet or a few; whoever needs longer holds the socket on purpose.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Two round trips and a signature; whoever needs longer holds the socket on purpose.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than browsers pause between the requests of a page, shorter than most balancers keep a connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that cannot answer a handshake in this time keeps its user waiting as long as a failed one.
pub const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);

/// What other proxies give a server for its answer; requests that poll are mostly answered within half of it.
pub const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// A client that takes nothing for this long is gone or asleep, and its board must not wait for it.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages are written in one go; whoever needs this long for the first 16 KiB keeps a board from moving.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_mins(1);

/// Below the hold's 5 s, so that a call that hangs during a hold leaves time for the abort.
pub const CONTROL_CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// The open boards of a server are known this exactly.
pub const BOARDS_INTERVAL: Duration = Duration::from_secs(5);
