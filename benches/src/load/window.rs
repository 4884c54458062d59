//! The part of a work in which it is watched.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Reads what the process or processes under watch have used.
pub trait Meter {
    /// Returns the CPU time of the peer so far.
    fn peer_cpu(&self) -> Duration;

    /// Returns the resident memory of the peer, in bytes.
    fn peer_memory(&self) -> u64;

    /// Returns the CPU time of the backend so far.
    fn backend_cpu(&self) -> Duration;

    /// Returns the CPU time of the load so far.
    fn load_cpu(&self) -> Duration;
}

/// What a work has shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Messages that passed, each way counted; sessions where those come and go.
    pub count: u64,
    /// How long it was watched.
    pub seconds: f64,
    /// CPU time of the peer, in seconds.
    pub peer_cpu: f64,
    /// CPU time of the backend, in seconds.
    pub backend_cpu: f64,
    /// CPU time of the load, in seconds.
    pub load_cpu: f64,
    /// From when a message was due until its answer came, in microseconds, by quantile: 0.5, 0.9, 0.99, 0.999, 1.
    pub latency: Option<[u64; 5]>,
    /// What a tracer has counted, by name: system calls, or instructions.
    pub traced: Option<BTreeMap<String, u64>>,
    /// Resident bytes of the peer before, with all sessions, and after they have left.
    pub memory: Option<[u64; 3]>,
}

/// For how long a work is watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// So long, once the warm-up is over.
    Time {
        /// From when all sessions are open.
        warm_up: Duration,
        /// From then on.
        window: Duration,
    },
    /// From the first message until so many, or somewhat more, have passed.
    Count(u64),
}

/// Watches from its start to its end.
pub(super) struct Window<'a> {
    meter: &'a dyn Meter,
    start: Instant,
    length: Length,
    at_start: Option<[Duration; 3]>,
    began: Instant,
    pub(super) count: u64,
    pub(super) latency: Histogram<u64>,
}

impl<'a> Window<'a> {
    /// Watches for `length`.
    pub(super) fn new(meter: &'a dyn Meter, length: Length) -> Self {
        let now = Instant::now();
        let start = match length {
            Length::Time { warm_up, .. } => now + warm_up,
            Length::Count(_) => now,
        };
        let mut window = Self {
            meter,
            start,
            length,
            at_start: None,
            began: now,
            count: 0,
            latency: Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are sound"),
        };
        window.look();
        window
    }

    /// Reads whether what happens now counts.
    pub(super) fn is_watching(&self) -> bool {
        self.at_start.is_some()
    }

    /// Looks at the clock; returns what was seen once the window is over.
    pub(super) fn look(&mut self) -> Option<Outcome> {
        let now = Instant::now();
        let Some(before) = self.at_start else {
            if now >= self.start {
                self.at_start = Some(self.readings());
                self.began = Instant::now();
            }
            return None;
        };
        let is_over = match self.length {
            Length::Time { window, .. } => now >= self.began + window,
            Length::Count(count) => self.count >= count,
        };
        if !is_over {
            return None;
        }
        let after = self.readings();
        let [peer_cpu, backend_cpu, load_cpu] =
            std::array::from_fn(|at| after[at].saturating_sub(before[at]).as_secs_f64());
        let latency = &self.latency;
        Some(Outcome {
            count: self.count,
            seconds: now.duration_since(self.began).as_secs_f64(),
            peer_cpu,
            backend_cpu,
            load_cpu,
            latency: (!latency.is_empty())
                .then(|| [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| latency.value_at_quantile(quantile))),
            memory: None,
            traced: None,
        })
    }

    fn readings(&self) -> [Duration; 3] {
        [self.meter.peer_cpu(), self.meter.backend_cpu(), self.meter.load_cpu()]
    }
}
