//! What the whiteboard's clients and servers say to each other, and how a change looks in the database.
//!
//! One WebSocket message is one JSON object, as text, or as the same bytes in a binary message, which is then answered
//! in binary. A client says `hello` first. Any message that is neither `hello` nor `draw` is an opaque change: its
//! number is the user's last number on that board plus one, and of its content the length and the SHA-1 are kept.
//!
//! ```text
//! client                                              server
//!   {"type":"hello","user":"u17"}                ──▶
//!                                                ◀──  {"type":"welcome","board":"b","revision":12,"users":3,"changes":[…],…}
//!                                                ◀──  {"type":"joined","user":"u18"}                       (to the others)
//!   {"type":"draw","seq":17,"color":"#e33",…}    ──▶  (saved in the database first)
//!                                                ◀──  {"type":"saved","seq":17,"revision":13}              (to the sender)
//!                                                ◀──  {"type":"drawn","user":"u17","seq":17,"revision":13,…} (to the others)
//! ```

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message: who it is.
    Hello(Hello),
    /// One change of the board.
    Draw(Draw),
}

/// A client's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The author of the changes that follow: 1 to [`USER_BYTES_MAX`] bytes without control characters.
    pub user: String,
}

/// A stroke on the board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// The author's number for it, on this board: 1, 2, 3 and so on. Sent again, it is the same change.
    pub seq: u64,
    /// As CSS writes it.
    pub color: String,
    /// x and y of each point. Whole numbers survive every JSON library exactly.
    pub points: Vec<[f64; 2]>,
    /// Makes the message longer; not passed on, and kept in the database as length and SHA-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<String>,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to `hello`.
    Welcome(Welcome),
    /// The sender's own change is in the database.
    Saved(Saved),
    /// Somebody else's change is in the database.
    Drawn(Drawn),
    /// Somebody came.
    Joined(Presence),
    /// Somebody went.
    Left(Presence),
}

/// The answer to `hello`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The board.
    pub board: String,
    /// The number of the board's last change. Every later one comes as `drawn`.
    pub revision: u64,
    /// How many users there are, this one included.
    pub users: u64,
    /// The board's last changes, at most [`WELCOME_CHANGES_MAX`], the oldest first; absent when `resumed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Drawn>>,
    /// The name of the server.
    pub server: String,
    /// The version that it runs.
    pub release: String,
    /// Whether this very session went on from another server, so that it has seen everything before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
}

/// An acknowledgement: the change is in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The author's number for it.
    pub seq: u64,
    /// The board's number for it.
    pub revision: u64,
}

/// A change as others see it. It has either `color` and `points` or `bytes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// The author.
    pub user: String,
    /// The author's number for it.
    pub seq: u64,
    /// The board's number for it.
    pub revision: u64,
    /// Of a stroke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// Of a stroke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<[f64; 2]>>,
    /// Of an opaque change: its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Filler, where the server was told to show much; a welcome has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<String>,
}

/// Who came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The user.
    pub user: String,
}

/// A change's content as the database keeps it, in the column `body`, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Body {
    /// A stroke: `{"color":"#e33","points":[[1,2]]}`, with `"pad":{"bytes":5,"sha1":"…"}` where it had one.
    Stroke {
        /// As it was sent.
        color: String,
        /// As they were sent.
        points: Vec<[f64; 2]>,
        /// What remains of the padding.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pad: Option<Fingerprint>,
    },
    /// An opaque change: `{"bytes":5,"sha1":"…"}`.
    Opaque(Fingerprint),
}

/// What is kept of bytes that nobody reads again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many there were.
    pub bytes: u64,
    /// Their SHA-1 in lower-case hexadecimal digits; it finds accidents, not forgers.
    pub sha1: String,
}

impl Body {
    /// Returns what is kept of a stroke.
    pub fn of_draw(draw: Draw) -> Self {
        Self::Stroke {
            color: draw.color,
            points: draw.points,
            pad: draw.pad.map(|pad| Fingerprint::of(pad.as_bytes())),
        }
    }

    /// Returns what is kept of a message that is no known JSON; of a text, its UTF-8.
    pub fn of_opaque(message: &[u8]) -> Self {
        Self::Opaque(Fingerprint::of(message))
    }

    /// Returns the change as others see it.
    pub fn drawn(&self, user: &str, seq: u64, revision: u64) -> Drawn {
        let (color, points, bytes) = match self {
            Self::Stroke { color, points, .. } => (Some(color.clone()), Some(points.clone()), None),
            Self::Opaque(fingerprint) => (None, None, Some(fingerprint.bytes)),
        };
        Drawn {
            user: user.to_owned(),
            seq,
            revision,
            color,
            points,
            bytes,
            pad: None,
        }
    }
}

impl Fingerprint {
    /// Digests the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let sha1 = Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            bytes: bytes.len() as u64,
            sha1,
        }
    }
}

/// Reads whether a text can be a user's name.
pub fn is_user_name(text: &str) -> bool {
    (1..=USER_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Longest user name, in bytes of UTF-8.
pub const USER_BYTES_MAX: usize = 64;
/// Most changes that a welcome lists.
pub const WELCOME_CHANGES_MAX: usize = 200;
/// Highest number of a change; every JSON library reads it exactly.
pub const SEQ_MAX: u64 = (1 << 53) - 1;
/// Longest message of a client, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(message: &T, json: &str)
    where
        T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug,
    {
        assert_eq!(serde_json::to_string(message).unwrap(), json);
        assert_eq!(&serde_json::from_str::<T>(json).unwrap(), message);
    }

    #[test]
    fn messages_read_as_documented() {
        let hello = Hello { user: "u17".into() };
        check(&ClientMessage::Hello(hello), r#"{"type":"hello","user":"u17"}"#);
        let draw = Draw {
            seq: 17,
            color: "#e33".into(),
            points: vec![[1.0, 2.5]],
            pad: None,
        };
        check(
            &ClientMessage::Draw(draw.clone()),
            r##"{"type":"draw","seq":17,"color":"#e33","points":[[1.0,2.5]]}"##,
        );
        let saved = Saved { seq: 17, revision: 13 };
        check(
            &ServerMessage::Saved(saved),
            r#"{"type":"saved","seq":17,"revision":13}"#,
        );
        check(
            &ServerMessage::Drawn(Body::of_draw(draw).drawn("u17", 17, 13)),
            r##"{"type":"drawn","user":"u17","seq":17,"revision":13,"color":"#e33","points":[[1.0,2.5]]}"##,
        );
        check(
            &ServerMessage::Drawn(Body::of_opaque(b"hello").drawn("u17", 18, 14)),
            r#"{"type":"drawn","user":"u17","seq":18,"revision":14,"bytes":5}"#,
        );
    }

    #[test]
    fn a_body_keeps_of_padding_and_of_opaque_messages_length_and_digest() {
        let sha1 = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
        check(&Body::of_opaque(b"hello"), &format!(r#"{{"bytes":5,"sha1":"{sha1}"}}"#));
        let draw = Draw {
            seq: 1,
            color: "red".into(),
            points: Vec::new(),
            pad: Some("hello".into()),
        };
        check(
            &Body::of_draw(draw),
            &format!(r#"{{"color":"red","points":[],"pad":{{"bytes":5,"sha1":"{sha1}"}}}}"#),
        );
    }
}
