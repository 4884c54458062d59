//! Which server owns a board, under which generation, settled or moving.
//!
//! ```text
//!                grant                 settle               begin              commit
//!   Vacant@g ───────────▶ Activating@g+1 ─────▶ Settled@g+1 ─────▶ Moving@g+1 ──────▶ Activating@g+2 ─ settle ─▶ …
//!      ▲                    │  ▲ raise                 │  │  ▲            │
//!      │                    └──┘ (a fence refused)     │  │  └── abort ───┘  (attempt + 1)
//!      └──────────────── vacate ───────────────────────┘  └── seize: the owner died ─▶ Activating@g+2
//! ```
//!
//! These functions are the only way to a new placement; a registry stores what they return, by compare-and-set over
//! the whole record. None of them ever lowers the generation or the attempt.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::generation::{Attempt, Generation};
use crate::id::{CoordinatorId, Incarnation, ServerName};

/// The registry's record of one board. It outlives the board's ownership, so that no generation is ever reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The fencing token of the newest term that was granted.
    pub generation: Generation,
    /// Raised by each try to move the board, by each abort and by each takeover.
    pub attempt: Attempt,
    /// Who owns the board under that generation.
    pub term: Term,
}

/// Who owns a board, and whether that is about to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Term {
    /// Nobody owns the board.
    Vacant,
    /// One server owns the board and has taken the fence.
    Settled {
        /// That server.
        owner: Owner,
    },
    /// The owner still serves; a coordinator is moving the board off it. The commit has not happened.
    Moving {
        /// The source.
        owner: Owner,
        /// Where the board is going.
        target: Owner,
        /// Who moves it.
        coordinator: CoordinatorId,
    },
    /// Ownership has been granted under this generation, and the owner has not confirmed that it took the fence.
    Activating {
        /// Who may take the fence.
        owner: Owner,
        /// The source of the move that led here; absent at a first placement.
        from: Option<Owner>,
        /// Who sees it through.
        coordinator: CoordinatorId,
    },
}

/// A server as an owner: its name and the process that was meant.
///
/// A server without the contract tells no incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Owner {
    /// The server's name in the configuration.
    pub server: ServerName,
    /// The process; a restarted server of the same name owns nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
}

/// Says that a placement allows no such change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a placement that is {state} cannot be {change}")]
pub struct PlacementError {
    /// The state it was in.
    pub state: &'static str,
    /// The change that was asked for.
    pub change: &'static str,
}

impl Placement {
    /// The record of a board that nobody has owned yet.
    pub const UNKNOWN: Self = Self {
        generation: Generation::NONE,
        attempt: Attempt::NONE,
        term: Term::Vacant,
    };

    /// Returns who owns the board, in whatever state.
    pub fn owner(&self) -> Option<&Owner> {
        match &self.term {
            Term::Vacant => None,
            Term::Settled { owner } | Term::Moving { owner, .. } | Term::Activating { owner, .. } => Some(owner),
        }
    }

    /// Reads whether the owner has taken the fence and no move is under way.
    pub fn is_settled(&self) -> bool {
        matches!(self.term, Term::Settled { .. })
    }

    /// Grants a vacant board to its first owner under the next generation, above `floor` where servers or databases
    /// have shown a higher generation than the registry knew.
    ///
    /// # Errors
    /// When somebody owns the board.
    pub fn grant(&self, to: Owner, floor: Generation, coordinator: CoordinatorId) -> Result<Self, PlacementError> {
        match &self.term {
            Term::Vacant => Ok(self.raised(to, None, floor, coordinator)),
            Term::Settled { .. } | Term::Moving { .. } | Term::Activating { .. } => Err(self.refuses("granted")),
        }
    }

    /// Begins a try to move a settled board.
    ///
    /// # Errors
    /// When the board is not settled, or `target` owns it.
    pub fn begin(&self, target: Owner, coordinator: CoordinatorId) -> Result<Self, PlacementError> {
        match &self.term {
            Term::Settled { owner } if *owner != target => Ok(Self {
                generation: self.generation,
                attempt: self.attempt.next(),
                term: Term::Moving {
                    owner: owner.clone(),
                    target,
                    coordinator,
                },
            }),
            Term::Settled { .. } => Err(self.refuses("moved to its own owner")),
            Term::Vacant | Term::Moving { .. } | Term::Activating { .. } => Err(self.refuses("moved")),
        }
    }

