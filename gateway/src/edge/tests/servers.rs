//! Servers: one that says just what a case wants, and one of a WebSocket library.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A server whose connections the test itself answers.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

impl Scripted {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, listener }
    }

    /// Takes the next connection that says anything; those that only knock are passed over.
    pub(super) async fn next(&self) -> Line {
        let accepting = async {
            loop {
                let (stream, _) = self.listener.accept().await.unwrap();
                let mut byte = [0];
                if matches!(stream.peek(&mut byte).await, Ok(1)) {
                    return Line { stream };
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), accepting)
            .await
            .expect("the gateway dials")
    }

    /// Answers every request with the same bytes and closes; tells the heads that it got.
    pub(super) fn always(self, answer: impl Into<String>) -> mpsc::UnboundedReceiver<String> {
        let answer = answer.into();
        let (heads, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = self.listener.accept().await.unwrap();
                let (answer, heads) = (answer.clone(), heads.clone());
                tokio::spawn(async move {
                    let mut line = Line { stream };
                    if let Some(head) = line.try_head().await {
                        let _ = heads.send(head);
                        let _ = line.stream.write_all(answer.as_bytes()).await;
                        let _ = line.stream.shutdown().await;
                        let _ = line.stream.read_to_end(&mut Vec::new()).await;
                    }
                });
            }
        });
        told
    }
}

/// One connection at a server.
pub(super) struct Line {
    pub(super) stream: TcpStream,
}

impl Line {
    /// Reads the head of a request.
    pub(super) async fn head(&mut self) -> String {
        self.try_head().await.expect("a whole head comes")
    }

    async fn try_head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        String::from_utf8(head).ok()
    }

    /// Reads so many bytes.
    pub(super) async fn hear(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// Sends bytes.
    pub(super) async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// Waits until the other side has closed.
    pub(super) async fn is_left(&mut self) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(std::time::Duration::from_secs(10), self.stream.read_to_end(&mut rest));
        // A reset is an end as well.
        let _ = read.await.expect("the connection is given up");
    }
}

/// Starts an echo server over tokio-tungstenite.
pub(super) async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                    return;
                };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}
