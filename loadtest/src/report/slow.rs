//! What readers that stop do to the gateway and to everybody else.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ProcessReport, Quantiles};
use crate::user::{Micros, Record, SocketEnd};

/// What was seen while readers had stopped.
#[derive(Debug, Clone, Copy)]
pub struct Jammed {
    /// When they stopped.
    pub at: Micros,
    /// How much memory of the gateway was resident then; nothing where it was not watched.
    pub gateway_bytes: Option<u64>,
    /// Connections at most that had more waiting in the gateway's kernel than is ever under way to a reader.
    pub waiting_connections: u64,
    /// What waited for them at most.
    pub waiting_bytes: u64,
}

/// Readers that stopped, and what it cost the gateway and the others.
#[derive(Debug, Clone, Serialize)]
pub struct SlowReport {
    /// When they stopped, in milliseconds of the run.
    pub at_ms: f64,
    /// How many stopped.
    pub stopped: u64,
    /// Of how many connections at once the kernel took nothing more.
    pub waiting_connections: u64,
    /// What waited in the gateway's kernel for them, at most.
    pub waiting_bytes: u64,
    /// By how much the gateway's memory grew after that, at most; absent where it was not watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_growth_bytes: Option<u64>,
    /// How much it may.
    pub gateway_growth_bytes_max: u64,
    /// How their connections ended meanwhile: by a close code, or `broken`.
    pub ends: BTreeMap<String, u64>,
    /// Latency of the others before.
    pub latency_before_ms: Quantiles,
    /// Latency of the others from then on.
    pub latency_ms: Quantiles,
}

impl SlowReport {
    pub(crate) fn measure(jammed: Jammed, stopped: u64, records: &[Record], processes: &[ProcessReport]) -> Self {
        let latencies = |is_meant: fn(Micros, Micros) -> bool| {
            let changes = records.iter().flat_map(|record| &record.changes);
            let changes = changes.filter(move |change| is_meant(change.due, jammed.at));
            Quantiles::of(changes.filter_map(|change| change.latency()).map(u64::from))
        };
        let gateway = processes.iter().find(|process| process.rss_bytes_per_session.is_some());
        let growth = gateway.zip(jammed.gateway_bytes);
        let sockets = records.iter().flat_map(|record| &record.sockets);
        let mut ends = BTreeMap::new();
        for socket in sockets.filter(|socket| socket.told.is_some_and(|told| told >= jammed.at)) {
            let end = match socket.end {
                Some(SocketEnd::Closed(code)) => code.to_string(),
                Some(SocketEnd::Broken) => "broken".to_owned(),
                Some(SocketEnd::Commanded | SocketEnd::Dropped | SocketEnd::GreetedAnew | SocketEnd::Left) | None => {
                    continue;
                }
            };
            *ends.entry(end).or_default() += 1;
        }
        Self {
            at_ms: jammed.at as f64 / 1e3,
            stopped,
            waiting_connections: jammed.waiting_connections,
            waiting_bytes: jammed.waiting_bytes,
            gateway_growth_bytes: growth.map(|(gateway, before)| gateway.rss_bytes_max.saturating_sub(before)),
            gateway_growth_bytes_max: stopped * SESSION_BYTES_MAX + SLACK_BYTES,
            ends,
            latency_before_ms: latencies(|due, at| due < at),
            latency_ms: latencies(|due, at| due >= at),
        }
    }

    /// Reads whether the readers were felt, and the gateway's memory was bounded all the same.
    pub fn is_ok(&self) -> bool {
        let is_bounded = self
            .gateway_growth_bytes
            .is_none_or(|growth| growth <= self.gateway_growth_bytes_max);
        self.was_felt() && is_bounded
    }

    /// Reads whether so much was sent to them that the gateway had to stop; else the run has shown nothing.
    pub fn was_felt(&self) -> bool {
        self.stopped == 0 || self.waiting_connections > 0
    }
}

/// What the gateway may keep of one session that takes nothing: one reading, and what an allocator makes of it.
const SESSION_BYTES_MAX: u64 = 128 * 1024;

/// What its memory grows by for other reasons meanwhile.
const SLACK_BYTES: u64 = 8 << 20;
