//! Whether a target that took a session over says anything once it is spoken to: an open socket proves nothing, and a
//! server that missed what it needed to hear just queues or ignores what comes.
//!
//! A few looks after the switch and no more: a session costs one timer then, and nothing per frame.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use handover_protocol::machine::session::Phase;
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

use super::task::Task;

/// Looks whether the target of a session that has crossed keeps silent.
pub(super) struct Silence {
    look: Pin<Box<Sleep>>,
    looks_left: u8,
    /// What the target had said when the session went on.
    heard: u64,
    /// What the client had said to it then.
    passed: u64,
    /// The target has been spoken to since before the last look.
    is_spoken_to: bool,
}

impl Task {
    /// Begins to watch the target that the session goes on with now.
    pub(super) fn watch_target(&mut self) {
        self.silence = Some(Silence {
            look: Box::pin(sleep(LOOK_INTERVAL)),
            looks_left: LOOKS_MAX,
            heard: self.down.bytes_arrived(),
            passed: self.up.messages_passed(),
            is_spoken_to: false,
        });
    }

    /// Looks where that is due, and ends the watch once it is decided.
    pub(super) fn look_at_target(&mut self, context: &mut Context<'_>) {
        while let Some(silence) = &mut self.silence
            && silence.look.as_mut().poll(context).is_ready()
        {
            let has_answered = self.down.bytes_arrived() != silence.heard;
            if has_answered || self.machine.phase() != Phase::Relaying || silence.looks_left == 0 {
                self.silence = None;
                return;
            }
            if silence.is_spoken_to {
                self.silence = None;
                self.metrics.silent_targets.inc();
                warn!(server = %self.server.name(), board = %self.admission.board().id(),
                    "the target says nothing to a session that it took over");
                return;
            }
            silence.is_spoken_to = self.up.messages_passed() > silence.passed;
            silence.looks_left -= 1;
            silence.look.as_mut().reset(Instant::now() + LOOK_INTERVAL);
        }
    }
}

/// A server that works answers a message within this, by whatever: an answer, a Pong, what others on the board do.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// A client that says nothing for a minute after its switch is not waited for.
const LOOKS_MAX: u8 = 12;
