//! Why the desk does not do what it was asked for.

use handover_protocol::{DrainId, ReleaseName};

use super::plan::PlanError;
use crate::registry::RegistryError;

/// Says why a drain was not let in. Nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request cannot be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Another request has that id.
    #[error("drain {id} was started by another request; choose another id, or none")]
    Exists {
        /// The id.
        id: DrainId,
    },
    /// Another request came with that idempotency key.
    #[error("the idempotency key came with another request before, which started drain {id}; choose another key")]
    KeyReused {
        /// That drain.
        id: DrainId,
    },
    /// A running drain empties a source or target of this one, or fills one of its sources.
    #[error("drain {running} is running and touches servers of this one; wait for its end, or abort it")]
    Conflict {
        /// That drain.
        running: DrainId,
    },
    /// The drain would take the last servers from new boards, and leads to no single release for them.
    #[error("new boards go to release {release}, and no ready server of it would be left; let `to` be of one release")]
    NoHome {
        /// The current release.
        release: ReleaseName,
    },
    /// There is nobody to take a board.
    #[error("none of the targets is ready: {}", .targets.join("; "))]
    NoTarget {
        /// The targets, and what is the matter with each.
        targets: Vec<String>,
    },
    /// The drain could not be kept; a retry is sound.
    #[error("the drain could not be written to the registry")]
    Registry(#[from] RegistryError),
    /// What the registry kept has not been read yet; a retry is sound.
    #[error("the gateway is starting and does not know its drains yet; try again")]
    Starting,
    /// The gateway is going down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// Says why nobody can rely on it that a drain does what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such drain.
    #[error("there is no such drain")]
    Unknown,
    /// This process does so, and the registry does not know: the next would not. A retry is sound.
    #[error("drain {id} does so now, but the registry has not kept that, and a restart would forget it; ask again")]
    NotKept {
        /// The drain.
        id: DrainId,
    },
    /// The gateway is going down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

impl StartError {
    /// Returns a stable name for it.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Plan(_) => "impossible_drain",
            Self::Exists { .. } => "drain_exists",
            Self::KeyReused { .. } => "idempotency_mismatch",
            Self::Conflict { .. } => "drain_conflict",
            Self::NoHome { .. } => "no_home",
            Self::NoTarget { .. } => "target_not_ready",
            Self::Registry(_) => "registry_unavailable",
            Self::Starting => "starting",
            Self::ShuttingDown => "shutting_down",
        }
    }
}
