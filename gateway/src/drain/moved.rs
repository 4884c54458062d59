//! What a drain has moved, and off which server: what an undo brings back. Kept in parts, so that a step writes little.

use handover_protocol::{BoardId, DrainId, ServerName};
use serde::{Deserialize, Serialize};

use crate::registry::{Registry, RegistryError};

/// Every board that a drain has moved, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Moved {
    boards: Vec<MovedBoard>,
    /// How many of them are kept.
    kept: usize,
}

/// One board that a drain has moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MovedBoard {
    pub(super) board: BoardId,
    /// Where it was; none where a restart has lost that.
    pub(super) source: Option<ServerName>,
}

impl Moved {
    /// Reads what was kept.
    ///
    /// # Errors
    /// When the registry cannot be read; a part that is none is an error of the registry as well.
    pub(super) async fn read(registry: &dyn Registry, drain: &DrainId) -> Result<Self, RegistryError> {
        let mut boards = Vec::new();
        for part in registry.drain_parts(drain).await? {
            let part: Vec<MovedBoard> = serde_json::from_slice(&part).map_err(|error| RegistryError::Damaged {
                key: drain.to_string(),
                source: std::sync::Arc::new(error),
            })?;
            boards.extend(part);
        }
        Ok(Self {
            kept: boards.len(),
            boards,
        })
    }

    /// Adds a board, once.
    pub(super) fn add(&mut self, board: BoardId, source: Option<ServerName>) {
        self.boards.push(MovedBoard { board, source });
    }

    /// Returns all of them.
    pub(super) fn boards(&self) -> &[MovedBoard] {
        &self.boards
    }

    /// Returns the parts that are not kept as they are, by number, and how many boards there are with them.
    pub(super) fn unkept(&self) -> (Vec<(u32, Vec<u8>)>, usize) {
        let first = self.kept / PART_BOARDS;
        let parts = self.boards.chunks(PART_BOARDS).enumerate().skip(first);
        let unkept = parts.filter(|_| self.kept < self.boards.len()).map(|(number, boards)| {
            let record = serde_json::to_vec(boards).expect("a part is strings");
            (u32::try_from(number).unwrap_or(u32::MAX), record)
        });
        (unkept.collect(), self.boards.len())
    }

    /// Notes how many are kept.
    pub(super) fn set_kept(&mut self, kept: usize) {
        self.kept = self.kept.max(kept);
    }
}

/// A part is some kilobytes, and is written anew with each step until it is full.
const PART_BOARDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parts_that_have_changed_are_written() {
        let mut moved = Moved::default();
        assert!(moved.unkept().0.is_empty());
        let add = |moved: &mut Moved, count: usize| {
            for _ in 0..count {
                let number = moved.boards().len();
                moved.add(format!("b{number}").parse().unwrap(), None);
            }
        };
        let numbers = |moved: &mut Moved| -> Vec<u32> {
            let (parts, count) = moved.unkept();
            moved.set_kept(count);
            parts.into_iter().map(|(number, _)| number).collect()
        };
        add(&mut moved, 10);
        assert_eq!(numbers(&mut moved), [0]);
        assert!(numbers(&mut moved).is_empty());
        add(&mut moved, PART_BOARDS);
        assert_eq!(numbers(&mut moved), [0, 1]);
        add(&mut moved, 2 * PART_BOARDS);
        assert_eq!(numbers(&mut moved), [1, 2, 3]);
    }
}
