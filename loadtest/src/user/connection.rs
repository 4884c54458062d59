//! One WebSocket connection of a virtual user: small buffers, reads and writes in one task, neither waiting for the other.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use super::endpoint::{Endpoint, Wire};
use super::plan::Reader;

/// An open connection and the text messages that wait to be written to it.
pub(super) struct Connection {
    stream: WebSocketStream<Wire>,
    outbox: VecDeque<String>,
    is_flushed: bool,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens, the network failed, or TLS did; a retry is sound.
    #[error("cannot connect to {authority}: {source}")]
    Tcp {
        /// Host and port.
        authority: String,
        /// What failed.
        source: std::io::Error,
    },
    /// The other side refused the upgrade or spoke something else; a retry is sound after a 503.
    #[error("the upgrade was refused: {0}")]
    Upgrade(#[from] Box<tungstenite::Error>),
}

impl Connection {
    /// Connects to `endpoint` and asks for `path` there.
    ///
    /// `reader` decides how much the kernel takes for a user who does not read.
    pub(super) async fn open(endpoint: &Endpoint, path: &str, reader: Reader) -> Result<Self, ConnectError> {
        let wire = Box::pin(endpoint.connect(reader)).await;
        let wire = wire.map_err(|source| ConnectError::Tcp {
            authority: endpoint.authority().to_owned(),
            source,
        })?;
        // Boxed: the handshake's state would else lie in every user's task for as long as it runs.
        let url = endpoint.url(path);
        let handshake = Box::pin(tokio_tungstenite::client_async_with_config(url, wire, Some(lean())));
        let (stream, _response) = handshake.await.map_err(Box::new)?;
        Ok(Self {
            stream,
            outbox: VecDeque::new(),
            is_flushed: true,
        })
    }

    /// Puts a message behind those that wait.
    pub(super) fn queue(&mut self, text: String) {
        self.outbox.push_back(text);
    }

    /// Writes what waits and returns what comes next; `None` once the connection is closed in both directions.
    ///
    /// Cancel-safe because a message leaves the outbox only into the buffer of the stream.
    pub(super) async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        poll_fn(|cx| {
            // A write error is no end yet: what the other side said before it is still to be read.
            let _ = self.poll_write(cx);
            self.stream.poll_next_unpin(cx)
        })
        .await
    }

    /// Sends a Close; what still comes may be read afterwards.
    pub(super) async fn close(&mut self) {
        self.outbox.clear();
        let _ = self.stream.close(None).await;
    }

    /// Flushes the answer to a Close.
    pub(super) async fn flush(&mut self) {
        let _ = self.stream.flush().await;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        while !self.outbox.is_empty() {
            ready!(self.stream.poll_ready_unpin(cx))?;
            if let Some(text) = self.outbox.pop_front() {
                self.is_flushed = false;
                self.stream.start_send_unpin(Message::text(text))?;
            }
        }
        if !self.is_flushed {
            ready!(self.stream.poll_flush_unpin(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// tungstenite's own buffers are 128 KiB for each direction; a user needs a few messages.
fn lean() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(1024 * 1024)
        .max_message_size(Some(64 * 1024 * 1024))
        .max_frame_size(Some(64 * 1024 * 1024))
}
