//! What readers that stop do to the gateway and to everybody else.

use std::collections::{BTreeMap, HashMap};

use handover_protocol::id::BoardId;
use serde::Serialize;

use super::{MemoryGrowth, MemoryTrace, Quantiles};
use crate::user::{Micros, Reader, Record, SocketEnd};

/// What was seen while readers had stopped.
#[derive(Debug, Clone, Copy)]
pub struct Jammed {
    /// When they stopped.
    pub at: Micros,
    /// What waited for them.
    pub seen: SeenAt,
    /// Sessions that the gateway says it has ended because their client took nothing; absent where it was not asked.
    pub stalls: Option<u64>,
}

/// Where it was seen what waits for readers that have stopped.
#[derive(Debug, Clone, Copy)]
pub enum SeenAt {
    /// In the kernel at the other end of their connections, which is this machine's.
    OtherEnd {
        /// Connections at most that had more waiting than is ever under way to a reader.
        connections: u64,
        /// What waited for them at most.
        bytes: u64,
    },
    /// At the users' own end only: the other one is on another machine, or in another network namespace.
    OwnEnd {
        /// Connections at most on which something lay unread from one look to the next.
        connections: u64,
        /// What lay there at most.
        unread_bytes: u64,
    },
}

/// Readers that stopped, and what it cost the gateway and the others.
#[derive(Debug, Clone, Serialize)]
pub struct SlowReport {
    /// When they stopped, in milliseconds of the run.
    pub at_ms: f64,
    /// How many stopped.
    pub stopped: u64,
    /// Where it was seen what waited for them.
    pub seen_at: End,
    /// Connections for which more waited than is ever under way to a reader: at once, where the other end was seen.
    pub waiting_connections: u64,
    /// What waited for them at most: in the kernel at the other end, or, where that was not seen, what others on their
    /// boards were shown and they were not.
    pub waiting_bytes: u64,
    /// What lay unread at the users' own end at most; absent where the other end was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_bytes: Option<u64>,
    /// Sessions that the gateway says it has ended because their client took nothing; absent where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalls: Option<u64>,
    /// The gateway's memory before and meanwhile; absent where it was not weighed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_memory: Option<MemoryGrowth>,
    /// By how much it grew: what it was meanwhile at most, less the median before.
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

/// One end of the users' connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The gateway's, or of what stands before it.
    Other,
    /// The users'.
    Own,
}

impl SlowReport {
    pub(crate) fn measure(jammed: Jammed, stopped: u64, records: &[Record], memory: Option<&MemoryTrace>) -> Self {
        let latencies = |is_meant: fn(Micros, Micros) -> bool| {
            let changes = records.iter().flat_map(|record| &record.changes);
            let changes = changes.filter(move |change| is_meant(change.due, jammed.at));
            Quantiles::of(changes.filter_map(|change| change.latency()).map(u64::from))
        };
        let memory = memory.and_then(|memory| memory.growth_from(jammed.at));
        let waiting = Waiting::of(jammed.seen, records);
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
            seen_at: waiting.seen_at,
            waiting_connections: waiting.connections,
            waiting_bytes: waiting.bytes,
            unread_bytes: waiting.unread_bytes,
            stalls: jammed.stalls,
            gateway_memory: memory,
            gateway_growth_bytes: memory.map(|memory| memory.bytes()),
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
        self.stopped == 0 || self.waiting_connections > 0 || self.stalls > Some(0)
    }
}

/// What waited for the readers, however it was found.
struct Waiting {
    seen_at: End,
    connections: u64,
    bytes: u64,
    unread_bytes: Option<u64>,
}

impl Waiting {
    fn of(seen: SeenAt, records: &[Record]) -> Self {
        match seen {
            SeenAt::OtherEnd { connections, bytes } => Self {
                seen_at: End::Other,
                connections,
                bytes,
                unread_bytes: None,
            },
            SeenAt::OwnEnd {
                connections,
                unread_bytes,
            } => {
                let owed: Vec<u64> = owed(records).filter(|bytes| *bytes >= OWED_BYTES_MIN).collect();
                Self {
                    seen_at: End::Own,
                    // One that has nothing unread was cut, or is on a board on which nobody draws.
                    connections: connections.min(owed.len() as u64),
                    bytes: owed.iter().sum::<u64>().saturating_sub(unread_bytes),
                    unread_bytes: Some(unread_bytes),
                }
            }
        }
    }
}

/// Returns for each reader that has stopped what a reader of the same board was shown meanwhile.
fn owed(records: &[Record]) -> impl Iterator<Item = u64> + '_ {
    let mut shown: HashMap<&BoardId, u64> = HashMap::new();
    for record in records {
        let shown = shown.entry(&record.board).or_default();
        *shown = record.jam_bytes.max(*shown);
    }
    let stuck = records.iter().filter(|record| record.reader == Reader::Stuck);
    stuck.map(move |record| shown.get(&record.board).copied().unwrap_or_default())
}

/// As much as counts as waiting where the other end is seen: far more than is under way to somebody who reads.
const OWED_BYTES_MIN: u64 = 256 * 1024;

/// What the gateway may keep of one session that takes nothing: one reading, and what an allocator makes of it.
const SESSION_BYTES_MAX: u64 = 128 * 1024;

/// What its memory grows by for other reasons meanwhile.
const SLACK_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::UserName;

    fn record(board: &str, reader: Reader, jam_bytes: u64) -> Record {
        let mut record = Record::new(board.parse().unwrap(), UserName::new("u"));
        (record.reader, record.jam_bytes) = (reader, jam_bytes);
        record
    }

    fn measured(seen: SeenAt, stalls: Option<u64>, shown: u64) -> SlowReport {
        let records = [
            record("busy", Reader::Prompt, shown / 2),
            record("busy", Reader::Prompt, shown),
            record("busy", Reader::Stuck, 0),
            record("quiet", Reader::Stuck, 0),
        ];
        let (at, stopped) = (0, 2);
        SlowReport::measure(Jammed { at, seen, stalls }, stopped, &records, None)
    }

    #[test]
    fn who_cannot_see_the_other_end_goes_by_what_others_were_shown_and_by_the_gateways_word() {
        let (connections, unread_bytes) = (1, 2_304);
        let own = SeenAt::OwnEnd {
            connections,
            unread_bytes,
        };
        let felt = measured(own, None, 10 << 20);
        assert_eq!((felt.seen_at, felt.waiting_connections), (End::Own, 1));
        assert_eq!(
            (felt.waiting_bytes, felt.unread_bytes),
            ((10 << 20) - 2_304, Some(2_304))
        );
        assert!(felt.was_felt() && felt.is_ok());
        // So little may all be on its way.
        assert!(!measured(own, None, 200_000).was_felt());
        assert!(measured(own, Some(1), 200_000).was_felt());
        // Nothing lies unread: they have read it, whatever they were to do.
        let (connections, unread_bytes) = (0, 0);
        let own = SeenAt::OwnEnd {
            connections,
            unread_bytes,
        };
        assert!(!measured(own, Some(0), 10 << 20).was_felt());
    }

    #[test]
    fn who_sees_the_other_end_goes_by_it() {
        let seen = |connections, bytes| measured(SeenAt::OtherEnd { connections, bytes }, None, 10 << 20);
        assert!(!seen(0, 0).was_felt());
        let felt = seen(2, 5 << 20);
        assert!(felt.was_felt() && felt.seen_at == End::Other);
        assert_eq!((felt.waiting_bytes, felt.unread_bytes), (5 << 20, None));
    }
}
