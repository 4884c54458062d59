//! Follows the boundaries of frames and messages in one direction of a byte stream.
//!
//! The scanner is told every byte that passes and keeps none of a payload: it counts. A header is judged as far as it
//! is known, so an offence is found with the byte that commits it, however the stream is cut into reads.
//!
//! ```text
//!               header whole                    payload passed
//!   Header ─────────────────▶ Payload{remaining} ───────────▶ Header
//!      └── a rule or a limit broken ──▶ Violated (for good)
//! ```

use super::header::{FrameHeader, Opcode, Sender};
use super::limits::{Limits, Reserved};
use super::violation::{Violation, ViolationKind};

/// The place in a stream of frames: small, `Copy`, and the same however the bytes were cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanner {
    phase: Phase,
    /// Data messages that have ended.
    messages: u64,
    /// Payload bytes that the frames of the open message have announced.
    message_bytes: u64,
    /// Frames of the open message; zero outside one.
    fragments: u32,
    sender: Sender,
    is_closed: bool,
}

/// How far one call of [`Scanner::advance`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// Bytes of the input up to the event, or all of them.
    pub consumed: usize,
    /// What stands at that place; absent where the input ended first.
    pub event: Option<Event>,
}

/// What a stream of frames shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A header has ended and its payload begins.
    Header(FrameHeader),
    /// A payload has ended.
    FrameEnd {
        /// Of the frame that has ended.
        opcode: Opcode,
        /// The frame was the last of a data message.
        message_ended: bool,
    },
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A header, of which `known` bytes have come in earlier calls; the rest of `bytes` is zero.
    Header {
        known: u8,
        bytes: [u8; FrameHeader::BYTES_MAX - 1],
    },
    /// A payload. `remaining` may be zero, until the frame's end has been told.
    Payload { opcode: Opcode, fin: bool, remaining: u64 },
    /// Nothing: the peer broke a rule.
    Violated(ViolationKind),
}

impl Scanner {
    /// Begins at the first byte behind the handshake.
    pub fn new(sender: Sender) -> Self {
        Self {
            phase: Phase::BOUNDARY,
            messages: 0,
            message_bytes: 0,
            fragments: 0,
            sender,
            is_closed: false,
        }
    }

    /// Passes over all of `bytes`.
    ///
    /// # Errors
    /// The violation; the frames before it have been passed and counted.
    pub fn scan(&mut self, limits: &Limits, bytes: &[u8]) -> Result<(), Violation> {
        self.walk(limits, bytes, |_, _| false).map(|_| ())
    }

    /// Passes on to the next event at most. Call it until it tells no event, for a frame without payload ends without
    /// a further byte.
    ///
    /// # Errors
    /// The violation.
    pub fn advance(&mut self, limits: &Limits, bytes: &[u8]) -> Result<Advance, Violation> {
        let (consumed, event) = match self.phase {
            Phase::Violated(kind) => return Err(Violation { kind, passed: 0 }),
            Phase::Header { .. } => match self.read_header(limits, bytes) {
                Ok(Some((header, consumed))) => (consumed, Some(Event::Header(header))),
                Ok(None) => (bytes.len(), None),
                Err(kind) => return Err(self.violate(kind, 0)),
            },
            Phase::Payload { opcode, fin, remaining } => match self.pass_payload(opcode, fin, remaining, bytes.len()) {
                Some(consumed) => {
                    let message_ended = fin && !opcode.is_control();
                    (consumed, Some(Event::FrameEnd { opcode, message_ended }))
                }
                None => (bytes.len(), None),
            },
        };
        Ok(Advance { consumed, event })
    }

    /// Passes on to the end of the message or control frame that is under way: `Some(bytes passed)`, zero where none
    /// is; `None` where the input ends first, and all of it has been passed.
    ///
    /// # Errors
    /// The violation.
    pub fn to_message_boundary(&mut self, limits: &Limits, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let (passed, found) = self.walk(limits, bytes, |scanner, _| scanner.fragments == 0)?;
        Ok(found.then_some(passed))
    }

    /// Passes on to the first message boundary with `count` messages ended or more, and returns how many bytes that
    /// took: all of them where the input ends first, which [`Self::messages`] and [`Self::at_message_boundary`] tell.
    ///
    /// # Errors
    /// The violation.
    pub fn to_message_count(&mut self, limits: &Limits, count: u64, bytes: &[u8]) -> Result<usize, Violation> {
        let reached = |scanner: &Self, _: &[u8]| scanner.fragments == 0 && scanner.messages >= count;
        self.walk(limits, bytes, reached).map(|(passed, _)| passed)
    }

    /// Passes on to the header of a Close, told by its first byte: how many bytes stand before it, and whether there is
    /// one. A Close that had begun in an earlier call is found at once.
    ///
    /// # Errors
    /// The violation.
    pub fn to_close(&mut self, limits: &Limits, bytes: &[u8]) -> Result<(usize, bool), Violation> {
        if self.is_in_close() {
            return Ok((0, true));
        }
        self.walk(limits, bytes, |_, rest| {
            rest.first().is_some_and(|first| Opcode::is_close(*first))
        })
    }

