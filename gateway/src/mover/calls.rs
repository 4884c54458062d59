//! The calls of a move: to the registry and to the control contract, each turned into an event of the machine.

use std::sync::Arc;
use std::time::Duration;

use handover_protocol::contract::{
    ActivateRequest, ContractProblemType, ForgetQuery, FreezeRequest, Frozen, PrepareRequest, ThawRequest,
};
use handover_protocol::machine::moving::{Event, Reason};
use handover_protocol::{Generation, Owner, Placement, ServerName, SessionId, Term};
use tracing::{info, warn};

use crate::board::{Board, Boards};
use crate::registry::CasError;
use crate::upstream::{ControlError, Server};

/// Asks the registry to note the move, off the source that it was planned for and no other.
pub(super) async fn claim(boards: &Boards, board: &Board, source: &ServerName, target: Owner) -> Event {
    let placement = board.placement();
    if placement.owner().is_none_or(|owner| owner.server != *source) {
        return Event::ClaimRefused;
    }
    let Ok(next) = placement.begin(target, boards.coordinator().clone()) else {
        return Event::ClaimRefused;
    };
    match boards.change(board, next).await {
        Ok(()) => Event::Claimed,
        Err(CasError::Refused { .. } | CasError::Lowered { .. }) => Event::ClaimRefused,
        Err(CasError::Unavailable { .. }) => Event::ClaimRefused,
        Err(CasError::Unknown { .. }) => Event::ClaimUnknown,
    }
}

/// Has the target load the board; an opaque one loads when its first session comes.
pub(super) async fn prepare(board: &Board, target: &Server, timeout: Duration) -> Event {
    let Some(control) = target.control() else {
        return Event::Prepared;
    };
    let placement = board.placement();
    let request = PrepareRequest {
        generation: placement.generation,
        attempt: placement.attempt,
    };
    match control.prepare(board.id(), &request, timeout).await {
        Ok(_) => Event::Prepared,
        Err(error) => {
            warn!(%error, "the target does not load the board");
            Event::PrepareFailed(match error {
                ControlError::Refused(_) | ControlError::Unauthorized { .. } => Reason::PrepareRefused,
                ControlError::Unanswered(_) => Reason::PrepareTimeout,
                ControlError::Unreachable(_) | ControlError::Tls(_) => Reason::TargetDown,
                ControlError::Nonsense(_) => Reason::TargetNonsense,
            })
        }
    }
}

/// Has the source handle, save and stop.
///
/// # Errors
/// Why it did not, or why nobody knows whether it did.
pub(super) async fn freeze(
    board: &Board,
    source: &Server,
    sessions: std::collections::BTreeMap<SessionId, u64>,
    times: FreezeTimes,
) -> Result<Frozen, Reason> {
    let control = source.control().ok_or(Reason::SourceDown)?;
    let placement = board.placement();
    let request = FreezeRequest {
        generation: placement.generation,
        attempt: placement.attempt,
        sessions,
        deadline_ms: u64::try_from(times.frozen.as_millis()).unwrap_or(u64::MAX),
    };
    control
        .freeze(board.id(), &request, times.answer)
        .await
        .map_err(|error| {
            warn!(%error, "the source does not freeze the board");
            match error {
                ControlError::Refused(_) | ControlError::Unauthorized { .. } => Reason::FreezeRefused,
                ControlError::Unanswered(_) => Reason::FreezeUnanswered,
                ControlError::Unreachable(_) | ControlError::Tls(_) => Reason::SourceDown,
                ControlError::Nonsense(_) => Reason::SourceNonsense,
            }
        })
}

/// Asks whether the target is still the process that has loaded the board, and ready for it: after the commit there is
/// no way back to the source.
///
/// # Errors
/// When it is not, or does not say so in time.
pub(super) async fn find_target(board: &Board, target: &Server, timeout: Duration) -> Result<(), Reason> {
    let Some(control) = target.control() else {
        return Ok(());
    };
    let loaded_by = match board.placement().term {
        Term::Moving { target, .. } => target.incarnation,
        Term::Vacant | Term::Settled { .. } | Term::Activating { .. } => None,
    };
    match control.server(timeout).await {
        Ok(report) if report.ready && loaded_by.as_ref() == Some(&report.incarnation) => Ok(()),
        Ok(report) => {
            warn!(incarnation = %report.incarnation, ready = report.ready, "the target has lost the board or ends");
            Err(Reason::TargetDown)
        }
        Err(error) => {
            warn!(%error, "the target has gone, or does not answer any more");
            Err(Reason::TargetDown)
        }
    }
}

/// How long a freeze may take, and how long it lasts without word.
#[derive(Debug, Clone, Copy)]
pub(super) struct FreezeTimes {
    pub answer: Duration,
    pub frozen: Duration,
}

/// Asks the registry to transfer ownership.
pub(super) async fn commit(boards: &Boards, board: &Board) -> Event {
    let Ok(next) = board.placement().commit() else {
        return Event::CommitRefused;
    };
    match boards.change(board, next).await {
        Ok(()) => Event::Committed,
        Err(CasError::Refused { .. } | CasError::Lowered { .. }) => Event::CommitRefused,
        // Certainly not written; the read-back says so.
        Err(CasError::Unavailable { .. } | CasError::Unknown { .. }) => Event::CommitUnknown,
    }
}

