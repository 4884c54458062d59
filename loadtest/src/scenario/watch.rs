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

use crate::report::{CallReport, ProcessReport, Quantiles, TracePoint};
use crate::user::{Clock, Micros};

use super::admin::AdminClient;

/// Looks on until it is asked what it saw.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
    asking: JoinSet<()>,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    trace: Vec<TracePoint>,
    calls: BTreeMap<String, Calls>,
    processes: Vec<ProcessReport>,
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
}

impl Watch {
    /// Looks at the boards of each server, and at what the processes hold.
    pub fn start(admin: Option<&AdminClient>, clock: Clock, pids: &[(String, i32)]) -> Self {
        let mut watch = Self {
            seen: Arc::default(),
            tasks: JoinSet::new(),
            asking: JoinSet::new(),
        };
        if let Some(admin) = admin {
            watch.trace(admin.clone(), clock);
        }
        watch.weigh(pids);
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

    /// Looks away and tells.
    pub async fn finish(mut self) -> Sights {
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
            processes: seen.processes,
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

    fn weigh(&mut self, pids: &[(String, i32)]) {
        let pids: Vec<_> = pids.to_vec();
        let first = pids.iter().map(|(name, pid)| {
            let rss = resident_bytes(*pid).unwrap_or_default();
            ProcessReport {
                name: name.clone(),
                rss_bytes_before: rss,
                rss_bytes_max: rss,
            }
        });
        lock(&self.seen).processes = first.collect();
        let seen = Arc::clone(&self.seen);
        self.tasks.spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                let mut seen = lock(&seen);
                for ((_, pid), report) in pids.iter().zip(&mut seen.processes) {
                    let rss = resident_bytes(*pid).unwrap_or_default();
                    report.rss_bytes_max = report.rss_bytes_max.max(rss);
                }
            }
        });
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    // Whatever was pushed before a panic is whole.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads how much memory of a process is resident; absent where there is no such process, or no procfs.
pub(super) fn resident_bytes(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Between two looks.
const BEAT: Duration = Duration::from_millis(200);
