//! How long a session may stay in a phase.

use std::time::Duration;

use handover_protocol::machine::session::Phase;

use crate::config::Route;

/// Returns the phase's longest time; none where somebody else ends it.
pub(super) fn longest(phase: Phase, route: &Route) -> Option<Duration> {
    match phase {
        Phase::Stopping => Some(route.boundary_timeout),
        Phase::Draining => Some(DRAIN_STALL),
        Phase::Confirming => Some(route.quiet_max),
        Phase::Closing => Some(CLOSE_SOURCE),
        Phase::Attaching => Some(route.switch_timeout),
        Phase::Leaving => Some(route.close_deadline),
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

/// From our Close to an opaque source's end of stream.
const CLOSE_SOURCE: Duration = Duration::from_secs(1);

/// What an upstream still says when its client has gone is read for so long, so that it gets everything we passed on.
pub(super) const FINISH: Duration = Duration::from_secs(5);
