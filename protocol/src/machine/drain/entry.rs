//! One board of a drain: where it is, how often it was tried, and when it is tried again.

use std::time::Duration;

use super::ending::Ending;
use super::trouble::{Fate, Trouble};
use crate::admin::MoveReport;
use crate::id::ServerName;

/// One board.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) source: ServerName,
    pub(super) sessions: u64,
    /// Moves begun, but for those that disturbed nobody and say nothing of the board's next try.
    pub(super) tries: u32,
    pub(super) last_target: Option<ServerName>,
    /// How its last move ended that did not bring it to its target.
    pub(super) last_reason: Option<String>,
    /// As it is counted and ranked.
    pub(super) trouble: Option<Trouble>,
    pub(super) home: Option<ServerName>,
    /// The number of the last list that it was in.
    pub(super) listed_in: u64,
    pub(super) state: State,
}

/// Where one board is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    BackingOff {
        until: Duration,
    },
    /// Its users were told to reconnect of late.
    PutOff {
        until: Duration,
    },
    UnderWay {
        target: ServerName,
        weight: u64,
        is_loading: bool,
        begun_at: Duration,
    },
    GivenUp,
    Moved,
    /// Another server has it, without a move of this drain.
    TakenOver,
    Closed,
}

impl Entry {
    /// A board that was listed for the first time.
    pub(super) fn new(source: ServerName, sessions: u64, home: Option<ServerName>, listed_in: u64) -> Self {
        Self {
            source,
            sessions,
            tries: 0,
            last_target: None,
            last_reason: None,
            trouble: None,
            home,
            listed_in,
            state: State::Ready,
        }
    }

    /// Says where the board is after the end of its move: one that stayed is tried again while tries are left.
    pub(super) fn after(&self, ending: Ending, report: &MoveReport, now: Duration) -> State {
        match ending {
            Ending::Arrived => State::Moved,
            Ending::Gone if report.server.is_some() => State::TakenOver,
            Ending::Gone => State::Closed,
            Ending::Stays => State::BackingOff {
                until: now.saturating_add(STAY_INTERVAL),
            },
            Ending::PutOff => {
                let left = report.retry_after_ms.map_or(BACK_OFF, Duration::from_millis);
                State::PutOff {
                    until: now.saturating_add(left.max(PUT_OFF_MIN)),
                }
            }
            Ending::Failed if self.tries < TRIES_MAX => State::BackingOff {
                until: now.saturating_add(back_off(self.tries)),
            },
            Ending::Failed => State::GivenUp,
        }
    }

    /// Says where a board is that came back to a source.
    pub(super) fn taken_up_again(&self) -> State {
        if self.tries < TRIES_MAX {
            State::Ready
        } else {
            State::GivenUp
        }
    }

    /// Says what trouble the board makes; its tries and its last reason change only on the way to another state.
    pub(super) fn trouble_now(&self) -> Option<Trouble> {
        let (fate, counts) = match self.state {
            State::GivenUp => (Fate::GivenUp, true),
            State::BackingOff { .. } | State::PutOff { .. } => (Fate::Waits, true),
            State::Ready | State::UnderWay { .. } if self.last_reason.is_some() => (Fate::Waits, false),
            State::Ready | State::UnderWay { .. } | State::Moved | State::TakenOver | State::Closed => return None,
        };
        Some(Trouble {
            fate,
            tries: self.tries,
            reason: self.last_reason.clone().filter(|_| counts),
        })
    }

    /// Reads whether the board waits for a limit or for its route, which may have changed.
    pub(super) fn waits_for_rule(&self) -> bool {
        match self.state {
            State::PutOff { .. } => true,
            State::BackingOff { .. } => self.last_reason.as_deref() == Some(MoveReport::STAY),
            State::Ready
            | State::UnderWay { .. }
            | State::GivenUp
            | State::Moved
            | State::TakenOver
            | State::Closed => false,
        }
    }
}

impl State {
    /// Reads whether the board is on a source, as far as is known, and no move of it is under way.
    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Self::Ready | Self::BackingOff { .. } | Self::PutOff { .. } | Self::GivenUp => true,
            Self::UnderWay { .. } | Self::Moved | Self::TakenOver | Self::Closed => false,
        }
    }
}

/// Waits longer after each try: 1, 2, 4, 8 and 16 s.
fn back_off(tries: u32) -> Duration {
    BACK_OFF * 2u32.saturating_pow(tries.saturating_sub(1))
}

/// How often a board is tried. The back-offs between add up to 31 s, so a server that restarts is there for the last.
pub const TRIES_MAX: u32 = 6;

/// After the first failure; doubled by each that follows.
pub const BACK_OFF: Duration = Duration::from_secs(1);

/// A board that is put off is not asked about again before this, however little is left of its limit.
const PUT_OFF_MIN: Duration = Duration::from_millis(10);

/// How often a board that its route keeps is looked at again; its next session may come by another route.
const STAY_INTERVAL: Duration = Duration::from_secs(30);
