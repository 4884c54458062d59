//! Which boards a task of this process has in hand: what is unfinished although nobody has it was left behind.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_protocol::BoardId;

/// The boards in hand, and in how many.
#[derive(Debug, Clone, Default)]
pub(super) struct Driven(Arc<Mutex<HashMap<BoardId, usize>>>);

/// A board in hand, until this is dropped.
#[derive(Debug)]
pub(super) struct Driving {
    driven: Driven,
    board: BoardId,
}

impl Driven {
    /// Takes a board in hand, also one that others have: which of them gets it is the registry's to say.
    pub(super) fn begin(&self, board: &BoardId) -> Driving {
        *self.lock().entry(board.clone()).or_default() += 1;
        self.driving(board)
    }

    /// Takes a board in hand that nobody has; nothing where somebody does.
    pub(super) fn begin_alone(&self, board: &BoardId) -> Option<Driving> {
        match self.lock().entry(board.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(1);
                Some(self.driving(board))
            }
        }
    }

    fn driving(&self, board: &BoardId) -> Driving {
        Driving {
            driven: self.clone(),
            board: board.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BoardId, usize>> {
        // No section under this lock can leave a count half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        let mut driven = self.driven.lock();
        if let Some(hands) = driven.get_mut(&self.board) {
            *hands -= 1;
            if *hands == 0 {
                driven.remove(&self.board);
            }
        }
    }
}
