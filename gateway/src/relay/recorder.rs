//! What a client said that has to be said again to a target: recorded by count or by pattern, under a bound.

use flate2::{Decompress, FlushDecompress};
use handover_protocol::frame::{Limits, MessageReader, Opcode, Received, Sender};

use crate::config::Replay;
use crate::telemetry::label::Limit;

/// One recorded message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Text or Binary.
    pub opcode: Opcode,
    /// Whether the payload is compressed (RFC 7692 section 6.1).
    pub is_compressed: bool,
    /// Unmasked.
    pub payload: Box<[u8]>,
}

/// Listens to a client until everything that a replay needs is known.
#[derive(Debug)]
pub struct Recorder {
    replay: Replay,
    reader: Option<Box<MessageReader>>,
    messages: Vec<Recorded>,
    bytes: usize,
    bytes_max: usize,
    state: RecorderState,
}

/// What a recorder can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecorderState {
    /// It still listens; what it has so far is everything that was said so far.
    Listening,
    /// It has all it needs and hears no more.
    Complete,
    /// What would have to be replayed is more than the route allows, by this bound: the session has to reconnect.
    Overfull(Limit),
}

impl Recorder {
    /// Starts to listen; nothing where there is nothing to replay.
    pub fn new(replay: &Replay, bytes_max: usize) -> Option<Box<Self>> {
        match replay {
            Replay::None | Replay::First { count: 0, .. } => return None,
            Replay::First { .. } | Replay::Matching { .. } => {}
        }
        Some(Box::new(Self {
            replay: replay.clone(),
            reader: Some(Box::new(MessageReader::new(Sender::Client, bytes_max))),
            messages: Vec::new(),
            bytes: 0,
            bytes_max,
            state: RecorderState::Listening,
        }))
    }

    /// Hears the client's next bytes.
    pub fn hear(&mut self, limits: &Limits, mut bytes: &[u8]) {
        while let Some(reader) = &mut self.reader {
            match reader.next(limits, &mut bytes) {
                Ok(Some(Received::Message {
                    opcode,
                    compressed,
                    payload,
                })) => {
                    self.keep(Recorded {
                        opcode,
                        is_compressed: compressed,
                        payload: payload.into(),
                    });
                }
                Ok(Some(Received::TooLarge { .. })) => self.pass_over_large(),
                Ok(Some(Received::Control { .. })) => {}
                // The relay judges the same bytes; a violation ends the session there.
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Returns what is to be replayed, in order.
    pub fn messages(&self) -> &[Recorded] {
        &self.messages
    }

    /// Returns whether that is all.
    pub fn state(&self) -> RecorderState {
        self.state
    }

    fn keep(&mut self, message: Recorded) {
        let is_wanted = match &self.replay {
            Replay::None => false,
            Replay::First { .. } => true,
            Replay::Matching { pattern, .. } => match plain(&message, self.bytes_max) {
                Some(payload) => pattern.is_match(&payload),
                None => false,
            },
        };
        if !is_wanted {
            return;
        }
        self.bytes += message.payload.len();
        if self.bytes > self.bytes_max {
            self.stop(RecorderState::Overfull(Limit::ReplayBytes));
            return;
        }
        self.messages.push(message);
        let kept = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        match &self.replay {
            Replay::First { count, .. } if kept >= *count => self.stop(RecorderState::Complete),
            Replay::Matching { messages_max, .. } if kept > *messages_max => {
                self.stop(RecorderState::Overfull(Limit::ReplayMessages));
            }
            Replay::None | Replay::First { .. } | Replay::Matching { .. } => {}
        }
    }

    /// A message larger than the bound can be one of the first, but is taken for no match of a pattern.
    fn pass_over_large(&mut self) {
        match &self.replay {
            Replay::First { .. } => self.stop(RecorderState::Overfull(Limit::ReplayBytes)),
            Replay::None | Replay::Matching { .. } => {}
        }
    }

    fn stop(&mut self, state: RecorderState) {
        self.state = state;
        self.reader = None;
    }
}

/// Returns the payload as the application wrote it; nothing where it is larger than `bytes_max` or damaged.
pub(super) fn plain(message: &Recorded, bytes_max: usize) -> Option<std::borrow::Cow<'_, [u8]>> {
    if !message.is_compressed {
        return Some(std::borrow::Cow::Borrowed(&message.payload));
    }
    let mut inflater = Decompress::new(false);
    let mut input = message.payload.to_vec();
    input.extend_from_slice(&[0, 0, 0xff, 0xff]);
    let mut output = Vec::with_capacity(bytes_max.min(input.len().saturating_mul(4)).max(64));
    loop {
        let consumed = usize::try_from(inflater.total_in()).ok()?;
        let before = (inflater.total_in(), inflater.total_out());
        inflater
            .decompress_vec(&input[consumed..], &mut output, FlushDecompress::Sync)
            .ok()?;
        let is_done = usize::try_from(inflater.total_in()).ok()? == input.len() && output.len() < output.capacity();
        if is_done {
            return Some(std::borrow::Cow::Owned(output));
        }
        if output.len() >= bytes_max {
            return None;
        }
        if output.len() == output.capacity() {
            output.reserve(output.len().max(64).min(bytes_max));
        } else if before == (inflater.total_in(), inflater.total_out()) {
            return Some(std::borrow::Cow::Owned(output));
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    /// Compresses as RFC 7692 section 7.2.1 has it.
    fn deflated(text: &[u8]) -> Recorded {
        let mut payload = Vec::with_capacity(text.len() + 64);
        let mut deflater = Compress::new(Compression::best(), false);
        deflater.compress_vec(text, &mut payload, FlushCompress::Sync).unwrap();
        payload.truncate(payload.len() - 4);
        Recorded {
            opcode: Opcode::Text,
            is_compressed: true,
            payload: payload.into(),
        }
    }

    #[test]
    fn what_inflates_beyond_the_bound_is_given_up_on_the_way() {
        const BOUND: usize = 64 * 1024;
        let bomb = deflated(&vec![b'x'; 16 * 1024 * 1024]);
        assert!(bomb.payload.len() < BOUND, "{}", bomb.payload.len());
        assert_eq!(plain(&bomb, BOUND), None);
        let fits = vec![b'x'; BOUND - 1];
        assert_eq!(plain(&deflated(&fits), BOUND).as_deref(), Some(&fits[..]));
    }
}
