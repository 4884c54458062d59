//! Who is on a board and was there lately, as far as a server can have counted them.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::Board;

impl Board {
    /// Returns how many sessions the owner can have counted at one moment between `asked_at` and `heard_at`.
    ///
    /// At least those that were there all the time and showed no sign of leaving, and at most those that were there at any
    /// time: a server counts a session before its admission here, and may count it for a while after its end. Who left
    /// more than [`super::ENDED_KEPT`] ago is forgotten.
    pub fn attendance(&self, asked_at: Instant, heard_at: Instant) -> RangeInclusive<u64> {
        let inner = self.lock();
        let here = inner.sessions.values();
        let here = here.map(|present| (present.since, present.handle.parted_at(), None));
        let gone = inner.ended.iter();
        let gone = gone.map(|ended| (ended.since, Some(ended.parted_at), Some(ended.at)));
        let (mut least, mut most) = (0, inner.dials as u64);
        for (since, parted_at, until) in here.chain(gone) {
            let was_there_by = since + ADMISSION_MAX <= asked_at;
            // A server may count a session no more once it has said or got a Close, long before it ends here.
            let stayed = parted_at.is_none_or(|parted_at| heard_at + END_MAX <= parted_at);
            least += u64::from(was_there_by && stayed);
            let can_be_there = since <= heard_at + ADMISSION_MAX;
            let can_be_still = until.is_none_or(|until| asked_at <= until + END_MAX);
            most += u64::from(can_be_there && can_be_still);
        }
        least..=most
    }
}

/// From the server's 101 to the admission here, or to the count over there.
const ADMISSION_MAX: Duration = Duration::from_secs(1);

/// From the end of a session on one side to its end on the other: an upstream is read to its end for 5 s.
const END_MAX: Duration = Duration::from_secs(7);
