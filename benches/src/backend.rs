//! The server behind every proxy: WebSocket echo and fan-out, one thread, no framework.
//!
//! A session whose path begins with `/boards/fan-` shares its board with every other of that path: what one says, all
//! others are sent. Anywhere else a message goes back to whoever sent it. Replies to frames that were read together
//! leave in one write.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use handover_protocol::close::CloseCode;
use handover_protocol::frame::{Opcode, encode, encode_close, unmask};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::wire::{accept_of, header_end, read_frame};

/// Serves on a free port of the loopback for ever; `on_start` is told the address.
///
/// # Errors
/// When the port cannot be listened at, or the poll fails.
pub fn serve(on_start: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    on_start(listener.local_addr()?);
    let mut server = Server {
        sessions: Vec::new(),
        free: Vec::new(),
        boards: HashMap::new(),
        buffer: vec![0; BUFFER_BYTES],
    };
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                server.accept(&listener, &poll)?;
            } else {
                server.serve(event);
            }
        }
    }
}

struct Server {
    sessions: Vec<Option<Session>>,
    free: Vec<usize>,
    boards: HashMap<String, Vec<usize>>,
    buffer: Vec<u8>,
}

struct Session {
    stream: TcpStream,
    stage: Stage,
    /// What was read and makes no whole frame yet.
    rest: Vec<u8>,
    /// What the socket has not taken yet.
    owed: Vec<u8>,
    is_closing: bool,
}

enum Stage {
    Head,
    Echo,
    Fan(String),
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or(self.sessions.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(place), both)?;
            let session = Session {
                stream,
                stage: Stage::Head,
                rest: Vec::new(),
                owed: Vec::new(),
                is_closing: false,
            };
            match self.sessions.get_mut(place) {
                Some(slot) => *slot = Some(session),
                None => self.sessions.push(Some(session)),
            }
        }
    }

    fn serve(&mut self, event: &Event) {
        let place = event.token().0;
        let is_well =
            self.write(place).is_ok() && (!event.is_readable() || self.read(place, event.is_read_closed()).is_ok());
        let is_over = |session: &Session| session.is_closing && session.owed.is_empty();
        if !is_well || self.sessions[place].as_ref().is_some_and(is_over) {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: usize) {
        let Some(Some(session)) = self.sessions.get_mut(place).map(Option::take) else {
            return;
        };
        if let Stage::Fan(board) = session.stage
            && let Some(members) = self.boards.get_mut(&board)
        {
            members.retain(|member| *member != place);
            if members.is_empty() {
                self.boards.remove(&board);
            }
        }
        self.free.push(place);
    }

    /// Reads until the socket is empty; a read that does not fill the buffer has emptied it.
    fn read(&mut self, place: usize, is_ending: bool) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_into(place, is_ending, &mut buffer);
        self.buffer = buffer;
        result
    }

    fn read_into(&mut self, place: usize, is_ending: bool, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let Some(session) = &mut self.sessions[place] else {
                return Ok(());
            };
            let length = match session.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut rest = std::mem::take(&mut session.rest);
            if rest.is_empty() {
                let used = self.take(place, &mut buffer[..length])?;
                rest.extend_from_slice(&buffer[used..length]);
            } else {
                rest.extend_from_slice(&buffer[..length]);
                let used = self.take(place, &mut rest)?;
                rest.drain(..used);
            }
            if let Some(session) = &mut self.sessions[place] {
                session.rest = rest;
            }
            self.write(place)?;
            // A stream whose end is there tells it by a last read only.
            if length < buffer.len() && !is_ending {
                return Ok(());
            }
        }
    }

    /// Answers what is whole of `bytes`; returns how many that was.
    fn take(&mut self, place: usize, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.sessions[place] else {
            return Ok(0);
        };
        let mut used = 0;
        if matches!(session.stage, Stage::Head) {
            let Some(end) = header_end(bytes) else { return Ok(0) };
            let path = session.shake_hands(&bytes[..end])?;
            session.stage = Stage::Echo;
            if path.starts_with("/boards/fan-") {
                session.stage = Stage::Fan(path.clone());
                self.boards.entry(path).or_default().push(place);
            }
            used = end;
        }
        while let Some(frame) = read_frame(&bytes[used..])? {
            let payload = &mut bytes[used + frame.header..][..frame.payload];
            if let Some(key) = frame.key {
                unmask(key, 0, payload);
            }
            self.answer(place, frame.opcode, payload)?;
            used += frame.header + frame.payload;
        }
        Ok(used)
    }

    fn answer(&mut self, place: usize, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let Some(session) = &mut self.sessions[place] else {
            return Ok(());
        };
        match (opcode, &session.stage) {
            (Opcode::Close, _) => {
                encode_close(CloseCode::NORMAL, "", None, &mut session.owed);
                session.is_closing = true;
            }
            (Opcode::Ping, _) => encode(Opcode::Pong, payload, None, &mut session.owed),
            (Opcode::Pong, _) => {}
            (_, Stage::Fan(board)) => {
                let mut frame = Vec::with_capacity(payload.len() + 10);
                encode(opcode, payload, None, &mut frame);
                for member in self.boards.get(board).cloned().unwrap_or_default() {
                    if member == place {
                        continue;
                    }
                    let Some(Some(receiver)) = self.sessions.get_mut(member) else {
                        continue;
                    };
                    receiver.owed.extend_from_slice(&frame);
                    // Who is gone is found out by its own event.
                    let _ = self.write(member);
                }
            }
            (_, Stage::Echo | Stage::Head) => encode(opcode, payload, None, &mut session.owed),
        }
        Ok(())
    }

    fn write(&mut self, place: usize) -> io::Result<()> {
        let Some(Some(session)) = self.sessions.get_mut(place) else {
            return Ok(());
        };
        let mut sent = 0;
        while sent < session.owed.len() {
            match session.stream.write(&session.owed[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if sent == session.owed.len() {
            session.owed.clear();
            session.owed.shrink_to(KEPT_BYTES);
        } else {
            session.owed.drain(..sent);
        }
        Ok(())
    }
}

impl Session {
    /// Answers a handshake; returns its path.
    fn shake_hands(&mut self, head: &[u8]) -> io::Result<String> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let head = std::str::from_utf8(head).map_err(|_| invalid("a head that is no text"))?;
        let mut lines = head.split("\r\n");
        let path = lines.next().and_then(|line| line.split(' ').nth(1));
        let path = path.ok_or_else(|| invalid("no request line"))?.to_owned();
        let key = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
            .map(|(_, key)| key.trim());
        let accept = accept_of(key.ok_or_else(|| invalid("no Sec-WebSocket-Key"))?);
        self.owed.extend_from_slice(
            format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes(),
        );
        Ok(path)
    }
}

const LISTENER: Token = Token(usize::MAX - 1);
const BUFFER_BYTES: usize = 256 * 1024;
/// What an idle session may keep of its buffer.
const KEPT_BYTES: usize = 4096;
