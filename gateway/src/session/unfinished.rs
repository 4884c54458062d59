//! A client's message that has begun and does not end: whoever buffers messages behind us keeps its beginning, and its
//! board cannot be moved without breaking it.
//!
//! It has `message_timeout`, and a second more for each [`BYTES_PER_SECOND_MIN`] that have come of it, so that a large
//! one over a slow line may take its time and one that dribbles may not. Time in which the server takes nothing is not
//! the client's. A timer is made only while a message is under way, and is not touched by what comes meanwhile: it looks
//! again a few times within the bound.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use handover_protocol::machine::session::{Event, Phase};
use tokio::time::{Instant, Sleep, sleep};

use super::task::Task;
use crate::telemetry::label::Limit;

/// A message under way, or one that was when the timer was set.
#[derive(Debug)]
pub(super) struct Unfinished {
    timer: Pin<Box<Sleep>>,
    /// Its number, counted from the session's first.
    message: u64,
    since: Instant,
    /// What had come of the client when it was first seen.
    bytes: u64,
}

impl Task {
    /// Looks whether the client ends what it has begun, and ends the session by 1008 where it does not.
    ///
    /// During a move the move's own deadlines decide.
    #[inline]
    pub(super) fn look_at_message(&mut self, context: &mut Context<'_>) -> Option<Event> {
        if self.unfinished.is_none() && self.up.has_arrived_at_boundary() {
            return None;
        }
        self.watch_message(context)
    }

    fn watch_message(&mut self, context: &mut Context<'_>) -> Option<Event> {
        if self.machine.phase() != Phase::Relaying {
            self.unfinished = None;
            return None;
        }
        let (message, bytes) = (self.up.messages_arrived(), self.up.bytes_arrived());
        let tick = self.message_timeout / LOOKS;
        loop {
            let unfinished = self.unfinished.get_or_insert_with(|| {
                Box::new(Unfinished {
                    timer: Box::pin(sleep(tick)),
                    message,
                    since: Instant::now(),
                    bytes,
                })
            });
            if unfinished.timer.as_mut().poll(context).is_pending() {
                return None;
            }
            if self.up.has_arrived_at_boundary() {
                self.unfinished = None;
                return None;
            }
            let now = Instant::now();
            if unfinished.message != message || self.up.is_owing(&self.limits) {
                (unfinished.message, unfinished.since, unfinished.bytes) = (message, now, bytes);
            } else if now - unfinished.since >= allowed(self.message_timeout, bytes - unfinished.bytes) {
                self.unfinished = None;
                return Some(self.break_off(Limit::MessageTimeout));
            }
            unfinished.timer.as_mut().reset(now + tick);
        }
    }
}

/// Returns how long a message may take of which so many bytes have come.
fn allowed(message_timeout: Duration, bytes: u64) -> Duration {
    message_timeout + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN)
}

/// A message is found at most this part of the bound late.
const LOOKS: u32 = 4;

/// The slowest line over which a large message is worth waiting for.
const BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_over_a_slow_line_may_take_its_time_and_one_that_dribbles_may_not() {
        let minute = Duration::from_mins(1);
        let check = |bytes: u64, seconds: u64| {
            assert_eq!(allowed(minute, bytes), Duration::from_secs(seconds), "{bytes}");
        };
        check(0, 60);
        check(6000, 60);
        check(16 * 1024, 61);
        check(64 * 1024 * 1024, 60 + 4096);
    }
}
