//! How many boards each server owns: counted where a placement changes, so that nobody has to walk the table.
//!
//! Every board of the table counts once, under the owner that its placement names, from its entry to its end; a board
//! that moves counts under its source until the commit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use handover_protocol::ServerName;

/// The number of boards under each owner.
#[derive(Debug, Default)]
pub(super) struct Holdings(Mutex<HashMap<ServerName, usize>>);

impl Holdings {
    /// Counts one board under another owner than before; none stands for a board that nobody owns.
    pub(super) fn shift(&self, from: Option<&ServerName>, to: Option<&ServerName>) {
        if from == to {
            return;
        }
        let mut counts = self.lock();
        if let Some(from) = from
            && let Some(count) = counts.get_mut(from)
        {
            *count -= 1;
        }
        if let Some(to) = to {
            match counts.get_mut(to) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(to.clone(), 1);
                }
            }
        }
    }

    /// Returns how many boards a server owns.
    pub(super) fn of(&self, server: &ServerName) -> usize {
        self.lock().get(server).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerName, usize>> {
        // No section under this lock can leave a count half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
