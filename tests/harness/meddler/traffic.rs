//! The meddler between the gateway and a server's traffic, or between users and the gateway: it looks at the first
//! head of each connection and passes bytes from there on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::dam::{Dam, Way};
use super::{Book, Call, Seen, Trick};

/// Stands for a server's URL.
#[derive(Debug)]
pub struct TrafficMeddler {
    address: SocketAddr,
    book: Book,
    tunnels: Tunnels,
    accepting: JoinHandle<()>,
}

/// The connections that are open, and the word that cuts them.
#[derive(Debug, Clone, Default)]
struct Tunnels {
    open: Arc<AtomicUsize>,
    cut: Arc<Notify>,
    dams: Arc<Dams>,
}

#[derive(Debug, Default)]
struct Dams {
    up: Dam,
    down: Dam,
}

impl Dams {
    fn of(&self, way: Way) -> &Dam {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }
}

impl TrafficMeddler {
    /// Passes connections on to `server`, on a port of its own.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let (book, tunnels) = (Book::default(), Tunnels::default());
        let accepting = tokio::spawn(accept(listener, server, book.clone(), tunnels.clone()));
        Self {
            address,
            book,
            tunnels,
            accepting,
        }
    }

    /// Returns what the gateway is told as the server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lays a trick on the next handshake.
    pub fn lay(&self, trick: Trick) {
        self.book.lay(Call::Handshake, 0, trick);
    }

    /// Lays a trick that lets `passing` handshakes pass first.
    pub fn lay_after(&self, passing: usize, trick: Trick) {
        self.book.lay(Call::Handshake, passing, trick);
    }

    /// Returns the first request of every connection, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.book.seen()
    }

    /// Returns how many handshakes have come by.
    pub fn handshakes(&self) -> usize {
        let seen = self.book.seen();
        seen.iter().filter(|seen| seen.call == Call::Handshake).count()
    }

    /// Returns how many connections are open.
    pub fn open(&self) -> usize {
        self.tunnels.open.load(Ordering::SeqCst)
    }

    /// Cuts every connection that is open, in both directions at once.
    pub fn cut_all(&self) {
        self.tunnels.cut.notify_waiters();
    }

    /// Lets so many more bytes pass one way, over all connections together, and holds what comes behind them.
    pub fn dam(&self, way: Way, bytes: u64) {
        self.tunnels.dams.of(way).close_behind(bytes);
    }

    /// Waits until all has passed that a dam lets pass.
    ///
    /// # Panics
    /// When it has not within `deadline`.
    pub async fn dammed(&self, way: Way, deadline: Duration) {
        self.tunnels.dams.of(way).filled(deadline).await;
    }

    /// Lets everything pass again.
    pub fn open_dam(&self, way: Way) {
        self.tunnels.dams.of(way).open();
    }

    /// Counts the bytes that have passed one way behind the handshakes, over all connections together.
    pub fn passed(&self, way: Way) -> u64 {
        self.tunnels.dams.of(way).passed()
    }

    /// Waits until every trick has met its handshake.
    ///
    /// # Panics
    /// When one has not within `deadline`.
    pub async fn all_sprung(&self, deadline: Duration) {
        self.book.all_sprung(deadline).await;
    }
}

impl Drop for TrafficMeddler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, book: Book, tunnels: Tunnels) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (book, tunnels) = (book.clone(), tunnels.clone());
        connections.spawn(async move {
            tunnels.open.fetch_add(1, Ordering::SeqCst);
            tokio::select! {
                // Both ends see the connection end; what was on the way is lost, as with a cable.
                _ = meddle(client, server, &book, &tunnels.dams) => {}
                () = tunnels.cut.notified() => {}
            }
            tunnels.open.fetch_sub(1, Ordering::SeqCst);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn meddle(mut client: TcpStream, server: SocketAddr, book: &Book, dams: &Dams) -> io::Result<()> {
    client.set_nodelay(true)?;
    let head = read_head(&mut client).await?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    if !text.to_ascii_lowercase().contains("upgrade: websocket") {
        book.note(Call::Plain, path, String::new());
        let mut upstream = dial(server, &head).await?;
        return copy_bidirectional(&mut client, &mut upstream).await.map(drop);
    }
    let (number, trick) = book.note(Call::Handshake, path, String::new());
    let (upstream, answer) = match trick {
        None => shake(server, &head).await?,
        Some(Trick::Before(hook)) => {
            hook().await;
            shake(server, &head).await?
        }
        Some(Trick::After(hook)) => {
            let answered = shake(server, &head).await?;
            hook().await;
            answered
        }
        Some(Trick::Late(time)) => {
            tokio::time::sleep(time).await;
            shake(server, &head).await?
        }
        Some(Trick::AnswerLate(time)) => {
            let answered = shake(server, &head).await?;
            tokio::time::sleep(time).await;
            answered
        }
        Some(Trick::Refuse(status)) => {
            book.note_status(number, status);
            return refuse(&mut client, status).await;
        }
        Some(Trick::RefuseAfter(status)) => {
            shake(server, &head).await?;
            book.note_status(number, status);
            return refuse(&mut client, status).await;
        }
        Some(Trick::Nonsense(answer)) => return client.write_all(answer.as_bytes()).await,
        Some(Trick::Drop) => return Ok(()),
        Some(Trick::DropAfter) => return shake(server, &head).await.map(drop),
    };
    if let Some(status) = status_of(&answer) {
        book.note_status(number, status);
    }
    client.write_all(&answer).await?;
    let mut upstream = upstream;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), upstream.split());
    tokio::try_join!(
        dams.up.carry(&mut from_client, &mut to_server),
        dams.down.carry(&mut from_server, &mut to_client),
    )
    .map(drop)
}

/// Reads until a head has come whole; bytes behind it come along.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(4096);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

async fn dial(server: SocketAddr, head: &[u8]) -> io::Result<TcpStream> {
    let mut upstream = TcpStream::connect(server).await?;
    upstream.set_nodelay(true)?;
    upstream.write_all(head).await?;
    Ok(upstream)
}

async fn shake(server: SocketAddr, head: &[u8]) -> io::Result<(TcpStream, Vec<u8>)> {
    let mut upstream = dial(server, head).await?;
    let answer = read_head(&mut upstream).await?;
    Ok((upstream, answer))
}

async fn refuse(client: &mut TcpStream, status: StatusCode) -> io::Result<()> {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 8\r\nconnection: close\r\n\r\nmeddled\n");
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}

fn status_of(answer: &[u8]) -> Option<StatusCode> {
    StatusCode::from_bytes(answer.get(9..12)?).ok()
}

const HEAD_BYTES_MAX: usize = 256 * 1024;
