//! When a move last brought a board to another server: for a while no other may, lest a board wander.
//!
//! A board that lost its server is no move, and is never put off.

use std::time::{Duration, Instant};

use super::Board;
use crate::config::BOARD_MOVE_INTERVAL_MAX;

impl Board {
    /// Notes that a move has brought the board to another server, where moves keep `interval` between them.
    pub fn note_moved(&self, interval: Duration) {
        self.lock().memory.moved = Some(Moved::now(interval));
    }

    /// Returns for how long the board is not to be moved, where moves keep `interval` between them; nothing where it may
    /// be now.
    pub fn move_left(&self, interval: Duration) -> Option<Duration> {
        let moved = self.lock().memory.moved?;
        let left = interval.checked_sub(moved.at.elapsed())?;
        (!left.is_zero()).then_some(left)
    }
}

/// When a board was moved, and until when a move may have to know of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    at: Instant,
    pub(super) until: Instant,
}

impl Moved {
    fn now(interval: Duration) -> Self {
        let at = Instant::now();
        Self {
            at,
            until: at + interval,
        }
    }

    /// Counts as moved by a gateway process before this one.
    pub(super) fn by_start() -> Self {
        Self::now(BOARD_MOVE_INTERVAL_MAX)
    }
}
