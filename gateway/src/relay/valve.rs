//! How far the bytes of one direction may pass, and so how many are to be read.

use handover_protocol::frame::Limits;

use super::buffer::BUFFER_BYTES;
use super::direction::Direction;

/// How far bytes may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Valve {
    /// All of them.
    Open,
    /// Up to the header of a Close.
    BeforeClose,
    /// Up to the header of a Close, or of the Pong that bears this nonce.
    BeforePong([u8; 8]),
    /// To the end of the message under way; nothing more is read than that takes.
    ToBoundary,
    /// Until the receiver has so many messages of this stream in all.
    ToCount(u64),
    /// None; up to `read_max` bytes are read and wait.
    Shut {
        /// Bytes that may wait.
        read_max: usize,
    },
    /// None; what comes is read and dropped.
    Discard,
}

impl Direction {
    /// Reads whether what comes may go straight on.
    pub(super) fn flows_freely(&self) -> bool {
        self.valve == Valve::Open && self.waiting.is_empty() && self.ours.is_empty()
    }

    /// Counts the bytes that are to be read now.
    pub(super) fn wanted(&self) -> usize {
        if self.is_over {
            return 0;
        }
        let room = |most: usize| most.saturating_sub(self.waiting.len()).min(BUFFER_BYTES);
        match self.valve {
            // The start of a header may wait for its end; all else that waits is back-pressure on the sender.
            Valve::BeforeClose if self.seen.is_closed() => room(self.waiting.len() + CLOSED_BYTES_MAX),
            // The receiver is gone: what is said to it counts still, and a Close stands behind it.
            Valve::BeforeClose if self.is_finished() => room(COUNT_BYTES_MAX),
            Valve::Open | Valve::BeforeClose => {
                if self.waiting.len() > self.seen.header_bytes_pending() || self.is_saying() {
                    0
                } else {
                    BUFFER_BYTES
                }
            }
            Valve::ToBoundary => {
                if self.seen.at_message_boundary() || self.waiting.len() > self.seen.header_bytes_pending() {
                    0
                } else {
                    usize::try_from(self.seen.bytes_wanted()).map_or(BUFFER_BYTES, |wanted| wanted.min(BUFFER_BYTES))
                }
            }
            Valve::ToCount(count) if self.seen.messages() >= count => 0,
            Valve::ToCount(_) | Valve::BeforePong(_) => room(COUNT_BYTES_MAX),
            Valve::Shut { read_max } => room(read_max),
            Valve::Discard => BUFFER_BYTES,
        }
    }

    /// Counts the waiting bytes that may pass now.
    pub(super) fn passable(&self, limits: &Limits) -> usize {
        let whole = self.waiting.len() - self.seen.header_bytes_pending().min(self.waiting.len());
        let allowed = match self.valve {
            Valve::Open => whole,
            Valve::ToBoundary => whole,
            Valve::BeforeClose => {
                let mut scanner = self.sent;
                scanner
                    .to_close(limits, &self.waiting[..whole])
                    .map_or(0, |(length, _)| length)
            }
            Valve::BeforePong(nonce) => self.before_pong(limits, &nonce).min(whole),
            Valve::ToCount(count) => {
                let mut scanner = self.sent;
                scanner
                    .to_message_count(limits, count, &self.waiting[..whole])
                    .unwrap_or(0)
            }
            Valve::Shut { .. } | Valve::Discard => 0,
        };
        if self.ours.is_empty() {
            return allowed;
        }
        // A frame of ours stands next: only what completes the frame under way goes before it.
        let mut scanner = self.sent;
        let mut length = 0;
        while !self.ours.may_stand_at(&scanner) && length < allowed {
            match scanner.advance(limits, &self.waiting[length..allowed]) {
                Ok(advance) => {
                    length += advance.consumed;
                    if advance.event.is_none() {
                        break;
                    }
                }
                Err(_) => return 0,
            }
        }
        length
    }
}

/// Behind a Close only the end of the stream is awaited.
const CLOSED_BYTES_MAX: usize = 1024;

/// Bytes of a source's last messages that may wait for a client that is slow to take them, or has gone.
const COUNT_BYTES_MAX: usize = 256 * 1024;
