//! Whether a target that took a session over says anything once it is spoken to: an open socket proves nothing, and a
//! server that missed what it needed to hear just queues or ignores what comes.
//!
//! Only sessions that used to be answered are looked at, for a server may have nothing to say. A few looks after the
//! switch and no more: a session costs one timer then, and nothing per frame.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use handover_protocol::machine::session::Phase;
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

use super::task::Task;

/// Looks whether the target of a session that has crossed keeps silent.
pub(super) struct Silence {
    timer: Pin<Box<Sleep>>,
    looks: Looks,
}

/// What the looks so far have shown.
struct Looks {
    left: u8,
    /// What the target had said when the session went on, in bytes.
    heard: u64,
    /// What the client had said to it then, in messages.
    passed: u64,
    /// The target has been spoken to since before the last look.
    is_spoken_to: bool,
}

/// What one look sees.
struct Sight {
    heard: u64,
    passed: u64,
    /// The client does not take what waits for it, so that the target is not read.
    is_stalled: bool,
}

/// What is known after a look.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Open,
    Silent,
    /// The target has said something, or the client says nothing for too long.
    Dismissed,
}

impl Task {
    /// Begins to look at the target that the session goes on with now.
    pub(super) fn watch_target(&mut self) {
        if !used_to_be_answered(self.base.passed_before, self.base.heard_before) {
            return;
        }
        self.silence = Some(Silence {
            timer: Box::pin(sleep(LOOK_INTERVAL)),
            looks: Looks::new(self.down.bytes_arrived(), self.up.messages_passed()),
        });
    }

    /// Looks where that is due, and ends the looks once it is decided.
    pub(super) fn look_at_target(&mut self, context: &mut Context<'_>) {
        while let Some(silence) = &mut self.silence
            && silence.timer.as_mut().poll(context).is_ready()
        {
            if self.machine.phase() != Phase::Relaying {
                self.silence = None;
                return;
            }
            let verdict = silence.looks.take(&Sight {
                heard: self.down.bytes_arrived(),
                passed: self.up.messages_passed(),
                is_stalled: self.down.is_owing(&self.limits),
            });
            match verdict {
                Verdict::Open => silence.timer.as_mut().reset(Instant::now() + LOOK_INTERVAL),
                Verdict::Dismissed => self.silence = None,
                Verdict::Silent => {
                    self.silence = None;
                    self.metrics.silent_targets.inc();
                    warn!(server = %self.server.name(), board = %self.admission.board().id(),
                        "the target says nothing to a session that it took over");
                }
            }
        }
    }
}

impl Looks {
    fn new(heard: u64, passed: u64) -> Self {
        Self {
            left: LOOKS_MAX,
            heard,
            passed,
            is_spoken_to: false,
        }
    }

    fn take(&mut self, sight: &Sight) -> Verdict {
        if sight.heard != self.heard || self.left == 0 {
            return Verdict::Dismissed;
        }
        self.left -= 1;
        if sight.is_stalled {
            // Its answer may be on the way: it has a whole interval once the client takes something.
            self.is_spoken_to = false;
            return Verdict::Open;
        }
        if self.is_spoken_to {
            return Verdict::Silent;
        }
        self.is_spoken_to = sight.passed > self.passed;
        Verdict::Open
    }
}

/// Reads from what a session had passed and heard before its switch, in messages, whether its client was answered: a
/// relay that acknowledges nothing has no answer for a client that is alone.
fn used_to_be_answered(passed: u64, heard: u64) -> bool {
    passed > PASSED_TOO_FEW && heard >= passed
}

/// A greeting could answer so many messages without a word to any of them.
const PASSED_TOO_FEW: u64 = 3;

/// A server that works answers a message within this, by whatever: an answer, a Pong, what others on the board do.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// A client that says nothing for a minute after its switch is not waited for.
const LOOKS_MAX: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(heard: u64, passed: u64) -> Sight {
        Sight {
            heard,
            passed,
            is_stalled: false,
        }
    }

    #[test]
    fn a_target_is_silent_a_whole_interval_after_it_was_seen_spoken_to() {
        let mut looks = Looks::new(100, 5);
        assert_eq!(looks.take(&sight(100, 5)), Verdict::Open);
        assert_eq!(looks.take(&sight(100, 6)), Verdict::Open);
        assert_eq!(looks.take(&sight(100, 6)), Verdict::Silent);
    }

    #[test]
    fn whatever_the_target_says_dismisses_it() {
        let mut looks = Looks::new(100, 5);
        assert_eq!(looks.take(&sight(100, 6)), Verdict::Open);
        assert_eq!(looks.take(&sight(102, 6)), Verdict::Dismissed);
    }

    #[test]
    fn a_target_that_is_not_read_is_not_silent() {
        let stalled = || Sight {
            is_stalled: true,
            ..sight(100, 6)
        };
        let mut looks = Looks::new(100, 5);
        assert_eq!(looks.take(&sight(100, 6)), Verdict::Open);
        assert_eq!(looks.take(&stalled()), Verdict::Open);
        assert_eq!(looks.take(&stalled()), Verdict::Open);
        assert_eq!(looks.take(&sight(100, 6)), Verdict::Open, "the client takes again");
        assert_eq!(looks.take(&sight(100, 6)), Verdict::Silent);
    }

    #[test]
    fn a_client_that_says_nothing_is_not_waited_for() {
        let mut looks = Looks::new(100, 5);
        for _ in 0..LOOKS_MAX {
            assert_eq!(looks.take(&sight(100, 5)), Verdict::Open);
        }
        assert_eq!(looks.take(&sight(100, 5)), Verdict::Dismissed);
    }

    #[test]
    fn only_a_session_that_heard_as_much_as_it_said_used_to_be_answered() {
        assert!(used_to_be_answered(4, 4));
        assert!(!used_to_be_answered(3, 3), "too little to tell");
        assert!(!used_to_be_answered(40, 39), "a relay");
    }
}
