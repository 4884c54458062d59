//! A client that takes nothing: while something waits for it, it must take some of it within a bound.
//!
//! Nothing is watched while the client keeps up; the timer is made by the first write that was not taken whole.

use std::pin::Pin;
use std::task::Context;

use handover_protocol::close::CloseCode;
use handover_protocol::machine::session::{Event, Phase};
use tokio::time::{Instant, Sleep, sleep};
use tracing::debug;

use super::task::Task;
use crate::telemetry::label::Limit;

/// A client that does not take all that waits for it.
#[derive(Debug)]
pub(super) struct Stall {
    timer: Pin<Box<Sleep>>,
    /// What it had taken when the timer was set.
    bytes: u64,
}

impl Task {
    /// Looks whether the client takes what waits for it; one that has taken nothing for `stall_timeout` is to leave.
    ///
    /// During a move the move's own deadlines decide.
    pub(super) fn look_at_client(&mut self, context: &mut Context<'_>) -> Option<Event> {
        if self.machine.phase() != Phase::Relaying || !self.down.is_owing(&self.limits) {
            self.stall = None;
            return None;
        }
        let (taken, timeout) = (self.down.bytes_passed(), self.stall_timeout);
        let stall = self.stall.get_or_insert_with(|| Stall {
            timer: Box::pin(sleep(timeout)),
            bytes: taken,
        });
        if stall.bytes != taken {
            stall.bytes = taken;
            stall.timer.as_mut().reset(Instant::now() + timeout);
        }
        if stall.timer.as_mut().poll(context).is_pending() {
            return None;
        }
        self.stall = None;
        debug!("the client takes nothing");
        self.metrics.limit_hits.of(Limit::StallTimeout).inc();
        self.violation = Some(CloseCode::TRY_AGAIN_LATER);
        Some(Event::Violation)
    }
}
