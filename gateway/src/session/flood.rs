//! Control frames of a client: so many a second on average, and no more.
//!
//! A Ping costs its sender six bytes, and everybody behind it a turn of a loop and an answer. The frames are counted by
//! the scanner; a clock is read only when more have come than one second may bring.
//!
//! A server's are not bounded: it is trusted for its boards, its client's socket holds it back, and the Pongs that it has
//! asked for are not counted against its client.

use std::time::Duration;

use handover_protocol::machine::session::Event;
use tokio::time::Instant;

use super::task::Task;
use crate::telemetry::label::Limit;

/// Where the count stood when a clock was last read.
#[derive(Debug)]
pub(super) struct ControlFrames {
    since: Instant,
    of_client: u16,
    /// Its Pings; behind what it has sent by what the client may still answer.
    of_server: u16,
}

impl ControlFrames {
    /// Begins to count.
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            of_client: 0,
            of_server: 0,
        }
    }
}

impl Task {
    /// Looks whether the client sends control frames faster than it may, and ends the session by 1008 where it does.
    #[inline]
    pub(super) fn look_at_control_frames(&mut self) -> Option<Event> {
        let arrived = self.up.controls_arrived().wrapping_sub(self.control_frames.of_client);
        if u32::from(arrived) <= self.control_frames_max {
            return None;
        }
        self.judge_control_frames(arrived)
    }

    #[cold]
    fn judge_control_frames(&mut self, arrived: u16) -> Option<Event> {
        if self.up.is_over() {
            // It was told before.
            return None;
        }
        let now = Instant::now();
        let asked = self.down.pings_passed().wrapping_sub(self.control_frames.of_server);
        let of_its_own = arrived.saturating_sub(asked);
        if is_flood(of_its_own, now - self.control_frames.since, self.control_frames_max) {
            return Some(self.break_off(Limit::ControlFrames));
        }
        // What it has been asked and has not answered it may still answer.
        let unanswered = asked.saturating_sub(arrived).min(UNANSWERED_MAX);
        self.control_frames = ControlFrames {
            since: now,
            of_client: self.up.controls_arrived(),
            of_server: self.down.pings_passed().wrapping_sub(unanswered),
        };
        None
    }
}

/// Reads whether so many frames are more than `elapsed` may bring: at least a second's, and no more than a minute's
/// however long nothing came.
fn is_flood(frames: u16, elapsed: Duration, per_second: u32) -> bool {
    let elapsed = elapsed.clamp(Duration::from_secs(1), SAVED_UP_MAX);
    u128::from(frames) * 1000 > u128::from(per_second) * elapsed.as_millis()
}

/// What a client has not sent it may catch up on: one that was suspended, or waited for a slow server, is no flood.
const SAVED_UP_MAX: Duration = Duration::from_mins(1);

/// Of several Pings only the last needs an answer (RFC 6455 section 5.5.3).
const UNANSWERED_MAX: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_more_than_the_time_since_the_last_look_may_bring() {
        let check = |frames: u16, millis: u64, expected: bool| {
            let elapsed = Duration::from_millis(millis);
            assert_eq!(is_flood(frames, elapsed, 100), expected, "{frames} in {millis} ms");
        };
        check(101, 0, true);
        check(101, 999, true);
        check(100, 0, false);
        check(101, 1010, false);
        check(250, 2499, true);
        check(250, 2500, false);
        check(6000, 60_000, false);
        check(6001, 3_600_000, true);
    }
}
