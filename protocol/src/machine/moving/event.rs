//! What happens to a move: answers of the registry, the servers and the sessions, and the wish to stop.

use super::{Command, Reason};
use crate::placement::Placement;

/// What happens to a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The registry noted the move.
    Claimed,
    /// Somebody else changed the placement first.
    ClaimRefused,
    /// The registry did not answer.
    ClaimUnknown,
    /// The target has loaded the board, or need not.
    Prepared,
    /// The target would not, could not or did not in time.
    PrepareFailed(Reason),
    /// Every client that was told has left, or the close deadline has passed.
    Told,
    /// Every session is held or has left the barrier; nothing is in flight.
    Held,
    /// Something was still in flight at its deadline.
    HoldFailed(Reason),
    /// The source has handled and saved everything.
    Frozen,
    /// The source refused, failed or did not answer, or the target was found gone meanwhile.
    FreezeFailed(Reason),
    /// Every session has its answers or has left the barrier.
    DrainedDown,
    /// The source has been quiet for long enough, or will not be.
    Quiet,
    /// Every connection to the source was read to its end.
    SourceClosed,
    /// The source has had its time to save, or said that it has.
    SourceSettled,
    /// The source may not have saved, and the route does not allow to go on.
    SettleFailed(Reason),
    /// The target owns the board under the next generation.
    Committed,
    /// The registry holds another placement.
    CommitRefused,
    /// The registry did not answer.
    CommitUnknown,
    /// Read back: the transfer did happen.
    ReadCommitted,
    /// Read back: it did not.
    ReadUncommitted,
    /// Read back: somebody else has taken the board.
    ReadSuperseded,
    /// The registry does not answer.
    ReadFailed,
    /// The target owns the fence.
    Activated,
    /// The fence is higher than the target's generation.
    ActivateRefused,
    /// The target would not, could not or did not answer.
    ActivateFailed(Reason),
    /// The target was granted a generation above the fence.
    Raised,
    /// It was not, or it is not known.
    RaiseFailed,
    /// Every session is attached or has left the barrier.
    Switched,
    /// The registry has noted that the target serves, or leaves that to the next comer.
    PlacementSettled,
    /// The source has dropped the board, or does not answer.
    Released,
    /// The attempt was raised, or the claim was never there: the source keeps the board.
    AbortRaised,
    /// The registry holds another placement.
    AbortRefused,
    /// The registry did not answer, and our lease still holds; a driver that has lost it says that the abort was refused.
    AbortUnknown,
    /// The source serves again.
    Thawed,
    /// The source did not answer.
    ThawFailed,
    /// Every session is attached to the opaque source again, or has left.
    Redialled,
    /// An operator or a drain wants the move undone.
    AbortRequested,
    /// The hold may last no longer.
    HoldDeadline,
}

impl Event {
    /// Every event, with one reason each.
    pub const ALL: [Self; 38] = [
        Self::Claimed,
        Self::ClaimRefused,
        Self::ClaimUnknown,
        Self::Prepared,
        Self::PrepareFailed(Reason::PrepareRefused),
        Self::Told,
        Self::Held,
        Self::HoldFailed(Reason::RequestsInFlight),
        Self::Frozen,
        Self::FreezeFailed(Reason::FreezeRefused),
        Self::DrainedDown,
        Self::Quiet,
        Self::SourceClosed,
        Self::SourceSettled,
        Self::SettleFailed(Reason::SaveUnconfirmed),
        Self::Committed,
        Self::CommitRefused,
        Self::CommitUnknown,
        Self::ReadCommitted,
        Self::ReadUncommitted,
        Self::ReadSuperseded,
        Self::ReadFailed,
        Self::Activated,
        Self::ActivateRefused,
        Self::ActivateFailed(Reason::ActivateUnanswered),
        Self::Raised,
        Self::RaiseFailed,
        Self::Switched,
        Self::PlacementSettled,
        Self::Released,
        Self::AbortRaised,
        Self::AbortRefused,
        Self::AbortUnknown,
        Self::Thawed,
        Self::ThawFailed,
        Self::Redialled,
        Self::AbortRequested,
        Self::HoldDeadline,
    ];

    /// Says what a record means that was found in the registry after a commit or an abort went unanswered or was
    /// refused; `claimed` is the record that the move had claimed the board with, or had tried to.
    pub fn found(claimed: &Placement, found: &Placement) -> Self {
        if found == claimed {
            Self::ReadUncommitted
        } else if claimed.commit().as_ref() == Ok(found) {
            Self::ReadCommitted
        } else if claimed.abort().as_ref() == Ok(found) || was_never_claimed(claimed, found) {
            Self::AbortRaised
        } else {
            Self::ReadSuperseded
        }
    }
}

/// Reads whether the source still has the board under an attempt from before the claim, which no commit matches.
fn was_never_claimed(claimed: &Placement, found: &Placement) -> bool {
    let is_same_term = found.generation == claimed.generation && found.owner() == claimed.owner();
    found.is_settled() && is_same_term && found.attempt < claimed.attempt
}

/// Answers an event that belongs to a phase that is over: its answer came late, or twice.
pub(super) fn ignore(late: Event) -> Vec<Command> {
    match late {
        Event::Claimed
        | Event::ClaimRefused
        | Event::ClaimUnknown
        | Event::Prepared
        | Event::PrepareFailed(_)
        | Event::Told
        | Event::Held
        | Event::HoldFailed(_)
        | Event::Frozen
        | Event::FreezeFailed(_)
        | Event::DrainedDown
        | Event::Quiet
        | Event::SourceClosed
        | Event::SourceSettled
        | Event::SettleFailed(_)
        | Event::Committed
        | Event::CommitRefused
        | Event::CommitUnknown
        | Event::ReadCommitted
        | Event::ReadUncommitted
        | Event::ReadSuperseded
        | Event::ReadFailed
        | Event::Activated
        | Event::ActivateRefused
        | Event::ActivateFailed(_)
        | Event::Raised
        | Event::RaiseFailed
        | Event::Switched
        | Event::PlacementSettled
        | Event::Released
        | Event::AbortRaised
        | Event::AbortRefused
        | Event::AbortUnknown
        | Event::Thawed
        | Event::ThawFailed
        | Event::Redialled
        | Event::AbortRequested
        | Event::HoldDeadline => Vec::new(),
    }
}