    /// Transfers ownership to the target of the move: the one point of no return.
    ///
    /// # Errors
    /// When no move is under way.
    pub fn commit(&self) -> Result<Self, PlacementError> {
        match &self.term {
            Term::Moving {
                owner,
                target,
                coordinator,
            } => Ok(self.raised(
                target.clone(),
                Some(owner.clone()),
                Generation::NONE,
                coordinator.clone(),
            )),
            Term::Vacant | Term::Settled { .. } | Term::Activating { .. } => Err(self.refuses("committed")),
        }
    }

    /// Ends a move before its commit and raises the attempt, so that an older commit can no longer match.
    ///
    /// # Errors
    /// When no move is under way.
    pub fn abort(&self) -> Result<Self, PlacementError> {
        match &self.term {
            Term::Moving { owner, .. } => Ok(Self {
                generation: self.generation,
                attempt: self.attempt.next(),
                term: Term::Settled { owner: owner.clone() },
            }),
            Term::Vacant | Term::Settled { .. } | Term::Activating { .. } => Err(self.refuses("aborted")),
        }
    }

    /// Hands an unfinished move or activation to another coordinator and raises the attempt.
    ///
    /// # Errors
    /// When nothing is unfinished.
    pub fn take_over(&self, coordinator: CoordinatorId) -> Result<Self, PlacementError> {
        let term = match &self.term {
            Term::Moving { owner, target, .. } => Term::Moving {
                owner: owner.clone(),
                target: target.clone(),
                coordinator,
            },
            Term::Activating { owner, from, .. } => Term::Activating {
                owner: owner.clone(),
                from: from.clone(),
                coordinator,
            },
            Term::Vacant | Term::Settled { .. } => return Err(self.refuses("taken over")),
        };
        Ok(Self {
            generation: self.generation,
            attempt: self.attempt.next(),
            term,
        })
    }

    /// Grants anew, above a fence that refused the owner or to another owner, what has not been activated.
    ///
    /// # Errors
    /// When no activation is under way.
    pub fn raise(&self, to: Owner, fence: Generation) -> Result<Self, PlacementError> {
        match &self.term {
            Term::Activating { from, coordinator, .. } => Ok(self.raised(to, from.clone(), fence, coordinator.clone())),
            Term::Vacant | Term::Settled { .. } | Term::Moving { .. } => Err(self.refuses("raised")),
        }
    }

    /// Notes that the owner has taken the fence.
    ///
    /// # Errors
    /// When no activation is under way.
    pub fn settle(&self) -> Result<Self, PlacementError> {
        match &self.term {
            Term::Activating { owner, .. } => Ok(Self {
                term: Term::Settled { owner: owner.clone() },
                ..self.clone()
            }),
            Term::Vacant | Term::Settled { .. } | Term::Moving { .. } => Err(self.refuses("settled")),
        }
    }

    /// Takes the board from an owner that has died and grants it to another under a higher generation.
    ///
    /// # Errors
    /// When nobody owns the board.
    pub fn seize(&self, to: Owner, floor: Generation, coordinator: CoordinatorId) -> Result<Self, PlacementError> {
        match &self.term {
            Term::Settled { owner } | Term::Moving { owner, .. } | Term::Activating { owner, .. } => {
                Ok(self.raised(to, Some(owner.clone()), floor, coordinator))
            }
            Term::Vacant => Err(self.refuses("seized")),
        }
    }

    /// Drops the ownership of a board that is no longer open; its generation stays.
    ///
    /// # Errors
    /// When the board is not settled.
    pub fn vacate(&self) -> Result<Self, PlacementError> {
        match &self.term {
            Term::Settled { .. } => Ok(Self {
                term: Term::Vacant,
                ..self.clone()
            }),
            Term::Vacant | Term::Moving { .. } | Term::Activating { .. } => Err(self.refuses("vacated")),
        }
    }

