//! Follows the heads of requests through a client's byte stream and breaks those that hyper would tolerate or mend.
//!
//! hyper takes a bare LF for a line end, folds two equal lengths into one, drops a length beside a chunked coding, and
//! cuts a target at its `#`. Whoever reads the same bytes in front of us may do otherwise, and then the two do not agree
//! where a request ends. So the first byte that shows it is made NUL, which hyper answers with 400 and a close. What
//! hyper refuses by itself (blanks in names, folded lines, NUL, odd codings, lengths that are no number) is left to it.
//!
//! ```text
//!   Start ─▶ Target ─▶ LineStart ─▶ Name ─▶ Value ─┐           ┌─▶ Start       no body
//!                          ▲                       │           ├─▶ Body        a length
//!                          └──── CR LF ◀───────────┘  CR LF ───┼─▶ ChunkSize ─▶ ChunkData ─▶ … ─▶ Trailer ─▶ Start
//!                                                              └─▶ Beyond      an upgrade: no HTTP from here on
//! ```

/// The place in one client's byte stream.
#[derive(Debug, Default)]
pub(super) struct HeadGuard {
    place: Place,
    /// The byte before was a CR.
    after_cr: bool,
    name: Name,
    head: Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before a request; empty lines are skipped (RFC 9112 section 2.2).
    #[default]
    Start,
    Target,
    LineStart,
    Name,
    Value,
    LengthValue,
    /// The bytes of a body that are still to come.
    Body(u64),
    ChunkSize {
        size: u64,
        digits: u8,
    },
    ChunkExtension {
        size: u64,
    },
    ChunkData(u64),
    /// Behind the data: its CR LF.
    ChunkEnd,
    TrailerStart,
    Trailer,
    /// Behind a request that asks for an upgrade: whatever the answer is, it is the connection's last or no HTTP follows.
    Beyond,
    /// Something was broken; hyper closes the connection.
    Broken,
}

/// What one head says of where the request ends.
#[derive(Debug, Default)]
struct Head {
    length: Option<u64>,
    is_chunked: bool,
    asks_for_upgrade: bool,
    header_count: usize,
}

/// What to do with a byte.
enum Verdict {
    Pass,
    Break,
}

