//! The little of HTTP and WebSocket that both ends of a bench need: they trust each other.

use std::io;

use base64::Engine;
use handover_protocol::frame::{MaskKey, Opcode};
use sha1::{Digest, Sha1};

/// A frame that is whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// What it is.
    pub(crate) opcode: Opcode,
    /// Bytes of its header.
    pub(crate) header: usize,
    /// Bytes of its payload.
    pub(crate) payload: usize,
    /// The key of a client's frame.
    pub(crate) key: Option<MaskKey>,
}

/// Returns where the first head in `bytes` ends, behind its empty line.
pub(crate) fn header_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Returns what a `Sec-WebSocket-Key` is answered by (RFC 6455 section 4.2.2).
pub(crate) fn accept_of(key: &str) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(digest.finalize())
}

/// Finds the frame that `bytes` begin with, if it is whole.
///
/// # Errors
/// When its opcode is unknown.
pub(crate) fn read_frame(bytes: &[u8]) -> io::Result<Option<Frame>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        unknown => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("opcode {unknown}"))),
    };
    let (length, payload) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (2, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (8, usize::try_from(length).map_err(io::Error::other)?)
        }
        (126 | 127, _) => return Ok(None),
        (length, _) => (0, usize::from(length)),
    };
    let is_masked = second & 0x80 != 0;
    let header = 2 + length + if is_masked { 4 } else { 0 };
    if bytes.len() < header + payload {
        return Ok(None);
    }
    let key = is_masked.then(|| {
        let mut key = MaskKey::default();
        key.copy_from_slice(&bytes[header - 4..header]);
        key
    });
    Ok(Some(Frame {
        opcode,
        header,
        payload,
        key,
    }))
}
