//! The run itself: rounds over the peers, each in turn.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::certificate::Certificate;
use crate::cpu;
use crate::figure::{Figure, Unit};
use crate::load::{self, Door, Length, Meter, Outcome};
use crate::peer::{Peer, Programs, Running, cpu_of};
use crate::tracer;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How often each peer is looked at.
    pub rounds: usize,
    /// For how long, each time.
    pub length: Length,
    /// The peers that take part.
    pub peers: Vec<Peer>,
    /// The core of the proxies.
    pub proxy_core: usize,
    /// The core of clients and backend.
    pub load_core: usize,
}

/// What each peer has shown, round by round.
pub type Outcomes = BTreeMap<Peer, Vec<Outcome>>;

/// The processes of a run.
#[derive(Debug)]
pub struct Stage {
    programs: Programs,
    terms: Terms,
    certificate: Certificate,
    backend: Running,
    /// Those that are kept from figure to figure.
    peers: BTreeMap<Peer, Option<Running>>,
}

impl Stage {
    /// Starts the backend and every peer.
    ///
    /// # Errors
    /// When a program is missing or does not come up.
    pub fn set(programs: Programs, terms: Terms) -> io::Result<Self> {
        cpu::stay_on(terms.load_core)?;
        let certificate = Certificate::make()?;
        let mut command = Command::new(&programs.own);
        command.arg("backend");
        let backend = Running::announced(command)?;
        let mut peers = BTreeMap::new();
        for peer in &terms.peers {
            let running = peer
                .start(&programs, backend.address(), &certificate, terms.proxy_core, &[])
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", peer.name())))?;
            peers.insert(*peer, running);
        }
        Ok(Self {
            programs,
            terms,
            certificate,
            backend,
            peers,
        })
    }

    /// Measures a figure; `on_round` is told how many rounds of how many are over.
    ///
    /// # Errors
    /// When a peer loses a message or a connection: such a run is worth nothing.
    pub fn measure(&self, figure: &Figure, mut on_round: impl FnMut(usize, usize)) -> io::Result<Outcomes> {
        let tls = figure
            .tls
            .map(|handshakes| self.certificate.client(handshakes))
            .transpose()?;
        let mut outcomes = Outcomes::new();
        let rounds = match figure.unit {
            Unit::CpuMicros => self.terms.rounds,
            // What is counted is the same each time, or nearly.
            Unit::SessionBytes => self.terms.rounds.min(ROUNDS_OF_MEMORY),
            Unit::Traced(_) => 1,
        };
        for round in 0..rounds {
            for at in 0..self.terms.peers.len() {
                // Whoever is first in one round is last in the next: nobody always runs on a machine that rests.
                let peer = self.terms.peers[(at + round) % self.terms.peers.len()];
                if !figure.takes(peer) {
                    continue;
                }
                let outcome = self.look_at(figure, peer, tls.as_ref());
                let outcome = outcome.map_err(|error| {
                    io::Error::new(error.kind(), format!("{} by {}: {error}", figure.name, peer.name()))
                })?;
                outcomes.entry(peer).or_default().push(outcome);
            }
            on_round(round + 1, rounds);
        }
        Ok(outcomes)
    }

    fn look_at(&self, figure: &Figure, peer: Peer, tls: Option<&Arc<ClientConfig>>) -> io::Result<Outcome> {
        let start = |wrapper: &[&str]| {
            peer.start(
                &self.programs,
                self.backend.address(),
                &self.certificate,
                self.terms.proxy_core,
                wrapper,
            )
        };
        let run = |running: Option<&Running>, length| {
            let door = match running {
                Some(running) => running.door(tls.cloned()),
                None => Some(Door {
                    address: self.backend.address(),
                    tls: None,
                }),
            };
            let door = door.ok_or_else(|| io::Error::other("it has no such door"))?;
            let readings = Readings {
                peer: running,
                backend: &self.backend,
            };
            load::run(figure.work, &door, &readings, length)
        };
        match figure.unit {
            Unit::CpuMicros => run(self.peers.get(&peer).and_then(Option::as_ref), self.terms.length),
            Unit::SessionBytes => run(start(&[])?.as_ref(), self.terms.length),
            // The difference of two runs is free of what it takes to start and to open sessions.
            Unit::Traced(tracer) => {
                let [short, long] = tracer.counts().map(|count| {
                    tracer.trace(|wrapper| {
                        let running = start(wrapper)?.ok_or_else(|| io::Error::other("it is no process"))?;
                        let outcome = run(Some(&running), Length::Count(count))?;
                        running.end()?;
                        Ok(outcome)
                    })
                });
                Ok(tracer::difference(&short?, &long?))
            }
        }
    }
}

struct Readings<'a> {
    peer: Option<&'a Running>,
    backend: &'a Running,
}

impl Meter for Readings<'_> {
    fn peer_cpu(&self) -> Duration {
        cpu_of(self.peer)
    }

    fn peer_memory(&self) -> u64 {
        self.peer.map_or(0, |peer| {
            cpu::memory_of(peer.process()).expect("the peer lives as long as it is held")
        })
    }

    fn backend_cpu(&self) -> Duration {
        cpu_of(Some(self.backend))
    }

    fn load_cpu(&self) -> Duration {
        cpu::cpu_of(std::process::id()).expect("we are here")
    }
}

/// Finds the programs of these peers: ours beside this one, the others where Debian puts them.
///
/// # Errors
/// When one is missing, with how to get it.
pub fn find_programs(peers: &[Peer], handover: Option<PathBuf>) -> io::Result<Programs> {
    let own = std::env::current_exe()?;
    let handover = handover.unwrap_or_else(|| own.with_file_name("handover"));
    let programs = Programs {
        own,
        nginx: PathBuf::from("/usr/sbin/nginx"),
        haproxy: PathBuf::from("/usr/sbin/haproxy"),
        handover,
    };
    for (peer, program, remedy) in [
        (
            Peer::Handover,
            &programs.handover,
            "cargo build --release -p handover-gateway",
        ),
        (Peer::Nginx, &programs.nginx, "apt-get install nginx-light"),
        (Peer::Haproxy, &programs.haproxy, "apt-get install haproxy"),
    ] {
        if peers.contains(&peer) && !program.exists() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is missing: {remedy}", program.display()),
            ));
        }
    }
    Ok(programs)
}

const ROUNDS_OF_MEMORY: usize = 3;