impl HeadGuard {
    /// Reads bytes as they come and breaks the first that must not pass.
    pub(super) fn scan(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes.len() - at;
            match &mut self.place {
                Place::Body(left) | Place::ChunkData(left) if *left > 0 => {
                    let step = usize::try_from(*left).map_or(rest, |left| left.min(rest));
                    *left -= step as u64;
                    at += step;
                }
                Place::Body(_) => self.place = Place::Start,
                Place::ChunkData(_) => {
                    self.place = Place::ChunkEnd;
                    self.after_cr = false;
                }
                Place::Beyond | Place::Broken => return,
                Place::Start
                | Place::Target
                | Place::LineStart
                | Place::Name
                | Place::Value
                | Place::LengthValue
                | Place::ChunkSize { .. }
                | Place::ChunkExtension { .. }
                | Place::ChunkEnd
                | Place::TrailerStart
                | Place::Trailer => {
                    let byte = bytes[at];
                    let verdict = self.step(byte);
                    self.after_cr = byte == b'\r';
                    if let Verdict::Break = verdict {
                        bytes[at] = 0;
                        self.place = Place::Broken;
                        return;
                    }
                    at += 1;
                }
            }
        }
    }

    /// Reads whether a head has begun and not ended.
    pub(super) fn is_within_head(&self) -> bool {
        match self.place {
            Place::Target | Place::LineStart | Place::Name | Place::Value | Place::LengthValue => true,
            Place::Start
            | Place::Body(_)
            | Place::ChunkSize { .. }
            | Place::ChunkExtension { .. }
            | Place::ChunkData(_)
            | Place::ChunkEnd
            | Place::TrailerStart
            | Place::Trailer
            | Place::Beyond
            | Place::Broken => false,
        }
    }

    /// Reads whether more of a body is to come.
    pub(super) fn is_within_body(&self) -> bool {
        match self.place {
            Place::Body(left) => left > 0,
            Place::ChunkSize { .. }
            | Place::ChunkExtension { .. }
            | Place::ChunkData(_)
            | Place::ChunkEnd
            | Place::TrailerStart
            | Place::Trailer => true,
            Place::Start
            | Place::Target
            | Place::LineStart
            | Place::Name
            | Place::Value
            | Place::LengthValue
            | Place::Beyond
            | Place::Broken => false,
        }
    }

    /// Returns how many header lines the head has that was read last, as far as it was.
    pub(super) fn header_count(&self) -> usize {
        self.head.header_count
    }

    /// Reads whether what comes now is behind a request for an upgrade.
    pub(super) fn is_beyond(&self) -> bool {
        self.place == Place::Beyond
    }

    fn step(&mut self, byte: u8) -> Verdict {
        if byte == b'\n' {
            // RFC 9112 section 2.2 lets a recipient take a bare LF for a line end; not all do.
            return if self.after_cr { self.line_end() } else { Verdict::Break };
        }
        match &mut self.place {
            Place::Start if byte == b'\r' => {}
            Place::Start => {
                self.head = Head::default();
                self.place = Place::Target;
            }
            Place::Target if matches!(byte, b'!'..=b'~' | b' ' | b'\r') && byte != b'#' => {}
            Place::Target => return Verdict::Break,
            Place::LineStart if byte == b'\r' => {}
            Place::LineStart => {
                self.name = Name::default();
                self.name.push(byte);
                self.place = Place::Name;
            }
            Place::Name if byte == b':' => return self.name_end(),
            Place::Name => self.name.push(byte),
            Place::Value => {}
            Place::LengthValue => return self.length_byte(byte),
            Place::ChunkSize { size, digits } => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) if *digits < CHUNK_DIGITS_MAX => {
                    *size = *size << 4 | u64::from(digit);
                    *digits += 1;
                }
                (None, b'\r') if *digits > 0 => {}
                (None, b';') if *digits > 0 => self.place = Place::ChunkExtension { size: *size },
                (Some(_) | None, _) => return Verdict::Break,
            },
            Place::ChunkExtension { .. } => {}
            Place::ChunkEnd if byte == b'\r' && !self.after_cr => {}
            Place::ChunkEnd => return Verdict::Break,
            Place::TrailerStart if byte == b'\r' => {}
            Place::TrailerStart => self.place = Place::Trailer,
            Place::Trailer => {}
            Place::Body(_) | Place::ChunkData(_) | Place::Beyond | Place::Broken => {}
        }
        Verdict::Pass
    }

    /// A CR LF has come.
    fn line_end(&mut self) -> Verdict {
        self.place = match self.place {
            Place::Start => Place::Start,
            Place::Target | Place::Value => Place::LineStart,
            Place::LengthValue => {
                // Nothing but blanks: hyper refuses it too, and this way both agree.
                if self.head.length.is_none() {
                    return Verdict::Break;
                }
                Place::LineStart
            }
            // A line without a colon is hyper's to refuse.
            Place::Name => Place::LineStart,
            Place::LineStart => self.head_end(),
            Place::ChunkSize { size: 0, .. } | Place::ChunkExtension { size: 0 } => Place::TrailerStart,
            Place::ChunkSize { size, .. } | Place::ChunkExtension { size } => Place::ChunkData(size),
            Place::ChunkEnd => CHUNK_START,
            Place::TrailerStart => Place::Start,
            Place::Trailer => Place::TrailerStart,
            Place::Body(_) | Place::ChunkData(_) | Place::Beyond | Place::Broken => self.place,
        };
        Verdict::Pass
    }

    fn head_end(&self) -> Place {
        match &self.head {
            Head {
                asks_for_upgrade: true, ..
            } => Place::Beyond,
            Head { is_chunked: true, .. } => CHUNK_START,
            Head {
                length: Some(length), ..
            } => Place::Body(*length),
            Head { length: None, .. } => Place::Start,
        }
    }

    fn name_end(&mut self) -> Verdict {
        self.place = Place::Value;
        self.head.header_count += 1;
        match self.name.as_bytes() {
            // RFC 9112 section 6.3: more than one of these and two readers may see two ends.
            b"content-length" | b"transfer-encoding" if self.head.length.is_some() || self.head.is_chunked => {
                return Verdict::Break;
            }
            b"content-length" => self.place = Place::LengthValue,
            b"transfer-encoding" => self.head.is_chunked = true,
            b"upgrade" => self.head.asks_for_upgrade = true,
            _ => {}
        }
        Verdict::Pass
    }

    fn length_byte(&mut self, byte: u8) -> Verdict {
        match byte {
            b'0'..=b'9' => {
                let digit = u64::from(byte - b'0');
                let grown = self
                    .head
                    .length
                    .unwrap_or(0)
                    .checked_mul(10)
                    .and_then(|tens| tens.checked_add(digit));
                self.head.length = grown;
                if grown.is_none() { Verdict::Break } else { Verdict::Pass }
            }
            b' ' | b'\t' | b'\r' => Verdict::Pass,
            _ => Verdict::Break,
        }
    }
}

/// The beginning of a header's name in lower case, long enough to know the names that matter.
#[derive(Debug, Default)]
struct Name {
    letters: [u8; NAME_BYTES_MAX],
    length: usize,
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.letters.get_mut(self.length) {
            *place = byte.to_ascii_lowercase();
        }
        self.length += 1;
    }

    fn as_bytes(&self) -> &[u8] {
        self.letters.get(..self.length).unwrap_or_default()
    }
}

const CHUNK_START: Place = Place::ChunkSize { size: 0, digits: 0 };

