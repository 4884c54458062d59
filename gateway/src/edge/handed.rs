//! Listening sockets that a service manager has opened and hands over (sd_listen_fds(3)): they outlive the gateway, so
//! whoever connects while it restarts waits in their backlog instead of being refused.
//!
//! A socket takes the place of the configured address that it listens at. Where it is named `traffic` or `traffic_tls`
//! (`FileDescriptorName=`) it stands for an address of that setting only.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::SockRef;

/// The sockets that nobody has taken yet.
#[derive(Debug, Default)]
pub struct HandedSockets(Vec<Handed>);

#[derive(Debug)]
struct Handed {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

/// Says why what the service manager has handed over cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// Nobody can say how many there are.
    #[error(
        "LISTEN_FDS = {count:?} is no number of sockets up to {SOCKETS_MAX}; the service manager sets it with each socket \
         unit, so take it out of the service's Environment="
    )]
    Count {
        /// What it says.
        count: String,
    },
    /// Nobody can say which is called what.
    #[error(
        "LISTEN_FDS hands over {sockets} sockets and LISTEN_FDNAMES = {names:?} names {named}; the service manager sets both, \
         so take them out of the service's Environment= and write FileDescriptorName= into each socket unit"
    )]
    Names {
        /// How many there are.
        sockets: usize,
        /// What they are called.
        names: String,
        /// How many those are.
        named: usize,
    },
    /// One of them is no listening socket.
    #[error("descriptor {number}, which the service manager has handed over as {name:?}, {fault}")]
    Descriptor {
        /// Its number.
        number: usize,
        /// What the service manager calls it.
        name: String,
        /// What is wrong with it.
        #[source]
        fault: DescriptorFault,
    },
}

/// What a descriptor is instead of a listening TCP socket, as a predicate, and what to write for one.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorFault {
    /// Nothing, or no socket.
    #[error(
        "is no open socket; LISTEN_FDS counts more than there are, or its unit is none with ListenStream= (as \
         ListenStream=127.0.0.1:8080)"
    )]
    NoSocket,
    /// It takes packets.
    #[error("is a datagram socket (UDP); write ListenStream= in its socket unit in the place of ListenDatagram=")]
    Datagram,
    /// It is no TCP.
    #[error("is a Unix socket; write an address and a port for ListenStream= in its socket unit (as 127.0.0.1:8080)")]
    Unix,
    /// It is one client's connection, or nobody has called `listen`.
    #[error(
        "does not listen; write Accept=no in its socket unit, so that the gateway is handed the socket that clients come to"
    )]
    Silent,
    /// The kernel refuses what is asked of it.
    #[error("cannot be used: {0}")]
    Unusable(#[from] io::Error),
}

impl HandedSockets {
    /// Takes what the environment names. Call it before there are threads: it changes the environment, so that no
    /// process which this one starts takes them as well.
    ///
    /// # Errors
    /// When one of them is no listening TCP socket, or nobody can say how many there are.
    pub fn from_environment() -> Result<Self, HandedError> {
        check_count()?;
        let mut found = ListenFd::from_env();
        let names = names_of(found.len())?;
        let mut sockets = Vec::new();
        for (place, name) in names.into_iter().enumerate() {
            match take(&mut found, place, &name) {
                Ok(handed) => sockets.push(handed),
                Err(fault) => {
                    let number = FIRST_DESCRIPTOR + place;
                    return Err(HandedError::Descriptor { number, name, fault });
                }
            }
        }
        Ok(Self(sockets))
    }

    /// Takes sockets with their names.
    #[cfg(test)]
    pub(super) fn of(sockets: Vec<(&str, TcpListener)>) -> Result<Self, DescriptorFault> {
        let sockets = sockets.into_iter().map(|(name, listener)| Handed::new(name, listener));
        sockets.collect::<Result<_, _>>().map(Self)
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
    fn new(name: &str, listener: TcpListener) -> Result<Self, DescriptorFault> {
        if !SockRef::from(&listener).is_listener()? {
            return Err(DescriptorFault::Silent);
        }
        listener.set_nonblocking(true)?;
        Ok(Self {
            name: name.to_owned(),
            address: listener.local_addr()?,
            listener,
        })
    }
}

/// Takes one, or says what it is instead.
fn take(found: &mut ListenFd, place: usize, name: &str) -> Result<Handed, DescriptorFault> {
    if let Ok(Some(listener)) = found.take_tcp_listener(place) {
        return Handed::new(name, listener);
    }
    // What is not taken stays, so that it can be looked at as something else.
    let is_datagram = found.take_udp_socket(place).is_ok() || found.take_unix_datagram(place).is_ok();
    if is_datagram {
        return Err(DescriptorFault::Datagram);
    }
    match found.take_unix_listener(place) {
        Ok(_) => Err(DescriptorFault::Unix),
        Err(_) => Err(DescriptorFault::NoSocket),
    }
}

/// Refuses a count that is none, which would else be taken for no sockets at all, or for more than there is memory for.
fn check_count() -> Result<(), HandedError> {
    let is_ours = match std::env::var(PROCESS_VARIABLE) {
        Ok(process) => process.is_empty() || process == std::process::id().to_string(),
        Err(_) => true,
    };
    let Some(count) = std::env::var_os(COUNT_VARIABLE).filter(|_| is_ours) else {
        return Ok(());
    };
    let count = count.to_string_lossy();
    match count.parse::<usize>() {
        Ok(..=SOCKETS_MAX) => Ok(()),
        Ok(_) | Err(_) => {
            let count = count.into_owned();
            Err(HandedError::Count { count })
        }
    }
}

/// Returns what the sockets are called, each; `unknown` where nobody says so.
fn names_of(sockets: usize) -> Result<Vec<String>, HandedError> {
    let unknown = || "unknown".to_owned();
    let names = std::env::var(NAMES_VARIABLE).unwrap_or_default();
    if sockets == 0 || names.is_empty() {
        return Ok(vec![unknown(); sockets]);
    }
    let list: Vec<String> = names.split(':').map(str::to_owned).collect();
    let named = list.len();
    if named != sockets {
        return Err(HandedError::Names { sockets, names, named });
    }
    let or_unknown = |name: String| if name.is_empty() { unknown() } else { name };
    Ok(list.into_iter().map(or_unknown).collect())
}

/// The names that say which setting a socket stands for.
const SETTINGS: [&str; 2] = ["traffic", "traffic_tls"];

/// As many as a gateway may have addresses, and more.
const SOCKETS_MAX: usize = 1024;

const PROCESS_VARIABLE: &str = "LISTEN_PID";

const COUNT_VARIABLE: &str = "LISTEN_FDS";

const NAMES_VARIABLE: &str = "LISTEN_FDNAMES";

/// What is handed over begins behind the three streams that every process has.
const FIRST_DESCRIPTOR: usize = 3;
