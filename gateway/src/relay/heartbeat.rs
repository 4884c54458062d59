//! The last Ping of a client, or the last Pong of a server, that was passed on whole.
//!
//! Where a session leaves its source, the answer to a Ping that the source has may be cut off with the rest of its
//! stream, and a client that waits for it takes the connection for dead. Who knows the Ping can answer in its place.

use handover_protocol::frame::{Event, Limits, Opcode, Scanner, Sender, unmask};

/// A heartbeat, or as much of it as was passed on.
#[derive(Debug)]
pub(super) struct Heartbeat {
    payload: [u8; PAYLOAD_BYTES_MAX],
    length: usize,
    key: Option<[u8; 4]>,
    progress: Progress,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Its header has been passed on and its payload has not ended.
    UnderWay,
    /// It has been passed on, and nobody has looked yet.
    New,
    /// It has been passed on.
    Known,
    /// It is of no interest any more.
    Forgotten,
}

impl Heartbeat {
    /// Follows `bytes` from `before` to `after`; a stream without control frames costs a comparison, and one without
    /// heartbeats keeps nothing.
    #[inline]
    pub(super) fn follow(kept: &mut Option<Box<Self>>, limits: &Limits, before: Scanner, after: Scanner, bytes: &[u8]) {
        let is_under_way = kept.as_ref().is_some_and(|known| known.progress == Progress::UnderWay);
        if is_under_way || before.controls() != after.controls() {
            Self::look(kept, limits, before, bytes);
        }
    }

    #[cold]
    fn look(kept: &mut Option<Box<Self>>, limits: &Limits, before: Scanner, bytes: &[u8]) {
        if let Some(known) = kept {
            return known.read(limits, before, bytes);
        }
        let mut found = Self::default();
        found.read(limits, before, bytes);
        if found.progress != Progress::Forgotten {
            *kept = Some(Box::new(found));
        }
    }

    /// Reads, once for each heartbeat, whether one has come since this was asked.
    pub(super) fn take_news(&mut self) -> bool {
        let is_new = self.progress == Progress::New;
        if is_new {
            self.progress = Progress::Known;
        }
        is_new
    }

    /// Returns the payload of one that has been passed on whole.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        match self.progress {
            Progress::New | Progress::Known => Some(&self.payload[..self.length]),
            Progress::UnderWay | Progress::Forgotten => None,
        }
    }

    /// Forgets one that has been passed on whole.
    pub(super) fn forget(&mut self) {
        match self.progress {
            Progress::New | Progress::Known => self.progress = Progress::Forgotten,
            Progress::UnderWay | Progress::Forgotten => {}
        }
    }

    fn read(&mut self, limits: &Limits, mut scanner: Scanner, bytes: &[u8]) {
        let wanted = match scanner.sender() {
            Sender::Client => Opcode::Ping,
            Sender::Server => Opcode::Pong,
        };
        let mut rest = bytes;
        while let Ok(advance) = scanner.advance(limits, rest) {
            let (passed, behind) = rest.split_at(advance.consumed);
            match advance.event {
                Some(Event::Header(header)) if header.opcode == wanted => {
                    self.progress = Progress::UnderWay;
                    self.length = 0;
                    self.key = header.mask;
                }
                Some(Event::Header(_)) => {}
                Some(Event::FrameEnd { opcode, .. }) if opcode == wanted && self.progress == Progress::UnderWay => {
                    self.keep(passed);
                    if let Some(key) = self.key {
                        unmask(key, 0, &mut self.payload[..self.length]);
                    }
                    self.progress = Progress::New;
                }
                Some(Event::FrameEnd { .. }) => {}
                None => {
                    if self.progress == Progress::UnderWay {
                        self.keep(passed);
                    }
                    return;
                }
            }
            rest = behind;
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        self.payload[self.length..end].copy_from_slice(part);
        self.length = end;
    }
}

/// Counts the Pings whose headers end within `bytes`, which begin where `scanner` stands.
#[cold]
pub(super) fn count_pings(limits: &Limits, mut scanner: Scanner, bytes: &[u8]) -> u16 {
    let (mut rest, mut count) = (bytes, 0_u16);
    while let Ok(advance) = scanner.advance(limits, rest) {
        match advance.event {
            Some(Event::Header(header)) if header.opcode == Opcode::Ping => count = count.wrapping_add(1),
            Some(Event::Header(_) | Event::FrameEnd { .. }) => {}
            None => break,
        }
        rest = &rest[advance.consumed..];
    }
    count
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            payload: [0; PAYLOAD_BYTES_MAX],
            length: 0,
            key: None,
            progress: Progress::Forgotten,
        }
    }
}

/// Of a control frame (RFC 6455 section 5.5); the scanner lets no longer one pass.
const PAYLOAD_BYTES_MAX: usize = 125;

#[cfg(test)]
mod tests {
    use handover_protocol::frame::{encode, encode_ping};

    use super::*;

    /// Follows a client's stream that is cut in two, at every place.
    fn check(stream: &[u8], expected: &[u8]) {
        let limits = Limits::default();
        for cut in 0..=stream.len() {
            let mut kept = None;
            let mut scanner = Scanner::new(Sender::Client);
            for part in [&stream[..cut], &stream[cut..]] {
                let before = scanner;
                scanner.scan(&limits, part).unwrap();
                Heartbeat::follow(&mut kept, &limits, before, scanner, part);
            }
            let mut kept = kept.unwrap();
            assert_eq!(kept.payload(), Some(expected), "cut at {cut}");
            assert!(kept.take_news() && !kept.take_news(), "cut at {cut}");
            assert_eq!(kept.payload(), Some(expected), "cut at {cut}");
            kept.forget();
            assert_eq!(kept.payload(), None, "cut at {cut}");
        }
    }

    #[test]
    fn the_last_ping_is_known_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        encode(Opcode::Text, b"before", Some([1, 2, 3, 4]), &mut stream);
        encode_ping(b"first", Some([5, 6, 7, 8]), &mut stream);
        check(&stream, b"first");
        encode_ping(&[b'x'; PAYLOAD_BYTES_MAX], Some([9, 9, 1, 1]), &mut stream);
        encode(Opcode::Pong, b"not asked for", Some([1, 1, 1, 1]), &mut stream);
        check(&stream, &[b'x'; PAYLOAD_BYTES_MAX]);
        encode_ping(b"", Some([2, 2, 2, 2]), &mut stream);
        encode(Opcode::Binary, b"behind", Some([3, 3, 3, 3]), &mut stream);
        check(&stream, b"");
    }

    #[test]
    fn a_stream_without_heartbeats_keeps_nothing() {
        let mut stream = Vec::new();
        encode(Opcode::Text, b"text", None, &mut stream);
        encode_ping(b"of a server", None, &mut stream);
        let limits = Limits::default();
        let mut scanner = Scanner::new(Sender::Server);
        let before = scanner;
        scanner.scan(&limits, &stream).unwrap();
        let mut kept = None;
        Heartbeat::follow(&mut kept, &limits, before, scanner, &stream);
        assert!(kept.is_none());
    }
}
