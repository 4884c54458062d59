//! Boards that are on their way to a server and are not its own yet: chosen for it, or being moved to it.
//!
//! Who closes a server to newcomers and then finds nothing promised to it knows that nothing will come: promises are made
//! under one lock, and only to servers that are open under it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_protocol::ServerName;

/// How many boards are on their way to each server.
#[derive(Debug, Clone, Default)]
pub(super) struct Promises(Arc<Mutex<Counts>>);

/// The counts, while nobody else makes a promise.
pub(super) type Counts = HashMap<ServerName, usize>;

/// A board that is on its way to a server, counted until this is dropped.
#[derive(Debug)]
pub struct Promise {
    promises: Promises,
    server: ServerName,
}

impl Promises {
    /// Keeps others from making promises.
    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        // No section under this lock can leave a count half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a board that is on its way to a server.
    pub(super) fn make(&self, counts: &mut Counts, server: &ServerName) -> Promise {
        *counts.entry(server.clone()).or_default() += 1;
        Promise {
            promises: self.clone(),
            server: server.clone(),
        }
    }

    /// Returns how many boards are on their way to a server.
    pub(super) fn to(&self, server: &ServerName) -> usize {
        self.lock().get(server).copied().unwrap_or_default()
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut counts = self.promises.lock();
        if let Some(count) = counts.get_mut(&self.server) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.server);
            }
        }
    }
}
