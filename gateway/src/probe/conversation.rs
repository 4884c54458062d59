//! What is said over a socket, and what of it can be compared: an answer's form, never its values.

use std::time::Duration;

use crate::tls::Wire;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::upstream::Dialled;

/// A conversation with a server.
pub(super) struct Conversation {
    socket: WebSocketStream<Wire>,
    wait: Duration,
    /// How the server ended it.
    ended: Option<Ending>,
    /// What it said without being spoken to, or without end.
    unasked: Vec<Form>,
    /// Whether it was still being heard when the time for an answer was up.
    is_talkative: bool,
}

/// The form of one message: what kind of thing it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form(String);

/// How a server ends a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// By a close frame; it may say nothing.
    Close(Option<CloseFrame>),
    /// Without one.
    Broken,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Close(Some(frame)) if frame.reason.is_empty() => {
                write!(formatter, "close code {}", u16::from(frame.code))
            }
            Self::Close(Some(frame)) => {
                let (code, reason) = (u16::from(frame.code), frame.reason.as_str());
                write!(formatter, "close code {code} ({reason:?})")
            }
            Self::Close(None) => formatter.write_str("a close frame without a code"),
            Self::Broken => formatter.write_str("the end of the connection, without a close frame"),
        }
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Conversation {
    /// Talks over a socket that was dialled; `wait` is how long an answer may take.
    pub(super) async fn over(dialled: Dialled, wait: Duration) -> Self {
        let early = dialled.early.to_vec();
        Self {
            socket: WebSocketStream::from_partially_read(dialled.stream, early, Role::Client, None).await,
            wait,
            ended: None,
            unasked: Vec::new(),
            is_talkative: false,
        }
    }

    /// Says something and hears what comes of it.
    pub(super) async fn say(&mut self, text: &str) -> Vec<Form> {
        // What the server said as it went is still to be read.
        let _ = self.socket.send(Message::text(text)).await;
        self.hear().await
    }

    /// Hears until nothing more comes, or until it is plain that this will not end.
    pub(super) async fn hear(&mut self) -> Vec<Form> {
        let heard = self
            .listen(self.wait, self.wait / 2, Instant::now() + self.wait * ANSWER_WAITS)
            .await;
        if heard.len() >= HEARD_MAX || self.is_talkative {
            self.unasked.extend(heard.iter().cloned());
        }
        heard
    }

    /// Says nothing for a while, and notes what comes all the same; one message may be an answer that was late.
    pub(super) async fn overhear(&mut self) {
        let patience = self.wait * SILENCE_WAITS;
        let heard = self.listen(patience, patience, Instant::now() + patience).await;
        if heard.len() > 1 {
            self.unasked.extend(heard);
        }
    }

    async fn listen(&mut self, first: Duration, next: Duration, until: Instant) -> Vec<Form> {
        let mut heard = Vec::new();
        let mut patience = first;
        self.is_talkative = false;
        while self.ended.is_none() && heard.len() < HEARD_MAX {
            let due = (Instant::now() + patience).min(until);
            match timeout_at(due, self.socket.next()).await {
                Err(_) => {
                    self.is_talkative = due == until;
                    break;
                }
                Ok(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                    heard.push(form_of(&message));
                    // What belongs to an answer comes close behind it.
                    patience = next;
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
                Ok(Some(Ok(Message::Close(frame)))) => self.ended = Some(Ending::Close(frame)),
                Ok(None | Some(Err(_))) => self.ended = Some(Ending::Broken),
            }
        }
        heard
    }

    /// Returns how the server has ended it; nothing while it goes on.
    pub(super) fn ended(&self) -> Option<&Ending> {
        self.ended.as_ref()
    }

    /// Returns what the server said without being spoken to, or without end; nothing where it only answers.
    pub(super) fn unasked(&self) -> &[Form] {
        &self.unasked
    }

    /// Leaves as a client does.
    pub(super) async fn leave(mut self) {
        let farewell = async {
            let _ = self.socket.close(None).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = timeout(self.wait, farewell).await;
    }
}

fn form_of(message: &Message) -> Form {
    let bytes = message.clone().into_data();
    let kind = if message.is_text() { "text" } else { "binary" };
    Form(match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(fields)) => {
            let named = NAMING.iter().find_map(|key| fields.get(*key)?.as_str());
            match named {
                Some(name) => format!("{kind} {name:?}"),
                None => format!("{kind} {{{}}}", fields.keys().cloned().collect::<Vec<_>>().join(",")),
            }
        }
        Ok(Value::Array(list)) => match list.first() {
            Some(Value::String(name)) => format!("{kind} [{name:?}]"),
            Some(_) | None => format!("{kind} []"),
        },
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | Err(_) => {
            // Socket.IO and the like put a digit or a word in front.
            let word: String = String::from_utf8_lossy(&bytes)
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric())
                .take(WORD_LETTERS_MAX)
                .collect();
            format!("{kind} {word:?}…")
        }
    })
}

/// Where protocols of JSON say what a message is.
const NAMING: [&str; 6] = ["type", "event", "kind", "op", "action", "method"];

/// A server that says more than this at once is not answering.
const HEARD_MAX: usize = 100;

/// An answer of many parts is through after so many waits; who goes on then does so by itself.
const ANSWER_WAITS: u32 = 4;

/// For so many waits nothing is said to a server, to hear whether it says something all the same.
const SILENCE_WAITS: u32 = 2;

/// Long enough for a name, too short for contents.
const WORD_LETTERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_tells_the_kind_of_a_message_and_not_its_contents() {
        let check = |text: &str, expected: &str| assert_eq!(form_of(&Message::text(text)).0, expected, "{text}");
        check(r#"{"type":"saved","seq":1}"#, r#"text "saved""#);
        check(r#"{"type":"saved","seq":2}"#, r#"text "saved""#);
        check(r#"{"b":1,"a":{}}"#, "text {a,b}");
        check(r#"["join",1]"#, r#"text ["join"]"#);
        check(r#"42["message",{}]"#, r#"text "42"…"#);
        check("hello you", r#"text "hello"…"#);
        assert_eq!(form_of(&Message::binary(vec![0xff])).0, r#"binary ""…"#);
    }
}
