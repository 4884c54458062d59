//! The figures that are measured, and what each is counted in.

use crate::certificate::Handshakes;
use crate::load::{Outcome, Work};
use crate::peer::Peer;
use crate::tracer::Tracer;

/// One figure of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// What the clients do.
    pub work: Work,
    /// Whether they speak TLS, and how they begin.
    pub tls: Option<Handshakes>,
    /// What is compared.
    pub unit: Unit,
}

/// What a figure is counted in. Less is better in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds of the peer's CPU for each message that passes, or for each session that comes and goes.
    CpuMicros,
    /// Bytes of resident memory for each session.
    SessionBytes,
    /// What a tracer counts for each message that passes.
    Traced(Tracer),
}

impl Figure {
    /// Every figure, in the order in which they are measured.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "echo-64",
            title: "busy echo, 64 B",
            work: Work::Echo {
                sessions: 200,
                bytes: 64,
            },
            tls: None,
            unit: Unit::CpuMicros,
        },
        Self {
            name: "echo-1k",
            title: "busy echo, 1 KiB",
            work: Work::Echo {
                sessions: 200,
                bytes: 1024,
            },
            tls: None,
            unit: Unit::CpuMicros,
        },
        Self {
            name: "paced-64",
            title: "5,000 echoes/s, 64 B",
            work: Work::Paced {
                sessions: 200,
                bytes: 64,
                per_second: 5_000,
            },
            tls: None,
            unit: Unit::CpuMicros,
        },
        Self {
            name: "fan-20",
            title: "fan-out 1 to 20, 64 B",
            work: Work::Fan {
                boards: 10,
                listeners: 20,
                bytes: 64,
            },
            tls: None,
            unit: Unit::CpuMicros,
        },
        Self {
            name: "large",
            title: "busy echo, 1 MiB",
            work: Work::Echo {
                sessions: 4,
                bytes: 1024 * 1024,
            },
            tls: None,
            unit: Unit::CpuMicros,
        },
        Self {
            name: "churn",
            title: "a session that comes and goes",
            work: Work::Churn { at_once: 8 },
            tls: None,
            unit: Unit::CpuMicros,
        },
        Self {
            name: "echo-64-tls",
            title: "busy echo, 64 B, TLS 1.3",
            work: Work::Echo {
                sessions: 200,
                bytes: 64,
            },
            tls: Some(Handshakes::Resumed),
            unit: Unit::CpuMicros,
        },
        Self {
            name: "paced-64-tls",
            title: "5,000 echoes/s, 64 B, TLS 1.3",
            work: Work::Paced {
                sessions: 200,
                bytes: 64,
                per_second: 5_000,
            },
            tls: Some(Handshakes::Resumed),
            unit: Unit::CpuMicros,
        },
        Self {
            name: "churn-tls",
            title: "a session that comes and goes, TLS 1.3 in full",
            work: Work::Churn { at_once: 8 },
            tls: Some(Handshakes::Full),
            unit: Unit::CpuMicros,
        },
        Self {
            name: "churn-tls-resumed",
            title: "a session that comes and goes, TLS 1.3 resumed",
            work: Work::Churn { at_once: 8 },
            tls: Some(Handshakes::Resumed),
            unit: Unit::CpuMicros,
        },
        Self {
            name: "idle",
            title: "an idle session",
            work: Work::Idle { sessions: 9_000 },
            tls: None,
            unit: Unit::SessionBytes,
        },
        Self {
            name: "idle-tls",
            title: "an idle session, TLS 1.3",
            work: Work::Idle { sessions: 9_000 },
            tls: Some(Handshakes::Full),
            unit: Unit::SessionBytes,
        },
        Self {
            name: "calls",
            title: "system calls per message, busy echo, 64 B",
            work: Work::Echo {
                sessions: 200,
                bytes: 64,
            },
            tls: None,
            unit: Unit::Traced(Tracer::Strace),
        },
        Self {
            name: "instructions",
            title: "instructions per message, busy echo, 64 B",
            work: Work::Echo {
                sessions: 20,
                bytes: 64,
            },
            tls: None,
            unit: Unit::Traced(Tracer::Callgrind),
        },
        Self {
            name: "instructions-churn",
            title: "instructions per session that comes and goes",
            work: Work::Churn { at_once: 8 },
            tls: None,
            unit: Unit::Traced(Tracer::Callgrind),
        },
    ];

    /// Reads whether a peer takes part.
    pub fn takes(&self, peer: Peer) -> bool {
        let is_able = self.tls.is_none() || peer.speaks_tls();
        match self.unit {
            Unit::CpuMicros => is_able,
            Unit::SessionBytes | Unit::Traced(_) => is_able && peer != Peer::Direct,
        }
    }

    /// Returns what an outcome comes to in the figure's unit.
    pub fn value(&self, outcome: &Outcome) -> f64 {
        let count = outcome.count as f64;
        match (self.unit, outcome.memory, &outcome.traced) {
            (Unit::CpuMicros, _, _) => outcome.peer_cpu * 1e6 / count,
            (Unit::SessionBytes, Some([before, during, _]), _) => during.saturating_sub(before) as f64 / count,
            (Unit::Traced(_), _, Some(traced)) => traced.values().sum::<u64>() as f64 / count,
            (Unit::SessionBytes, None, _) | (Unit::Traced(_), _, None) => f64::NAN,
        }
    }
}

impl Unit {
    /// Returns how the unit is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::CpuMicros => "µs of CPU",
            Self::SessionBytes => "bytes",
            Self::Traced(Tracer::Strace) => "calls",
            Self::Traced(Tracer::Callgrind) => "instructions",
        }
    }
}
