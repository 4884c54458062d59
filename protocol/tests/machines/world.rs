//! The world of one move: a registry that holds real placements, a source, a target, a gate; each may answer, refuse,
//! fall silent, and do late what it was asked.

mod answers;
mod record;
mod rules;

use std::collections::BTreeSet;

use handover_protocol::machine::moving::{Event, Move, Phase, Plan};

use crate::walk::Steps;
use answers::is_success;
pub(crate) use record::{GENERATION, claimed, settled};
use record::{Record, Who, Write, id};

/// Everything that a driver of a move deals with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) machine: Move,
    record: Record,
    /// Writes that were given up as unknown and may still be applied.
    delayed: BTreeSet<Write>,
    /// What the driver was told to do and has not answered.
    asked: BTreeSet<Ask>,
    source: Source,
    fence: Fence,
    gate: Gate,
    sessions: Sessions,
    deadline: Deadline,
    /// The steps that were answered with success.
    done: BTreeSet<Ask>,
    abort_requested: bool,
    interfered: bool,
    commit_sent: bool,
    finished: bool,
}

/// A command that is answered by an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ask {
    Claim,
    Prepare,
    Tell,
    Hold,
    Freeze,
    DrainDown,
    Quiet,
    CloseSource,
    Settle,
    Commit,
    ReadBack,
    Activate,
    Raise,
    Switch,
    SettlePlacement,
    Release,
    RaiseAttempt,
    Thaw,
    Redial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source {
    is_frozen: bool,
    /// A thaw closed the attempt: a freeze of it that comes later is refused.
    is_closed: bool,
    freeze_delayed: bool,
    freeze_sent: bool,
    thaw_sent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Fence {
    generation: u64,
    owner: Who,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Gate {
    Open,
    Parked,
    Shut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sessions {
    OnSource,
    Held,
    Cut,
    OnTarget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Deadline {
    Unset,
    Running,
    Passed,
}

/// What happens in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The driver answers a command; the effect may differ from the answer.
    Answer(Ask, Event, Effect),
    /// A write that was given up reaches the registry.
    DelayedWrite,
    /// A freeze that was given up reaches the source.
    DelayedFreeze,
    /// The source thaws itself, having read that the fence is its own.
    SelfThaw,
    HoldDeadline,
    AbortRequested,
    /// Another coordinator takes over, and perhaps does more.
    Interference(Interference),
}

/// What really became of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Done,
    NotDone,
    Later,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interference {
    Abort,
    TakeOver,
    TakeOverAndAbort,
    TakeOverAndCommit,
}

impl World {
    /// A settled board, just before its move begins; `fence` is what the database holds.
    pub(crate) fn new(plan: Plan, fence: u64) -> Self {
        let machine = Move::new(plan);
        let mut world = Self {
            record: Record::of(&settled()),
            delayed: BTreeSet::new(),
            asked: BTreeSet::new(),
            source: Source {
                is_frozen: false,
                is_closed: false,
                freeze_delayed: false,
                freeze_sent: false,
                thaw_sent: false,
            },
            fence: Fence {
                generation: fence,
                owner: if fence == GENERATION { Who::Source } else { Who::Other },
            },
            gate: Gate::Open,
            sessions: Sessions::OnSource,
            deadline: Deadline::Unset,
            done: BTreeSet::new(),
            abort_requested: false,
            interfered: false,
            commit_sent: false,
            finished: false,
            machine,
        };
        for command in world.machine.begin() {
            world.carry_out(command).unwrap();
        }
        world
    }

    /// Everything that may happen next.
    pub(crate) fn steps(&self) -> Steps<Self, Step> {
        let mut steps = Vec::new();
        for ask in &self.asked {
            for (event, effect) in self.answers(*ask) {
                let mut next = self.clone();
                next.asked.remove(ask);
                next.take_effect(*ask, effect);
                if is_success(event) {
                    next.done.insert(*ask);
                }
                steps.push((Step::Answer(*ask, event, effect), next.tell(event)));
            }
        }
        for write in &self.delayed {
            let mut next = self.clone();
            next.delayed.remove(write);
            next.apply(*write);
            steps.push((Step::DelayedWrite, next.judged()));
        }
        if self.source.freeze_delayed {
            let mut next = self.clone();
            next.source.freeze_delayed = false;
            next.source.is_frozen |= !next.source.is_closed;
            steps.push((Step::DelayedFreeze, next.judged()));
        }
        if self.source.is_frozen && self.deadline == Deadline::Passed && self.fence.owner == Who::Source {
            let mut next = self.clone();
            next.source.is_frozen = false;
            next.source.is_closed = true;
            steps.push((Step::SelfThaw, next.judged()));
        }
        if self.deadline == Deadline::Running {
            let mut next = self.clone();
            next.deadline = Deadline::Passed;
            steps.push((Step::HoldDeadline, next.tell(Event::HoldDeadline)));
        }
        if !self.abort_requested && !self.finished {
            let mut next = self.clone();
            next.abort_requested = true;
            steps.push((Step::AbortRequested, next.tell(Event::AbortRequested)));
        }
        if !self.interfered && self.record == Record::of(&claimed()) {
            for interference in [
                Interference::Abort,
                Interference::TakeOver,
                Interference::TakeOverAndAbort,
                Interference::TakeOverAndCommit,
            ] {
                // Who takes over has seen our lease run out; then we send no commit and let nobody go on unasked.
                if interference != Interference::Abort && !self.commit_sent {
                    continue;
                }
                let mut next = self.clone();
                next.interfered = true;
                next.record = Record::of(&match interference {
                    Interference::Abort => claimed().abort().unwrap(),
                    Interference::TakeOver => claimed().take_over(id("other")).unwrap(),
                    Interference::TakeOverAndAbort => claimed().take_over(id("other")).unwrap().abort().unwrap(),
                    Interference::TakeOverAndCommit => claimed().take_over(id("other")).unwrap().commit().unwrap(),
                });
                steps.push((Step::Interference(interference), next.judged()));
            }
        }
        steps
    }

    /// Reads whether the move is over and the world is as it will stay.
    pub(crate) fn is_final(&self) -> bool {
        self.machine.phase() == Phase::Ended
    }

    fn tell(mut self, event: Event) -> Result<Self, String> {
        let was_ended = self.machine.phase() == Phase::Ended;
        let commands = self.machine.on(event);
        if was_ended && !commands.is_empty() {
            return Err(format!("an ended move commands {commands:?}"));
        }
        for command in commands {
            self.carry_out(command)?;
        }
        self.judged()
    }
}
