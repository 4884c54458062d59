//! Listening sockets that a service manager has opened and hands over (sd_listen_fds(3)): they outlive the gateway, so
//! whoever connects while it restarts waits in their backlog instead of being refused.
//!
//! A socket takes the place of the configured address that it listens at. Where it is named `traffic` or `traffic_tls`
//! (`FileDescriptorName=`) it stands for an address of that setting only.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// The sockets that nobody has taken yet.
#[derive(Debug, Default)]
pub struct HandedSockets(Vec<Handed>);

#[derive(Debug)]
struct Handed {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

/// What the service manager has handed over cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("descriptor {number}, which the service manager has handed over as {name:?}, is no listening TCP socket")]
pub struct HandedError {
    number: usize,
    name: String,
    #[source]
    source: io::Error,
}

impl HandedSockets {
    /// Takes what the environment names. Call it before there are threads: it changes the environment, so that no
    /// process which this one starts takes them as well.
    ///
    /// # Errors
    /// When one of them is no TCP socket.
    pub fn from_environment() -> Result<Self, HandedError> {
        let names = std::env::var(NAMES_VARIABLE).unwrap_or_default();
        let mut names = names.split(':');
        let mut found = ListenFd::from_env();
        let mut sockets = Vec::new();
        for place in 0..found.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
            let wrong = |source| HandedError {
                number: FIRST_DESCRIPTOR + place,
                name: name.to_owned(),
                source,
            };
            if let Some(listener) = found.take_tcp_listener(place).map_err(wrong)? {
                sockets.push(Handed::new(name, listener).map_err(wrong)?);
            }
        }
        Ok(Self(sockets))
    }

    /// Takes sockets with their names.
    #[cfg(test)]
    pub(super) fn of(sockets: Vec<(&str, TcpListener)>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(|(name, listener)| Handed::new(name, listener));
        sockets.collect::<io::Result<_>>().map(Self)
    }

    /// Takes the socket that listens at an address of the setting `key`.
    pub(super) fn take(&mut self, address: SocketAddr, key: &str) -> Option<TcpListener> {
        let is_meant = |handed: &Handed| {
            let is_other = SETTINGS.contains(&handed.name.as_str()) && key != format!("listen.{}", handed.name);
            handed.address == address && !is_other
        };
        let place = self.0.iter().position(is_meant)?;
        Some(self.0.remove(place).listener)
    }

    /// Returns the name and the address of one that nobody has taken.
    pub(super) fn rest(&self) -> Option<(String, SocketAddr)> {
        let first = self.0.first()?;
        Some((first.name.clone(), first.address))
    }
}

impl Handed {
    fn new(name: &str, listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            name: name.to_owned(),
            address: listener.local_addr()?,
            listener,
        })
    }
}

/// The names that say which setting a socket stands for.
const SETTINGS: [&str; 2] = ["traffic", "traffic_tls"];

const NAMES_VARIABLE: &str = "LISTEN_FDNAMES";

/// What is handed over begins behind the three streams that every process has.
const FIRST_DESCRIPTOR: usize = 3;
