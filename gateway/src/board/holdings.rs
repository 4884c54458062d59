//! How many boards each server owns and is about to own: counted where a placement changes, so that nobody has to walk
//! the table.
//!
//! Every board of the table counts once, under the owner that its placement names, from its entry to its end; a board
//! that moves counts under its source until the commit, and beside that as a standby of its target.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use handover_protocol::{Placement, ServerName, Term};

/// The number of boards under each server.
#[derive(Debug, Default)]
pub(super) struct Holdings(Mutex<HashMap<ServerName, Held>>);

/// The boards of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Boards that the server owns, also while they are being moved off it.
    pub owned: usize,
    /// Boards that are being moved to the server and still belong to another.
    pub standby: usize,
}

impl Holdings {
    /// Counts one board by another placement than before; none stands for a board that is not in the table.
    pub(super) fn shift(&self, from: Option<&Placement>, to: Option<&Placement>) {
        let mut counts = self.lock();
        let of = |placement: Option<&Placement>| {
            (
                placement.and_then(owner_of).cloned(),
                placement.and_then(target_of).cloned(),
            )
        };
        let (owner_before, target_before) = of(from);
        let (owner, target) = of(to);
        if owner_before != owner {
            if let Some(held) = owner_before.and_then(|server| counts.get_mut(&server)) {
                held.owned -= 1;
            }
            if let Some(server) = owner {
                counts.entry(server).or_default().owned += 1;
            }
        }
        if target_before != target {
            if let Some(held) = target_before.and_then(|server| counts.get_mut(&server)) {
                held.standby -= 1;
            }
            if let Some(server) = target {
                counts.entry(server).or_default().standby += 1;
            }
        }
    }

    /// Returns what a server holds.
    pub(super) fn of(&self, server: &ServerName) -> Held {
        self.lock().get(server).copied().unwrap_or_default()
    }

    /// Returns what every server holds at one moment, so that a board which is committed meanwhile counts once.
    pub(super) fn all(&self) -> HashMap<ServerName, Held> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerName, Held>> {
        // No section under this lock can leave a count half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owner_of(placement: &Placement) -> Option<&ServerName> {
    placement.owner().map(|owner| &owner.server)
}

fn target_of(placement: &Placement) -> Option<&ServerName> {
    match &placement.term {
        Term::Moving { target, .. } => Some(&target.server),
        Term::Vacant | Term::Settled { .. } | Term::Activating { .. } => None,
    }
}
