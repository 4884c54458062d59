//! The way of a session to a target: the same handshake, the replay as a dialogue, the greeting kept back.

use bytes::BytesMut;
use handover_protocol::frame::{Limits, Scanner, Sender, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tracing::debug;

use crate::relay::Recorded;
use crate::telemetry::label::Fallback;
use crate::tls::Wire;
use crate::upstream::{Agreement, Asking, Destination, DialDeadlines, DialError, DialIds, Handshake, dial};

/// Everything that an attachment needs; it outlives the session's borrow.
#[derive(Debug)]
pub(super) struct Attachment {
    pub to: Destination,
    pub handshake: Handshake,
    pub ids: DialIds,
    pub told: Agreement,
    pub replay: Vec<Recorded>,
    pub awaits_answer: bool,
    pub greeting: u32,
    pub limits: Limits,
    pub deadline: Instant,
}

/// A target that has answered.
#[derive(Debug)]
pub(super) struct Attached {
    /// Its socket.
    pub stream: Wire,
    /// What it said beyond what was swallowed.
    pub said: BytesMut,
    /// Messages that were replayed to it: they count as passed.
    pub replayed: u64,
    /// Messages of it that were swallowed: they count as sent.
    pub swallowed: u64,
}

impl Attachment {
    /// Dials, replays and awaits.
    ///
    /// Dropping the future closes the connection to the target.
    ///
    /// # Errors
    /// Why this session has to reconnect.
    pub(super) async fn attach(self) -> Result<Attached, Fallback> {
        let asking = Asking::AsTold {
            told: &self.told,
            is_swallowing: self.greeting > 0,
        };
        let deadlines = DialDeadlines::at(self.deadline);
        let dialled = dial(&self.to, &self.handshake, &self.ids, asking, deadlines)
            .await
            .map_err(|error| {
                debug!(%error, "the target did not take the session");
                match error {
                    DialError::Refused(_) => Fallback::DialRefused,
                    DialError::Connect(_) | DialError::Exchange(_) => Fallback::DialFailed,
                    DialError::BadUpgrade(_) => Fallback::Disagreement,
                }
            })?;
        self.told.compare(&dialled.agreement).map_err(|disagreement| {
            debug!(%disagreement, "the target's 101 does not suit what the client was told");
            Fallback::Disagreement
        })?;
        let mut dialogue = Dialogue {
            stream: dialled.stream,
            said: BytesMut::from(&dialled.early[..]),
            scanned: 0,
            scanner: Scanner::new(Sender::Server),
            limits: self.limits,
            swallowed: 0,
            greeting: u64::from(self.greeting),
        };
        for message in &self.replay {
            dialogue.say(message).await?;
            if self.awaits_answer {
                dialogue.hear().await?;
            }
        }
        while dialogue.swallowed < dialogue.greeting {
            dialogue.hear().await?;
        }
        Ok(Attached {
            stream: dialogue.stream,
            said: dialogue.said,
            replayed: self.replay.len() as u64,
            swallowed: dialogue.swallowed,
        })
    }
}

struct Dialogue {
    stream: Wire,
    /// What was read and not swallowed.
    said: BytesMut,
    /// How much of `said` the scanner has passed.
    scanned: usize,
    scanner: Scanner,
    limits: Limits,
    swallowed: u64,
    greeting: u64,
}

impl Dialogue {
    async fn say(&mut self, message: &Recorded) -> Result<(), Fallback> {
        let mut key = [0; 4];
        getrandom::fill(&mut key).expect("the system has randomness once it serves sockets");
        let mut frame = Vec::new();
        encode(message.opcode, &message.payload, Some(key), &mut frame);
        if message.is_compressed {
            frame[0] |= RSV1;
        }
        let said = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await
        };
        said.await.map_err(|_| Fallback::DialFailed)
    }

    /// Waits for the next data message, and swallows it while the greeting lasts.
    async fn hear(&mut self) -> Result<(), Fallback> {
        let heard = self.scanner.messages();
        loop {
            let rest = &self.said[self.scanned..];
            let length = self
                .scanner
                .to_message_count(&self.limits, heard + 1, rest)
                .map_err(|_| Fallback::Disagreement)?;
            self.scanned += length;
            if self.scanner.messages() > heard && self.scanner.at_message_boundary() {
                break;
            }
            if self.scanner.is_closed() || self.said.len() > SAID_BYTES_MAX {
                return Err(Fallback::ReplayUnanswered);
            }
            match self.stream.read_buf(&mut self.said).await {
                Ok(0) | Err(_) => return Err(Fallback::ReplayUnanswered),
                Ok(_) => {}
            }
        }
        if self.swallowed < self.greeting {
            self.swallowed += 1;
            let _ = self.said.split_to(self.scanned);
            self.scanned = 0;
        }
        Ok(())
    }
}

/// The bit that marks a compressed message (RFC 7692 section 6).
const RSV1: u8 = 0x40;

/// A target that says so much before it has answered is not answering.
const SAID_BYTES_MAX: usize = 4 * 1024 * 1024;
