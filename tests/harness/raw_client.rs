//! A client that speaks byte by byte and believes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// A connection of which the test writes every byte.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl RawClient {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("the gateway listens");
        stream.set_nodelay(true).expect("the stream is open");
        Self {
            stream,
            heard: Vec::new(),
        }
    }

    /// Connects with next to no room for what comes: who does not read is felt soon.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect_with_little_room(to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("there is a socket");
        socket.set_recv_buffer_size(ROOM).expect("the socket is new");
        let stream = socket.connect(to).await.expect("the gateway listens");
        Self {
            stream,
            heard: Vec::new(),
        }
    }

    /// Sends bytes; a peer that has closed takes none, which is no fault of the test's.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads so many bytes, and returns them.
    ///
    /// # Panics
    /// When they have not come within 30 s, or the connection ends before.
    pub async fn hear(&mut self, count: usize) -> Vec<u8> {
        while self.heard.len() < count {
            assert!(self.read().await, "ended behind {:?}", self.shown());
        }
        self.heard.drain(..count).collect()
    }

    /// Reads the head of an answer, and returns it.
    ///
    /// # Panics
    /// When it has not come within 30 s, or the connection ends before.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.heard.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.heard.drain(..at + 4).collect();
                return String::from_utf8_lossy(&head).into_owned();
            }
            assert!(self.read().await, "ended behind {:?}", self.shown());
        }
    }

    /// Reads to the end of the connection, whether it ends well or is reset, and returns what came.
    ///
    /// # Panics
    /// When it has not ended within 30 s.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.read().await {}
        std::mem::take(&mut self.heard)
    }

    /// Waits for more; returns whether the connection goes on.
    async fn read(&mut self) -> bool {
        let reading = timeout(PATIENCE, self.stream.read_buf(&mut self.heard)).await;
        match reading {
            Ok(Ok(count)) => count > 0,
            Ok(Err(_)) => false,
            Err(_) => panic!("nothing more behind {:?}", self.shown()),
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}

/// The kernel takes this twice, and no less.
const ROOM: u32 = 4096;

/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(30);
