//! What the registry holds, told with real placements and their transitions.

use handover_protocol::{Attempt, CoordinatorId, Generation, Owner, Placement, Term};

/// The registry's record, as small as it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) generation: u64,
    pub(super) attempt: u64,
    pub(super) owner: Who,
    pub(super) state: State,
    pub(super) coordinator: Who,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    Source,
    Target,
    Us,
    Other,
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum State {
    Settled,
    Moving,
    Activating,
}

/// A compare-and-set on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Write {
    pub(super) expected: Record,
    pub(super) next: Record,
}

impl Record {
    pub(super) fn of(placement: &Placement) -> Self {
        let who = |owner: &Owner| {
            if owner.server.as_str() == "source" {
                Who::Source
            } else {
                Who::Target
            }
        };
        let by = |coordinator: &CoordinatorId| {
            if coordinator.as_str() == "us" {
                Who::Us
            } else {
                Who::Other
            }
        };
        let (state, owner, coordinator) = match &placement.term {
            Term::Vacant => unreachable!("nobody vacates a board here"),
            Term::Settled { owner } => (State::Settled, who(owner), Who::Nobody),
            Term::Moving { owner, coordinator, .. } => (State::Moving, who(owner), by(coordinator)),
            Term::Activating { owner, coordinator, .. } => (State::Activating, who(owner), by(coordinator)),
        };
        Self {
            generation: placement.generation.number(),
            attempt: placement.attempt.number(),
            owner,
            state,
            coordinator,
        }
    }

    pub(super) fn placement(self) -> Placement {
        let name = owner(if self.owner == Who::Source { "source" } else { "target" });
        let coordinator = id(if self.coordinator == Who::Us { "us" } else { "other" });
        Placement {
            generation: Generation::new(self.generation),
            attempt: Attempt::new(self.attempt),
            term: match self.state {
                State::Settled => Term::Settled { owner: name },
                State::Moving => Term::Moving {
                    owner: name,
                    target: owner("target"),
                    coordinator,
                },
                State::Activating => Term::Activating {
                    owner: name,
                    from: Some(owner("source")),
                    coordinator,
                },
            },
        }
    }
}

pub(super) fn claim() -> Write {
    Write {
        expected: Record::of(&settled()),
        next: Record::of(&claimed()),
    }
}

pub(super) fn commit() -> Write {
    Write {
        expected: Record::of(&claimed()),
        next: Record::of(&claimed().commit().unwrap()),
    }
}

pub(super) fn abort() -> Write {
    Write {
        expected: Record::of(&claimed()),
        next: Record::of(&claimed().abort().unwrap()),
    }
}

/// The board before its move.
pub(crate) fn settled() -> Placement {
    Placement::UNKNOWN
        .grant(owner("source"), Generation::new(GENERATION - 1), id("us"))
        .unwrap()
        .settle()
        .unwrap()
}

/// The board as the move claims it.
pub(crate) fn claimed() -> Placement {
    settled().begin(owner("target"), id("us")).unwrap()
}

pub(super) fn owner(name: &str) -> Owner {
    Owner {
        server: name.parse().unwrap(),
        incarnation: None,
    }
}

pub(super) fn id(name: &str) -> CoordinatorId {
    name.parse().unwrap()
}

/// The source's term.
pub(crate) const GENERATION: u64 = 7;