/// Reads what became of a commit or an abort that was sent for a board `claimed` so.
pub(super) async fn read_back(boards: &Boards, board: &Board, claimed: &Placement) -> Event {
    match boards.read_back(board).await {
        Ok(current) => Event::found(claimed, &current),
        Err(_) => Event::ReadFailed,
    }
}

/// What the source had saved, for the target to check.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    pub frozen: Option<Frozen>,
    pub sessions: Vec<SessionId>,
}

/// What came of asking a server to take the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// It owns the board.
    Taken,
    /// Somebody holds a fence as high as this or higher.
    Fenced(Generation),
    /// It did not, or nobody knows whether it did.
    Failed(Reason),
}

impl Activation {
    /// Returns what the move's machine makes of it.
    pub(super) fn event(self) -> Event {
        match self {
            Self::Taken => Event::Activated,
            Self::Fenced(_) => Event::ActivateRefused,
            Self::Failed(reason) => Event::ActivateFailed(reason),
        }
    }
}

/// Has the target take the fence; an opaque one has none.
pub(super) async fn activate(
    board: &Board,
    target: &Server,
    inheritance: Inheritance,
    timeout: Duration,
) -> Activation {
    let Some(control) = target.control() else {
        return Activation::Taken;
    };
    let placement = board.placement();
    let (revision, checkpoint) = inheritance
        .frozen
        .map_or((None, None), |frozen| (Some(frozen.revision), frozen.checkpoint));
    let request = ActivateRequest {
        generation: placement.generation,
        attempt: placement.attempt,
        revision,
        sessions: inheritance.sessions,
        checkpoint,
    };
    match control.activate(board.id(), &request, timeout).await {
        Ok(_) => Activation::Taken,
        Err(ControlError::Refused(problem)) if problem.kind == ContractProblemType::StaleGeneration => {
            warn!(fence = ?problem.fence, "the fence refuses the target");
            Activation::Fenced(problem.fence.unwrap_or(Generation::NONE))
        }
        Err(error) => {
            warn!(%error, "the target does not take the board");
            Activation::Failed(match error {
                ControlError::Refused(_) | ControlError::Unauthorized { .. } => Reason::ActivateRefused,
                ControlError::Unanswered(_) => Reason::ActivateUnanswered,
                ControlError::Unreachable(_) | ControlError::Tls(_) => Reason::TargetDown,
                ControlError::Nonsense(_) => Reason::TargetNonsense,
            })
        }
    }
}

/// Asks the registry for a generation above the fence that refused.
pub(super) async fn raise(boards: &Boards, board: &Board, target: Owner, fence: Generation) -> Event {
    let Ok(next) = board.placement().raise(target, fence) else {
        return Event::RaiseFailed;
    };
    match boards.change(board, next).await {
        Ok(()) => Event::Raised,
        Err(_) => Event::RaiseFailed,
    }
}

/// Notes that the target has taken the fence; whoever comes next sees to it where that fails.
pub(super) async fn settle(boards: &Boards, board: &Board) {
    let Ok(next) = board.placement().settle() else { return };
    if let Err(error) = boards.change(board, next).await {
        warn!(%error, "the placement could not be settled; the next comer activates it once more");
    }
}

/// Asks the registry to raise the attempt of a board `claimed` so, and give it back to the source.
pub(super) async fn raise_attempt(boards: &Boards, board: &Board, claimed: &Placement) -> Event {
    if board.placement() != *claimed {
        // The claim went unanswered, so the mirror shows what was there before it.
        let Ok(current) = boards.read_back(board).await else {
            return Event::AbortUnknown;
        };
        if current != *claimed {
            return Event::found(claimed, &current);
        }
    }
    let Ok(next) = claimed.abort() else {
        return Event::AbortRefused;
    };
    match boards.change(board, next).await {
        Ok(()) => Event::AbortRaised,
        Err(CasError::Refused { .. } | CasError::Lowered { .. }) => Event::found(claimed, &board.placement()),
        Err(CasError::Unavailable { .. } | CasError::Unknown { .. }) => Event::AbortUnknown,
    }
}

/// Has the source take the board back.
pub(super) async fn thaw(board: &Board, source: &Server, gone: Vec<SessionId>, timeout: Duration) -> Event {
    let Some(control) = source.control() else {
        return Event::Thawed;
    };
    let placement = board.placement();
    let request = ThawRequest {
        generation: placement.generation,
        attempt: placement.attempt,
        gone,
    };
    match control.thaw(board.id(), &request, timeout).await {
        Ok(_) => Event::Thawed,
        Err(error) => {
            warn!(%error, "the source does not take the board back");
            Event::ThawFailed
        }
    }
}

/// Has the source of a move keep its copy as a standby, so that the board can come back quickly.
pub(super) async fn keep_warm(board: &Board, source: &Server, timeout: Duration) {
    let Some(control) = source.control() else { return };
    let placement = board.placement();
    let request = PrepareRequest {
        generation: placement.generation,
        attempt: placement.attempt,
    };
    if let Err(error) = control.prepare(board.id(), &request, timeout).await {
        info!(server = %source.name(), %error, "the source does not keep its copy warm");
    }
}

/// Has a server drop its standby or frozen copy; what fails is dropped by the server's own deadline or at its end.
pub(super) async fn forget(board: &Board, server: Arc<Server>, copy: ForgetQuery, timeout: Duration) {
    let Some(control) = server.control() else { return };
    if let Err(error) = control.forget(board.id(), &copy, timeout).await {
        info!(server = %server.name(), %error, "the server did not confirm that it dropped its copy");
    }
}
