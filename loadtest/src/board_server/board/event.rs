//! What happens to a board, and what its sessions are told to do.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, close_code};
use handover_protocol::contract::{
    ActivateRequest, Activated, ContractProblem, ForgetQuery, FreezeRequest, Frozen, PrepareRequest, Prepared,
    ThawRequest, Thawed,
};
use handover_protocol::generation::Generation;
use handover_protocol::id::SessionId;
use tokio::sync::{mpsc, oneshot, watch};

use crate::wire::{Draw, Fingerprint};

/// Sends the answer to a call of the contract.
pub(in crate::board_server) type Reply<T> = oneshot::Sender<Result<T, ContractProblem>>;

/// Tells one connection of a server from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::board_server) struct SessionKey(pub(in crate::board_server) u64);

/// What happens to a board.
#[derive(Debug)]
pub(in crate::board_server) enum Event {
    /// Somebody wants to connect.
    Attach(Attach, Reply<Attached>),
    /// A data message came.
    Said(SessionKey, Said, Flavor),
    /// A connection has ended, and all it said has come.
    Ended(SessionKey),
    /// Somebody asks whether the board is served here.
    Check(Option<Generation>, Reply<()>),
    /// The database does not list the board as this server's.
    FenceDoubted,
    /// The call of the contract.
    Prepare(PrepareRequest, Reply<Prepared>),
    /// The call of the contract.
    Freeze(FreezeRequest, Reply<Frozen>),
    /// The call of the contract.
    Activate(ActivateRequest, Reply<Activated>),
    /// The call of the contract.
    Thaw(ThawRequest, Reply<Thawed>),
    /// The call of the contract.
    Forget(ForgetQuery, Reply<()>),
}

/// A handshake.
#[derive(Debug)]
pub(in crate::board_server) struct Attach {
    /// The connection.
    pub(in crate::board_server) key: SessionKey,
    /// The gateway's name for it.
    pub(in crate::board_server) id: Option<SessionId>,
    /// Under which term the gateway believes the board to be here; absent without the contract.
    pub(in crate::board_server) generation: Option<Generation>,
    /// How it came.
    pub(in crate::board_server) arrival: Arrival,
    /// The user that the URL names.
    pub(in crate::board_server) user: Option<Arc<str>>,
}

/// How a session came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::board_server) enum Arrival {
    /// By itself.
    Fresh,
    /// By a move, from another server where it had this id.
    Moved {
        /// Its own id where its socket stayed open; another one where it reconnected.
        from: SessionId,
    },
}

/// What a connection needs to serve.
#[derive(Debug)]
pub(in crate::board_server) struct Attached {
    /// What is to be sent.
    pub(in crate::board_server) outgoing: mpsc::Receiver<Message>,
    /// What it is told to do.
    pub(in crate::board_server) orders: watch::Receiver<Order>,
}

/// A client's data message, as far as the board cares.
#[derive(Debug)]
pub(in crate::board_server) enum Said {
    /// Who it is.
    Hello {
        /// A valid user name.
        user: String,
    },
    /// A stroke.
    Draw(Draw),
    /// Anything else.
    Opaque(Fingerprint),
    /// A hello whose name is none.
    BadName,
}

/// The kind of a data message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::board_server) enum Flavor {
    /// Text.
    Text,
    /// Binary.
    Binary,
}

/// What a connection is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::board_server) enum Order {
    /// Read what the client sends.
    Read,
    /// Read nothing more; what is on its way waits in the kernel.
    Pause,
    /// Send what is left to be sent, say goodbye, and end.
    Close {
        /// RFC 6455 section 7.4.
        code: u16,
        /// For people.
        reason: &'static str,
    },
}

impl Order {
    /// The board is served elsewhere; come back.
    pub(super) fn moved() -> Self {
        Self::close(close_code::RESTART, "this server no longer serves the board")
    }

    /// A freeze did not name the session.
    pub(super) fn not_told_of() -> Self {
        Self::close(close_code::RESTART, "the gateway does not know this session")
    }

    /// The session connected again.
    pub(super) fn superseded() -> Self {
        Self::close(close_code::RESTART, "the session connected again")
    }

    /// Too much waits to be sent.
    pub(super) fn too_slow() -> Self {
        Self::close(close_code::AGAIN, "the client does not read fast enough")
    }

    /// The server ends.
    pub(super) fn going_away() -> Self {
        Self::close(close_code::AWAY, "the server is shutting down")
    }

    /// The client does not say who it is.
    pub(super) fn nameless() -> Self {
        Self::close(close_code::POLICY, "say hello first, with a user name")
    }

    /// Returns the close frame, once it is time for it.
    pub(in crate::board_server) fn close_frame(&self) -> Option<CloseFrame> {
        match self {
            Self::Read | Self::Pause => None,
            Self::Close { code, reason } => Some(CloseFrame {
                code: *code,
                reason: Utf8Bytes::from_static(reason),
            }),
        }
    }

    fn close(code: u16, reason: &'static str) -> Self {
        Self::Close { code, reason }
    }
}
