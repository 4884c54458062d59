//! Judges a header: the rules of RFC 6455 section 5 and the limits, before a byte of payload counts as passed.

use super::header::{FrameHeader, Opcode, Sender};
use super::limits::{Limits, Reserved};
use super::violation::ViolationKind;

/// What of the stream so far a header is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) sender: Sender,
    /// Payload bytes that the frames of the open message have announced.
    pub(super) message_bytes: u64,
    /// Frames of the open message; zero outside one.
    pub(super) fragments: u32,
}

impl Standing {
    /// Judges the header at the start of `bytes` as far as they show it, in the order of its bytes; `None` where it is
    /// not whole. More bytes change no verdict, so it does not matter how the stream is cut.
    #[inline]
    pub(super) fn judge(self, limits: &Limits, bytes: &[u8]) -> Result<Option<FrameHeader>, ViolationKind> {
        let [first, behind_first @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = self.judge_first(limits, *first)?;
        let [second, behind_second @ ..] = behind_first else {
            return Ok(None);
        };
        let is_masked = second & MASK_BIT != 0;
        let form = second & !MASK_BIT;
        self.judge_second(opcode, is_masked, form)?;
        let (payload_len, behind_length) = match form {
            FORM_16_BITS => match behind_second.split_first_chunk() {
                Some((length, behind)) => (u64::from(u16::from_be_bytes(*length)), behind),
                None => return Ok(None),
            },
            FORM_64_BITS => match behind_second.split_first_chunk() {
                Some((length, behind)) => (u64::from_be_bytes(*length), behind),
                None => return Ok(None),
            },
            short => (u64::from(short), behind_second),
        };
        self.judge_length(limits, opcode, form, payload_len)?;
        let (mask, payload) = match is_masked {
            true => match behind_length.split_first_chunk() {
                Some((key, payload)) => (Some(*key), payload),
                None => return Ok(None),
            },
            false => (None, behind_length),
        };
        Ok(Some(FrameHeader {
            opcode,
            fin: first & FIN_BIT != 0,
            rsv1: first & RSV1_BIT != 0,
            mask,
            payload_len,
            header_len: (bytes.len() - payload.len()) as u8,
        }))
    }

    /// Opcode, reserved bits, and whether such a frame may stand here.
    #[inline]
    fn judge_first(self, limits: &Limits, first: u8) -> Result<Opcode, ViolationKind> {
        let opcode = Opcode::of(first).ok_or(ViolationKind::ReservedOpcode)?;
        if first & RSV_BITS != 0 {
            judge_reserved_bits(limits.extensions, opcode, first)?;
        }
        let is_open = self.fragments > 0;
        match opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong if first & FIN_BIT == 0 => {
                Err(ViolationKind::ControlFragmented)
            }
            Opcode::Continuation if !is_open => Err(ViolationKind::StrayContinuation),
            Opcode::Continuation if self.fragments >= limits.fragments_max => Err(ViolationKind::TooManyFragments),
            Opcode::Text | Opcode::Binary if is_open => Err(ViolationKind::MissingContinuation),
            Opcode::Continuation | Opcode::Text | Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong => {
                Ok(opcode)
            }
        }
    }

    /// The mask's presence, and the bound on control frames.
    #[inline]
    fn judge_second(self, opcode: Opcode, is_masked: bool, form: u8) -> Result<(), ViolationKind> {
        match self.sender {
            Sender::Client if !is_masked => Err(ViolationKind::Unmasked),
            Sender::Server if is_masked => Err(ViolationKind::Masked),
            Sender::Client | Sender::Server if opcode.is_control() && form >= FORM_16_BITS => {
                Err(ViolationKind::ControlTooLong)
            }
            Sender::Client | Sender::Server => Ok(()),
        }
    }

    /// The form of the length, and the bound on messages.
    #[inline]
    fn judge_length(self, limits: &Limits, opcode: Opcode, form: u8, payload_len: u64) -> Result<(), ViolationKind> {
        match form {
            FORM_16_BITS if payload_len < u64::from(FORM_16_BITS) => return Err(ViolationKind::LengthNotMinimal),
            FORM_64_BITS if payload_len > u64::MAX >> 1 => return Err(ViolationKind::LengthTopBit),
            FORM_64_BITS if payload_len <= u64::from(u16::MAX) => return Err(ViolationKind::LengthNotMinimal),
            _ => {}
        }
        // No overflow: all of the open message but this frame has passed, and this frame is below 2^63.
        let message_bytes = self.message_bytes + payload_len;
        if message_bytes > limits.message_bytes_max && !opcode.is_control() {
            return Err(ViolationKind::MessageTooLarge);
        }
        Ok(())
    }
}

#[cold]
fn judge_reserved_bits(extensions: Reserved, opcode: Opcode, first: u8) -> Result<(), ViolationKind> {
    match (extensions, opcode) {
        _ if first & RSV_BITS != RSV1_BIT => Err(ViolationKind::ReservedBit),
        (Reserved::Zero, _) => Err(ViolationKind::ReservedBit),
        (Reserved::Deflate, Opcode::Text | Opcode::Binary) => Ok(()),
        (Reserved::Deflate, Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong) => {
            Err(ViolationKind::MisplacedRsv1)
        }
    }
}

const FIN_BIT: u8 = 0x80;
const RSV_BITS: u8 = 0x70;
const RSV1_BIT: u8 = 0x40;
const MASK_BIT: u8 = 0x80;

/// In the place of a length up to 125: it follows in 16 bits.
const FORM_16_BITS: u8 = 126;
/// It follows in 64 bits.
const FORM_64_BITS: u8 = 127;
