//! The boards of a drain that wait or were given up: counted by reason and ranked as they change, so that telling of a
//! drain costs the same however many boards it has.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::BoardId;

/// Boards that wait for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Waits {
    /// They are tried again.
    pub(super) waiting: u64,
    /// They were given up.
    pub(super) given_up: u64,
}

/// How much trouble one board makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Whether it was given up.
    pub(super) fate: Fate,
    /// Moves begun.
    pub(super) tries: u32,
    /// How its last move ended, where the board counts under that.
    pub(super) reason: Option<String>,
}

/// What follows for a board in trouble; those that nobody sees to any more come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Nobody tries it again.
    GivenUp,
    /// It is tried again.
    Waits,
}

/// Every board in trouble.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Troubles {
    waits: BTreeMap<String, Waits>,
    /// Those that were tried most often first.
    ranks: BTreeSet<(Fate, Reverse<u32>, BoardId)>,
}

impl Troubles {
    /// Takes in what a board makes of trouble now, in the place of what it made before.
    pub(super) fn shift(&mut self, board: &BoardId, before: Option<&Trouble>, now: Option<&Trouble>) {
        if before == now {
            return;
        }
        if let Some(trouble) = before {
            self.ranks.remove(&rank(board, trouble));
            self.uncount(trouble);
        }
        if let Some(trouble) = now {
            self.ranks.insert(rank(board, trouble));
            if let Some(reason) = &trouble.reason {
                *self.waits.entry(reason.clone()).or_default().of(trouble.fate) += 1;
            }
        }
    }

    /// Returns the boards that wait, counted by what they wait for.
    pub(super) fn waits(&self) -> &BTreeMap<String, Waits> {
        &self.waits
    }

    /// Lists the boards in trouble, those given up first, then those tried most often.
    pub(super) fn worst(&self) -> impl Iterator<Item = &BoardId> {
        self.ranks.iter().map(|(_, _, board)| board)
    }

    fn uncount(&mut self, trouble: &Trouble) {
        let Some(reason) = &trouble.reason else { return };
        let Some(waits) = self.waits.get_mut(reason) else {
            return;
        };
        *waits.of(trouble.fate) -= 1;
        if *waits == Waits::default() {
            self.waits.remove(reason);
        }
    }
}

impl Waits {
    fn of(&mut self, fate: Fate) -> &mut u64 {
        match fate {
            Fate::Waits => &mut self.waiting,
            Fate::GivenUp => &mut self.given_up,
        }
    }
}

fn rank(board: &BoardId, trouble: &Trouble) -> (Fate, Reverse<u32>, BoardId) {
    (trouble.fate, Reverse(trouble.tries), board.clone())
}
