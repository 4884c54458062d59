//! One person at a whiteboard, driven step by step: what a test sends and hears, message by message.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use handover_protocol::id::BoardId;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

/// A connected user.
#[derive(Debug)]
pub struct User {
    name: String,
    socket: WebSocketStream<TcpStream>,
    answer: HeaderMap,
    last_seq: u64,
    set_aside: VecDeque<Heard>,
}

/// What a user hears, in the order in which it comes.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// The answer to the hello.
    Welcome {
        /// The last change of the board.
        revision: u64,
        /// Everyone on the board.
        users: Vec<String>,
        /// All of it.
        body: Value,
    },
    /// A change of one's own is saved.
    Saved {
        /// One's own number for it.
        seq: u64,
        /// The board's number for it.
        revision: u64,
    },
    /// Somebody else's change.
    Drawn {
        /// Who.
        user: String,
        /// Their number for it.
        seq: u64,
        /// The board's number for it.
        revision: u64,
    },
    /// Any other text.
    Text(String),
    /// Any binary message.
    Binary(Bytes),
    /// An answer to a Ping.
    Pong(Bytes),
    /// The connection's end: the code of the close frame, or none where it broke.
    Closed(Option<u16>),
}

/// Says why a user has no connection.
#[derive(Debug)]
pub enum UserError {
    /// The handshake was answered with something else than 101.
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// Its body.
        body: String,
    },
    /// There was no such answer.
    Broken(String),
}

impl User {
    /// Opens a connection to `/boards/{board}/ws`, and says nothing yet.
    ///
    /// # Errors
    /// As [`UserError`] says.
    pub async fn connect(to: SocketAddr, board: &str, name: &str) -> Result<Self, UserError> {
        Self::connect_with(to, board, name, &[]).await
    }

    /// The same with headers of the test's choice.
    ///
    /// # Errors
    /// As [`UserError`] says.
    ///
    /// # Panics
    /// When the board id or a header is malformed.
    pub async fn connect_with(
        to: SocketAddr,
        board: &str,
        name: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, UserError> {
        let board: BoardId = board.parse().expect("tests use good board ids");
        let url = format!("ws://{to}/boards/{}/ws?user={name}", board.to_url_segment());
        let mut request = url.into_client_request().expect("the URL is well formed");
        for (key, value) in headers {
            let key = HeaderName::from_bytes(key.as_bytes()).expect("tests use good header names");
            let value = HeaderValue::from_str(value).expect("tests use good header values");
            request.headers_mut().append(key, value);
        }
        let stream = TcpStream::connect(to).await;
        let stream = stream.map_err(|error| UserError::Broken(error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| UserError::Broken(error.to_string()))?;
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let connected = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        match connected {
            Ok((socket, answer)) => Ok(Self {
                name: name.to_owned(),
                socket,
                answer: answer.headers().clone(),
                last_seq: 0,
                set_aside: VecDeque::new(),
            }),
            Err(Error::Http(answer)) => Err(UserError::Refused {
                status: answer.status(),
                body: String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default()).into_owned(),
            }),
            Err(error) => Err(UserError::Broken(error.to_string())),
        }
    }

    /// Connects, says hello and waits for the welcome.
    ///
    /// # Panics
    /// When that fails.
    pub async fn join(to: SocketAddr, board: &str, name: &str) -> Self {
        let mut user = Self::connect(to, board, name)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        user.hello().await;
        user
    }

    /// Says hello and waits for the welcome; returns the board's revision.
    ///
    /// # Panics
    /// When another message comes first, or none within 10 s.
    pub async fn hello(&mut self) -> u64 {
        self.say(&json!({"type": "hello", "user": self.name})).await;
        let heard = self.hear(PATIENCE).await;
        let Heard::Welcome { revision, .. } = heard else {
            panic!("{} heard {heard:?} before a welcome", self.name);
        };
        revision
    }

    /// Returns the user's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a header of the 101.
    pub fn answer_header(&self, name: &str) -> Option<&str> {
        self.answer.get(name)?.to_str().ok()
    }

    /// Draws the next change, and returns its number.
    pub async fn draw(&mut self) -> u64 {
        self.draw_padded(0).await
    }

    /// Draws the next change with so many bytes of padding in its message.
    pub async fn draw_padded(&mut self, padding: usize) -> u64 {
        self.last_seq += 1;
        let mut body = json!({"type": "draw", "seq": self.last_seq, "color": "#2e86de", "points": [[1, 2], [3, 4]]});
        if padding > 0 {
            body["pad"] = Value::String("x".repeat(padding));
        }
        self.say(&body).await;
        self.last_seq
    }

    /// Draws once more what has been drawn: a client that was not acknowledged.
    pub async fn draw_again(&mut self, seq: u64) {
        self.say(&json!({"type": "draw", "seq": seq, "color": "#2e86de", "points": [[1, 2], [3, 4]]}))
            .await;
    }

    /// Goes on counting behind `seq`: a client that was connected before.
    pub fn continue_after(&mut self, seq: u64) {
        self.last_seq = seq;
    }

    /// Asks a server on another library for one message of [`recital`], as text or binary and in so many fragments, with
    /// Pings between them where the library can.
    pub async fn ask_for_recital(&mut self, bytes: usize, is_binary: bool, fragments: u32) {
        self.say(&json!({"type": "recite", "bytes": bytes, "binary": is_binary, "fragments": fragments}))
            .await;
    }

    /// Sends one message of any content; the server numbers it behind the user's last change.
    ///
    /// # Panics
    /// When the connection is broken.
    pub async fn send(&mut self, message: Message) {
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            self.last_seq += 1;
        }
        let sent = self.socket.send(message).await;
        sent.unwrap_or_else(|error| panic!("{} cannot send: {error}", self.name));
    }

