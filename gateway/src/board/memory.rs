//! What a board remembers of its moves, also while it has no record: one that nobody is on may lose it before its users
//! are back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use handover_protocol::BoardId;

use super::Board;
use super::moved::Moved;
use super::told::Tellings;

/// What a board remembers of its moves.
#[derive(Debug, Clone, Default)]
pub(super) struct BoardMemory {
    pub(super) told: Tellings,
    pub(super) moved: Option<Moved>,
}

/// What is remembered of boards without a record.
#[derive(Debug, Default)]
pub(super) struct Memories(Mutex<HashMap<BoardId, BoardMemory>>);

impl BoardMemory {
    /// Takes for granted that the gateway process before this one did just now what moves have to keep apart.
    pub(super) fn by_start() -> Self {
        Self {
            told: Tellings::by_start(),
            moved: Some(Moved::by_start()),
        }
    }

    fn is_needed(&self, now: Instant) -> bool {
        let until = self.told.until.max(self.moved.map(|moved| moved.until));
        until.is_some_and(|until| until > now)
    }
}

impl Board {
    /// Notes that a gateway process before this one may have moved the board and told its users just now.
    pub fn note_start(&self) {
        self.lock().memory = BoardMemory::by_start();
    }
}

impl Memories {
    /// Keeps what a board knows whose record is dropped, as long as a move may have to know of it.
    pub(super) fn keep(&self, board: &Board) {
        let memory = board.lock().memory.clone();
        if memory.is_needed(Instant::now()) {
            self.lock().insert(board.id().clone(), memory);
        }
    }

    /// Returns what was kept of a board that has a record again, and forgets it.
    pub(super) fn take(&self, board: &BoardId) -> BoardMemory {
        self.lock().remove(board).unwrap_or_default()
    }

    /// Forgets what no move needs any more.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        self.lock().retain(|_, memory| memory.is_needed(now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BoardId, BoardMemory>> {
        // No section under this lock can leave the table half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
