//! The names of things, parsed once at the edge and trusted from there on.
//!
//! Every id is a newtype over a short string that has been checked: where a function takes a `BoardId`, nobody
//! needs to check again. Cloning an id is a reference count.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The stateful unit and the routing key: a document, room, game, space.
///
/// 1 to 256 bytes of UTF-8 without control characters. In a URL it is one percent-encoded segment.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$", example = "board-42")]
pub struct BoardId(Arc<str>);

impl BoardId {
    /// Longest board id, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 256;

    /// Decodes one percent-encoded URL segment, exactly once.
    ///
    /// # Errors
    /// When the segment holds a slash, a broken escape, bytes that are no UTF-8, or an id out of bounds.
    pub fn from_url_segment(segment: &str) -> Result<Self, IdError> {
        if segment.contains('/') || !escapes_are_whole(segment) {
            return Err(IdError::Segment);
        }
        let decoded = percent_decode_str(segment)
            .decode_utf8()
            .map_err(|_| IdError::Segment)?;
        decoded.parse()
    }

    /// Returns the id as one percent-encoded URL segment; `.` and `..` are encoded too, for they would be folded away.
    pub fn to_url_segment(&self) -> String {
        if self.0.chars().all(|letter| letter == '.') {
            return self.0.replace('.', "%2E");
        }
        utf8_percent_encode(&self.0, SEGMENT).to_string()
    }

    /// Returns the decoded id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BoardId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        check_length(text, Self::BYTES_MAX)?;
        if text.chars().any(char::is_control) {
            return Err(IdError::Letter {
                allowed: "no control characters",
            });
        }
        Ok(Self(text.into()))
    }
}

/// Declares an id of letters, digits and a few marks: what is safe in a URL, a label, a header and a file name.
macro_rules! plain_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest such id, in bytes.
            pub const BYTES_MAX: usize = 64;

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                check_length(text, Self::BYTES_MAX)?;
                check_plain(text)?;
                Ok(Self(text.into()))
            }
        }

        text_traits!($name);
    };
}

/// Gives an id over `Arc<str>` its `Display`, `Debug` and serde conversions.
macro_rules! text_traits {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({:?})", stringify!($name), &self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

text_traits!(BoardId);

plain_id! {
    /// Names one board server; the Prometheus `instance`. A restarted process keeps its name and changes its
    /// incarnation.
    ServerName
}

plain_id! {
    /// Tells one process of a server from the next: random at each process start.
    Incarnation
}

plain_id! {
    /// Names the version that a server runs.
    ReleaseName
}

plain_id! {
    /// Names one client connection as the client sees it; it outlives upstream connections.
    SessionId
}

plain_id! {
    /// Names the gateway process that carries out a move; random at each process start.
    CoordinatorId
}

plain_id! {
    /// Names a drain; chosen by the caller or by the gateway.
    DrainId
}

/// Says why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has no letters.
    #[error("is empty; give it at least one character")]
    Empty,
    /// The text has more bytes than the kind of id allows.
    #[error("is longer than {bytes_max} bytes")]
    TooLong {
        /// The bound that was passed.
        bytes_max: usize,
    },
    /// A character is not allowed there.
    #[error("has a character that is not allowed: {allowed}")]
    Letter {
        /// What would have been allowed.
        allowed: &'static str,
    },
    /// The text is no percent-encoded URL segment of UTF-8.
    #[error("is not one percent-encoded segment of UTF-8")]
    Segment,
}

fn check_length(text: &str, bytes_max: usize) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Empty),
        length if length > bytes_max => Err(IdError::TooLong { bytes_max }),
        _ => Ok(()),
    }
}

fn check_plain(text: &str) -> Result<(), IdError> {
    let starts_well = text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let reads_on = |letter: char| letter.is_ascii_alphanumeric() || "._:-".contains(letter);
    if starts_well && text.chars().all(reads_on) {
        Ok(())
    } else {
        Err(IdError::Letter {
            allowed: "letters, digits and . _ : - after a letter or digit",
        })
    }
}

/// Reads whether each `%` is followed by two hexadecimal digits.
fn escapes_are_whole(segment: &str) -> bool {
    let mut rest = segment.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return false,
        }
    }
    true
}

/// What is encoded in a segment: everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_board_id_out_of_bounds_is_refused() {
        assert_eq!("".parse::<BoardId>(), Err(IdError::Empty));
        assert!("x".repeat(256).parse::<BoardId>().is_ok());
        assert_eq!(
            "x".repeat(257).parse::<BoardId>(),
            Err(IdError::TooLong { bytes_max: 256 })
        );
        assert!("a\nb".parse::<BoardId>().is_err());
        assert!("a\u{85}b".parse::<BoardId>().is_err());
    }

    #[test]
    fn a_segment_is_decoded_exactly_once() {
        let check = |segment: &str, expected: Option<&str>| {
            let decoded = BoardId::from_url_segment(segment).ok();
            assert_eq!(decoded.as_ref().map(BoardId::as_str), expected, "{segment}");
        };
        check("a%2Fb", Some("a/b"));
        check("a%252Fb", Some("a%2Fb"));
        check("a/b", None);
        check("a%2", None);
        check("a%zz", None);
        check("%ff", None);
        check("%00", None);
        check("", None);
    }

    #[test]
    fn plain_ids_refuse_what_a_label_or_a_file_name_could_not_hold() {
        let check = |text: &str, fine: bool| assert_eq!(text.parse::<ServerName>().is_ok(), fine, "{text}");
        check("board-1", true);
        check("10.0.0.1:9001", true);
        check("-board", false);
        check("board 1", false);
        check("boärd", false);
        check("a/b", false);
    }

    proptest! {
        #[test]
        fn every_board_id_survives_the_url(text in "\\PC{1,60}") {
            let board: BoardId = text.parse().unwrap();
            prop_assert_eq!(BoardId::from_url_segment(&board.to_url_segment()).unwrap(), board);
        }
    }
}
