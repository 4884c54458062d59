//! Draws conversations of whole frames and writes them, by hand and by tungstenite.

use std::fmt;

use handover_protocol::frame::{MaskKey, Opcode, Reserved, Sender};
use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::protocol::frame as theirs;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

#[derive(Clone)]
pub(crate) struct WireFrame {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    pub(crate) rsv1: bool,
    pub(crate) key: MaskKey,
    pub(crate) payload: Vec<u8>,
}

/// Tells a long payload by its length, so that a failure can be read.
impl fmt::Debug for WireFrame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.payload[..self.payload.len().min(16)];
        let (fin, rsv1) = (u8::from(self.fin), u8::from(self.rsv1));
        write!(formatter, "{:?} fin {fin} rsv1 {rsv1} ", self.opcode)?;
        write!(
            formatter,
            "key {:02x?} {} bytes {shown:02x?}",
            self.key,
            self.payload.len()
        )
    }
}

impl WireFrame {
    fn by_hand(&self, sender: Sender, out: &mut Vec<u8>) {
        out.push(u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode as u8);
        let mask_bit = match sender {
            Sender::Client => 0x80,
            Sender::Server => 0,
        };
        let length = self.payload.len();
        if length > 65535 {
            out.push(mask_bit + 127);
            out.extend((0..8).rev().map(|byte| (length >> (8 * byte)) as u8));
        } else if length > 125 {
            out.push(mask_bit + 126);
            out.extend([(length / 256) as u8, (length % 256) as u8]);
        } else {
            out.push(mask_bit + length as u8);
        }
        match sender {
            Sender::Client => {
                out.extend(self.key);
                out.extend((0..length).map(|at| self.payload[at] ^ self.key[at % 4]));
            }
            Sender::Server => out.extend(&self.payload),
        }
    }

    fn by_tungstenite(&self, sender: Sender, out: &mut Vec<u8>) {
        let header = theirs::FrameHeader {
            is_final: self.fin,
            rsv1: self.rsv1,
            opcode: match self.opcode {
                Opcode::Continuation => OpCode::Data(Data::Continue),
                Opcode::Text => OpCode::Data(Data::Text),
                Opcode::Binary => OpCode::Data(Data::Binary),
                Opcode::Close => OpCode::Control(Control::Close),
                Opcode::Ping => OpCode::Control(Control::Ping),
                Opcode::Pong => OpCode::Control(Control::Pong),
            },
            mask: (sender == Sender::Client).then_some(self.key),
            ..theirs::FrameHeader::default()
        };
        let frame = theirs::Frame::from_payload(header, self.payload.clone().into());
        frame.format(out).unwrap();
    }
}

pub(crate) fn by_hand(frames: &[WireFrame], sender: Sender) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        frame.by_hand(sender, &mut out);
    }
    out
}

pub(crate) fn by_tungstenite(frames: &[WireFrame], sender: Sender) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        frame.by_tungstenite(sender, &mut out);
    }
    out
}

pub(crate) fn sender() -> impl Strategy<Value = Sender> {
    prop_oneof![Just(Sender::Client), Just(Sender::Server)]
}

/// Draws what one side may say: messages whole and in fragments, control frames between and inside them, sometimes a
/// Close at the end.
pub(crate) fn conversation(extensions: Reserved) -> impl Strategy<Value = Vec<WireFrame>> {
    let piece = prop_oneof![
        3 => message(extensions),
        1 => control().prop_map(|frame| vec![frame]),
    ];
    (vec(piece, 0..10), proptest::option::weighted(0.3, close())).prop_map(|(pieces, close)| {
        let mut frames: Vec<_> = pieces.into_iter().flatten().collect();
        frames.extend(close);
        frames
    })
}

fn message(extensions: Reserved) -> impl Strategy<Value = Vec<WireFrame>> {
    let fragment = (payload(), any::<MaskKey>(), vec(control(), 0..2));
    (any::<bool>(), any::<bool>(), vec(fragment, 1..4)).prop_map(move |(is_text, rsv1, fragments)| {
        let last = fragments.len() - 1;
        let mut frames = Vec::new();
        for (at, (mut payload, key, controls)) in fragments.into_iter().enumerate() {
            if is_text {
                payload.iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
            }
            frames.push(WireFrame {
                opcode: match (at, is_text) {
                    (0, true) => Opcode::Text,
                    (0, false) => Opcode::Binary,
                    _ => Opcode::Continuation,
                },
                fin: at == last,
                rsv1: rsv1 && at == 0 && extensions == Reserved::Deflate,
                key,
                payload,
            });
            frames.extend(controls);
        }
        frames
    })
}

fn control() -> impl Strategy<Value = WireFrame> {
    let opcode = prop_oneof![Just(Opcode::Ping), Just(Opcode::Pong)];
    (opcode, any::<MaskKey>(), vec(any::<u8>(), 0..=125)).prop_map(|(opcode, key, payload)| WireFrame {
        opcode,
        fin: true,
        rsv1: false,
        key,
        payload,
    })
}

fn close() -> impl Strategy<Value = WireFrame> {
    let payload = prop_oneof![
        Just(Vec::new()),
        "[a-z]{0,123}".prop_map(|reason| [&1012u16.to_be_bytes(), reason.as_bytes()].concat()),
    ];
    (any::<MaskKey>(), payload).prop_map(|(key, payload)| WireFrame {
        opcode: Opcode::Close,
        fin: true,
        rsv1: false,
        key,
        payload,
    })
}

/// Draws payloads, mostly short, some at the edges of the three forms of length.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let edge = prop_oneof![
        12 => 124usize..=128,
        1 => 65534usize..=65538,
        1 => 65538usize..100_000,
    ];
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        1 => Just(Vec::new()),
        1 => (edge, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ]
}

/// Draws the sizes of reads; they are used in turn until the input is out.
pub(crate) fn reads() -> impl Strategy<Value = Vec<usize>> {
    let read = prop_oneof![4 => 1usize..6, 2 => 1usize..200, 1 => 1usize..100_000];
    vec(read, 1..12)
}

/// Cuts `bytes` into reads of these sizes.
pub(crate) fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (part, rest) = bytes.split_at(bytes.len().min(*size));
        parts.push(part);
        bytes = rest;
    }
    parts
}
