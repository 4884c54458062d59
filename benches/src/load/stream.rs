//! A client's connection: TCP, or TLS over it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// A non-blocking connection that keeps what the kernel does not take at once.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    owed: Vec<u8>,
}

impl Stream {
    /// Begins to connect; with a configuration, TLS comes first.
    ///
    /// # Errors
    /// When no socket is to be had.
    pub(super) fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let tcp = TcpStream::connect(address)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let tls = tls
            .map(|config| ClientConnection::new(Arc::clone(config), name).map(Box::new))
            .transpose()
            .map_err(io::Error::other)?;
        Ok(Self {
            tcp,
            tls,
            owed: Vec::new(),
        })
    }

    /// Returns the socket, to be registered at a poll.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Says what is to be sent, and sends what goes.
    ///
    /// # Errors
    /// When the connection has failed.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None if self.owed.is_empty() => {
                let taken = taken(self.tcp.write(bytes))?;
                self.owed.extend_from_slice(&bytes[taken..]);
                return Ok(());
            }
            None => self.owed.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// When the connection has failed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                if taken(tls.write_tls(&mut self.tcp))? == 0 {
                    break;
                }
            }
            return Ok(());
        }
        while !self.owed.is_empty() {
            match taken(self.tcp.write(&self.owed))? {
                0 => break,
                length => drop(self.owed.drain(..length)),
            }
        }
        Ok(())
    }

    /// Reads what has come; returns how much, and whether there may be more. Nothing and no more is for later.
    ///
    /// # Errors
    /// `UnexpectedEof` at the end of the stream, anything else when the connection has failed.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        let Some(tls) = &mut self.tls else {
            return match self.tcp.read(buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => Ok((length, length == buffer.len())),
                Err(error) if is_later(&error) => Ok((0, false)),
                Err(error) => Err(error),
            };
        };
        let came = match tls.read_tls(&mut self.tcp) {
            Ok(length) => length,
            Err(error) if is_later(&error) => usize::MAX,
            Err(error) => return Err(error),
        };
        tls.process_new_packets().map_err(io::Error::other)?;
        let length = match tls.reader().read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if is_later(&error) => 0,
            Err(error) => return Err(error),
        };
        if came == 0 && length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.flush()?;
        Ok((length, came != usize::MAX || length == buffer.len()))
    }
}

fn taken(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if is_later(&error) => Ok(0),
        result => result,
    }
}

/// A socket that is not connected yet neither gives nor takes.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
