//! The table of board servers: who is named now, and which of them has room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use handover_protocol::ServerName;
use handover_protocol::admin::ServerOrigin;
use handover_protocol::machine::drain::relative_load;

use super::server::Server;
use crate::config::{Limits, NamedFault, ServerConfig};
use crate::telemetry::Metrics;
use crate::tls::SystemRoots;

/// Every server that is named, in the configuration or through the admin API.
#[derive(Debug)]
pub struct Servers {
    roster: ArcSwap<Roster>,
    /// Held while the roster changes.
    changing: Mutex<()>,
    call_timeout: Duration,
    /// The system's certificates, for servers that are named through the admin API.
    system: ArcSwap<SystemRoots>,
    metrics: Arc<Metrics>,
}

/// Who is named now.
#[derive(Debug, Clone, Default)]
struct Roster {
    by_name: HashMap<ServerName, Arc<Server>>,
    /// In the order of the configuration, then in the order of their naming.
    all: Vec<Arc<Server>>,
}

impl Servers {
    /// Takes the servers of the configuration; nothing has been heard of them yet.
    pub fn new(servers: &[ServerConfig], limits: &Limits, metrics: &Arc<Metrics>) -> Arc<Self> {
        let table = Arc::new(Self {
            roster: ArcSwap::default(),
            changing: Mutex::new(()),
            call_timeout: limits.control_call_timeout,
            system: ArcSwap::default(),
            metrics: Arc::clone(metrics),
        });
        for server in servers {
            table.put(server.clone(), ServerOrigin::Config);
        }
        table
    }

    /// Returns what the system trusts, as it was last read.
    pub fn system_roots(&self) -> Arc<SystemRoots> {
        self.system.load_full()
    }

    /// Has every server checked over TLS by files that were read anew: those of the configuration by what is said of them
    /// there now, the others by the files that they were named with. A server that comes, leaves or gets another URL only
    /// with a restart is passed over.
    ///
    /// Returns of which servers the files are of no use; those go on by what was read before.
    pub fn trust_anew(&self, configs: &[ServerConfig]) -> Vec<(ServerName, NamedFault)> {
        self.system.store(Arc::default());
        let system = self.system_roots();
        let mut faults = Vec::new();
        for server in self.all() {
            let trust = match (server.origin(), server.memory().named) {
                (ServerOrigin::Api, Some(request)) => {
                    match ServerConfig::named(server.name().clone(), &request, &system) {
                        Ok(config) => config.tls,
                        Err(fault) => {
                            faults.push((server.name().clone(), fault));
                            None
                        }
                    }
                }
                (ServerOrigin::Api, None) => None,
                (ServerOrigin::Config, _) => {
                    let control = |config: &ServerConfig| config.control.as_ref().map(|control| control.url.clone());
                    let is_same = |config: &&ServerConfig| {
                        config.name == *server.name()
                            && config.url == *server.url()
                            && control(config).as_ref() == server.control_url()
                    };
                    configs.iter().find(is_same).and_then(|config| config.tls.clone())
                }
            };
            if let Some(trust) = trust {
                server.trust(trust, &self.metrics);
            }
        }
        faults
    }

    /// Names a server; one of the same name leaves.
    pub fn put(&self, config: ServerConfig, origin: ServerOrigin) -> Arc<Server> {
        let name = config.name.clone();
        self.change(|roster| {
            let place = roster.all.iter().position(|server| *server.name() == name);
            let before = place.map(|place| Arc::clone(&roster.all[place]));
            if let Some(before) = &before {
                self.see_off(before);
            }
            let server = Server::new(config, origin, self.call_timeout, &self.metrics);
            let server = Arc::new(server);
            match place {
                Some(place) => roster.all[place] = Arc::clone(&server),
                None => roster.all.push(Arc::clone(&server)),
            }
            roster.by_name.insert(name, Arc::clone(&server));
            // Only now: a file that both are shown has its series all the time.
            if let Some(before) = before {
                before.forget_certificate_end();
            }
            server
        })
    }

    /// Names a server no more; whoever holds it sees by [`Server::left`] that it has gone.
    pub fn remove(&self, name: &ServerName) {
        self.change(|roster| {
            if let Some(server) = roster.by_name.remove(name) {
                roster.all.retain(|known| known.name() != name);
                self.see_off(&server);
                server.forget_certificate_end();
            }
        });
    }

    /// Puts those that are named here before all others, in this order: it decides between equals.
    pub fn order(&self, names: &[ServerName]) {
        let place = |server: &Arc<Server>| names.iter().position(|name| name == server.name());
        self.change(|roster| roster.all.sort_by_key(|server| place(server).unwrap_or(usize::MAX)));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Roster) -> T) -> T {
        // Nothing in between can panic.
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut roster = Roster::clone(&self.roster.load());
        let outcome = change(&mut roster);
        self.roster.store(Arc::new(roster));
        outcome
    }

    fn see_off(&self, server: &Server) {
        server.left().cancel();
        self.metrics.forget_server(server.name(), server.release());
    }

    /// Returns a server by its name.
    pub fn get(&self, name: &ServerName) -> Option<Arc<Server>> {
        self.roster.load().by_name.get(name).cloned()
    }

    /// Returns every server, in the order of the configuration, then in that of their naming.
    pub fn all(&self) -> Vec<Arc<Server>> {
        self.roster.load().all.clone()
    }

    /// Returns the ready server among those that are fit which has the least load for its weight; the first in the
    /// configuration of equals. One without a weight, or without room for one more, is none.
    pub fn least_loaded(
        &self,
        load: impl Fn(&Server) -> usize,
        is_fit: impl Fn(&Server) -> bool,
    ) -> Option<Arc<Server>> {
        let roster = self.roster.load();
        roster
            .all
            .iter()
            .filter(|server| server.is_ready() && server.allotment().weight > 0 && is_fit(server))
            .map(|server| (load(server), server))
            .filter(|(load, server)| server.room(*load) != Some(0))
            .min_by_key(|(load, server)| relative_load(*load as u64 + 1, server.allotment().weight))
            .map(|(_, server)| server)
            .cloned()
    }

    /// Reads whether a request comes from a board server itself; such a request is never parked, for the server may
    /// wait for it while a move waits for the server.
    ///
    /// Only a server's address beyond this machine tells so: who comes over the loopback may be anybody.
    pub fn is_servers_own(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        !peer.is_loopback() && self.roster.load().all.iter().any(|server| server.has_address(peer))
    }

    /// Reads whether any server was ever ready.
    pub fn has_met_ready(&self) -> bool {
        self.roster.load().all.iter().any(|server| server.status().was_ready)
    }

    /// Waits until every server has been asked once.
    pub async fn asked(&self) {
        let names: Vec<ServerName> = self.all().iter().map(|server| server.name().clone()).collect();
        self.asked_of(&names).await;
    }

    /// Waits until each of these servers has been asked once, or is named no more. Whoever waits sets the deadline: without a
    /// file or a port left, nobody can be asked.
    pub async fn asked_of(&self, names: &[ServerName]) {
        for server in names.iter().filter_map(|name| self.get(name)) {
            let mut watch = server.watch();
            let asked = watch.wait_for(|status| status.was_asked);
            // Cancel-safe: both only look. Nobody asks a server that has left.
            server.left().run_until_cancelled(asked).await;
        }
    }
}
