//! Where the admin listener is bound: an address, with TLS or without, or a socket in the file system that only its
//! owner may open.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::AdminAddress;
use crate::tls::{HandshakeFault, Identity, OperatorsAcceptor};

/// A bound admin listener.
#[derive(Debug)]
pub struct AdminListener {
    place: Place,
    /// Of callers over TCP.
    acceptor: Option<Arc<OperatorsAcceptor>>,
}

#[derive(Debug)]
enum Place {
    /// At an address.
    Tcp(TcpListener),
    /// At a path, which is removed with the listener.
    Unix(UnixListener, PathBuf),
}

/// An accepted connection before anything was said on it.
pub(super) enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How a caller speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Security {
    Plain,
    /// By TLS, with whom its certificate names, where it has shown one.
    Tls(Option<Arc<Identity>>),
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
            AdminAddress::Tcp(tcp) => Ok(TcpListener::bind(tcp).await.map_err(refused)?.into()),
            AdminAddress::Unix(path) => {
                clear(path, address)?;
                let listener = bind_for_owner(path).map_err(refused)?;
                Ok(Self::at(Place::Unix(listener, path.clone())))
            }
        }
    }

    /// Speaks TLS with callers over TCP.
    #[must_use]
    pub fn secured(self, acceptor: Option<Arc<OperatorsAcceptor>>) -> Self {
        Self { acceptor, ..self }
    }

    fn at(place: Place) -> Self {
        Self { place, acceptor: None }
    }

    pub(super) fn acceptor(&self) -> Option<&Arc<OperatorsAcceptor>> {
        self.acceptor.as_ref()
    }

    /// Returns where it listens: port 0 took a free one.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<AdminAddress> {
        match &self.place {
            Place::Tcp(listener) => listener.local_addr().map(AdminAddress::Tcp),
            Place::Unix(_, path) => Ok(AdminAddress::Unix(path.clone())),
        }
    }

    /// Waits for a connection. Cancel-safe, as the listeners' own `accept` is.
    pub(super) async fn accept(&self) -> io::Result<(Raw, Peer)> {
        match &self.place {
            Place::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Raw::Tcp(stream), Peer::Tcp(peer)))
            }
            Place::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|owner| owner.uid());
                Ok((Raw::Unix(stream), Peer::Unix(user)))
            }
        }
    }
}

impl From<TcpListener> for AdminListener {
    fn from(listener: TcpListener) -> Self {
        Self::at(Place::Tcp(listener))
    }
}

impl Raw {
    /// Shakes hands for TLS where the listener speaks it.
    ///
    /// # Errors
    /// When the caller has not got through.
    pub(super) async fn secure(
        self,
        acceptor: Option<&OperatorsAcceptor>,
    ) -> Result<(TokioIo<Box<dyn Stream>>, Security), HandshakeFault> {
        let (stream, security): (Box<dyn Stream>, _) = match (self, acceptor) {
            (Self::Tcp(stream), Some(acceptor)) => {
                let (stream, identity) = acceptor.accept(stream).await?;
                (Box::new(stream), Security::Tls(identity.map(Arc::new)))
            }
            (Self::Tcp(stream), None) => (Box::new(stream), Security::Plain),
            (Self::Unix(stream), _) => (Box::new(stream), Security::Plain),
        };
        Ok((TokioIo::new(stream), security))
    }
}

impl Drop for Place {
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
