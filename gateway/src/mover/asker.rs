//! On whose behalf a board is moved, for the event log.

use handover_protocol::DrainId;

/// Who has a board moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedBy {
    /// A drain.
    Drain(DrainId),
    /// Somebody through the admin API; who that was, as the audit names them.
    Caller(String),
}

impl AskedBy {
    /// Returns the drain, where it is one.
    pub(super) fn drain(&self) -> Option<&str> {
        match self {
            Self::Drain(id) => Some(id.as_str()),
            Self::Caller(_) => None,
        }
    }

    /// Returns the caller, where it is one.
    pub(super) fn caller(&self) -> Option<&str> {
        match self {
            Self::Drain(_) => None,
            Self::Caller(caller) => Some(caller),
        }
    }
}
