//! How a move ended, for the drain, the API and the metrics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handover_protocol::admin::{DrainMode, Level, MoveRecord, MoveReport};
use handover_protocol::machine::moving::{Crossing, MoveResult, Reason};
use handover_protocol::{BoardId, Generation, Placement};

use super::AskedBy;
use super::barrier::Tally;
use super::hindrance::Hindrance;
use super::plan::Planned;
use crate::telemetry::label;

/// Reports a move that did not begin: where the board is, as far as is known, and the level of its server.
pub(super) fn hindered(
    board: BoardId,
    placement: &Placement,
    level: Option<Level>,
    hindrance: Hindrance,
) -> MoveReport {
    let unmoved = unmoved(board, hindrance.slug());
    MoveReport {
        server: placement.owner().map(|owner| owner.server.clone()),
        generation: placement.generation,
        level: level.unwrap_or(unmoved.level),
        retry_after_ms: hindrance.retry_after().map(milliseconds),
        ..unmoved
    }
}

/// Reports a move of which nothing is known but that it did not happen.
pub(super) fn unmoved(board: BoardId, reason: &str) -> MoveReport {
    MoveReport {
        board,
        server: None,
        generation: Generation::NONE,
        result: reason.to_owned(),
        level: Level::Opaque,
        switched: 0,
        reconnected: 0,
        fallen_back: 0,
        unconfirmed: Vec::new(),
        retry_after_ms: None,
    }
}

/// Rounds up: after so many the wait is over.
fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).map_or(u64::MAX, |whole| whole.saturating_add(1))
}

/// When a move's sessions were stopped, and when they went on, by the wall clock: for people and reports only.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Times {
    pub hold_at_ms: Option<f64>,
    pub switched_at_ms: Option<f64>,
}

impl Times {
    /// Returns for how long the board's sessions stood still, in milliseconds with their thousandths.
    pub(super) fn held_ms(self) -> Option<f64> {
        let held = self.switched_at_ms? - self.hold_at_ms?;
        Some((held * 1000.0).round() / 1000.0)
    }
}

pub(super) fn wall_clock_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64() * 1000.0)
}

pub(super) fn slug(result: MoveResult) -> String {
    match result {
        MoveResult::Moved => "moved".to_owned(),
        MoveResult::Undone(reason) | MoveResult::Forced(reason) | MoveResult::Lost(reason) => reason.slug().to_owned(),
    }
}

pub(super) fn metric(result: MoveResult) -> label::MoveResult {
    match result {
        MoveResult::Moved => label::MoveResult::Moved,
        MoveResult::Undone(_) => label::MoveResult::Undone,
        MoveResult::Forced(_) => label::MoveResult::Forced,
        MoveResult::Lost(_) => label::MoveResult::Lost,
    }
}

pub(super) fn report(planned: &Planned, result: MoveResult, tally: &Tally) -> MoveReport {
    let placement = planned.board.placement();
    let is_moved = result == MoveResult::Moved;
    MoveReport {
        board: planned.board.id().clone(),
        server: placement.owner().map(|owner| owner.server.clone()),
        generation: placement.generation,
        result: slug(result),
        level: planned.plan.level,
        switched: if is_moved { tally.switched } else { 0 },
        reconnected: if is_moved {
            tally.found - tally.switched
        } else {
            tally.fallen_back + tally.cut
        },
        fallen_back: tally.fallen_back,
        unconfirmed: tally.unconfirmed.clone(),
        retry_after_ms: match result {
            MoveResult::Undone(Reason::BounceLimit) => Some(planned.bounce_left().map_or(0, milliseconds)),
            MoveResult::Moved | MoveResult::Undone(_) | MoveResult::Forced(_) | MoveResult::Lost(_) => None,
        },
    }
}

/// Says how sessions cross in the words of the API.
pub(super) fn crossing_mode(crossing: Crossing) -> DrainMode {
    match crossing {
        Crossing::Transparent => DrainMode::Transparent,
        Crossing::ReconnectByMessage | Crossing::ReconnectByClose => DrainMode::Reconnect,
    }
}

pub(super) fn record(
    planned: &Planned,
    asked_by: &AskedBy,
    result: MoveResult,
    tally: &Tally,
    times: Times,
) -> MoveRecord {
    MoveRecord {
        board: planned.board.id().clone(),
        from: planned.source.name().clone(),
        to: planned.target.name().clone(),
        result: slug(result),
        level: planned.plan.level,
        mode: crossing_mode(planned.plan.crossing),
        hold_at_ms: times.hold_at_ms,
        switched_at_ms: times.switched_at_ms,
        sessions: tally.found,
        // Whole milliseconds are enough here.
        ended_at_ms: wall_clock_ms() as u64,
        drain: asked_by.drain().map(str::to_owned),
    }
}
