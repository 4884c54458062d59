//! Where the admin listener is bound: an address, or a socket in the file system that only its owner may open.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::config::AdminAddress;

/// A bound admin listener.
#[derive(Debug)]
pub enum AdminListener {
    /// At an address.
    Tcp(TcpListener),
    /// At a path, which is removed with the listener.
    Unix(UnixListener, PathBuf),
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    /// A process of this user.
    Unix(Option<u32>),
}

/// What a connection is read from and written to.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Says why the admin listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum AdminBindError {
    /// The system refused.
    #[error("listen.admin = \"{address}\" cannot be bound")]
    Refused {
        /// Where.
        address: AdminAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else has the path.
    #[error("listen.admin = \"{address}\" is there already and no socket; name another path, or remove it")]
    NoSocket {
        /// Where.
        address: AdminAddress,
    },
    /// Another process answers there.
    #[error("listen.admin = \"{address}\" is served by another process; end it, or name another path")]
    Taken {
        /// Where.
        address: AdminAddress,
    },
}

impl AdminListener {
    /// Binds an address. A socket that a process has left behind is replaced.
    ///
    /// # Errors
    /// When the address is taken or the path cannot be used.
    pub async fn bind(address: &AdminAddress) -> Result<Self, AdminBindError> {
        let refused = |source| AdminBindError::Refused {
            address: address.clone(),
            source,
        };
        match address {
            AdminAddress::Tcp(tcp) => Ok(Self::Tcp(TcpListener::bind(tcp).await.map_err(refused)?)),
            AdminAddress::Unix(path) => {
                clear(path, address)?;
                let listener = bind_for_owner(path).map_err(refused)?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    /// Returns where it listens: port 0 took a free one.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(AdminAddress::Tcp),
            Self::Unix(_, path) => Ok(AdminAddress::Unix(path.clone())),
        }
    }

    /// Waits for a connection. Cancel-safe, as the listeners' own `accept` is.
    pub(super) async fn accept(&self) -> io::Result<(TokioIo<Box<dyn Stream>>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((TokioIo::new(Box::new(stream)), Peer::Tcp(peer)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|owner| owner.uid());
                Ok((TokioIo::new(Box::new(stream)), Peer::Unix(user)))
            }
        }
    }
}

impl From<TcpListener> for AdminListener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may have been removed by whoever comes after us.
            let _ = fs::remove_file(path);
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(Some(user)) => write!(formatter, "uid {user}"),
            Self::Unix(None) => formatter.write_str("unix socket"),
        }
    }
}

/// Removes a socket that nobody listens on any more.
fn clear(path: &Path, address: &AdminAddress) -> Result<(), AdminBindError> {
    let address = || address.clone();
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(AdminBindError::NoSocket { address: address() });
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(AdminBindError::Taken { address: address() });
    }
    fs::remove_file(path).map_err(|source| AdminBindError::Refused {
        address: address(),
        source,
    })
}

/// Binds a path, and lets nobody in before its mode is set.
fn bind_for_owner(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(socket.into())
}

const BACKLOG: i32 = 128;
