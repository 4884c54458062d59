//! Why a session falls back, and which bound of time ended a phase of its move.

use handover_protocol::frame::Limits;
use handover_protocol::machine::session::{Event, Phase};

use super::task::Task;
use crate::relay::Direction;
use crate::telemetry::label::{Fallback, Limit};

impl Task {
    /// Keeps the first reason for which a session that was to cross is told to reconnect.
    pub(super) fn note_fallback(&mut self, before: Phase, event: Event) {
        let Some(moving) = &mut self.moving else { return };
        let reason = match (before, event) {
            (Phase::Stopping, Event::Deadline) => Fallback::Boundary,
            (Phase::Draining, Event::Deadline) => stalled_by(&self.down, &self.limits),
            (Phase::Attaching, Event::Deadline) => Fallback::SwitchTimeout,
            (Phase::Relaying, Event::TakeOver { whole: false, .. }) => Fallback::SourceGone,
            (_, Event::SourceEof) => Fallback::SourceGone,
            (_, Event::Cut) if self.dismissal.is_none() => Fallback::HoldTimeout,
            (_, _) => return,
        };
        moving.fallback.get_or_insert(reason);
    }

    /// Counts the bound of time that ended a phase.
    pub(super) fn note_limit(&self, before: Phase, event: Event) {
        let limit = match (before, event) {
            (Phase::Stopping, Event::Deadline) => Limit::BoundaryTimeout,
            (Phase::Draining, Event::Deadline) if stalled_by(&self.down, &self.limits) == Fallback::Boundary => {
                Limit::BoundaryTimeout
            }
            (Phase::Attaching, Event::Deadline) => Limit::SwitchTimeout,
            (Phase::Closing | Phase::Leaving, Event::Deadline) => Limit::CloseDeadline,
            (_, _) => return,
        };
        self.metrics.limit_hits.of(limit).inc();
    }
}

/// Says who is waited for while a source's last messages are brought to the client, as the reason that it would be.
pub(super) fn stalled_by(down: &Direction, limits: &Limits) -> Fallback {
    if down.is_owing(limits) {
        Fallback::Stalled
    } else if down.has_arrived_at_boundary() {
        Fallback::Short
    } else {
        Fallback::Boundary
    }
}
