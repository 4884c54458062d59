//! Takes a board from a contract server that is lost: there is nobody to freeze, and the fence refuses its late writes.
//!
//! What its sessions had on the way was neither acknowledged nor refused. Those whose route says that they outlive their
//! server are attached to the target, the others are told to reconnect to it.

use handover_protocol::Generation;
use handover_protocol::admin::MoveReport;
use handover_protocol::machine::moving::{Event, MoveResult, Reason};
use tokio::time::Instant;
use tracing::{info, warn};

use super::barrier::Tally;
use super::calls::{self, Activation, Inheritance};
use super::plan::Planned;
use super::report::{self, Times};
use super::{AskedBy, Mover, event};

/// Reads whether the source of a move is not there to take part in it.
pub(super) fn is_due(planned: &Planned) -> bool {
    let placement = planned.board.placement();
    let may_serve = placement.owner().is_some_and(|owner| planned.source.may_serve(owner));
    planned.source.has_contract() && placement.is_settled() && !may_serve
}

/// Grants the board to the target under a higher generation and has it activated there.
pub(super) async fn run(mover: &Mover, planned: Planned, asked_by: &AskedBy) -> MoveReport {
    let begun_at = Instant::now();
    let board = &planned.board;
    info!(from = %planned.source.name(), "the source is lost; its board is activated at the target");
    let sessions = board.sessions().len() as u64;
    board.park();
    let result = grant(mover, &planned).await;
    let switched = match result {
        MoveResult::Moved => mover.boards.bring_orphans(board).await,
        MoveResult::Undone(_) | MoveResult::Forced(_) | MoveResult::Lost(_) => 0,
    };
    board.unpark();
    board.cut_stale_sessions();
    let tally = Tally {
        found: sessions.max(switched),
        switched,
        ..Tally::default()
    };
    mover.metrics.moves.of(report::metric(result), planned.plan.level).inc();
    let times = Times {
        hold_at_ms: None,
        switched_at_ms: (result == MoveResult::Moved).then(report::wall_clock_ms),
    };
    mover.remember(report::record(&planned, asked_by, result, &tally, times));
    let report = report::report(&planned, result, &tally);
    event::tell(&planned, asked_by, (result, &report), times, begun_at.elapsed());
    report
}

async fn grant(mover: &Mover, planned: &Planned) -> MoveResult {
    let (board, target) = (&planned.board, &planned.target);
    let coordinator = mover.boards.coordinator().clone();
    let Ok(next) = board.placement().seize(target.owner(), Generation::NONE, coordinator) else {
        return MoveResult::Lost(Reason::Superseded);
    };
    if let Err(error) = mover.boards.change(board, next).await {
        warn!(%error, "the board was not granted to the target");
        // What became of it decides where the next comer goes; a registry that is silent is read by that comer.
        let _ = mover.boards.read_back(board).await;
        return MoveResult::Undone(Reason::RegistryUnknown);
    }
    for _ in 0..RAISES_MAX {
        let timeout = planned.route.prepare_timeout;
        match calls::activate(board, target, Inheritance::default(), timeout).await {
            Activation::Taken => {
                calls::settle(&mover.boards, board).await;
                return MoveResult::Moved;
            }
            Activation::Fenced(fence) => {
                if calls::raise(&mover.boards, board, target.owner(), fence).await != Event::Raised {
                    return MoveResult::Forced(Reason::ActivateRefused);
                }
            }
            Activation::Failed(reason) => return MoveResult::Forced(reason),
        }
    }
    MoveResult::Forced(Reason::ActivateRefused)
}

/// How often a fence may refuse before the board is left to the next comer.
const RAISES_MAX: u32 = 3;