    /// Counts the data messages that have ended; control frames do not count.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Reads whether nothing is under way: no frame, no header, no fragmented message.
    pub fn at_message_boundary(&self) -> bool {
        self.fragments == 0 && self.at_frame_boundary()
    }

    /// Reads whether no frame is under way: a control frame may be put in here (RFC 6455 section 5.4).
    pub fn at_frame_boundary(&self) -> bool {
        self.header_bytes_pending() == 0 && matches!(self.phase, Phase::Header { .. })
    }

    /// Counts the passed bytes of a header that is not whole yet. Who must pass on nothing of an offending frame holds
    /// back so many of the newest bytes.
    pub fn header_bytes_pending(&self) -> usize {
        match self.phase {
            Phase::Header { known, .. } => usize::from(known),
            Phase::Payload { .. } | Phase::Violated(_) => 0,
        }
    }

    /// Reads whether a Close has passed whole: its sender says nothing more that counts (RFC 6455 section 5.5.1).
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns which side sends these frames.
    pub fn sender(&self) -> Sender {
        self.sender
    }

    /// Passes over `bytes` until `stop`, which is asked between frames with the bytes that are left.
    #[inline]
    fn walk(
        &mut self,
        limits: &Limits,
        bytes: &[u8],
        stop: impl Fn(&Self, &[u8]) -> bool,
    ) -> Result<(usize, bool), Violation> {
        let mut rest = bytes;
        loop {
            let consumed = match self.phase {
                Phase::Violated(kind) => return Err(Violation { kind, passed: 0 }),
                Phase::Header { known, .. } => {
                    if known == 0 && stop(self, rest) {
                        return Ok((bytes.len() - rest.len(), true));
                    }
                    match self.read_header(limits, rest) {
                        Ok(header) => header.map(|(_, consumed)| consumed),
                        Err(kind) => return Err(self.violate(kind, bytes.len() - rest.len())),
                    }
                }
                Phase::Payload { opcode, fin, remaining } => self.pass_payload(opcode, fin, remaining, rest.len()),
            };
            match consumed {
                Some(consumed) => rest = &rest[consumed..],
                None => return Ok((bytes.len(), false)),
            }
        }
    }