    /// Sends one fragment of a message: the first one names the kind, those behind it are `Data::Continue`.
    ///
    /// # Panics
    /// When the connection is broken.
    pub async fn send_fragment(&mut self, kind: Data, part: impl Into<Bytes>, is_last: bool) {
        let frame = Frame::message(part.into(), OpCode::Data(kind), is_last);
        let sent = self.socket.send(Message::Frame(frame)).await;
        sent.unwrap_or_else(|error| panic!("{} cannot send: {error}", self.name));
    }

    /// Waits for the next thing to hear. Pings are answered on the way.
    ///
    /// # Panics
    /// When nothing comes within `patience`.
    pub async fn hear(&mut self, patience: Duration) -> Heard {
        if let Some(heard) = self.set_aside.pop_front() {
            return heard;
        }
        self.hear_new(patience).await
    }

    /// Waits until a change is acknowledged, and returns the board's number for it; what else comes is set aside for
    /// [`User::hear`].
    ///
    /// # Panics
    /// When the connection ends first, or nothing comes for 10 s.
    pub async fn saved(&mut self, seq: u64) -> u64 {
        let mut others = std::mem::take(&mut self.set_aside);
        let known = others
            .iter()
            .position(|heard| matches!(heard, Heard::Saved { seq: known, .. } if *known == seq));
        let mut heard = match known.and_then(|place| others.remove(place)) {
            Some(heard) => heard,
            None => self.hear_new(PATIENCE).await,
        };
        let revision = loop {
            match &heard {
                Heard::Saved { seq: known, revision } if *known == seq => break *revision,
                Heard::Closed(code) => panic!("{} was closed ({code:?}) before {seq} was saved", self.name),
                Heard::Welcome { .. }
                | Heard::Saved { .. }
                | Heard::Drawn { .. }
                | Heard::Text(_)
                | Heard::Binary(_)
                | Heard::Pong(_) => others.push_back(heard),
            }
            heard = self.hear_new(PATIENCE).await;
        };
        self.set_aside = others;
        revision
    }

    /// Returns everything that comes until nothing has come for `quiet`.
    pub async fn hear_until_quiet(&mut self, quiet: Duration) -> Vec<Heard> {
        let mut all: Vec<Heard> = self.set_aside.drain(..).collect();
        while !matches!(all.last(), Some(Heard::Closed(_))) {
            match tokio::time::timeout(quiet, self.next()).await {
                Ok(heard) => all.push(heard),
                Err(_) => break,
            }
        }
        all
    }

    /// Waits for the end of the connection and returns its code; what else comes is dropped.
    ///
    /// # Panics
    /// When it does not end within `patience`.
    pub async fn closed(&mut self, patience: Duration) -> Option<u16> {
        let end = tokio::time::timeout(patience, async {
            loop {
                if let Heard::Closed(code) = self.next().await {
                    return code;
                }
            }
        });
        end.await
            .unwrap_or_else(|_| panic!("{} is still connected after {patience:?}", self.name))
    }

    /// Closes the connection and waits for the server's answer.
    pub async fn leave(mut self) {
        let _ = self.socket.close(None).await;
        let _ = tokio::time::timeout(PATIENCE, async { while self.socket.next().await.is_some() {} }).await;
    }

    async fn say(&mut self, body: &Value) {
        let sent = self.socket.send(Message::text(body.to_string())).await;
        sent.unwrap_or_else(|error| panic!("{} cannot send: {error}", self.name));
    }

    async fn hear_new(&mut self, patience: Duration) -> Heard {
        let heard = tokio::time::timeout(patience, self.next()).await;
        heard.unwrap_or_else(|_| panic!("{} heard nothing for {patience:?}", self.name))
    }

    async fn next(&mut self) -> Heard {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return understand(text.as_str()),
                // A binary message is answered in kind.
                Some(Ok(Message::Binary(bytes))) => match std::str::from_utf8(&bytes).map(understand) {
                    Ok(Heard::Text(_)) | Err(_) => return Heard::Binary(bytes),
                    Ok(heard) => return heard,
                },
                Some(Ok(Message::Pong(bytes))) => return Heard::Pong(bytes),
                Some(Ok(Message::Close(frame))) => {
                    // The reply goes out with the next poll, which also ends the connection.
                    while let Some(Ok(_)) = self.socket.next().await {}
                    return Heard::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return Heard::Closed(None),
            }
        }
    }
}

/// Returns what the test servers recite: each byte is a printable letter and tells its place, in steps of 89.
pub fn recital(bytes: usize) -> Vec<u8> {
    (33..122).cycle().take(bytes).collect()
}

fn understand(text: &str) -> Heard {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let number = |key: &str| body.get(key).and_then(Value::as_u64);
    let word = |key: &str| body.get(key).and_then(Value::as_str);
    let heard = match word("type") {
        Some("welcome") => number("revision").map(|revision| Heard::Welcome {
            revision,
            users: serde_json::from_value(body["users"].clone()).unwrap_or_default(),
            body: body.clone(),
        }),
        Some("saved") => number("seq")
            .zip(number("revision"))
            .map(|(seq, revision)| Heard::Saved { seq, revision }),
        Some("drawn") => word("user")
            .zip(number("seq"))
            .zip(number("revision"))
            .map(|((user, seq), revision)| Heard::Drawn {
                user: user.to_owned(),
                seq,
                revision,
            }),
        Some(_) | None => None,
    };
    heard.unwrap_or_else(|| Heard::Text(text.to_owned()))
}

const PATIENCE: Duration = Duration::from_secs(10);
