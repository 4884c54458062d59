//! When a move last told a board's users to reconnect: a user who was told comes back as another session, so it is the
//! board that remembers.
//!
//! Only tellings by a move count, and whatever else has a board change hands. A session whose own connection broke is
//! told too; on a board with many users there is one of those at any time, and moves would wait for ever.
//!
//! A board that nobody is on may lose its record before its users are back; then the memory is kept here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handover_protocol::BoardId;

use super::Board;

impl Board {
    /// Notes that a move tells one of the board's users to reconnect.
    pub fn note_told(&self) {
        self.lock().told_at = Some(Instant::now());
    }

    /// Returns for how long no move may tell anybody on the board to reconnect, where that may be once within `limit`;
    /// nothing where they may be now.
    pub fn bounce_left(&self, limit: Duration) -> Option<Duration> {
        let told_at = self.lock().told_at?;
        let left = limit.checked_sub(told_at.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    fn told_at(&self) -> Option<Instant> {
        self.lock().told_at
    }
}

/// What is remembered of boards without a record.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<BoardId, Memory>>);

#[derive(Debug)]
struct Memory {
    told_at: Instant,
    until: Instant,
}

impl Told {
    /// Keeps what a board knows whose record is dropped, as long as its route needs it.
    pub(super) fn keep(&self, board: &Board) {
        let limit = board.route().map_or(Duration::ZERO, |route| route.bounce_limit);
        if let Some(told_at) = board.told_at()
            && told_at.elapsed() < limit
        {
            let until = told_at + limit;
            self.lock().insert(board.id().clone(), Memory { told_at, until });
        }
    }

    /// Returns what was kept of a board that has a record again, and forgets it.
    pub(super) fn take(&self, board: &BoardId) -> Option<Instant> {
        self.lock().remove(board).map(|memory| memory.told_at)
    }

    /// Forgets what no route needs any more.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        self.lock().retain(|_, memory| memory.until > now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BoardId, Memory>> {
        // No section under this lock can leave the table half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
