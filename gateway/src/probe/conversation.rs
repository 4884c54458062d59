//! What is said over a socket, and what of it can be compared: an answer's form, never its values.

use std::time::Duration;

use crate::tls::Wire;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::upstream::Dialled;

/// A conversation with a server.
pub(super) struct Conversation {
    socket: WebSocketStream<Wire>,
    wait: Duration,
    is_over: bool,
}

/// The form of one message: what kind of thing it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form(String);

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
            is_over: false,
        }
    }

    /// Says something and hears what comes of it.
    pub(super) async fn say(&mut self, text: &str) -> Vec<Form> {
        self.is_over |= self.socket.send(Message::text(text)).await.is_err();
        self.hear().await
    }

    /// Hears until nothing more comes.
    pub(super) async fn hear(&mut self) -> Vec<Form> {
        let mut heard = Vec::new();
        let mut patience = self.wait;
        while !self.is_over && heard.len() < HEARD_MAX {
            match timeout(patience, self.socket.next()).await {
                Err(_) => break,
                Ok(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                    heard.push(form_of(&message));
                    // What belongs to an answer comes close behind it.
                    patience = self.wait / 2;
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
                Ok(None | Some(Ok(Message::Close(_)) | Err(_))) => self.is_over = true,
            }
        }
        heard
    }

    /// Reads whether the server has ended it.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
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
