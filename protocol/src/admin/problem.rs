//! How the admin API refuses: `application/problem+json` (RFC 9457) with types of a fixed list.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::config::ConfigFinding;
use crate::id::DrainId;

/// A refusal of the admin API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of refusal; stable, made for machines.
    #[serde(rename = "type")]
    pub kind: ProblemType,
    /// The HTTP status once more.
    pub status: u16,
    /// One line for people, the same for every problem of the type.
    pub title: String,
    /// What exactly, with values and the way out.
    pub detail: String,
    /// The part of the request at fault, as `pace.boards_at_once` or `from.servers[0]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub field: Option<Box<str>>,
    /// The drain that stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainId>,
    /// After how many seconds a retry is sound; also in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub retry_after_seconds: Option<NonZeroU32>,
    /// Everything that is wrong with the configuration.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<ConfigFinding>)]
    pub faults: Box<[ConfigFinding]>,
}

/// What the admin API refuses, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemType {
    /// The body is no JSON.
    BadJson,
    /// A field is missing, unknown, of the wrong type, out of its range, or names nothing.
    InvalidField,
    /// A field names a server or a release that there is not.
    UnknownReference,
    /// No drain can be made of it: no server is named, one would be emptied and filled at once, or new boards would have nowhere to go.
    ImpossibleDrain,
    /// No server can be made of it: a URL, a file or a number of it cannot be used.
    ImpossibleServer,
    /// The idempotency key came with another request before.
    IdempotencyMismatch,
    /// The body is larger than any request needs.
    BodyTooLarge,
    /// The body is not declared as `application/json`.
    UnsupportedMediaType,
    /// The `Host` header names another host than the loopback: a web page may be behind it.
    ForbiddenHost,
    /// A web page of another origin asks.
    ForbiddenOrigin,
    /// Tokens or client certificates are asked for, and the request brings none of them; see `WWW-Authenticate`.
    Unauthorized,
    /// The scope of the token or client certificate does not reach this call; see `WWW-Authenticate`.
    InsufficientScope,
    /// The client certificate is of the right authority, and names nobody whom the configuration knows.
    UnknownCertificate,
    /// There is no such path.
    UnknownPath,
    /// The path knows other methods; see `Allow`.
    MethodNotAllowed,
    /// No drain has that id.
    UnknownDrain,
    /// No board has that id.
    UnknownBoard,
    /// No session has that id.
    UnknownSession,
    /// No server has that name.
    UnknownServer,
    /// The server answers its health checks, so its process is not gone.
    ServerAlive,
    /// The server stands in the configuration file, which is the place to change it.
    ServerConfigured,
    /// Boards, sessions or moves need the server as it is.
    ServerInUse,
    /// A drain with that id was started by another request.
    DrainExists,
    /// A running drain empties one of the sources, or one server is to be emptied and filled at once; see `drain`.
    DrainConflict,
    /// The drain has ended, so it can be neither paused nor resumed.
    DrainEnded,
    /// The drain cannot be undone: its sources keep nothing warm for it.
    UndoWindowOver,
    /// Nobody owns the board, it is being moved, the target owns it already, or it was moved of late (then with
    /// `retry_after_seconds`).
    BoardNotMovable,
    /// The target is not ready.
    TargetNotReady,
    /// The configuration is wrong, and the old one holds; see `faults`.
    ConfigInvalid,
    /// The registry does not answer; nothing was begun.
    RegistryUnavailable,
    /// The gateway is starting: it does not know yet what it did before.
    Starting,
    /// The gateway is going down.
    ShuttingDown,
    /// A fault of the gateway; its log says more.
    Internal,
}

