//! Many clients on one thread.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_protocol::close::CloseCode;
use handover_protocol::frame::{MaskKey, Opcode, encode_binary, encode_close};
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;

use super::stream::Stream;
use crate::wire::{header_end, read_frame};

/// The clients of one work, and the poll that wakes them.
#[derive(Debug)]
pub(super) struct Crowd {
    poll: Poll,
    events: Events,
    clients: Vec<Option<Client>>,
    buffer: Vec<u8>,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// What each message carries behind its number.
    payload: Vec<u8>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    stream: Stream,
    is_open: bool,
    /// What was read and makes no whole frame yet.
    rest: Vec<u8>,
    frame: Vec<u8>,
    said: u64,
    heard: u64,
    /// When each message that is under way should have been said.
    due: VecDeque<Instant>,
}

/// What a client has lived to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// The handshake has succeeded.
    Opened,
    /// A message has come, the next in order.
    Message,
    /// The other side has ended the connection.
    Ended,
}

impl Crowd {
    /// Gathers a crowd that connects to `address` and says messages of `bytes`, 8 of them their number.
    ///
    /// # Errors
    /// When the kernel gives no poll.
    pub(super) fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>, bytes: usize) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            address,
            tls,
            payload: vec![b'x'; bytes.max(NUMBER_BYTES)],
        })
    }

    /// Returns the poll's registry, for timers.
    pub(super) fn poll(&self) -> &Poll {
        &self.poll
    }

    /// Counts the clients, those that have left among them.
    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Adds a client that begins to open a session at `path`; returns its place.
    ///
    /// # Errors
    /// When no socket is to be had.
    pub(super) fn join(&mut self, path: &str) -> io::Result<usize> {
        self.clients.push(None);
        let place = self.clients.len() - 1;
        self.come_again(place, path)?;
        Ok(place)
    }

    /// Begins a new session in the place of one that has ended.
    ///
    /// # Errors
    /// When no socket is to be had.
    pub(super) fn come_again(&mut self, place: usize, path: &str) -> io::Result<()> {
        let mut stream = Stream::connect(self.address, self.tls.as_ref())?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(stream.socket(), Token(place), both)?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nOrigin: https://localhost\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark; locale=en-GB; consent=all-0123456789abcdef\r\n\r\n"
        );
        stream.send(head.as_bytes())?;
        self.clients[place] = Some(Client {
            stream,
            is_open: false,
            rest: Vec::new(),
            frame: Vec::new(),
            said: 0,
            heard: 0,
            due: VecDeque::new(),
        });
        Ok(())
    }

    /// Has a client say its next message, which was due at `due`.
    ///
    /// # Errors
    /// When its connection has failed.
    pub(super) fn say(&mut self, place: usize, due: Instant) -> io::Result<()> {
        let Self { clients, payload, .. } = self;
        match &mut clients[place] {
            Some(client) => client.say(payload, due),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits for the sockets, at most `timeout`, and tells what has happened to whom. The client may be made to speak in
    /// the answer; events of other tokens are returned.
    ///
    /// # Errors
    /// When a connection fails, a handshake is refused, or a message is not the next in order.
    pub(super) fn turn(
        &mut self,
        timeout: Duration,
        mut tell: impl FnMut(usize, Happening, &mut Speaker<'_>) -> io::Result<()>,
    ) -> io::Result<Vec<Token>> {
        let mut others = Vec::new();
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(others),
            result => result?,
        }
        for event in &self.events {
            let place = event.token().0;
            if place >= self.clients.len() {
                others.push(event.token());
                continue;
            }
            let Some(client) = &mut self.clients[place] else {
                continue;
            };
            if event.is_writable() {
                client.stream.flush()?;
            }
            if !event.is_readable() {
                continue;
            }
            let mut speaker = Speaker {
                client,
                payload: &mut self.payload,
            };
            let is_ending = event.is_read_closed();
            match speaker.read(&mut self.buffer, is_ending, |happening, speaker| {
                tell(place, happening, speaker)
            }) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && speaker.client.is_open => {
                    tell(place, Happening::Ended, &mut speaker)?;
                    self.clients[place] = None;
                }
                result => result?,
            }
        }
        Ok(others)
    }
}

