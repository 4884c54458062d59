//! What the end of a move means for its board.

use crate::admin::MoveReport;
use crate::id::ServerName;

/// What the end of a move means for its board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The target owns it, also where not all went well.
    Arrived,
    /// Its route does not let it move: it is waited for.
    Stays,
    /// Its users were told to reconnect of late, and would be told again: it waits until they may be.
    PutOff,
    /// It had left the source before: the next list shows where that was wrong.
    Gone,
    /// It is where it was.
    Failed,
}

impl Ending {
    /// Reads how a move to `target` ended.
    pub(super) fn of(report: &MoveReport, target: &ServerName) -> Self {
        match report.result.as_str() {
            MoveReport::MOVED => Self::Arrived,
            MoveReport::NOT_AT_SOURCE => Self::Gone,
            _ if report.server.as_ref() == Some(target) => Self::Arrived,
            MoveReport::STAY => Self::Stays,
            MoveReport::BOUNCE_LIMIT | MoveReport::MOVE_INTERVAL => Self::PutOff,
            _ => Self::Failed,
        }
    }

    /// Reads whether a move failed because the target did not load the board.
    pub(super) fn blames_target(report: &MoveReport) -> bool {
        matches!(
            report.result.as_str(),
            "prepare_refused" | "prepare_timeout" | "target_down" | "target_nonsense"
        )
    }
}
