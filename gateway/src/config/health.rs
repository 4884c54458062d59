//! How servers are asked how they are, and what it takes to believe that one is gone.

use std::time::Duration;

use handover_protocol::machine::health::Thresholds;

/// What `[health]` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// How often a server that answers is asked.
    pub interval: Duration,
    /// From the question to the whole answer.
    pub timeout: Duration,
    /// How much evidence is enough.
    pub thresholds: Thresholds,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            interval: INTERVAL,
            timeout: TIMEOUT,
            thresholds: Thresholds {
                down_after: DOWN_AFTER,
                refused_down_after: REFUSED_DOWN_AFTER,
                up_after: UP_AFTER,
            },
        }
    }
}

/// A server that is not ready takes no newcomers for at most this long after it said so.
const INTERVAL: Duration = Duration::from_secs(1);

/// A server that is alive answers within milliseconds; one that is busy has this long.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Three questions: one that is lost or slow is not yet a server that is.
const DOWN_AFTER: Duration = Duration::from_secs(3);

/// A process that is replaced in place listens again within less, where its socket is kept open for it.
const REFUSED_DOWN_AFTER: Duration = Duration::from_millis(400);

/// A server that answers once is there; raise it where servers flap.
const UP_AFTER: u32 = 1;
