//! Frames of the gateway's own that are put into a stream: between which frames they may stand, and what comes behind them.

use bytes::{Buf, BytesMut};
use handover_protocol::frame::Scanner;

/// What the gateway has to say to the receiver, and where.
#[derive(Debug)]
pub(super) struct Ours {
    frames: BytesMut,
    place: Place,
}

/// Where the frames may stand, and what comes behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Between any two frames: they are control frames.
    Frames,
    /// Between two messages: they are a message.
    Messages,
    /// Between any two frames, and nothing of the sender's passes behind them: they end with a Close.
    End,
}

impl Ours {
    /// Has nothing to say.
    pub(super) fn new() -> Self {
        Self {
            frames: BytesMut::new(),
            place: Place::Frames,
        }
    }

    /// Adds control frames, where the frames before them stand.
    pub(super) fn add(&mut self, frames: &[u8]) {
        self.frames.extend_from_slice(frames);
    }

    /// Adds frames that decide where all of them stand.
    pub(super) fn add_at(&mut self, place: Place, frames: &[u8]) {
        self.add(frames);
        self.place = place;
    }

    /// Reads whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Reads whether nothing passes behind these frames.
    pub(super) fn is_end(&self) -> bool {
        self.place == Place::End
    }

    /// Reads whether the frames may stand where `scanner` has the stream.
    pub(super) fn may_stand_at(&self, scanner: &Scanner) -> bool {
        match self.place {
            Place::Frames | Place::End => scanner.at_frame_boundary(),
            Place::Messages => scanner.at_message_boundary(),
        }
    }

    /// Returns what is still to be written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.frames
    }

    /// Notes that the receiver took so many bytes.
    pub(super) fn advance(&mut self, length: usize) {
        self.frames.advance(length);
    }

    /// Drops what is to be said; where it would have stood stays as it is.
    pub(super) fn clear(&mut self) {
        self.frames = BytesMut::new();
    }
}
