//! Looks out for the message of an opaque source that proves its quiet. Made only while a board moves by a route that
//! names one: it copies and inflates, which the relay does not.
//!
//! ```text
//!   Waiting ── our Pong ──▶ Skipping (the rest of a message under way) ─▶ Reading
//! ```

use handover_protocol::frame::{Limits, MessageReader, Received, Scanner};
use regex::bytes::Regex;

use super::recorder::{Recorded, plain};

/// Listens to a source behind its Pong.
#[derive(Debug)]
pub struct QuietWatch {
    pattern: Regex,
    listening: Listening,
    is_proven: bool,
}

#[derive(Debug)]
enum Listening {
    /// What is said before the Pong may answer less than the source was sent.
    Waiting,
    /// Within a message that had begun before the Pong.
    Skipping(Scanner),
    /// Behind it.
    Reading(Box<MessageReader>),
}

impl QuietWatch {
    /// Waits for the Pong.
    pub fn new(pattern: Regex) -> Box<Self> {
        Box::new(Self {
            pattern,
            listening: Listening::Waiting,
            is_proven: false,
        })
    }

    /// Reads whether the last message that came behind the Pong matches: whatever follows a match takes the proof back.
    pub fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Begins where the Pong has ended.
    pub(super) fn begin(&mut self, place: Scanner) {
        self.listening = Listening::Skipping(place);
    }

    /// Hears the source's next bytes.
    pub(super) fn hear(&mut self, limits: &Limits, mut bytes: &[u8]) {
        if let Listening::Skipping(scanner) = &mut self.listening {
            // The relay judges the same bytes; a violation ends the session there.
            let Ok(Some(length)) = scanner.to_message_boundary(limits, bytes) else {
                return;
            };
            bytes = &bytes[length..];
            self.listening = Listening::Reading(Box::new(MessageReader::new(scanner.sender(), MESSAGE_BYTES_MAX)));
        }
        let Listening::Reading(reader) = &mut self.listening else {
            return;
        };
        while let Ok(Some(received)) = reader.next(limits, &mut bytes) {
            match received {
                Received::Message {
                    opcode,
                    compressed,
                    payload,
                } => {
                    let message = Recorded {
                        opcode,
                        is_compressed: compressed,
                        payload: payload.into(),
                    };
                    let plain = plain(&message, MESSAGE_BYTES_MAX);
                    self.is_proven = plain.is_some_and(|payload| self.pattern.is_match(&payload));
                }
                Received::TooLarge { .. } => self.is_proven = false,
                Received::Control { .. } => {}
            }
        }
    }
}

/// A message that says no more than that all is done is short; a larger one is taken for no match.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use handover_protocol::frame::{Sender, encode_text};

    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        encode_text(text, None, &mut frame);
        frame
    }

    fn begun() -> Box<QuietWatch> {
        let mut watch = QuietWatch::new(Regex::new("idle").unwrap());
        watch.begin(Scanner::new(Sender::Server));
        watch
    }

    #[test]
    fn only_the_last_message_behind_the_pong_counts() {
        let limits = Limits::default();
        let mut watch = QuietWatch::new(Regex::new("idle").unwrap());
        watch.hear(&limits, &text("idle"));
        assert!(!watch.is_proven(), "it came before the Pong");
        watch.begin(Scanner::new(Sender::Server));
        watch.hear(&limits, &text("idle"));
        assert!(watch.is_proven());
        watch.hear(&limits, &text("one more"));
        assert!(!watch.is_proven());
        watch.hear(&limits, &[text("more"), text("idle")].concat());
        assert!(watch.is_proven());
    }

    #[test]
    fn any_cut_of_the_stream_shows_the_same() {
        let stream = [text("more"), text("idle")].concat();
        for cut in 0..=stream.len() {
            let mut watch = begun();
            watch.hear(&Limits::default(), &stream[..cut]);
            watch.hear(&Limits::default(), &stream[cut..]);
            assert!(watch.is_proven(), "cut at {cut}");
        }
    }

    #[test]
    fn the_rest_of_a_message_that_had_begun_before_the_pong_proves_nothing() {
        let limits = Limits::default();
        let mut place = Scanner::new(Sender::Server);
        place.scan(&limits, b"\x01\x02id").unwrap();
        let mut watch = QuietWatch::new(Regex::new("idle|le").unwrap());
        watch.begin(place);
        watch.hear(&limits, b"\x80\x02le");
        assert!(!watch.is_proven());
        watch.hear(&limits, &text("idle"));
        assert!(watch.is_proven());
    }

    #[test]
    fn what_is_too_large_or_cannot_be_inflated_takes_the_proof_back() {
        let limits = Limits::default().with_extensions(handover_protocol::frame::Reserved::Deflate);
        let mut watch = begun();
        watch.hear(&limits, &text("idle"));
        watch.hear(&limits, &text(&"idle".repeat(MESSAGE_BYTES_MAX)));
        assert!(!watch.is_proven());
        watch.hear(&limits, &text("idle"));
        let mut damaged = text("idle");
        damaged[0] |= 0x40;
        watch.hear(&limits, &damaged);
        assert!(!watch.is_proven());
    }
}
