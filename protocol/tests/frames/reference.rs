//! Reads frames one byte after the other and writes down everything, as slowly and plainly as can be.

use handover_protocol::frame::{Event, FrameHeader, Limits, Opcode, Reserved, Sender, ViolationKind};

/// What a whole input shows.
#[derive(Debug)]
pub(crate) struct Reading {
    /// How things stand before each byte and behind the last one, up to an offence.
    pub(crate) places: Vec<Place>,
    /// Each event with the number of bytes before it.
    pub(crate) events: Vec<(usize, Event)>,
    pub(crate) offence: Option<Offence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) header_bytes: usize,
    pub(crate) at_frame_boundary: bool,
    pub(crate) at_message_boundary: bool,
    pub(crate) in_close: bool,
    pub(crate) is_closed: bool,
    pub(crate) messages: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offence {
    pub(crate) kind: ViolationKind,
    /// Bytes before the offending frame.
    pub(crate) frame_start: usize,
    /// Bytes it takes to see the offence.
    pub(crate) seen: usize,
}

pub(crate) fn read(sender: Sender, limits: &Limits, bytes: &[u8]) -> Reading {
    let mut reader = Reader {
        sender,
        limits,
        header: Vec::new(),
        payload_left: None,
        is_closed: false,
        messages: 0,
        fragment_lengths: Vec::new(),
    };
    let mut reading = Reading {
        places: vec![reader.place()],
        events: Vec::new(),
        offence: None,
    };
    for (at, byte) in bytes.iter().enumerate() {
        let frame_start = at - reader.header.len();
        match reader.push(*byte) {
            Ok(events) => reading.events.extend(events.into_iter().map(|event| (at + 1, event))),
            Err(kind) => {
                let seen = at + 1;
                reading.offence = Some(Offence {
                    kind,
                    frame_start,
                    seen,
                });
                return reading;
            }
        }
        reading.places.push(reader.place());
    }
    reading
}

struct Reader<'a> {
    sender: Sender,
    limits: &'a Limits,
    /// The bytes of the header that is under way, or of the frame whose payload is.
    header: Vec<u8>,
    payload_left: Option<u64>,
    is_closed: bool,
    messages: u64,
    /// Of the message that is open.
    fragment_lengths: Vec<u64>,
}

impl Reader<'_> {
    fn place(&self) -> Place {
        let in_frame = !self.header.is_empty();
        Place {
            header_bytes: if self.payload_left.is_some() {
                0
            } else {
                self.header.len()
            },
            at_frame_boundary: !in_frame,
            at_message_boundary: !in_frame && self.fragment_lengths.is_empty(),
            in_close: in_frame && self.header[0] % 16 == 8,
            is_closed: self.is_closed,
            messages: self.messages,
        }
    }

    fn push(&mut self, byte: u8) -> Result<Vec<Event>, ViolationKind> {
        let mut events = Vec::new();
        if let Some(left) = &mut self.payload_left {
            *left -= 1;
        } else {
            self.header.push(byte);
            if let Some(kind) = self.offence() {
                return Err(kind);
            }
            if self.header.len() < 2 || self.header.len() < self.header_len() {
                return Ok(events);
            }
            let header = self.whole_header();
            self.payload_left = Some(header.payload_len);
            if self.header[0] % 16 < 8 {
                self.fragment_lengths.push(header.payload_len);
            }
            events.push(Event::Header(header));
        }
        if self.payload_left == Some(0) {
            events.push(self.end_frame());
        }
        Ok(events)
    }

    fn end_frame(&mut self) -> Event {
        let message_ended = self.header[0] % 16 < 8 && self.header[0] >= 128;
        if message_ended {
            self.messages += 1;
            self.fragment_lengths.clear();
        }
        let opcode = opcode(self.header[0]);
        self.is_closed |= opcode == Opcode::Close;
        self.header.clear();
        self.payload_left = None;
        Event::FrameEnd { opcode, message_ended }
    }

    fn length_bytes(&self) -> usize {
        match self.header[1] % 128 {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn header_len(&self) -> usize {
        2 + self.length_bytes() + if self.header[1] >= 128 { 4 } else { 0 }
    }

    /// The announced length, once its last byte is there.
    fn payload_len(&self) -> Option<u64> {
        match self.length_bytes() {
            0 => Some(u64::from(self.header[1] % 128)),
            extra if self.header.len() < 2 + extra => None,
            extra => Some(
                self.header[2..2 + extra]
                    .iter()
                    .fold(0, |sum, byte| sum * 256 + u64::from(*byte)),
            ),
        }
    }

    fn whole_header(&self) -> FrameHeader {
        let length = self.header.len();
        FrameHeader {
            opcode: opcode(self.header[0]),
            fin: self.header[0] >= 128,
            rsv1: self.header[0] / 64 % 2 == 1,
            mask: (self.header[1] >= 128).then(|| self.header[length - 4..].try_into().unwrap()),
            payload_len: self.payload_len().unwrap(),
            header_len: length as u8,
        }
    }

    /// Which rule the header breaks with the byte that came last.
    fn offence(&self) -> Option<ViolationKind> {
        let first = self.header[0];
        let opcode = first % 16;
        let is_control = opcode >= 8;
        let open = !self.fragment_lengths.is_empty();
        let rsv1 = first / 64 % 2 == 1;
        let deflate = self.limits.extensions == Reserved::Deflate;
        let starts_message = matches!(opcode, 1 | 2);
        if self.header.len() == 1 {
            let rules = [
                (
                    [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].contains(&opcode),
                    ViolationKind::ReservedOpcode,
                ),
                (first & 0x30 != 0 || (rsv1 && !deflate), ViolationKind::ReservedBit),
                (rsv1 && !starts_message, ViolationKind::MisplacedRsv1),
                (is_control && first < 128, ViolationKind::ControlFragmented),
                (opcode == 0 && !open, ViolationKind::StrayContinuation),
                (
                    opcode == 0 && self.fragment_lengths.len() as u64 + 1 > u64::from(self.limits.fragments_max),
                    ViolationKind::TooManyFragments,
                ),
                (starts_message && open, ViolationKind::MissingContinuation),
            ];
            return first_broken(&rules);
        }
        let second = self.header[1];
        if self.header.len() == 2 {
            let rules = [
                (self.sender == Sender::Client && second < 128, ViolationKind::Unmasked),
                (self.sender == Sender::Server && second >= 128, ViolationKind::Masked),
                (is_control && second % 128 > 125, ViolationKind::ControlTooLong),
            ];
            if let Some(kind) = first_broken(&rules) {
                return Some(kind);
            }
        }
        if self.header.len() != 2 + self.length_bytes() {
            return None;
        }
        let length = self.payload_len()?;
        let sum = self
            .fragment_lengths
            .iter()
            .fold(u128::from(length), |sum, length| sum + u128::from(*length));
        let rules = [
            (length >= 1 << 63, ViolationKind::LengthTopBit),
            (second % 128 == 126 && length <= 125, ViolationKind::LengthNotMinimal),
            (second % 128 == 127 && length <= 65535, ViolationKind::LengthNotMinimal),
            (
                !is_control && sum > u128::from(self.limits.message_bytes_max),
                ViolationKind::MessageTooLarge,
            ),
        ];
        first_broken(&rules)
    }
}

fn first_broken(rules: &[(bool, ViolationKind)]) -> Option<ViolationKind> {
    rules.iter().find(|(is_broken, _)| *is_broken).map(|(_, kind)| *kind)
}

fn opcode(first: u8) -> Opcode {
    match first % 16 {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        reserved => panic!("opcode {reserved} has been refused"),
    }
}
