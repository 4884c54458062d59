//! How the world may answer a command, and what becomes of what was asked.

use handover_protocol::Generation;
use handover_protocol::machine::moving::{Event, Reason};

use super::record::{Record, Who, Write, abort, claim, commit, owner};
use super::{Ask, Effect, Fence, World};

impl World {
    pub(super) fn answers(&self, ask: Ask) -> Vec<(Event, Effect)> {
        let registry = |write: Write, done: Event, refused: Event, unknown: Event| {
            let mut answers = vec![(unknown, Effect::NotDone), (unknown, Effect::Later)];
            if self.record == write.expected {
                answers.extend([(done, Effect::Done), (unknown, Effect::Done)]);
            } else {
                answers.push((refused, Effect::NotDone));
            }
            answers
        };
        match ask {
            Ask::Claim => registry(claim(), Event::Claimed, Event::ClaimRefused, Event::ClaimUnknown),
            Ask::Prepare => vec![
                (Event::Prepared, Effect::Done),
                (Event::PrepareFailed(Reason::PrepareRefused), Effect::NotDone),
                (Event::PrepareFailed(Reason::TargetDown), Effect::NotDone),
            ],
            Ask::Tell => vec![(Event::Told, Effect::Done)],
            Ask::Hold => vec![
                (Event::Held, Effect::Done),
                (Event::HoldFailed(Reason::RequestsInFlight), Effect::NotDone),
            ],
            Ask::Freeze => {
                let failed = Event::FreezeFailed(Reason::FreezeUnanswered);
                let mut answers = vec![(failed, Effect::NotDone), (failed, Effect::Later)];
                if !self.source.is_closed {
                    answers.extend([(Event::Frozen, Effect::Done), (failed, Effect::Done)]);
                }
                answers
            }
            Ask::DrainDown => vec![(Event::DrainedDown, Effect::Done)],
            Ask::Quiet => vec![(Event::Quiet, Effect::Done)],
            Ask::CloseSource => vec![(Event::SourceClosed, Effect::Done)],
            Ask::Settle => vec![
                (Event::SourceSettled, Effect::Done),
                (Event::SettleFailed(Reason::SaveUnconfirmed), Effect::NotDone),
            ],
            Ask::Commit => registry(commit(), Event::Committed, Event::CommitRefused, Event::CommitUnknown),
            Ask::ReadBack => vec![(self.found(), Effect::Done), (Event::ReadFailed, Effect::NotDone)],
            Ask::RaiseAttempt => {
                // A driver may say what it found in its place.
                let mut answers = registry(abort(), Event::AbortRaised, self.found(), Event::AbortUnknown);
                if self.record != abort().expected && self.found() != Event::AbortRaised {
                    answers.push((Event::AbortRefused, Effect::NotDone));
                }
                answers
            }
            Ask::Activate => {
                let mut answers = Vec::new();
                let failed = Event::ActivateFailed(Reason::ActivateUnanswered);
                if self.can_activate() {
                    answers.extend([(Event::Activated, Effect::Done), (failed, Effect::Done)]);
                } else {
                    answers.push((Event::ActivateRefused, Effect::NotDone));
                }
                answers.push((failed, Effect::NotDone));
                answers
            }
            Ask::Raise => vec![
                (Event::Raised, Effect::Done),
                (Event::RaiseFailed, Effect::Done),
                (Event::RaiseFailed, Effect::NotDone),
            ],
            Ask::Switch => vec![(Event::Switched, Effect::Done)],
            Ask::SettlePlacement => vec![
                (Event::PlacementSettled, Effect::Done),
                (Event::PlacementSettled, Effect::NotDone),
            ],
            Ask::Release => vec![(Event::Released, Effect::Done)],
            Ask::Thaw => {
                let mut answers = vec![(Event::ThawFailed, Effect::NotDone), (Event::ThawFailed, Effect::Done)];
                if self.fence.owner == Who::Source || self.fence.owner == Who::Other {
                    answers.push((Event::Thawed, Effect::Done));
                }
                answers
            }
            Ask::Redial => vec![(Event::Redialled, Effect::Done)],
        }
    }

    pub(super) fn take_effect(&mut self, ask: Ask, effect: Effect) {
        let write = match ask {
            Ask::Claim => Some(claim()),
            Ask::Commit => Some(commit()),
            Ask::RaiseAttempt => Some(abort()),
            Ask::Raise => {
                let raised = self
                    .record
                    .placement()
                    .raise(owner("target"), Generation::new(self.fence.generation));
                raised.ok().map(|raised| Write {
                    expected: self.record,
                    next: Record::of(&raised),
                })
            }
            Ask::SettlePlacement => self.record.placement().settle().ok().map(|settled| Write {
                expected: self.record,
                next: Record::of(&settled),
            }),
            Ask::Prepare
            | Ask::Tell
            | Ask::Hold
            | Ask::Freeze
            | Ask::DrainDown
            | Ask::Quiet
            | Ask::CloseSource
            | Ask::Settle
            | Ask::ReadBack
            | Ask::Activate
            | Ask::Switch
            | Ask::Release
            | Ask::Thaw
            | Ask::Redial => None,
        };
        match (write, effect) {
            (Some(write), Effect::Done) => self.apply(write),
            (Some(write), Effect::Later) => {
                self.delayed.insert(write);
            }
            (Some(_), Effect::NotDone) | (None, _) => {}
        }
        match (ask, effect) {
            (Ask::Freeze, Effect::Done) => self.source.is_frozen = !self.source.is_closed,
            (Ask::Freeze, Effect::Later) => self.source.freeze_delayed = true,
            (Ask::Thaw, Effect::Done) => {
                self.source.is_frozen = false;
                self.source.is_closed = true;
            }
            (Ask::Activate, Effect::Done) if self.can_activate() => {
                self.fence = Fence {
                    generation: self.record.generation,
                    owner: Who::Target,
                };
            }
            (_, _) => {}
        }
    }

    pub(super) fn apply(&mut self, write: Write) {
        if self.record == write.expected {
            self.record = write.next;
        }
    }
}

/// Reads whether a step was answered with success.
pub(super) fn is_success(event: Event) -> bool {
    matches!(
        event,
        Event::Claimed
            | Event::Prepared
            | Event::Told
            | Event::Held
            | Event::Frozen
            | Event::DrainedDown
            | Event::Quiet
            | Event::SourceClosed
            | Event::SourceSettled
            | Event::Committed
            | Event::Activated
            | Event::Raised
            | Event::Switched
            | Event::PlacementSettled
            | Event::Released
            | Event::AbortRaised
            | Event::Thawed
            | Event::Redialled
    )
}
