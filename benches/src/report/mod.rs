//! What a run has shown: as a table, as JSON, and as a picture.

mod picture;
mod table;

use std::collections::BTreeMap;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::load::Outcome;
use crate::peer::Peer;
use crate::rounds::Outcomes;
use crate::statistics::Median;

pub use picture::picture;
pub use table::table;

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The command that repeats it.
    pub command: String,
    /// The machine and the programs' versions.
    pub machine: BTreeMap<String, String>,
    /// The figures, in the order in which they were measured.
    pub figures: Vec<Shown>,
}

/// What a run has shown of one figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// The figure's name.
    pub name: String,
    /// What it is.
    pub title: String,
    /// What it is counted in.
    pub unit: String,
    /// Each peer.
    pub peers: BTreeMap<Peer, OfPeer>,
    /// What was seen, round by round.
    pub rounds: Outcomes,
}

/// What a run has shown of one peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OfPeer {
    /// In the figure's unit.
    pub value: Median,
    /// Beside each other proxy, in the same round.
    pub ratios: BTreeMap<Peer, Median>,
    /// Of the latencies' 50th and 99th percentile, what the way through it adds to the direct one, in microseconds.
    pub added: Option<[Median; 2]>,
    /// The share of a core that the peer used, that the backend and the load used together.
    pub cores: [f64; 2],
    /// What a tracer has counted for each message, by name.
    pub traced: BTreeMap<String, f64>,
    /// The memory that is left once all sessions have gone, beside that of the start.
    pub left: Option<Median>,
}

impl Shown {
    /// Works out what the rounds have shown.
    pub fn of(figure: &Figure, rounds: Outcomes) -> Self {
        let peers = rounds
            .iter()
            .filter_map(|(peer, outcomes)| Some((*peer, OfPeer::of(figure, *peer, outcomes, &rounds)?)))
            .collect();
        Self {
            name: figure.name.to_owned(),
            title: figure.title.to_owned(),
            unit: figure.unit.text().to_owned(),
            peers,
            rounds,
        }
    }
}

impl OfPeer {
    fn of(figure: &Figure, peer: Peer, outcomes: &[Outcome], rounds: &Outcomes) -> Option<Self> {
        let values = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| figure.value(outcome)).collect::<Vec<_>>();
        let own = values(outcomes);
        let ratios = rounds
            .iter()
            .filter(|(other, _)| **other != peer && **other != Peer::Direct)
            .filter_map(|(other, outcomes)| {
                let pairs = own.iter().zip(values(outcomes));
                Some((*other, Median::of(pairs.map(|(own, other)| own / other))?))
            })
            .collect();
        let added = rounds
            .get(&Peer::Direct)
            .filter(|_| peer != Peer::Direct)
            .and_then(|direct| {
                let at = |quantile: usize| {
                    Median::of(outcomes.iter().zip(direct).filter_map(|(through, direct)| {
                        Some(through.latency?[quantile] as f64 - direct.latency?[quantile] as f64)
                    }))
                };
                Some([at(0)?, at(2)?])
            });
        let share = |cpu: &dyn Fn(&Outcome) -> f64| {
            let shares = outcomes.iter().map(|outcome| cpu(outcome) / outcome.seconds);
            Median::of(shares).map_or(0.0, |median| median.value)
        };
        Some(Self {
            value: Median::of(own.iter().copied())?,
            ratios,
            added,
            cores: [
                share(&|outcome| outcome.peer_cpu),
                share(&|outcome| outcome.backend_cpu + outcome.load_cpu),
            ],
            traced: outcomes
                .iter()
                .filter_map(|outcome| Some((outcome.traced.as_ref()?, outcome.count as f64)))
                .flat_map(|(traced, count)| {
                    traced
                        .iter()
                        .map(move |(name, calls)| (name.clone(), *calls as f64 / count))
                })
                .collect(),
            left: Median::of(
                outcomes
                    .iter()
                    .filter_map(|outcome| outcome.memory.map(|[before, _, after]| after as f64 / before as f64)),
            ),
        })
    }
}

/// Tells the machine and the versions of what was measured.
pub fn machine(programs: &crate::peer::Programs) -> BTreeMap<String, String> {
    let first_line = |command: &mut Command| {
        let output = command.output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().next().map(str::to_owned)
    };
    let of_file = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned())
    };
    let known = [
        ("processor", of_file("/proc/cpuinfo", "model name")),
        (
            "cores",
            std::thread::available_parallelism().ok().map(|cores| cores.to_string()),
        ),
        ("kernel", of_file("/proc/sys/kernel/osrelease", "")),
        ("nginx", first_line(Command::new(&programs.nginx).arg("-v"))),
        ("haproxy", first_line(Command::new(&programs.haproxy).arg("-v"))),
        (
            "handover",
            first_line(Command::new(&programs.handover).arg("--version")),
        ),
    ];
    known
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}
