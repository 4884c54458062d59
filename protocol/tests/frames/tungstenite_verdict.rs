//! The same bytes before tungstenite: it must take what the scanner takes, refuse what it refuses, and see the same
//! messages end at the same bytes.
//!
//! What may differ, each for a reason:
//! - tungstenite refuses text and close reasons that are no UTF-8, and close payloads of one byte; a verbatim relay
//!   leaves that to the endpoints. From there on nothing is compared.
//! - tungstenite takes lengths in more bytes than they need; the scanner refuses them (RFC 6455 section 5.2).
//! - tungstenite judges most rules once the payload is there, the scanner with the byte that breaks them. So where the
//!   scanner has refused, the frame is filled up before tungstenite is asked; with ones, so that a length which is
//!   still to come is none that a shorter form could say.
//! - tungstenite reads nothing behind a Close.
//! - tungstenite has no limit on fragments and no extensions; neither is in force here.

use std::io::{self, Read, Write};

use handover_protocol::frame::{Limits, Reserved, Scanner, Sender, Violation, ViolationKind};
use proptest::prelude::*;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::{config, wire};

const MESSAGE_BYTES_MAX: usize = 100_000;
const LIMITS: Limits = Limits {
    message_bytes_max: MESSAGE_BYTES_MAX as u64,
    fragments_max: u32::MAX,
    extensions: Reserved::Zero,
};

/// What tungstenite says to one more byte.
#[derive(Debug)]
enum Verdict {
    Waits,
    MessageEnds,
    ControlFrameEnds,
    Closes,
    /// It refuses what a relay does not judge.
    RefusesPayload,
    Refuses(Error),
}

/// Compares verdict and message boundaries byte by byte, as far as the two are comparable.
pub(crate) fn check_verdict(sender: Sender, bytes: &[u8]) {
    let mut scanner = Scanner::new(sender);
    let mut theirs = Tungstenite::new(sender);
    for byte in bytes {
        let before = scanner.messages();
        if let Err(violation) = scanner.scan(&LIMITS, &[*byte]) {
            return check_refuses_too(theirs, *byte, violation);
        }
        let message_ended = scanner.messages() > before;
        match theirs.push(*byte) {
            Verdict::Waits => assert!(!message_ended),
            Verdict::MessageEnds => assert!(message_ended),
            Verdict::ControlFrameEnds => assert!(scanner.at_frame_boundary() && !message_ended),
            Verdict::Closes => return assert!(scanner.is_closed()),
            Verdict::RefusesPayload => return,
            Verdict::Refuses(error) => panic!("tungstenite refuses what the scanner took: {error}"),
        }
    }
}

fn check_refuses_too(mut theirs: Tungstenite, byte: u8, violation: Violation) {
    match violation.kind {
        ViolationKind::LengthNotMinimal => return,
        ViolationKind::TooManyFragments | ViolationKind::MisplacedRsv1 => panic!("not in force: {violation}"),
        ViolationKind::Unmasked
        | ViolationKind::Masked
        | ViolationKind::ReservedOpcode
        | ViolationKind::ReservedBit
        | ViolationKind::ControlTooLong
        | ViolationKind::ControlFragmented
        | ViolationKind::StrayContinuation
        | ViolationKind::MissingContinuation
        | ViolationKind::LengthTopBit
        | ViolationKind::MessageTooLarge => {}
    }
    let mut verdict = theirs.push(byte);
    if matches!(verdict, Verdict::Waits) {
        verdict = theirs.push_all(&[1; MESSAGE_BYTES_MAX + 14]);
    }
    assert!(
        matches!(verdict, Verdict::Refuses(_) | Verdict::RefusesPayload),
        "the scanner sees {violation}, tungstenite says {verdict:?}"
    );
}

struct Tungstenite(WebSocket<Trickle>);

/// A stream of what has been pushed; what is written to it is lost.
#[derive(Default)]
struct Trickle {
    pending: Vec<u8>,
}

