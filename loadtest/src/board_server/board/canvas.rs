//! What a server remembers of a board: its last changes, and which numbers of which author it has.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tracing::error;

use crate::store::ChangeRow;
use crate::wire::{Body, Drawn, WELCOME_CHANGES_MAX};

/// A board's content.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    /// The number of the last saved change.
    revision: u64,
    /// The number that the last change got, saved or not.
    numbered: u64,
    /// The last saved changes, without gaps.
    recent: VecDeque<Remembered>,
    authors: HashMap<Arc<str>, Numbers>,
}

/// What a change's number says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbering {
    /// It is new and gets this revision.
    New {
        /// The board's number for it.
        revision: u64,
    },
    /// It was taken before.
    Known,
}

#[derive(Debug)]
struct Remembered {
    author: Arc<str>,
    seq: u64,
    revision: u64,
    body: Body,
}

/// An author's numbers as runs, by their first: without faults it is one run.
#[derive(Debug, Default)]
struct Numbers {
    runs: BTreeMap<u64, u64>,
}

impl Canvas {
    /// Returns the number of the last saved change.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the number that follows an author's highest.
    pub(super) fn next_seq(&self, author: &str) -> u64 {
        self.authors.get(author).map_or(1, |numbers| numbers.last() + 1)
    }

    /// Numbers a change that is to be saved.
    pub(super) fn number(&mut self, author: &Arc<str>, seq: u64) -> Numbering {
        if self.authors.entry(author.clone()).or_default().insert(seq) {
            self.numbered += 1;
            Numbering::New {
                revision: self.numbered,
            }
        } else {
            Numbering::Known
        }
    }

    /// Takes in a change that has been saved as it was numbered, and returns it as others see it.
    pub(super) fn saved(&mut self, author: &Arc<str>, seq: u64, revision: u64, body: Body) -> Drawn {
        let drawn = body.drawn(author, seq, revision);
        self.remember(author.clone(), seq, revision, body);
        drawn
    }

    /// Takes in what was read from the database, and returns it as others see it.
    pub(super) fn take_in(&mut self, rows: Vec<ChangeRow>) -> Vec<Drawn> {
        let mut news = Vec::new();
        let known = self.revision;
        for row in rows.into_iter().filter(|row| row.revision > known) {
            let body = serde_json::from_str(&row.body).unwrap_or_else(|fault| {
                error!(board = %row.board, revision = row.revision, %fault, "a saved change cannot be read");
                Body::of_opaque(row.body.as_bytes())
            });
            let author: Arc<str> = row.author.into();
            self.authors.entry(author.clone()).or_default().insert(row.seq);
            news.push(body.drawn(&author, row.seq, row.revision));
            self.remember(author, row.seq, row.revision, body);
        }
        self.numbered = self.revision;
        news
    }

    /// Lists the last changes, the oldest first.
    pub(super) fn last_changes(&self) -> Vec<Drawn> {
        let skipped = self.recent.len().saturating_sub(WELCOME_CHANGES_MAX);
        self.recent.iter().skip(skipped).map(Remembered::drawn).collect()
    }

    /// Lists all changes behind a revision; nothing where not all of them are remembered.
    pub(super) fn changes_after(&self, revision: u64) -> Option<Vec<Drawn>> {
        let behind = usize::try_from(self.revision.saturating_sub(revision)).ok()?;
        let skipped = self.recent.len().checked_sub(behind)?;
        Some(self.recent.iter().skip(skipped).map(Remembered::drawn).collect())
    }

    fn remember(&mut self, author: Arc<str>, seq: u64, revision: u64, body: Body) {
        self.revision = self.revision.max(revision);
        if self.recent.len() == REMEMBERED_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Remembered {
            author,
            seq,
            revision,
            body,
        });
    }
}

impl Remembered {
    fn drawn(&self) -> Drawn {
        self.body.drawn(&self.author, self.seq, self.revision)
    }
}

impl Numbers {
    /// Adds a number and returns whether it was new.
    fn insert(&mut self, number: u64) -> bool {
        let below = self
            .runs
            .range(..=number)
            .next_back()
            .map(|(first, last)| (*first, *last));
        let first = match below {
            Some((_, last)) if number <= last => return false,
            Some((first, last)) if last + 1 == number => first,
            Some(_) | None => number,
        };
        let last = self.runs.remove(&(number + 1)).unwrap_or(number);
        self.runs.insert(first, last);
        true
    }

    fn last(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(_, last)| *last)
    }
}

/// More than a welcome lists, so that a session that is switched late still gets what it missed.
const REMEMBERED_MAX: usize = 10 * WELCOME_CHANGES_MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_authors_numbers_are_known_once_taken(numbers in proptest::collection::vec(1_u64..30, 0..100)) {
            let mut runs = Numbers::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(runs.insert(number), set.insert(number));
                prop_assert_eq!(runs.last(), *set.last().unwrap());
            }
            let gaps = set.iter().filter(|number| !set.contains(&(*number - 1))).count();
            prop_assert_eq!(runs.runs.len(), gaps);
        }
    }

    #[test]
    fn changes_behind_a_revision_are_listed_whole_or_not_at_all() {
        let mut canvas = Canvas::default();
        let author: Arc<str> = "u".into();
        let draw = |canvas: &mut Canvas, seq| {
            assert_eq!(canvas.number(&author, seq), Numbering::New { revision: seq });
            canvas.saved(&author, seq, seq, Body::of_opaque(b"x"));
        };
        for seq in 1..=REMEMBERED_MAX as u64 + 5 {
            draw(&mut canvas, seq);
        }
        assert_eq!(canvas.number(&author, 7), Numbering::Known);
        assert_eq!(canvas.next_seq("u"), REMEMBERED_MAX as u64 + 6);
        assert_eq!(canvas.next_seq("v"), 1);
        assert_eq!(canvas.last_changes().len(), WELCOME_CHANGES_MAX);
        assert_eq!(canvas.changes_after(5).unwrap()[0].revision, 6);
        assert_eq!(canvas.changes_after(4), None);
        assert_eq!(canvas.changes_after(canvas.revision()), Some(Vec::new()));
    }
}
