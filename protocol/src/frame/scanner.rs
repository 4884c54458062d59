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
use super::judge::Standing;
use super::limits::Limits;
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
    /// Control frames that have begun; it wraps.
    controls: u16,
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
    Header { known: u8, bytes: [u8; KNOWN_MAX] },
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
            controls: 0,
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
        match self.phase {
            Phase::Violated(kind) => Err(Violation { kind, passed: 0 }),
            Phase::Header { known, bytes: earlier } => {
                match self.read_header(limits, usize::from(known), earlier, bytes) {
                    Ok(Some((header, consumed))) => Ok(Advance::to(consumed, Event::Header(header))),
                    Ok(None) => Ok(Advance::through(bytes)),
                    Err(kind) => Err(self.violate(kind, 0)),
                }
            }
            Phase::Payload { opcode, fin, remaining } => match behind(bytes, remaining) {
                Some(behind) => {
                    self.phase = Phase::BOUNDARY;
                    self.count_end(opcode, fin);
                    let message_ended = fin && !opcode.is_control();
                    let end = Event::FrameEnd { opcode, message_ended };
                    Ok(Advance::to(bytes.len() - behind.len(), end))
                }
                None => {
                    let remaining = remaining - bytes.len() as u64;
                    self.phase = Phase::Payload { opcode, fin, remaining };
                    Ok(Advance::through(bytes))
                }
            },
        }
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

    /// Counts the control frames whose header has passed; it wraps at 65 536, which is more than a read of 64 KiB can
    /// hold.
    pub fn controls(&self) -> u16 {
        self.controls
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

    /// Counts the bytes up to the next place where something ends, as far as is known: who reads no more than these
    /// never reads into the frame behind. At least one while the stream is sound.
    pub fn bytes_wanted(&self) -> u64 {
        match self.phase {
            Phase::Header { known, .. } => {
                let shortest: u8 = match self.sender {
                    Sender::Client => 6,
                    Sender::Server => 2,
                };
                u64::from(shortest.saturating_sub(known).max(1))
            }
            Phase::Payload { remaining, .. } => remaining.max(1),
            Phase::Violated(_) => 0,
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
        while !self.at_frame_boundary() {
            let advance = self.advance(limits, rest)?;
            if advance.event.is_none() {
                return Ok((bytes.len(), false));
            }
            rest = &rest[advance.consumed..];
        }
        // From here frames begin in `bytes`; one that ends there too leaves the phase alone.
        while !stop(self, rest) {
            let header = match self.standing().judge(limits, rest) {
                Ok(Some(header)) => header,
                Ok(None) => {
                    self.keep(rest);
                    return Ok((bytes.len(), false));
                }
                Err(kind) => return Err(self.violate(kind, bytes.len() - rest.len())),
            };
            self.count_frame(&header);
            let payload = &rest[usize::from(header.header_len)..];
            match behind(payload, header.payload_len) {
                Some(behind) => {
                    self.count_end(header.opcode, header.fin);
                    rest = behind;
                }
                None => {
                    self.phase = Phase::Payload {
                        opcode: header.opcode,
                        fin: header.fin,
                        remaining: header.payload_len - payload.len() as u64,
                    };
                    return Ok((bytes.len(), false));
                }
            }
        }
        Ok((bytes.len() - rest.len(), true))
    }

    /// Takes the next header and how many of `bytes` it used, or keeps what there is of it.
    fn read_header(
        &mut self,
        limits: &Limits,
        known: usize,
        earlier: [u8; KNOWN_MAX],
        bytes: &[u8],
    ) -> Result<Option<(FrameHeader, usize)>, ViolationKind> {
        let mut joined = [0; FrameHeader::BYTES_MAX];
        let joined_len = FrameHeader::BYTES_MAX.min(known + bytes.len());
        joined[..known].copy_from_slice(&earlier[..known]);
        joined[known..joined_len].copy_from_slice(&bytes[..joined_len - known]);
        let Some(header) = self.standing().judge(limits, &joined[..joined_len])? else {
            self.keep(&joined[..joined_len]);
            return Ok(None);
        };
        self.count_frame(&header);
        self.phase = Phase::Payload {
            opcode: header.opcode,
            fin: header.fin,
            remaining: header.payload_len,
        };
        Ok(Some((header, usize::from(header.header_len) - known)))
    }

    /// Tells what a header is judged by.
    #[inline]
    fn standing(&self) -> Standing {
        Standing {
            sender: self.sender,
            message_bytes: self.message_bytes,
            fragments: self.fragments,
        }
    }

    /// Counts a frame that has been judged towards its message.
    #[inline]
    fn count_frame(&mut self, header: &FrameHeader) {
        if !header.opcode.is_control() {
            self.fragments += 1;
            self.message_bytes += header.payload_len;
        } else {
            self.controls = self.controls.wrapping_add(1);
        }
    }

    /// Counts the end of a frame.
    #[inline]
    fn count_end(&mut self, opcode: Opcode, fin: bool) {
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

    fn keep(&mut self, header: &[u8]) {
        let mut bytes = [0; KNOWN_MAX];
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

impl Advance {
    fn to(consumed: usize, event: Event) -> Self {
        let event = Some(event);
        Self { consumed, event }
    }

    fn through(bytes: &[u8]) -> Self {
        let (consumed, event) = (bytes.len(), None);
        Self { consumed, event }
    }
}

impl Phase {
    const BOUNDARY: Self = Self::Header {
        known: 0,
        bytes: [0; KNOWN_MAX],
    };
}

/// Returns what stands behind the next `count` bytes, where there are so many.
#[inline]
fn behind(bytes: &[u8], count: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(count).ok()?..)
}

/// Most bytes of a header that is not whole.
const KNOWN_MAX: usize = FrameHeader::BYTES_MAX - 1;

// Two of them stand in every session, idle ones too.
const _: () = assert!(size_of::<Scanner>() <= 40);
