//! Takes whole messages out of one direction of a stream.
//!
//! Used only while a route's pattern records, awaits or swallows: it copies and allocates, which the relay does not.

use super::header::{FrameHeader, Opcode, Sender};
use super::limits::Limits;
use super::mask::unmask;
use super::scanner::{Event, Scanner};
use super::violation::Violation;

/// Collects the messages of one direction, from a message boundary on, within a bound on the bytes that it keeps.
#[derive(Debug, Clone)]
pub struct MessageReader {
    scanner: Scanner,
    bytes_max: usize,
    /// The data message that is open, between frames too.
    message: Option<Part>,
    /// The control frame that is open.
    control: Option<Part>,
    frame: Option<OpenFrame>,
}

/// What a [`MessageReader`] found; payloads are unmasked, and still compressed where they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole data message.
    Message {
        /// Text or binary.
        opcode: Opcode,
        /// The payload is compressed (RFC 7692).
        compressed: bool,
        /// All its fragments.
        payload: Vec<u8>,
    },
    /// A control frame, maybe from between the fragments of a message.
    Control {
        /// Close, Ping or Pong.
        opcode: Opcode,
        /// At most [`FrameHeader::CONTROL_BYTES_MAX`] bytes.
        payload: Vec<u8>,
    },
    /// A whole data message that was too large to keep; it has been passed over.
    TooLarge {
        /// Text or binary.
        opcode: Opcode,
        /// How large it was.
        payload_len: u64,
    },
}

#[derive(Debug, Clone)]
struct Part {
    opcode: Opcode,
    compressed: bool,
    payload: Vec<u8>,
    payload_len: u64,
}

#[derive(Debug, Clone, Copy)]
struct OpenFrame {
    header: FrameHeader,
    passed: u64,
}

impl MessageReader {
    /// Begins at a message boundary; `bytes_max` bounds the payload of a message that is kept.
    pub fn new(sender: Sender, bytes_max: usize) -> Self {
        Self {
            scanner: Scanner::new(sender),
            bytes_max,
            message: None,
            control: None,
            frame: None,
        }
    }

    /// Takes the next message or control frame and moves `bytes` behind it; `None` where the input ends first.
    ///
    /// # Errors
    /// The violation; what came before it has been told. Its `passed` counts from `bytes` as it now stands, and is zero.
    pub fn next(&mut self, limits: &Limits, bytes: &mut &[u8]) -> Result<Option<Received>, Violation> {
        loop {
            let advance = self.scanner.advance(limits, bytes)?;
            let (passed, rest) = bytes.split_at(advance.consumed);
            *bytes = rest;
            match advance.event {
                Some(Event::Header(header)) => self.open(header),
                Some(Event::FrameEnd { opcode, message_ended }) => {
                    self.collect(passed);
                    self.frame = None;
                    let ended = match (message_ended, opcode.is_control()) {
                        (true, _) => self.message.take(),
                        (false, true) => self.control.take(),
                        (false, false) => None,
                    };
                    if let Some(part) = ended {
                        return Ok(Some(self.tell(part)));
                    }
                }
                None => {
                    self.collect(passed);
                    return Ok(None);
                }
            }
        }
    }

    /// Returns where the stream stands.
    pub fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    fn open(&mut self, header: FrameHeader) {
        self.frame = Some(OpenFrame { header, passed: 0 });
        let part = Part {
            opcode: header.opcode,
            compressed: header.rsv1,
            payload: Vec::new(),
            payload_len: 0,
        };
        match header.opcode {
            Opcode::Continuation => {}
            Opcode::Text | Opcode::Binary => self.message = Some(part),
            Opcode::Close | Opcode::Ping | Opcode::Pong => self.control = Some(part),
        }
    }

    /// Keeps what passed of the open frame; bytes of an unfinished header belong to none.
    fn collect(&mut self, passed: &[u8]) {
        let Some(frame) = &mut self.frame else { return };
        let is_control = frame.header.opcode.is_control();
        let part = if is_control {
            &mut self.control
        } else {
            &mut self.message
        };
        let Some(part) = part else { return };
        part.payload_len += passed.len() as u64;
        if is_control || part.payload_len <= self.bytes_max as u64 {
            let start = part.payload.len();
            part.payload.extend_from_slice(passed);
            if let Some(key) = frame.header.mask {
                unmask(key, frame.passed, &mut part.payload[start..]);
            }
        } else {
            part.payload = Vec::new();
        }
        frame.passed += passed.len() as u64;
    }

    fn tell(&self, part: Part) -> Received {
        let Part {
            opcode,
            compressed,
            payload,
            payload_len,
        } = part;
        match opcode.is_control() {
            true => Received::Control { opcode, payload },
            false if payload_len > self.bytes_max as u64 => Received::TooLarge { opcode, payload_len },
            false => Received::Message {
                opcode,
                compressed,
                payload,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_let_go_at_once_and_never_taken_again() {
        let mut reader = MessageReader::new(Sender::Server, 8);
        let mut header: &[u8] = &[0x02, 100];
        assert_eq!(reader.next(&Limits::default(), &mut header), Ok(None));
        for passed in 1..=100 {
            let mut byte: &[u8] = b"x";
            assert_eq!(reader.next(&Limits::default(), &mut byte), Ok(None));
            let kept = reader.message.as_ref().expect("the message is open").payload.len();
            assert_eq!(kept, if passed <= 8 { passed } else { 0 });
        }
    }
}
