//! When moves last told a board's users to reconnect: a user who was told comes back as another session, so it is the
//! board that remembers.
//!
//! Only tellings by a move count, and whatever else has a board change hands. A session whose own connection broke is
//! told too; on a board with many users there is one of those at any time, and moves would wait for ever.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use handover_protocol::Attempt;

use super::Board;
use crate::config::route::{BOUNCE_COUNT_MAX, BOUNCE_LIMIT_MAX, BounceBound};

impl Board {
    /// Notes that a move tells one of the board's users to reconnect, whose route bounds that by `bound`.
    pub fn note_told(&self, bound: BounceBound) {
        let mut inner = self.lock();
        let attempt = inner.placement.attempt;
        inner.memory.told.note(attempt, bound);
    }

    /// Returns for how long no move may tell anybody on the board to reconnect; nothing where they may be now.
    pub fn bounce_left(&self, bound: BounceBound) -> Option<Duration> {
        self.lock().memory.told.left(bound)
    }
}

/// When moves told a board's users to reconnect, as far as any route may ask.
#[derive(Debug, Clone, Default)]
pub struct Tellings {
    /// One for each move that told anybody, the latest last.
    latest: VecDeque<Telling>,
    /// The end of the process before has told users, or has cut them; how often, nobody knows here.
    started_at: Option<Instant>,
    /// Until when a move may have to know of it.
    pub(super) until: Option<Instant>,
}

/// One move that told users.
#[derive(Debug, Clone, Copy)]
struct Telling {
    /// The board's when it did: what tells one move from the next.
    attempt: Attempt,
    /// When it told the last of them.
    at: Instant,
}

impl Tellings {
    /// Counts as told by a gateway process before this one; by which route the users come back is not known yet.
    pub(super) fn by_start() -> Self {
        let now = Instant::now();
        Self {
            latest: VecDeque::new(),
            started_at: Some(now),
            until: Some(now + BOUNCE_LIMIT_MAX),
        }
    }

    /// Returns for how long nobody may be told; nothing where they may be now.
    pub fn left(&self, bound: BounceBound) -> Option<Duration> {
        let nth_latest = bound.count.checked_sub(1).and_then(|before| {
            let before = usize::try_from(before).ok()?;
            self.latest.iter().rev().nth(before)
        });
        let times = [self.started_at, nth_latest.map(|telling| telling.at)];
        let left = |at: Instant| bound.limit.checked_sub(at.elapsed());
        times
            .into_iter()
            .flatten()
            .filter_map(left)
            .filter(|left| !left.is_zero())
            .max()
    }

    /// Returns them for a newcomer to keep; nothing where there are none.
    pub(super) fn kept(&self) -> Option<Box<Self>> {
        let is_bound = self.until.is_some_and(|until| until > Instant::now());
        is_bound.then(|| Box::new(self.clone()))
    }

    fn note(&mut self, attempt: Attempt, bound: BounceBound) {
        let at = Instant::now();
        match self.latest.back_mut().filter(|last| last.attempt == attempt) {
            Some(last) => last.at = at,
            None => {
                if self.latest.len() >= BOUNCE_COUNT_MAX as usize {
                    self.latest.pop_front();
                }
                self.latest.push_back(Telling { attempt, at });
            }
        }
        self.until = self.until.max(Some(at + bound.limit));
    }
}
