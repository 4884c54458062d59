//! One client connection as the client sees it: a task that owns both sockets, and the handle by which a move reaches it.
//!
//! [`handle`] is what others hold, [`task`] the driver of [`handover_protocol::machine::session`], [`attach`] the way
//! to a target.

mod account;
mod attach;
mod carry;
mod fallback;
mod flood;
mod handle;
mod journal;
mod moving;
mod order;
mod orphan;
mod progress;
mod quiet_sign;
mod silence;
mod stall;
mod task;
mod timing;
mod unfinished;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handover_protocol::SessionId;
use tokio::sync::OwnedSemaphorePermit;

pub use handle::{Arrival, SessionHandle, clock_ms};
pub use journal::Journal;
pub use order::{Answer, HoldKind, Order, Question};
pub use quiet_sign::QuietSign;
pub use task::start;

use crate::board::Admission;
use crate::config::Route;
use crate::telemetry::Metrics;
use crate::tls::Wire;
use crate::upstream::{Agreement, Handshake, Terms};

/// What the edge hands over when a handshake has succeeded.
pub struct Setup<C> {
    /// The session's place on its board.
    pub admission: Admission,
    /// The route that the session came by.
    pub route: Arc<Route>,
    /// The client's handshake, kept only if the session may cross transparently.
    pub handshake: Option<Handshake>,
    /// What the client was told of subprotocol and extensions.
    pub agreement: Agreement,
    /// The owner's socket, with what came behind its 101.
    pub upstream: (Wire, Bytes),
    /// The client's socket once the 101 is written, with what came behind the handshake.
    pub client: C,
    /// What the server said of carrying the session over.
    pub terms: Terms,
    /// What the session counts against, until it ends.
    pub seats: Seats,
    /// What the access log says of it; none where it says nothing.
    pub journal: Option<Box<Journal>>,
    /// Where the session is counted.
    pub metrics: Arc<Metrics>,
    /// Frames that one message may have.
    pub fragments_max: u32,
    /// How long the client may take none of what waits for it.
    pub stall_timeout: Duration,
    /// Control frames that the client may send in a second.
    pub control_frames_max: u32,
    /// How long one of its messages may take.
    pub message_timeout: Duration,
}

/// What a session counts against while it lives.
#[derive(Debug)]
pub struct Seats {
    /// Of the listener's connections.
    pub connection: Option<OwnedSemaphorePermit>,
    /// Of the gateway's sessions.
    pub session: OwnedSemaphorePermit,
}

/// Draws a session's id.
pub fn new_id() -> SessionId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness once it serves sockets");
    format!("{:032x}", u128::from_le_bytes(bytes))
        .parse()
        .expect("hexadecimal digits are a session's id")
}
