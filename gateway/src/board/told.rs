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
use crate::config::route::BOUNCE_LIMIT_MAX;

impl Board {
    /// Notes that a move tells one of the board's users to reconnect, whose route allows that once within `limit`.
    pub fn note_told(&self, limit: Duration) {
        self.lock().told = Some(Telling::now(limit));
    }

    /// Returns for how long no move may tell anybody on the board to reconnect, where that may be once within `limit`;
    /// nothing where they may be now.
    pub fn bounce_left(&self, limit: Duration) -> Option<Duration> {
        let told = self.lock().told?;
        let left = limit.checked_sub(told.at.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    /// Notes that the board's users may have been told just now by a gateway process before this one.
    pub fn note_start(&self) {
        self.lock().told = Some(Telling::by_start());
    }

    fn told(&self) -> Option<Telling> {
        self.lock().told
    }
}

/// When a move told somebody, and until when a move may have to know of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling {
    pub(super) at: Instant,
    until: Instant,
}

impl Telling {
    fn now(limit: Duration) -> Self {
        let at = Instant::now();
        Self { at, until: at + limit }
    }

    /// The end of the process before has told users, or has cut them; by which route they come back is not known yet.
    pub(super) fn by_start() -> Self {
        Self::now(BOUNCE_LIMIT_MAX)
    }
}

/// What is remembered of boards without a record.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<BoardId, Telling>>);

impl Told {
    /// Keeps what a board knows whose record is dropped, as long as the route needs it by which the users were told.
    pub(super) fn keep(&self, board: &Board) {
        if let Some(told) = board.told()
            && told.until > Instant::now()
        {
            self.lock().insert(board.id().clone(), told);
        }
    }

    /// Returns what was kept of a board that has a record again, and forgets it.
    pub(super) fn take(&self, board: &BoardId) -> Option<Telling> {
        self.lock().remove(board)
    }

    /// Forgets what no route needs any more.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        self.lock().retain(|_, told| told.until > now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BoardId, Telling>> {
        // No section under this lock can leave the table half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