    /// Takes in what a server says it owns, where the registry knew of an older term or of none.
    ///
    /// # Errors
    /// When the registry knows a newer term, or the same one under another owner.
    pub fn adopt(&self, owner: Owner, generation: Generation) -> Result<Self, PlacementError> {
        let is_news = match &self.term {
            Term::Vacant => generation >= self.generation,
            Term::Settled { .. } | Term::Moving { .. } | Term::Activating { .. } => generation > self.generation,
        };
        if is_news {
            Ok(Self {
                generation,
                attempt: self.attempt.next(),
                term: Term::Settled { owner },
            })
        } else {
            Err(self.refuses("adopted"))
        }
    }

    /// Names the state, as the admin API tells it.
    pub fn state(&self) -> &'static str {
        match &self.term {
            Term::Vacant => "vacant",
            Term::Settled { .. } => "settled",
            Term::Moving { .. } => "moving",
            Term::Activating { .. } => "activating",
        }
    }

    fn raised(&self, to: Owner, from: Option<Owner>, floor: Generation, coordinator: CoordinatorId) -> Self {
        Self {
            generation: self.generation.max(floor).next(),
            attempt: self.attempt.next(),
            term: Term::Activating {
                owner: to,
                from,
                coordinator,
            },
        }
    }

    fn refuses(&self, change: &'static str) -> PlacementError {
        PlacementError {
            state: self.state(),
            change,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner {
            server: name.parse().unwrap(),
            incarnation: None,
        }
    }

    fn coordinator() -> CoordinatorId {
        "gw".parse().unwrap()
    }

    /// Applies the change that `choice` draws; an illegal one leaves the placement as it was.
    fn step(placement: &Placement, choice: u8) -> Placement {
        let target = owner(if choice & 16 == 0 { "a" } else { "b" });
        let floor = Generation::new(u64::from(choice >> 5));
        let next = match choice & 15 {
            0 => placement.grant(target, floor, coordinator()),
            1 | 9 => placement.begin(target, coordinator()),
            2 | 10 => placement.commit(),
            3 => placement.abort(),
            4 => placement.take_over(coordinator()),
            5 => placement.raise(target, floor),
            6 | 11 => placement.settle(),
            7 => placement.seize(target, floor, coordinator()),
            8 => placement.vacate(),
            _ => placement.adopt(target, floor),
        };
        next.unwrap_or_else(|_| placement.clone())
    }

    proptest! {
        #[test]
        fn no_history_lowers_a_number_or_changes_the_owner_within_a_generation(
            choices in proptest::collection::vec(any::<u8>(), 1..200)
        ) {
            let mut placement = Placement::UNKNOWN;
            let mut owners = std::collections::HashMap::new();
            for choice in choices {
                let next = step(&placement, choice);
                prop_assert!(next.generation >= placement.generation);
                prop_assert!(next.attempt >= placement.attempt);
                if let Some(owner) = next.owner() {
                    let first = owners.entry(next.generation).or_insert_with(|| owner.clone());
                    let adopted_after_vacancy = placement.term == Term::Vacant;
                    if adopted_after_vacancy {
                        *first = owner.clone();
                    }
                    prop_assert_eq!(&*first, owner);
                }
                placement = next;
            }
        }
    }

    #[test]
    fn a_commit_after_an_abort_is_refused() {
        let settled = Placement::UNKNOWN
            .grant(owner("a"), Generation::NONE, coordinator())
            .unwrap()
            .settle()
            .unwrap();
        let moving = settled.begin(owner("b"), coordinator()).unwrap();
        let aborted = moving.abort().unwrap();
        assert!(aborted.attempt > moving.attempt);
        assert!(aborted.commit().is_err());
        assert_eq!(aborted.owner(), Some(&owner("a")));
    }

    #[test]
    fn a_vacated_board_keeps_its_generation() {
        let settled = Placement::UNKNOWN
            .grant(owner("a"), Generation::new(6), coordinator())
            .unwrap()
            .settle()
            .unwrap();
        assert_eq!(settled.generation, Generation::new(7));
        let again = settled
            .vacate()
            .unwrap()
            .grant(owner("a"), Generation::NONE, coordinator())
            .unwrap();
        assert_eq!(again.generation, Generation::new(8));
    }
}
