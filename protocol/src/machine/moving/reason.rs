//! How a move ended, and why not as planned.

use std::fmt;

/// Why a move did not end as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Another move or another gateway changed the placement first.
    Superseded,
    /// The registry did not answer.
    RegistryUnknown,
    /// Users who were told to reconnect of late would be told again.
    BounceLimit,
    /// The target would not load the board.
    PrepareRefused,
    /// The target did not load the board in time.
    PrepareTimeout,
    /// The target is not ready or does not answer.
    TargetDown,
    /// The target's answer was none of the contract's.
    TargetNonsense,
    /// Plain requests were still in flight at the end of the hold.
    RequestsInFlight,
    /// The hold lasted too long.
    HoldTimeout,
    /// The source would not freeze.
    FreezeRefused,
    /// The source did not answer the freeze.
    FreezeUnanswered,
    /// The source's answer was none of the contract's.
    SourceNonsense,
    /// The source is down.
    SourceDown,
    /// The source could not confirm that it saved.
    SaveUnconfirmed,
    /// The target would not take the fence.
    ActivateRefused,
    /// The target did not answer the activation.
    ActivateUnanswered,
    /// The operator or the drain asked for it.
    Aborted,
}

/// How a move ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoveResult {
    /// The target owns the board and serves it.
    Moved,
    /// The source owns the board as before.
    Undone(Reason),
    /// Ownership was transferred, but the target did not confirm; whoever comes next is placed anew.
    Forced(Reason),
    /// Somebody else owns the board now.
    Lost(Reason),
}

impl Reason {
    /// Every reason, for metrics and documents.
    pub const ALL: [Self; 17] = [
        Self::Superseded,
        Self::RegistryUnknown,
        Self::BounceLimit,
        Self::PrepareRefused,
        Self::PrepareTimeout,
        Self::TargetDown,
        Self::TargetNonsense,
        Self::RequestsInFlight,
        Self::HoldTimeout,
        Self::FreezeRefused,
        Self::FreezeUnanswered,
        Self::SourceNonsense,
        Self::SourceDown,
        Self::SaveUnconfirmed,
        Self::ActivateRefused,
        Self::ActivateUnanswered,
        Self::Aborted,
    ];

    /// Returns the stable name under which the API and the metrics tell it.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::RegistryUnknown => "registry_unknown",
            // As `MoveReport::BOUNCE_LIMIT`, which tells the drain to wait.
            Self::BounceLimit => "bounce_limit",
            Self::PrepareRefused => "prepare_refused",
            Self::PrepareTimeout => "prepare_timeout",
            Self::TargetDown => "target_down",
            Self::TargetNonsense => "target_nonsense",
            Self::RequestsInFlight => "requests_in_flight",
            Self::HoldTimeout => "hold_timeout",
            Self::FreezeRefused => "freeze_refused",
            Self::FreezeUnanswered => "freeze_unanswered",
            Self::SourceNonsense => "source_nonsense",
            Self::SourceDown => "source_down",
            Self::SaveUnconfirmed => "save_unconfirmed",
            Self::ActivateRefused => "activate_refused",
            Self::ActivateUnanswered => "activate_unanswered",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.slug())
    }
}
