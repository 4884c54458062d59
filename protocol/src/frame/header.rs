//! What a frame's header says (RFC 6455 section 5.2).

use super::mask::MaskKey;

/// Which side sends the frames of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A client masks each of its frames.
    Client,
    /// A server masks none.
    Server,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message that is open.
    Continuation = 0x0,
    /// The first or only frame of a text message.
    Text = 0x1,
    /// The first or only frame of a binary message.
    Binary = 0x2,
    /// The sender's last frame.
    Close = 0x8,
    /// Asks for a Pong.
    Ping = 0x9,
    /// Answers a Ping, or comes unasked.
    Pong = 0xA,
}

/// A whole header that has been judged and found within the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub opcode: Opcode,
    /// The frame is the last of its message.
    pub fin: bool,
    /// The message that begins here is compressed (RFC 7692 section 6).
    pub rsv1: bool,
    /// The key of a client's frame.
    pub mask: Option<MaskKey>,
    /// Bytes of payload that follow.
    pub payload_len: u64,
    /// Bytes of the header itself, 2 to [`FrameHeader::BYTES_MAX`].
    pub header_len: u8,
}

impl Opcode {
    /// Reads the opcode out of a frame's first byte; the reserved ones are none.
    pub(super) fn of(first: u8) -> Option<Self> {
        match first & 0x0F {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Reads whether a frame's first byte says Close.
    pub(super) fn is_close(first: u8) -> bool {
        first & 0x0F == Self::Close as u8
    }

    /// Reads whether such frames may stand between the fragments of a message (RFC 6455 section 5.5).
    pub fn is_control(self) -> bool {
        match self {
            Self::Continuation | Self::Text | Self::Binary => false,
            Self::Close | Self::Ping | Self::Pong => true,
        }
    }
}

impl FrameHeader {
    /// Bytes of the longest header: two, a 64-bit length, a mask.
    pub const BYTES_MAX: usize = 14;

    /// Bytes of the longest payload of a control frame (RFC 6455 section 5.5).
    pub const CONTROL_BYTES_MAX: usize = 125;

    /// Bytes of the frame, header and payload.
    pub fn frame_len(&self) -> u64 {
        u64::from(self.header_len) + self.payload_len
    }
}
