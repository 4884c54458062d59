//! Why a move does not begin: nobody was disturbed and nothing was written.

use std::time::Duration;

use handover_protocol::admin::MoveReport;
use handover_protocol::machine::moving::Reason;

/// Why a move does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// The board's placement could not be read.
    RegistryUnknown,
    /// The target is not configured.
    UnknownTarget,
    /// Nobody owns the board.
    NotOpen,
    /// The order names another source than the board's owner.
    NotAtSource,
    /// The owner is not configured any more.
    UnknownSource,
    /// The target owns the board.
    AlreadyThere,
    /// The target may not be given boards now.
    TargetNotReady,
    /// Route or order say that the board is not moved.
    Stay,
    /// Users who were told to reconnect of late would be told again.
    BounceLimit {
        /// How long that must not be.
        left: Duration,
    },
    /// A move has brought the board here of late.
    MoveInterval {
        /// How long it is to stay.
        left: Duration,
    },
    /// Gateway and source disagree about who is on the board.
    CountsDrift,
    /// The operator or the drain asked for it before the move began.
    Aborted,
}

impl Hindrance {
    /// Returns the stable name under which the API tells it.
    pub(super) const fn slug(self) -> &'static str {
        match self {
            Self::RegistryUnknown => "registry_unknown",
            Self::UnknownTarget => "unknown_target",
            Self::NotOpen => "not_open",
            Self::NotAtSource => MoveReport::NOT_AT_SOURCE,
            Self::UnknownSource => "unknown_source",
            Self::AlreadyThere => "already_there",
            Self::TargetNotReady => "target_not_ready",
            Self::Stay => MoveReport::STAY,
            Self::BounceLimit { .. } => MoveReport::BOUNCE_LIMIT,
            Self::MoveInterval { .. } => MoveReport::MOVE_INTERVAL,
            Self::CountsDrift => "counts_drift",
            Self::Aborted => Reason::Aborted.slug(),
        }
    }

    /// Reads whether a drain offers such a board again without counting that as a try.
    pub(super) fn is_waited_for(self) -> bool {
        match self {
            Self::NotAtSource | Self::Stay | Self::BounceLimit { .. } | Self::MoveInterval { .. } => true,
            Self::RegistryUnknown
            | Self::UnknownTarget
            | Self::NotOpen
            | Self::UnknownSource
            | Self::AlreadyThere
            | Self::TargetNotReady
            | Self::CountsDrift
            | Self::Aborted => false,
        }
    }

    /// Returns after how long a retry is sound, where that is known.
    pub(super) fn retry_after(self) -> Option<Duration> {
        match self {
            Self::BounceLimit { left } | Self::MoveInterval { left } => Some(left),
            Self::RegistryUnknown
            | Self::UnknownTarget
            | Self::NotOpen
            | Self::NotAtSource
            | Self::UnknownSource
            | Self::AlreadyThere
            | Self::TargetNotReady
            | Self::Stay
            | Self::CountsDrift
            | Self::Aborted => None,
        }
    }
}
