//! The clock of a run: microseconds since its start, and what they are in the gateway's time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the start of the run.
pub type Micros = u64;

/// One start for all users, and when that was on the wall.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    start_unix_us: f64,
}

impl Clock {
    /// Starts the clock now.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            start: Instant::now(),
            start_unix_us: since_epoch.as_secs_f64() * 1e6,
        }
    }

    /// Returns the time since the start.
    pub fn now(&self) -> Micros {
        self.start.elapsed().as_micros() as Micros
    }

    /// Returns the moment as the runtime's timers take it.
    pub fn moment(&self, at: Micros) -> tokio::time::Instant {
        (self.start + Duration::from_micros(at)).into()
    }

    /// Turns a time of the wall, in milliseconds since 1970, into time of the run; a time before the start is 0.
    pub fn from_unix_ms(&self, unix_ms: f64) -> Micros {
        (unix_ms * 1e3 - self.start_unix_us).max(0.0) as Micros
    }
}
