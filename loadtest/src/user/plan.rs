//! What a virtual user is told to do.

use std::time::Duration;

use handover_protocol::id::BoardId;

use crate::ledger::UserName;
use crate::wire::{ClientMessage, Draw, Hello};

use super::clock::Micros;
use super::endpoint::Endpoint;
use super::stroke::Stroke;

/// Who a user is, where it draws and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the gateway (or a server) is.
    pub endpoint: Endpoint,
    /// Where it draws.
    pub board: BoardId,
    /// Its place among the virtual users; decides what it draws.
    pub number: u64,
    /// Mean time between two changes.
    pub interval: Duration,
    /// What it does with unacknowledged changes when it comes back.
    pub resend: Resend,
    /// Bytes of filler in each change.
    pub pad_bytes: usize,
    /// Stands before the number in the names of this run's users.
    pub prefix: String,
    /// Whether it reads what comes.
    pub reader: Reader,
}

/// Whether a user reads what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// As it comes.
    Prompt,
    /// Not at all once the readers are to stop, with a small buffer in the kernel; it draws nothing itself.
    Stuck,
}

/// What a user does with unacknowledged changes when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// Nothing: each change is sent once, so that a lost one stays lost.
    Never,
    /// Sends again what was not acknowledged, and only that.
    Unacknowledged,
    /// As [`Resend::Unacknowledged`], also where a server greets it anew on an open socket; and it draws in turn, the next
    /// change once the one before is acknowledged, so that none overtakes one that has to be sent again.
    InTurn,
}

/// What all users are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// They connect.
    Gather,
    /// They draw; the plan of each counts from here.
    Draw {
        /// The start.
        since: Micros,
    },
    /// They draw on, and those who are to stop reading do.
    Jam {
        /// The start of the drawing.
        since: Micros,
    },
    /// They draw no more and wait for what is under way.
    Settle,
    /// They close and go home.
    Leave,
}

impl Stage {
    /// Returns since when users draw; nothing while they do not.
    pub fn drawing_since(self) -> Option<Micros> {
        match self {
            Self::Draw { since } | Self::Jam { since } => Some(since),
            Self::Gather | Self::Settle | Self::Leave => None,
        }
    }
}

impl Plan {
    /// Returns the user's name.
    pub fn user(&self) -> UserName {
        UserName::new(&format!("{}{}", self.prefix, self.number))
    }

    /// Returns the path and query of the user's WebSocket.
    pub(super) fn path(&self) -> String {
        format!("/boards/{}/ws?user={}", self.board.to_url_segment(), self.user())
    }

    /// Writes the first message of a connection.
    pub(super) fn hello(&self) -> String {
        let hello = Hello {
            user: self.user().to_string(),
        };
        serde_json::to_string(&ClientMessage::Hello(hello)).expect("names and numbers always serialize")
    }

    /// Writes the message of the change `seq`.
    pub(super) fn draw(&self, seq: u64) -> String {
        let stroke = Stroke::of(self.number, seq);
        let draw = Draw {
            seq,
            color: stroke.color.to_owned(),
            points: stroke.points,
            pad: (self.pad_bytes > 0).then(|| "x".repeat(self.pad_bytes)),
        };
        serde_json::to_string(&ClientMessage::Draw(draw)).expect("names and numbers always serialize")
    }
}

/// Reads whether some content is what the author of that name sent as change `seq`; of authors who are no virtual
/// users of the run nobody knows, so theirs is.
pub fn is_intact(prefix: &str, author: &str, seq: u64, color: &str, points: &[[f64; 2]]) -> bool {
    match author.strip_prefix(prefix).and_then(|number| number.parse().ok()) {
        Some(number) => Stroke::is_of(number, seq, color, points),
        None => true,
    }
}
