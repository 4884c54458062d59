//! A server that answers whatever a test wants, byte by byte, and writes down every byte that it was sent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::eventually::eventually;

/// A scripted server; a connection that says nothing, as a gateway's knock does, is not written down.
#[derive(Debug)]
pub struct ScriptedOrigin {
    address: SocketAddr,
    book: Arc<Book>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Book {
    answer: Mutex<Vec<u8>>,
    heard: Mutex<Vec<Vec<u8>>>,
    dams: Mutex<Option<Arc<Notify>>>,
    body_bytes: AtomicUsize,
    stays_open: AtomicBool,
    more: broadcast::Sender<Vec<u8>>,
}

impl ScriptedOrigin {
    /// Starts a server that opens every WebSocket and says nothing.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let book = Arc::new(Book {
            answer: Mutex::default(),
            heard: Mutex::default(),
            dams: Mutex::default(),
            body_bytes: AtomicUsize::default(),
            stays_open: AtomicBool::default(),
            more: broadcast::Sender::new(MORE_MAX),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&book)));
        let origin = Self {
            address,
            book,
            accepting,
        };
        origin.will_answer(Self::SWITCHING);
        origin
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers every further head with these bytes; `{accept}` stands for the accept value of the request's key.
    ///
    /// A 101 keeps the connection open until the peer ends it; behind any other answer the origin ends its side.
    pub fn will_answer(&self, answer: impl AsRef<[u8]>) {
        *lock(&self.book.answer) = answer.as_ref().to_vec();
    }

    /// Answers a head only once so many bytes have come behind it.
    pub fn answers_behind(&self, body_bytes: usize) {
        self.book.body_bytes.store(body_bytes, Ordering::SeqCst);
    }

    /// Keeps connections open behind answers: their bodies do not end.
    pub fn stays_open(&self) {
        self.book.stays_open.store(true, Ordering::SeqCst);
    }

    /// Says more on every connection that is open.
    pub fn say_more(&self, bytes: impl AsRef<[u8]>) {
        // Where none is, nobody misses it.
        let _ = self.book.more.send(bytes.as_ref().to_vec());
    }

    /// Returns how many connections are open, those included that only try whether it takes one.
    pub fn connections(&self) -> usize {
        // Each that is open listens for more to say.
        self.book.more.receiver_count()
    }

    /// Keeps answers back until what is returned is notified.
    pub fn hold_answers(&self) -> Arc<Notify> {
        let dam = Arc::new(Notify::new());
        *lock(&self.book.dams) = Some(Arc::clone(&dam));
        dam
    }

    /// Forgets what was heard, and returns it: one entry for each connection that said something, in their order.
    pub fn take_heard(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *lock(&self.book.heard))
    }

    /// Returns what was heard so far.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        lock(&self.book.heard).clone()
    }

    /// Waits for a first whole head, and returns it.
    ///
    /// # Panics
    /// When none has come within 30 s.
    pub async fn head(&self) -> String {
        eventually("the origin has a head", PATIENCE, || async {
            self.heard().first().is_some_and(|bytes| end_of_head(bytes).is_some())
        })
        .await;
        let bytes = self.heard().swap_remove(0);
        let end = end_of_head(&bytes).expect("it has just been there");
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// Waits until so many bytes have come behind the first connection's head, and returns all that are there.
    ///
    /// # Panics
    /// When they have not come within 30 s.
    pub async fn behind_head(&self, count: usize) -> Vec<u8> {
        eventually("the origin has the bytes", PATIENCE, || async {
            self.rest_of_first().is_some_and(|rest| rest.len() >= count)
        })
        .await;
        self.rest_of_first().expect("they have just been there")
    }

    /// Returns what came behind the first connection's head.
    pub fn rest_of_first(&self) -> Option<Vec<u8>> {
        let heard = lock(&self.book.heard);
        let bytes = heard.first()?;
        end_of_head(bytes).map(|end| bytes[end..].to_vec())
    }

    /// The answer to a handshake.
    pub const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                                 Sec-WebSocket-Accept: {accept}\r\n\r\n";
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, book: Arc<Book>) {
    let mut lines = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        lines.spawn(converse(stream, Arc::clone(&book)));
        while lines.try_join_next().is_some() {}
    }
}

/// Reads to the end of the peer's stream, and answers the head.
async fn converse(mut stream: TcpStream, book: Arc<Book>) {
    let mut number = None;
    let mut has_answered = false;
    let mut buffer = vec![0; 64 * 1024];
    let mut more = book.more.subscribe();
    loop {
        // Cancel-safe, both of them: what one arm has not taken stays.
        let count = tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(count) if count > 0 => count,
                Ok(_) | Err(_) => return,
            },
            Ok(bytes) = more.recv() => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let head = {
            let mut heard = lock(&book.heard);
            let place = *number.get_or_insert_with(|| {
                heard.push(Vec::new());
                heard.len() - 1
            });
            // The test may have gone on to its next row.
            let Some(bytes) = heard.get_mut(place) else { return };
            bytes.extend_from_slice(&buffer[..count]);
            let end = end_of_head(bytes);
            let end = end.filter(|end| bytes.len() >= end + book.body_bytes.load(Ordering::SeqCst));
            end.map(|end| String::from_utf8_lossy(&bytes[..end]).into_owned())
        };
        if let Some(head) = head.filter(|_| !has_answered) {
            has_answered = true;
            let dam = lock(&book.dams).take();
            if let Some(dam) = dam {
                dam.notified().await;
            }
            let answer = filled_in(&lock(&book.answer), &head);
            let is_last = !answer.starts_with(b"HTTP/1.1 101 ") && !book.stays_open.load(Ordering::SeqCst);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
            if is_last {
                let _ = stream.shutdown().await;
            }
        }
    }
}

fn filled_in(answer: &[u8], head: &str) -> Vec<u8> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut keys = lines.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = keys.next().map(|(_, key)| derive_accept_key(key.as_bytes()));
    let accept = accept.unwrap_or_default();
    const MARK: &[u8] = b"{accept}";
    let beginning = &answer[..answer.len().min(1024)];
    match beginning.windows(MARK.len()).position(|window| window == MARK) {
        Some(at) => [&answer[..at], accept.as_bytes(), &answer[at + MARK.len()..]].concat(),
        None => answer.to_vec(),
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(at + 4)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What waits to be said at most; a test says a word or two.
const MORE_MAX: usize = 16;

/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(30);