    /// Takes the next header and how many of `bytes` it used, or keeps what there is of it.
    #[inline]
    fn read_header(&mut self, limits: &Limits, bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ViolationKind> {
        let Phase::Header { known, bytes: earlier } = self.phase else {
            return Ok(None);
        };
        if known > 0 {
            return self.read_split_header(limits, usize::from(known), earlier, bytes);
        }
        match self.judge(limits, bytes)? {
            Some(header) => {
                self.enter(&header);
                Ok(Some((header, usize::from(header.header_len))))
            }
            None => {
                self.keep(bytes);
                Ok(None)
            }
        }
    }

    /// Puts a header together that was cut between reads.
    #[cold]
    fn read_split_header(
        &mut self,
        limits: &Limits,
        known: usize,
        earlier: [u8; FrameHeader::BYTES_MAX - 1],
        bytes: &[u8],
    ) -> Result<Option<(FrameHeader, usize)>, ViolationKind> {
        let mut joined = [0; FrameHeader::BYTES_MAX];
        let joined_len = FrameHeader::BYTES_MAX.min(known + bytes.len());
        joined[..known].copy_from_slice(&earlier[..known]);
        joined[known..joined_len].copy_from_slice(&bytes[..joined_len - known]);
        match self.judge(limits, &joined[..joined_len])? {
            Some(header) => {
                self.enter(&header);
                Ok(Some((header, usize::from(header.header_len) - known)))
            }
            None => {
                self.keep(&joined[..joined_len]);
                Ok(None)
            }
        }
    }

    /// Judges a header as far as `bytes` show it, in the order of its bytes; `None` where it is not whole.
    #[inline]
    fn judge(&self, limits: &Limits, bytes: &[u8]) -> Result<Option<FrameHeader>, ViolationKind> {
        let [first, second_on @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = self.judge_first(limits, *first)?;
        let [second, length_on @ ..] = second_on else {
            return Ok(None);
        };
        let is_masked = second & 0x80 != 0;
        match self.sender {
            Sender::Client if !is_masked => return Err(ViolationKind::Unmasked),
            Sender::Server if is_masked => return Err(ViolationKind::Masked),
            Sender::Client | Sender::Server => {}
        }
        let (payload_len, mask_on) = match second & 0x7F {
            _ if opcode.is_control() && usize::from(second & 0x7F) > FrameHeader::CONTROL_BYTES_MAX => {
                return Err(ViolationKind::ControlTooLong);
            }
            126 => match length_on.split_first_chunk() {
                Some((length, mask_on)) => (u64::from(u16::from_be_bytes(*length)), mask_on),
                None => return Ok(None),
            },
            127 => match length_on.split_first_chunk() {
                Some((length, mask_on)) => (u64::from_be_bytes(*length), mask_on),
                None => return Ok(None),
            },
            short => (u64::from(short), length_on),
        };
        self.judge_length(limits, opcode, second & 0x7F, payload_len)?;
        let (mask, payload) = match is_masked {
            false => (None, mask_on),
            true => match mask_on.split_first_chunk() {
                Some((key, payload)) => (Some(*key), payload),
                None => return Ok(None),
            },
        };
        Ok(Some(FrameHeader {
            opcode,
            fin: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            mask,
            payload_len,
            header_len: (bytes.len() - payload.len()) as u8,
        }))
    }

    #[inline]
    fn judge_first(&self, limits: &Limits, first: u8) -> Result<Opcode, ViolationKind> {
        let fin = first & 0x80 != 0;
        let opcode = Opcode::of(first).ok_or(ViolationKind::ReservedOpcode)?;
        if first & 0x70 != 0 {
            judge_reserved_bits(limits.extensions, opcode, first)?;
        }
        match opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => Err(ViolationKind::ControlFragmented),
            Opcode::Continuation if self.fragments == 0 => Err(ViolationKind::StrayContinuation),
            Opcode::Continuation if self.fragments >= limits.fragments_max => Err(ViolationKind::TooManyFragments),
            Opcode::Text | Opcode::Binary if self.fragments > 0 => Err(ViolationKind::MissingContinuation),
            Opcode::Continuation | Opcode::Text | Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong => {
                Ok(opcode)
            }
        }
    }

    #[inline]
    fn judge_length(&self, limits: &Limits, opcode: Opcode, form: u8, payload_len: u64) -> Result<(), ViolationKind> {
        match form {
            126 if payload_len < 126 => return Err(ViolationKind::LengthNotMinimal),
            127 if payload_len >> 63 != 0 => return Err(ViolationKind::LengthTopBit),
            127 if payload_len <= u64::from(u16::MAX) => return Err(ViolationKind::LengthNotMinimal),
            _ => {}
        }
        let message_bytes = self.message_bytes.saturating_add(payload_len);
        if message_bytes > limits.message_bytes_max && !opcode.is_control() {
            return Err(ViolationKind::MessageTooLarge);
        }
        Ok(())
    }

    /// Counts the frame towards its message and begins its payload.
    #[inline]
    fn enter(&mut self, header: &FrameHeader) {
        if !header.opcode.is_control() {
            self.fragments += 1;
            // Without a limit on bytes the sum could pass 64 bits.
            self.message_bytes = self.message_bytes.saturating_add(header.payload_len);
        }
        self.phase = Phase::Payload {
            opcode: header.opcode,
            fin: header.fin,
            remaining: header.payload_len,
        };
    }

    /// Passes over the rest of a payload and ends the frame, or over all of `available`.
    #[inline]
    fn pass_payload(&mut self, opcode: Opcode, fin: bool, remaining: u64, available: usize) -> Option<usize> {
        match usize::try_from(remaining) {
            Ok(remaining) if remaining <= available => {
                self.end_frame(opcode, fin);
                Some(remaining)
            }
            Ok(_) | Err(_) => {
                let remaining = remaining - available as u64;
                self.phase = Phase::Payload { opcode, fin, remaining };
                None
            }
        }
    }

    #[inline]
    fn end_frame(&mut self, opcode: Opcode, fin: bool) {
        self.phase = Phase::BOUNDARY;
        match opcode {
            Opcode::Continuation | Opcode::Text | Opcode::Binary if fin => {
                self.messages += 1;
                self.fragments = 0;
                self.message_bytes = 0;
            }
            Opcode::Close => self.is_closed = true,
            Opcode::Continuation | Opcode::Text | Opcode::Binary | Opcode::Ping | Opcode::Pong => {}
        }
    }

    #[inline]
    fn keep(&mut self, header: &[u8]) {
        let mut bytes = [0; FrameHeader::BYTES_MAX - 1];
        bytes[..header.len()].copy_from_slice(header);
        let known = header.len() as u8;
        self.phase = Phase::Header { known, bytes };
    }

    #[cold]
    fn violate(&mut self, kind: ViolationKind, passed: usize) -> Violation {
        self.phase = Phase::Violated(kind);
        Violation { kind, passed }
    }

    fn is_in_close(&self) -> bool {
        match self.phase {
            Phase::Header { known, bytes } => known > 0 && Opcode::is_close(bytes[0]),
            Phase::Payload { opcode, .. } => opcode == Opcode::Close,
            Phase::Violated(_) => false,
        }
    }
}

impl Phase {
    const BOUNDARY: Self = Self::Header {
        known: 0,
        bytes: [0; FrameHeader::BYTES_MAX - 1],
    };
}

#[cold]
fn judge_reserved_bits(extensions: Reserved, opcode: Opcode, first: u8) -> Result<(), ViolationKind> {
    match (extensions, opcode) {
        _ if first & 0x30 != 0 => Err(ViolationKind::ReservedBit),
        (Reserved::Zero, _) => Err(ViolationKind::ReservedBit),
        (Reserved::Deflate, Opcode::Text | Opcode::Binary) => Ok(()),
        (Reserved::Deflate, Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong) => {
            Err(ViolationKind::MisplacedRsv1)
        }
    }
}

// Two of them stand in every session, idle ones too.
const _: () = assert!(size_of::<Scanner>() <= 40);
