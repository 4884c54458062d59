//! Looks on while a run goes: open boards per server, how long each admin GET takes, and what the processes hold.
//!
//! Each path is asked by a task of its own at a fixed beat. A look that is late because the last one was slow counts
//! from its beat: a stalled gateway is not spared the looks that it would have failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handover_protocol::admin::ServerList;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::report::{CallReport, MemoryTrace, ProcessReport, Quantiles, TracePoint, WeighedBy};
use crate::user::{Clock, Micros};

use super::admin::AdminClient;
use super::gauges::resident_bytes;
use super::scales::{Scales, Weight};

/// Looks on until it is asked what it saw.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    scales: Scales,
    messages: u64,
    tasks: JoinSet<()>,
    asking: JoinSet<()>,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    trace: Vec<TracePoint>,
    calls: BTreeMap<String, Calls>,
    weights: Vec<Weight>,
    gateway_memory: Option<MemoryTrace>,
}

#[derive(Default)]
struct Calls {
    took: Vec<Micros>,
    failed: u64,
    bytes_max: u64,
}

/// What was seen, for the report.
#[derive(Debug, Clone, Default)]
pub struct Sights {
    /// Open boards per server.
    pub trace: Vec<TracePoint>,
    /// Each admin GET.
    pub calls: Vec<CallReport>,
    /// Each process.
    pub processes: Vec<ProcessReport>,
    /// The gateway's memory; absent where it was not weighed.
    pub gateway_memory: Option<MemoryTrace>,
}

impl Watch {
    /// Looks at the boards of each server, and at what the processes hold.
    ///
    /// `messages` have crossed the gateway so far.
    pub fn start(admin: Option<&AdminClient>, clock: Clock, scales: Scales, messages: u64) -> Self {
        let seen = Seen {
            weights: scales.weigh(),
            ..Seen::default()
        };
        let mut watch = Self {
            seen: Arc::new(Mutex::new(seen)),
            scales,
            messages,
            tasks: JoinSet::new(),
            asking: JoinSet::new(),
        };
        if let Some(admin) = admin {
            watch.trace(admin.clone(), clock);
        }
        watch.weigh(clock);
        watch
    }

    /// Asks the admin API for each path as well, from now on.
    pub fn ask(&mut self, admin: &AdminClient, clock: Clock, paths: &[String]) {
        for path in paths {
            let (admin, path, seen) = (admin.clone(), path.clone(), Arc::clone(&self.seen));
            self.asking.spawn(async move {
                let mut beat = clock.now();
                loop {
                    let answer = admin.read(&path).await;
                    let took = clock.now().saturating_sub(beat);
                    {
                        let mut seen = lock(&seen);
                        let calls = seen.calls.entry(path.clone()).or_default();
                        match answer {
                            Ok(body) => {
                                calls.took.push(took);
                                calls.bytes_max = calls.bytes_max.max(body.len() as u64);
                            }
                            Err(_) => calls.failed += 1,
                        }
                    }
                    beat += BEAT.as_micros() as Micros;
                    sleep_until(clock.moment(beat)).await;
                }
            });
        }
    }

    /// Asks no more; what is under way is not counted.
    pub async fn stop_asking(&mut self) {
        self.asking.shutdown().await;
    }

    /// Asks the gateway itself for its memory, where it is no process that can be looked at.
    pub fn weigh_by_metrics(&mut self, admin: &AdminClient, clock: Clock) {
        if self.scales.gateway_bytes().is_some() {
            return;
        }
        let (admin, seen) = (admin.clone(), Arc::clone(&self.seen));
        self.tasks.spawn(async move {
            loop {
                let metrics = admin.metrics().await.ok();
                if let Some(bytes) = metrics.and_then(|metrics| resident_bytes(&metrics)) {
                    lock(&seen).note_memory(WeighedBy::Metrics, clock.now(), bytes);
                }
                tokio::time::sleep(METRICS_BEAT).await;
            }
        });
    }

    /// Looks away and tells; so many `sessions` were there, and so many `messages` have crossed the gateway by now.
    pub async fn finish(mut self, sessions: u64, messages: u64) -> Sights {
        self.scales.look(&mut lock(&self.seen).weights);
        self.asking.shutdown().await;
        self.tasks.shutdown().await;
        let seen = std::mem::take(&mut *lock(&self.seen));
        let calls = seen.calls.into_iter().map(|(path, calls)| CallReport {
            path,
            failed: calls.failed,
            bytes_max: calls.bytes_max,
            ms: Quantiles::of(calls.took),
        });
        Sights {
            trace: seen.trace,
            calls: calls.collect(),
            processes: self.scales.reports(&seen.weights, sessions, messages - self.messages),
            gateway_memory: seen.gateway_memory,
        }
    }

    fn trace(&mut self, admin: AdminClient, clock: Clock) {
        let seen = Arc::clone(&self.seen);
        self.tasks.spawn(async move {
            let mut beat = clock.now();
            loop {
                let answer = admin.read("/v1/servers").await;
                let list = answer
                    .ok()
                    .and_then(|body| serde_json::from_slice::<ServerList>(&body).ok());
                if let Some(list) = list {
                    let boards = list.servers.into_iter();
                    let point = TracePoint {
                        ms: clock.now() as f64 / 1e3,
                        boards: boards.map(|server| (server.name.to_string(), server.boards)).collect(),
                    };
                    lock(&seen).trace.push(point);
                }
                beat += BEAT.as_micros() as Micros;
                sleep_until(clock.moment(beat)).await;
            }
        });
    }

    fn weigh(&mut self, clock: Clock) {
        let (scales, seen) = (self.scales.clone(), Arc::clone(&self.seen));
        self.tasks.spawn(async move {
            loop {
                {
                    let mut seen = lock(&seen);
                    scales.look(&mut seen.weights);
                    if let Some(bytes) = scales.gateway_bytes() {
                        seen.note_memory(WeighedBy::OperatingSystem, clock.now(), bytes);
                    }
                }
                tokio::time::sleep(BEAT).await;
            }
        });
    }
}

impl Seen {
    fn note_memory(&mut self, weighed_by: WeighedBy, at: Micros, bytes: u64) {
        let empty = || MemoryTrace {
            weighed_by,
            looks: Vec::new(),
        };
        self.gateway_memory.get_or_insert_with(empty).looks.push((at, bytes));
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    // Whatever was pushed before a panic is whole.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two looks.
const BEAT: Duration = Duration::from_millis(200);
/// Between two looks at the gateway's metrics, which cost it something.
const METRICS_BEAT: Duration = Duration::from_secs(1);