impl Tungstenite {
    fn new(sender: Sender) -> Self {
        let role = match sender {
            Sender::Client => Role::Server,
            Sender::Server => Role::Client,
        };
        // A small buffer, because each read clears a whole one.
        let config = WebSocketConfig::default()
            .read_buffer_size(64)
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .max_message_size(Some(MESSAGE_BYTES_MAX));
        Self(WebSocket::from_raw_socket(Trickle::default(), role, Some(config)))
    }

    fn push(&mut self, byte: u8) -> Verdict {
        self.push_all(&[byte])
    }

    fn push_all(&mut self, bytes: &[u8]) -> Verdict {
        self.0.get_mut().pending.extend_from_slice(bytes);
        match self.0.read() {
            Ok(Message::Text(_) | Message::Binary(_)) => Verdict::MessageEnds,
            Ok(Message::Ping(_) | Message::Pong(_)) => Verdict::ControlFrameEnds,
            Ok(Message::Close(_)) => Verdict::Closes,
            Ok(Message::Frame(_)) => panic!("never read"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Verdict::Waits,
            Err(Error::Utf8(_) | Error::Protocol(ProtocolError::InvalidCloseSequence)) => Verdict::RefusesPayload,
            Err(error) => Verdict::Refuses(error),
        }
    }
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = buffer.len().min(self.pending.len());
        buffer[..length].copy_from_slice(&self.pending[..length]);
        self.pending.drain(..length);
        Ok(length)
    }
}

impl Write for Trickle {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what a WebSocket of tungstenite writes.
#[derive(Default)]
struct Sent(Vec<u8>);

impl Read for Sent {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Sent {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tungstenite_sees_the_messages_of_a_conversation_end_at_the_same_bytes(
        sender in wire::sender(),
        frames in wire::conversation(Reserved::Zero),
    ) {
        check_verdict(sender, &wire::by_hand(&frames, sender));
    }

    #[test]
    fn tungstenite_refuses_a_spoilt_conversation_with_the_scanner(
        sender in wire::sender(),
        frames in wire::conversation(Reserved::Zero),
        spoilt in any::<prop::sample::Index>(),
        part in 0usize..2,
        bits in 1u8..,
    ) {
        // One byte of one header is changed, and nothing else, so that the verdict hangs on that header.
        if frames.is_empty() {
            return Ok(());
        }
        let spoilt = spoilt.index(frames.len());
        let mut bytes = wire::by_hand(&frames[..spoilt], sender);
        let at = bytes.len() + part;
        bytes.extend(wire::by_hand(&frames[spoilt..], sender));
        bytes[at] ^= bits;
        check_verdict(sender, &bytes);
    }

    #[test]
    fn what_tungstenite_sends_is_counted_message_by_message(
        sender in wire::sender(),
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        sizes in wire::reads(),
    ) {
        let role = match sender {
            Sender::Client => Role::Client,
            Sender::Server => Role::Server,
        };
        let mut socket = WebSocket::from_raw_socket(Sent::default(), role, None);
        let mut ends = Vec::new();
        for message in &messages {
            socket.send(Message::binary(message.clone())).unwrap();
            ends.push(socket.get_ref().0.len());
            socket.send(Message::Ping(message[..message.len().min(125)].to_vec().into())).unwrap();
        }
        let bytes = &socket.get_ref().0;
        let mut scanner = Scanner::new(sender);
        for (sent, end) in (1u64..).zip(&ends) {
            let mut at_count = Scanner::new(sender);
            prop_assert_eq!(at_count.to_message_count(&LIMITS, sent, bytes), Ok(*end));
        }
        for part in wire::cut(bytes, &sizes) {
            scanner.scan(&LIMITS, part).unwrap();
        }
        prop_assert_eq!(scanner.messages(), messages.len() as u64);
        prop_assert!(scanner.at_message_boundary());
    }
}