impl ProblemType {
    /// Every type, for documents and tests.
    pub const ALL: [Self; 33] = [
        Self::BadJson,
        Self::InvalidField,
        Self::UnknownReference,
        Self::ImpossibleDrain,
        Self::ImpossibleServer,
        Self::IdempotencyMismatch,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::ForbiddenHost,
        Self::ForbiddenOrigin,
        Self::Unauthorized,
        Self::InsufficientScope,
        Self::UnknownCertificate,
        Self::UnknownPath,
        Self::MethodNotAllowed,
        Self::UnknownDrain,
        Self::UnknownBoard,
        Self::UnknownSession,
        Self::UnknownServer,
        Self::ServerAlive,
        Self::ServerConfigured,
        Self::ServerInUse,
        Self::DrainExists,
        Self::DrainConflict,
        Self::DrainEnded,
        Self::UndoWindowOver,
        Self::BoardNotMovable,
        Self::TargetNotReady,
        Self::ConfigInvalid,
        Self::RegistryUnavailable,
        Self::Starting,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// Returns the HTTP status that goes with the type.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadJson | Self::InvalidField => 400,
            Self::Unauthorized => 401,
            Self::ForbiddenHost | Self::ForbiddenOrigin | Self::InsufficientScope | Self::UnknownCertificate => 403,
            Self::UnknownPath
            | Self::UnknownDrain
            | Self::UnknownBoard
            | Self::UnknownSession
            | Self::UnknownServer => 404,
            Self::MethodNotAllowed => 405,
            Self::DrainExists
            | Self::DrainConflict
            | Self::ServerAlive
            | Self::ServerConfigured
            | Self::ServerInUse
            | Self::DrainEnded
            | Self::UndoWindowOver
            | Self::BoardNotMovable
            | Self::TargetNotReady => 409,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::UnknownReference
            | Self::ImpossibleDrain
            | Self::ImpossibleServer
            | Self::IdempotencyMismatch
            | Self::ConfigInvalid => 422,
            Self::Internal => 500,
            Self::RegistryUnavailable | Self::Starting | Self::ShuttingDown => 503,
        }
    }

    /// Returns the one line for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadJson => "The body is not valid JSON",
            Self::InvalidField => "A field of the request is not valid",
            Self::UnknownReference => "A field names what there is not",
            Self::ImpossibleDrain => "No drain can be made of the request",
            Self::ImpossibleServer => "No server can be made of the request",
            Self::IdempotencyMismatch => "The idempotency key came with another request before",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body must be application/json",
            Self::ForbiddenHost => "The admin API answers under loopback names only",
            Self::ForbiddenOrigin => "The admin API does not answer web pages of other origins",
            Self::Unauthorized => "The request needs a token or a client certificate",
            Self::InsufficientScope => "The token or client certificate may not be used for this",
            Self::UnknownCertificate => "The client certificate is nobody's who may use the admin API",
            Self::UnknownPath => "There is no such path",
            Self::MethodNotAllowed => "The path does not know this method",
            Self::UnknownDrain => "There is no such drain",
            Self::UnknownBoard => "There is no such board",
            Self::UnknownSession => "There is no such session",
            Self::UnknownServer => "There is no such server",
            Self::ServerAlive => "The server is alive",
            Self::ServerConfigured => "The server stands in the configuration file",
            Self::ServerInUse => "The server is in use",
            Self::DrainExists => "Another request has started a drain with this id",
            Self::DrainConflict => "A running drain stands in the way",
            Self::DrainEnded => "The drain has ended",
            Self::UndoWindowOver => "The drain cannot be undone any more",
            Self::BoardNotMovable => "The board cannot be moved now",
            Self::TargetNotReady => "The target is not ready",
            Self::ConfigInvalid => "The configuration is not valid",
            Self::RegistryUnavailable => "The registry does not answer",
            Self::Starting => "The gateway is starting",
            Self::ShuttingDown => "The gateway is shutting down",
            Self::Internal => "The gateway failed",
        }
    }
}

impl Problem {
    /// The media type of the body.
    pub const MEDIA_TYPE: &str = "application/problem+json";

    /// Makes a problem of a type.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            status: kind.status(),
            title: kind.title().to_owned(),
            detail: detail.into(),
            field: None,
            drain: None,
            retry_after_seconds: None,
            faults: Box::default(),
        }
    }

    /// Blames a part of the request.
    #[must_use]
    pub fn at(self, field: impl Into<Box<str>>) -> Self {
        Self {
            field: Some(field.into()),
            ..self
        }
    }

    /// Says what is wrong with the configuration.
    #[must_use]
    pub fn with_faults(self, faults: Vec<ConfigFinding>) -> Self {
        Self {
            faults: faults.into(),
            ..self
        }
    }

    /// Says after how long a retry is sound, rounded up.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds).ok().and_then(NonZeroU32::new);
        Self {
            retry_after_seconds: Some(seconds.unwrap_or(NonZeroU32::MIN)),
            ..self
        }
    }

    /// Names the drain that stands in the way.
    #[must_use]
    pub fn because_of(self, drain: DrainId) -> Self {
        Self {
            drain: Some(drain),
            ..self
        }
    }
}
