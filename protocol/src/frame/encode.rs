//! Writes the frames that the gateway says itself; what it relays is never written anew.

use super::header::{FrameHeader, Opcode};
use super::mask::{MaskKey, unmask};
use crate::close::CloseCode;

/// Appends one whole, final frame; with a key it is masked, as a client's must be.
///
/// The payload of a control frame is cut at [`FrameHeader::CONTROL_BYTES_MAX`] (RFC 6455 section 5.5).
pub fn encode(opcode: Opcode, payload: &[u8], key: Option<MaskKey>, out: &mut Vec<u8>) {
    let payload = match opcode.is_control() {
        true => &payload[..payload.len().min(FrameHeader::CONTROL_BYTES_MAX)],
        false => payload,
    };
    out.reserve(FrameHeader::BYTES_MAX + payload.len());
    out.push(0x80 | opcode as u8);
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..=125 => out.push(mask_bit | short as u8),
        medium @ 126..=0xFFFF => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(key.as_ref().map_or(&[], |key| key.as_slice()));
    let payload_start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        unmask(key, 0, &mut out[payload_start..]);
    }
}

/// Appends a text message.
pub fn encode_text(text: &str, key: Option<MaskKey>, out: &mut Vec<u8>) {
    encode(Opcode::Text, text.as_bytes(), key, out);
}

/// Appends a binary message.
pub fn encode_binary(payload: &[u8], key: Option<MaskKey>, out: &mut Vec<u8>) {
    encode(Opcode::Binary, payload, key, out);
}

/// Appends a Ping.
pub fn encode_ping(payload: &[u8], key: Option<MaskKey>, out: &mut Vec<u8>) {
    encode(Opcode::Ping, payload, key, out);
}

/// Appends a Pong, which repeats the payload of the Ping that it answers (RFC 6455 section 5.5.3).
pub fn encode_pong(payload: &[u8], key: Option<MaskKey>, out: &mut Vec<u8>) {
    encode(Opcode::Pong, payload, key, out);
}

/// Appends a Close; the reason is cut before the character that would pass [`CloseCode::REASON_BYTES_MAX`].
pub fn encode_close(code: CloseCode, reason: &str, key: Option<MaskKey>, out: &mut Vec<u8>) {
    let reason = &reason[..reason.floor_char_boundary(CloseCode::REASON_BYTES_MAX)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.get().to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    encode(Opcode::Close, &payload, key, out);
}
