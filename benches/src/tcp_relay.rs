//! The floor: a relay of bare TCP that understands nothing, one thread, one buffer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Relays between a free port of the loopback and `backend` for ever; `on_start` is told the port's address.
///
/// # Errors
/// When the port cannot be listened at, or the poll fails.
pub fn relay(backend: SocketAddr, on_start: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    on_start(listener.local_addr()?);
    let mut halves: Vec<Option<Half>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let pair = free.pop().unwrap_or(halves.len());
                    if pair == halves.len() {
                        halves.extend([None, None]);
                    }
                    for (place, mut stream) in [(pair, client), (pair + 1, TcpStream::connect(backend)?)] {
                        stream.set_nodelay(true)?;
                        let both = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut stream, Token(place), both)?;
                        halves[place] = Some(Half {
                            stream,
                            owed: Vec::new(),
                        });
                    }
                }
                continue;
            }
            // The partner of an even place is behind it, that of an odd one before it.
            let place = event.token().0;
            let partner = place ^ 1;
            let owes = halves[place].as_ref().is_some_and(|half| !half.owed.is_empty());
            let is_well = (!owes || pass(&mut halves, partner, place, false, &mut buffer))
                && (!event.is_readable() || pass(&mut halves, place, partner, event.is_read_closed(), &mut buffer));
            if !is_well {
                for place in [place, partner] {
                    if let Some(half) = halves[place].take() {
                        let _ = half.stream.shutdown(Shutdown::Both);
                    }
                }
                free.push(place & !1);
            }
        }
    }
}

struct Half {
    stream: TcpStream,
    /// What this side has not taken yet.
    owed: Vec<u8>,
}

/// Moves what can be moved; returns whether both sides are still there.
fn pass(halves: &mut [Option<Half>], from: usize, to: usize, is_ending: bool, buffer: &mut [u8]) -> bool {
    loop {
        let Some(receiver) = &mut halves[to] else { return true };
        while !receiver.owed.is_empty() {
            match receiver.stream.write(&receiver.owed) {
                Ok(length) => drop(receiver.owed.drain(..length)),
                Err(error) => return is_later(&error),
            }
        }
        let Some(sender) = &mut halves[from] else { return true };
        let length = match sender.stream.read(buffer) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) => return is_later(&error),
        };
        let Some(receiver) = &mut halves[to] else { return false };
        match receiver.stream.write(&buffer[..length]) {
            Ok(taken) => receiver.owed.extend_from_slice(&buffer[taken..length]),
            Err(error) if is_later(&error) => receiver.owed.extend_from_slice(&buffer[..length]),
            Err(_) => return false,
        }
        // A stream whose end is there tells it by a last read only.
        if length < buffer.len() && receiver.owed.is_empty() && !is_ending {
            return true;
        }
    }
}

/// A socket that is not connected yet takes nothing for now.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

const LISTENER: Token = Token(usize::MAX - 1);
