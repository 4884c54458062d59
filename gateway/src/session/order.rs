//! What a move asks of a session, and what it is answered.

use std::sync::Arc;

use handover_protocol::close::CloseCode;
use handover_protocol::{Generation, ServerName};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::quiet_sign::QuietSign;
use crate::telemetry::label::Fallback;
use crate::upstream::Server;

/// What a session is told to do.
#[derive(Debug)]
pub enum Order {
    /// Do this and answer; a dropped answer means that the session has ended.
    Ask(Question, oneshot::Sender<Answer>),
    /// Go on, with whoever the session is attached to.
    Resume,
    /// Tell the client by a close frame to reconnect.
    Cut,
    /// Close the client's connection with this code: an operator wants it gone.
    Dismiss(CloseCode),
}

/// What a session is asked for.
#[derive(Debug)]
pub enum Question {
    /// Tell the client by a message to reconnect, and answer once it has left.
    Tell {
        /// The message.
        text: String,
    },
    /// Stop at the end of the message under way.
    Hold(HoldKind),
    /// Take what the source said, up to this count of its data messages on this connection.
    Drain {
        /// m of the freeze.
        sent: u64,
    },
    /// Have an opaque source's WebSocket layer confirm that it read everything.
    Confirm {
        /// After which it counts as unconfirmed.
        by: Instant,
        /// What to look for behind the confirmation.
        sign: Option<Arc<QuietSign>>,
    },
    /// End an opaque source's stream and take what it still says.
    CloseSource,
    /// Attach to the target.
    Switch {
        /// Where to.
        target: Arc<Server>,
        /// Under which term.
        generation: Generation,
        /// Who served the session until now.
        from: ServerName,
    },
    /// Attach to the server that has the board now: the session's own is gone.
    TakeOver {
        /// Where to.
        target: Arc<Server>,
        /// Under which term.
        generation: Generation,
    },
}

/// Whether the client's bytes are read during a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldKind {
    /// Up to the route's bound: they will be passed on by this very session.
    Reading,
    /// Not at all: the client will say again elsewhere what was not taken.
    Leaving,
}

/// What a session answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Done; else the session leaves the barrier.
    pub is_done: bool,
    /// n: data messages that the current upstream's kernel took, replayed ones included.
    pub passed: u64,
    /// Why not, where it was not done.
    pub fallback: Option<Fallback>,
}
