//! What a drain is told, and what it has done.

use super::targets::TargetLoad;
use super::worklist::OpenBoard;
use crate::admin::{DrainMode, DrainState, MoveReport};
use crate::id::{BoardId, ServerName};

/// What happens to a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first list of what is open on the sources.
    Started {
        /// Every open board.
        boards: Vec<OpenBoard>,
    },
    /// A later list; the answer to [`Command::Relist`].
    BoardsListed {
        /// Every open board.
        boards: Vec<OpenBoard>,
    },
    /// Boards are missing from the list that comes next because another server owns them, without a move of this drain.
    BoardsTakenOver {
        /// Some of [`super::Drain::missing_from`] that list.
        boards: Vec<BoardId>,
    },
    /// The target has loaded a board that is on its way.
    MovePrepared {
        /// The board.
        board: BoardId,
    },
    /// A move has ended, one way or the other.
    MoveEnded {
        /// How.
        report: MoveReport,
    },
    /// Which targets are ready now, and what they carry.
    TargetsChanged {
        /// Every ready target.
        targets: Vec<TargetLoad>,
    },
    /// An operator wants no more of it.
    AbortRequested,
    /// An operator wants no move begun for now.
    PauseRequested,
    /// An operator wants it to go on.
    ResumeRequested,
    /// Limits or routes have changed: what waits for one may no longer have to.
    RulesChanged,
    /// Time has passed; see [`super::Drain::wake_at`].
    Tick,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Keep [`super::Drain::snapshot`], before any command behind this one is carried out.
    Persist,
    /// Begin a move.
    StartMove {
        /// The board.
        board: BoardId,
        /// Where it was listed; it is moved from nowhere else.
        source: ServerName,
        /// Where it goes.
        target: ServerName,
        /// How sessions cross.
        mode: DrainMode,
    },
    /// Undo a move that has not committed; its end is still told.
    AbortMove {
        /// The board.
        board: BoardId,
    },
    /// List the open boards of the sources; always answered, also if a source is silent.
    Relist,
    /// The drain is over.
    Finish {
        /// How it ended.
        state: DrainState,
    },
    /// Log and count what should not have happened; nothing else follows from it.
    Note(Anomaly),
}

/// What a driver should not have told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Anomaly {
    /// The drain had begun.
    #[error("the drain was started again")]
    StartedAgain,
    /// No move of that board is under way.
    #[error("no move of board {0} is under way")]
    NotUnderWay(BoardId),
    /// The target had loaded that board.
    #[error("the load of board {0} was told twice")]
    PreparedAgain(BoardId),
}
