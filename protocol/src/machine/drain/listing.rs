//! The lists of what is open on the sources: when one is asked for, and what follows from it.

use std::time::Duration;

use super::{Command, Drain, OpenBoard, Phase};
use crate::admin::DrainMode;
use crate::id::BoardId;

/// Whether a list was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    Idle,
    Asked,
    /// A move has ended since: the list may show its board where it no longer is.
    AskedBefore,
}

impl Drain {
    /// Takes a list in and returns whether it shows the sources as they are after every move that has ended.
    pub(super) fn take_list(&mut self, boards: Vec<OpenBoard>) -> bool {
        let is_current = self.listing != Listing::AskedBefore;
        self.listing = Listing::Idle;
        self.relist_at = self.now.saturating_add(RELIST_INTERVAL);
        let before = self.worklist.counts();
        self.worklist.list(boards, !is_current);
        self.is_dirty |= self.worklist.counts() != before;
        is_current
    }

    /// Notes which boards the next list lacks because another server owns them.
    pub(super) fn take_over(&mut self, boards: &[BoardId]) {
        let before = self.worklist.counts();
        self.worklist.taken_over(boards);
        self.is_dirty |= self.worklist.counts() != before;
    }

    /// Goes on where the sources, as just listed, leave something to do, else ends.
    pub(super) fn after_list(&mut self, is_current: bool, commands: &mut Vec<Command>) {
        let is_over = match self.terms.mode {
            DrainMode::Auto | DrainMode::Reconnect | DrainMode::Transparent => self.worklist.is_exhausted(),
            DrainMode::Stay => self.worklist.counts().left == 0,
        };
        match self.phase {
            Phase::Moving | Phase::Confirming | Phase::Waiting if is_over && is_current => {
                self.finish(self.end_by_counts(), commands);
            }
            Phase::Moving | Phase::Confirming => {
                self.phase = Phase::Moving;
                self.check_deadline(commands);
                if self.phase == Phase::Moving && !self.pause_for_lost_targets() {
                    self.advance(commands);
                }
            }
            Phase::Waiting | Phase::Starting | Phase::Paused | Phase::Stopping | Phase::Aborting | Phase::Ended(_) => {}
        }
    }

    pub(super) fn relist_when_due(&mut self, commands: &mut Vec<Command>) {
        if self.listing == Listing::Idle && self.now >= self.relist_at {
            self.listing = Listing::Asked;
            commands.push(Command::Relist);
        }
    }
}

/// How often the sources are listed again while a drain runs.
pub const RELIST_INTERVAL: Duration = Duration::from_secs(5);
