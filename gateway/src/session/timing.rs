//! How long a session may stay in a phase.

use std::time::Duration;

use handover_protocol::machine::session::Phase;
use tokio::time::Instant;

use crate::config::Route;

/// Returns the phase's longest time; none where somebody else ends it. `confirm_by` bounds the two phases in which an
/// opaque source is to confirm, together.
pub(super) fn longest(phase: Phase, route: &Route, confirm_by: Option<Instant>) -> Option<Duration> {
    match phase {
        Phase::Stopping => Some(route.boundary_timeout),
        Phase::Draining => Some(DRAIN_STALL),
        Phase::Pinged | Phase::Confirming => {
            Some(confirm_by.map_or(route.quiet_max, |by| by.saturating_duration_since(Instant::now())))
        }
        Phase::Orphaned => Some(route.hold_timeout),
        Phase::Attaching => Some(route.switch_timeout),
        Phase::Closing | Phase::Leaving => Some(route.close_deadline),
        Phase::Finishing => Some(FINISH),
        Phase::Relaying
        | Phase::Telling
        | Phase::Held
        | Phase::Drained
        | Phase::Detached
        | Phase::Attached
        | Phase::Ended => None,
    }
}

/// A client that takes nothing for so long leaves the barrier; nobody waits for it.
const DRAIN_STALL: Duration = Duration::from_secs(1);

/// What an upstream still says when its client has gone is read for so long, so that it gets everything we passed on.
pub(super) const FINISH: Duration = Duration::from_secs(5);