/// A longer number would not fit into 64 bits.
const CHUNK_DIGITS_MAX: u8 = 16;

/// As long as `transfer-encoding`.
const NAME_BYTES_MAX: usize = 17;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scans a stream in the given pieces and returns what it became.
    fn scanned(stream: &[u8], piece: usize) -> (Vec<u8>, HeadGuard) {
        let mut guard = HeadGuard::default();
        let mut bytes = stream.to_vec();
        for chunk in bytes.chunks_mut(piece.max(1)) {
            guard.scan(chunk);
        }
        (bytes, guard)
    }

    /// `^` stands for the byte that is to be broken.
    fn check(marked: &str) {
        let broken = marked.find('^');
        let stream = marked.replace('^', "");
        for piece in [1, 2, 3, 7, stream.len()] {
            let (bytes, guard) = scanned(stream.as_bytes(), piece);
            let mut expected = stream.clone().into_bytes();
            if let Some(at) = broken {
                expected[at] = 0;
            }
            assert_eq!(
                String::from_utf8_lossy(&bytes),
                String::from_utf8_lossy(&expected),
                "in pieces of {piece}"
            );
            assert_eq!(
                guard.place == Place::Broken,
                broken.is_some(),
                "{marked:?} in pieces of {piece}"
            );
        }
    }

    #[test]
    fn sound_requests_pass_untouched_and_end_where_they_end() {
        let check_end = |stream: &str, expected: Place| {
            check(stream);
            assert_eq!(scanned(stream.as_bytes(), 5).1.place, expected, "{stream:?}");
        };
        check_end("GET / HTTP/1.1\r\nHost: h\r\n\r\n", Place::Start);
        check_end("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", Place::Start);
        check_end("POST / HTTP/1.1\r\nContent-Length:  5 \r\n\r\nab\ncd", Place::Body(0));
        check_end(
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab\ncdGET / HTTP/1.1\r\n",
            Place::LineStart,
        );
        check_end("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET", Place::Target);
        check_end(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\na\nb\r\n0A\r\n0123456789\r\n0\r\n\r\n",
            Place::Start,
        );
        check_end(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-late: 1\r\n\r\nGET",
            Place::Target,
        );
        check_end("GET / HTTP/1.1\r\nUPGRADE: websocket\r\n\r\n\n\n#\0", Place::Beyond);
        check_end("GET / HTTP/1.1\r\nX-Content-Length: 5\r\n\r\n", Place::Start);
    }

    #[test]
    fn the_first_byte_that_could_be_read_in_two_ways_is_broken() {
        check("GET / HTTP/1.1^\nHost: h\r\n\r\n");
        check("GET / HTTP/1.1\r\nHost: h^\n\r\n");
        check("GET / HTTP/1.1\r\nHost: h\r\n^\n");
        check("^\nGET / HTTP/1.1\r\n\r\n");
        check("GET /a^#b HTTP/1.1\r\n\r\n");
        check("GET /a^\tb HTTP/1.1\r\n\r\n");
        check("GET /a^\u{e9} HTTP/1.1\r\n\r\n".replace('\u{e9}', "\u{7f}").as_str());
        check("POST / HTTP/1.1\r\nContent-Length: 5\r\ncontent-length^: 5\r\n\r\nabcde");
        check("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding^: chunked\r\n\r\n");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length^: 5\r\n\r\n");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding^: chunked\r\n\r\n");
        check("POST / HTTP/1.1\r\nContent-Length: 5^, 5\r\n\r\n");
        check("POST / HTTP/1.1\r\nContent-Length: ^+5\r\n\r\n");
        check("POST / HTTP/1.1\r\nContent-Length: 1844674407370955161^6\r\n\r\n");
        check("POST / HTTP/1.1\r\nContent-Length: \r^\n\r\n");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3^\nabc");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n^\r\nabc");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3^ \r\nabc");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc^d");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n^\n");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000000^0\r\n");
    }

    proptest! {
        #[test]
        fn no_input_panics_and_the_pieces_do_not_matter(
            stream in proptest::collection::vec(
                prop_oneof![
                    Just(b"\r\n".to_vec()),
                    Just(b"\r\n\r\n".to_vec()),
                    Just(b"GET / HTTP/1.1".to_vec()),
                    Just(b"content-length: 3".to_vec()),
                    Just(b"transfer-encoding: chunked".to_vec()),
                    Just(b"3\r\nabc\r\n0\r\n\r\n".to_vec()),
                    proptest::collection::vec(any::<u8>(), 0..6),
                ],
                0..12,
            ),
            piece in 1_usize..9,
        ) {
            let stream = stream.concat();
            let (whole, at_once) = scanned(&stream, stream.len());
            let (pieces, in_pieces) = scanned(&stream, piece);
            prop_assert_eq!(whole, pieces);
            prop_assert_eq!(at_once.place, in_pieces.place);
        }
    }
}
