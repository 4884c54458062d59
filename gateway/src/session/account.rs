//! What a session has passed on and heard, counted towards its upstream of now, and told to the metrics.

use super::task::Task;
use crate::config::OnServerDeath;
use crate::telemetry::label::Direction as Way;

/// What was passed to and heard from earlier upstreams, less what the current one was told and swallowed of besides.
#[derive(Default)]
pub(super) struct Base {
    pub(super) passed_before: u64,
    pub(super) replayed: u64,
    pub(super) heard_before: u64,
    pub(super) swallowed: u64,
}

/// What the metrics have been told of.
#[derive(Default)]
pub(super) struct Reported {
    messages_up: u64,
    messages_down: u64,
    bytes_up: u64,
    bytes_down: u64,
    heard: u64,
    /// Messages that had been passed on before the server last said something.
    pub(super) answered: u64,
}

impl Task {
    /// n: what the current upstream's kernel took whole.
    pub(super) fn passed(&self) -> u64 {
        self.up.messages_passed() - self.base.passed_before + self.base.replayed
    }

    /// Reads whether the server was told something since it last said anything, or has said less than it was told.
    pub(super) fn is_unanswered(&self) -> bool {
        let passed = self.up.messages_passed();
        let heard = self.down.messages_arrived() - self.base.heard_before;
        passed > self.reported.answered || heard < passed - self.base.passed_before
    }

    /// Tells the metrics what has passed since they were told last.
    pub(super) fn report(&mut self) {
        let told = &mut self.reported;
        let heard = self.down.messages_arrived();
        if told.heard != heard {
            told.heard = heard;
            // What was passed on together with what was heard may not have been seen yet.
            told.answered = told.messages_up;
        }
        let tell = |known: &mut u64, now: u64, counter: &prometheus::IntCounter| {
            if *known != now {
                counter.inc_by(now - *known);
                *known = now;
            }
        };
        tell(
            &mut told.messages_up,
            self.up.messages_passed(),
            self.metrics.messages.of(Way::ToServer),
        );
        tell(
            &mut told.messages_down,
            self.down.messages_passed(),
            self.metrics.messages.of(Way::ToClient),
        );
        tell(
            &mut told.bytes_up,
            self.up.bytes_passed(),
            self.metrics.bytes.of(Way::ToServer),
        );
        tell(
            &mut told.bytes_down,
            self.down.bytes_passed(),
            self.metrics.bytes.of(Way::ToClient),
        );
        if self.route.on_server_death == OnServerDeath::Transparent {
            self.handle.set_unanswered(self.is_unanswered());
        }
    }
}
