//! The event log's line of a move: which board went from where to where, when, why, and what became of its users.

use std::time::Duration;

use handover_protocol::SessionId;
use handover_protocol::admin::MoveReport;
use handover_protocol::machine::moving::MoveResult;
use tracing::{info, warn};

use super::AskedBy;
use super::plan::Planned;
use super::report::{Times, crossing_mode, metric};
use crate::telemetry::{EVENT, Label};

/// Tells of a move that has ended, `took` after its begin.
pub(super) fn tell(
    planned: &Planned,
    asked_by: &AskedBy,
    ended: (MoveResult, &MoveReport),
    times: Times,
    took: Duration,
) {
    let (result, report) = ended;
    let attempt = planned.board.placement().attempt.number();
    let unconfirmed_sessions = named(&report.unconfirmed);
    macro_rules! line {
        ($level:ident, $message:literal) => {
            $level!(
                target: EVENT,
                event = "move",
                board = report.board.as_str(),
                from = planned.source.name().as_str(),
                to = planned.target.name().as_str(),
                outcome = metric(result).text(),
                reason = report.result,
                generation = report.generation.number(),
                attempt,
                drain = asked_by.drain(),
                caller = asked_by.caller(),
                route = &*planned.route.name,
                level = report.level.text(),
                mode = crossing_mode(planned.plan.crossing).word(),
                held_ms = times.held_ms(),
                took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                switched = report.switched,
                reconnected = report.reconnected,
                fallen_back = report.fallen_back,
                unconfirmed = report.unconfirmed.len(),
                unconfirmed_sessions,
                $message
            )
        };
    }
    match result {
        MoveResult::Moved => line!(info, "board moved"),
        MoveResult::Undone(_) | MoveResult::Forced(_) | MoveResult::Lost(_) => line!(warn, "board not moved"),
    }
}

/// Names some of the sessions of which something could not be confirmed; none where all is well.
fn named(sessions: &[SessionId]) -> Option<String> {
    let names: Vec<&str> = sessions.iter().take(NAMED_MAX).map(SessionId::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// A line names so many; the access log has a line for each.
const NAMED_MAX: usize = 20;