/// A client to whom something has just happened.
#[derive(Debug)]
pub(super) struct Speaker<'a> {
    client: &'a mut Client,
    payload: &'a mut [u8],
}

impl Speaker<'_> {
    /// Says the next message.
    ///
    /// # Errors
    /// When the connection has failed.
    pub(super) fn say(&mut self, due: Instant) -> io::Result<()> {
        self.client.say(self.payload, due)
    }

    /// Says a Close.
    ///
    /// # Errors
    /// When the connection has failed.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let mut frame = Vec::new();
        encode_close(CloseCode::NORMAL, "", Some(KEY), &mut frame);
        self.client.stream.send(&frame)
    }

    /// Returns when the message that has been answered was due.
    pub(super) fn due(&mut self) -> Option<Instant> {
        self.client.due.pop_front()
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        is_ending: bool,
        mut tell: impl FnMut(Happening, &mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let (length, is_more) = self.client.stream.receive(buffer)?;
            if length > 0 {
                let mut rest = std::mem::take(&mut self.client.rest);
                if rest.is_empty() {
                    let used = self.take(&buffer[..length], &mut tell)?;
                    rest.extend_from_slice(&buffer[used..length]);
                } else {
                    rest.extend_from_slice(&buffer[..length]);
                    let used = self.take(&rest, &mut tell)?;
                    rest.drain(..used);
                }
                self.client.rest = rest;
            }
            // A stream whose end is there tells it by a last read only.
            if !is_more && (length == 0 || !is_ending) {
                return Ok(());
            }
        }
    }

    /// Takes what is whole of `bytes`; returns how many that was.
    fn take(
        &mut self,
        bytes: &[u8],
        mut tell: impl FnMut(Happening, &mut Self) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut used = 0;
        if !self.client.is_open {
            let Some(end) = header_end(bytes) else { return Ok(0) };
            if !bytes.starts_with(b"HTTP/1.1 101 ") {
                let head = String::from_utf8_lossy(&bytes[..end]);
                return Err(invalid(format!("refused: {head}")));
            }
            self.client.is_open = true;
            used = end;
            tell(Happening::Opened, self)?;
        }
        while let Some(frame) = read_frame(&bytes[used..])? {
            let payload = &bytes[used + frame.header..][..frame.payload];
            used += frame.header + frame.payload;
            match frame.opcode {
                Opcode::Binary => {
                    self.client.heard += 1;
                    let number = payload.first_chunk().copied().map(u64::from_be_bytes);
                    if number != Some(self.client.heard) || payload.len() != self.payload.len() {
                        let expected = self.client.heard;
                        return Err(invalid(format!("message {number:?} in the place of {expected}")));
                    }
                    tell(Happening::Message, self)?;
                }
                Opcode::Close => {}
                Opcode::Continuation | Opcode::Text | Opcode::Ping | Opcode::Pong => {
                    return Err(invalid(format!("{:?} that nobody said", frame.opcode)));
                }
            }
        }
        Ok(used)
    }
}

impl Client {
    fn say(&mut self, payload: &mut [u8], due: Instant) -> io::Result<()> {
        self.said += 1;
        payload[..NUMBER_BYTES].copy_from_slice(&self.said.to_be_bytes());
        self.frame.clear();
        encode_binary(payload, Some(KEY), &mut self.frame);
        self.due.push_back(due);
        self.stream.send(&self.frame)
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const BUFFER_BYTES: usize = 256 * 1024;
const NUMBER_BYTES: usize = 8;
const KEY: MaskKey = [0x37, 0xfa, 0x21, 0x3d];
