//! Brings the servers of the configuration file into a running gateway: new ones come, changed ones change, and those
//! that are gone from the file go, unless something still needs them.
//!
//! It is done in two steps, so that a reload which fails elsewhere has changed nothing: [`GatewayFleet::plan_roster`]
//! finds out what has to be done and what stands against it, [`RosterPlan::apply`] does it. In between nobody else names
//! servers, and no server that is to go is given a board. Servers of the admin API stay as they are, unless the file
//! names them as well: then they are the file's.

use std::collections::BTreeMap;
use std::sync::Arc;

use handover_protocol::admin::{ServerInUse, ServerOrigin, ServerWish, ServersReloaded};
use handover_protocol::{ReleaseName, ServerName};
use tokio::sync::MutexGuard;
use tracing::{error, info, warn};

use super::{GatewayFleet, attached};
use crate::config::{NamedFault, ServerConfig};
use crate::registry::RegistryError;
use crate::upstream::{Server, ServerMemory};

/// What has to be done to the servers; dropped, it has changed nothing.
pub struct RosterPlan<'a> {
    fleet: &'a GatewayFleet,
    wanted: &'a [ServerConfig],
    /// What operators have said, also of servers that have left before.
    memories: BTreeMap<ServerName, ServerMemory>,
    /// Those that must stay as they are, with what the file wants of them.
    in_use: Vec<(Arc<Server>, ServerWish)>,
    /// Those that go, also where others of the same names come in their places.
    going: Vec<Arc<Server>>,
    /// Those that were open to new boards before.
    closed: Vec<Arc<Server>>,
    /// Nobody else names servers meanwhile.
    _naming: MutexGuard<'a, ()>,
}

/// Says why the servers stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// What operators have said of servers cannot be read; try again once the registry answers.
    #[error("the registry does not say what is known of the servers: {0}")]
    Registry(#[from] RegistryError),
    /// A process would be named twice: by the file, and by the admin API or as a server that is still in use.
    #[error("{}", .fault.problem)]
    Fault {
        /// Its place in the file.
        index: usize,
        /// The field at fault.
        fault: NamedFault,
    },
    /// New boards would have nowhere to go: each server of their release is to replace one that is still in use.
    #[error("is {0}, and each server of that release would replace one that is still in use")]
    NoHome(ReleaseName),
}

impl GatewayFleet {
    /// Finds out what has to be done so that the file's servers are these. Nothing new goes to those that are to go.
    ///
    /// # Errors
    /// See [`RosterError`]; nothing has changed then.
    pub async fn plan_roster<'a>(
        &'a self,
        wanted: &'a [ServerConfig],
        current: &ReleaseName,
    ) -> Result<RosterPlan<'a>, RosterError> {
        let naming = self.naming.lock().await;
        let mut memories = BTreeMap::new();
        for (name, record) in self.registry.servers().await? {
            match ServerMemory::decode(&record) {
                Ok(memory) => drop(memories.insert(name, memory)),
                Err(error) => error!(server = %name, %error, "the registry's record of a server is damaged"),
            }
        }
        let mut plan = RosterPlan {
            fleet: self,
            wanted,
            memories,
            in_use: Vec::new(),
            going: Vec::new(),
            closed: Vec::new(),
            _naming: naming,
        };
        for server in self.servers.all() {
            let Some(wish) = plan.wish_for(&server) else { continue };
            if !server.is_leaving() {
                server.set_leaving(true);
                plan.closed.push(Arc::clone(&server));
            }
            match self.is_in_use(&server) {
                true => plan.in_use.push((server, wish)),
                false => plan.going.push(server),
            }
        }
        plan.check_processes()?;
        plan.check_home(current)?;
        Ok(plan)
    }
}

impl RosterPlan<'_> {
    /// Does what was planned, and says what came of it.
    pub async fn apply(mut self) -> ServersReloaded {
        self.closed.clear();
        let fleet = self.fleet;
        let mut outcome = ServersReloaded::default();
        for server in &self.going {
            if self.wanted_as(server.name()).is_some() {
                continue;
            }
            self.take_from_api(server).await;
            fleet.servers.remove(server.name());
            info!(server = %server.name(), "server removed: the configuration names it no more");
            outcome.removed.push(server.name().clone());
        }
        for config in self.wanted {
            if self.is_in_use(&config.name) {
                continue;
            }
            match fleet.servers.get(&config.name) {
                None => {
                    self.bring(config.clone());
                    outcome.added.push(config.name.clone());
                }
                Some(known) if known.is_reached_as(config) => {
                    let was_apis_own = known.origin() == ServerOrigin::Api;
                    self.take_from_api(&known).await;
                    known.set_leaving(false);
                    if was_apis_own || *known.allotment() != config.allotment {
                        known.allot(config.allotment.clone());
                        info!(server = %config.name, was_apis_own, "server changed by the configuration");
                        outcome.changed.push(config.name.clone());
                    }
                }
                Some(known) => {
                    self.take_from_api(&known).await;
                    self.bring(config.clone());
                    outcome.changed.push(config.name.clone());
                }
            }
        }
        let order: Vec<ServerName> = self.wanted.iter().map(|config| config.name.clone()).collect();
        fleet.servers.order(&order);
        let told = self.in_use.iter().map(|(server, wish)| self.told(server, *wish));
        outcome.still_in_use = told.collect();
        outcome
    }

    /// Says what the file wants of a server that is known; none where it may stay as it is.
    fn wish_for(&self, server: &Server) -> Option<ServerWish> {
        match (self.wanted_as(server.name()), server.origin()) {
            (Some(config), _) => (!server.is_reached_as(config)).then_some(ServerWish::Replaced),
            (None, ServerOrigin::Config) => Some(ServerWish::Removed),
            (None, ServerOrigin::Api) => None,
        }
    }

    fn wanted_as(&self, name: &ServerName) -> Option<&ServerConfig> {
        self.wanted.iter().find(|config| config.name == *name)
    }

    fn is_in_use(&self, name: &ServerName) -> bool {
        self.in_use.iter().any(|(server, _)| server.name() == name)
    }

    /// Refuses a process that would be named twice: its boards would be counted and placed as two servers'.
    fn check_processes(&self) -> Result<(), RosterError> {
        let stays = |server: &Arc<Server>| {
            let is_apis_own = server.origin() == ServerOrigin::Api && self.wanted_as(server.name()).is_none();
            is_apis_own || self.is_in_use(server.name())
        };
        let staying: Vec<_> = self.fleet.servers.all().into_iter().filter(stays).collect();
        for (index, config) in self.wanted.iter().enumerate() {
            for other in staying.iter().filter(|other| *other.name() != config.name) {
                let control = config.control.as_ref().map(|control| &control.url);
                let field = if *other.url() == config.url {
                    "url"
                } else if control.is_some() && other.control_url() == control {
                    "control_url"
                } else {
                    continue;
                };
                let problem = match other.origin() {
                    ServerOrigin::Config => {
                        let name = other.name();
                        format!("is that of server {name}, which is to go and is still in use; drain {name} first")
                    }
                    ServerOrigin::Api => {
                        let name = other.name();
                        format!("is that of server {name}, which the admin API has named; name each process once")
                    }
                };
                let fault = NamedFault { field, problem };
                return Err(RosterError::Fault { index, fault });
            }
        }
        Ok(())
    }

    /// Refuses what would leave new boards without a server until an operator has drained others.
    fn check_home(&self, current: &ReleaseName) -> Result<(), RosterError> {
        let mut named = self
            .wanted
            .iter()
            .filter(|config| config.release == *current)
            .peekable();
        let is_any_named = named.peek().is_some();
        let has_own = named.any(|config| !self.is_in_use(&config.name));
        let servers = self.fleet.servers.all();
        let is_apis_home = |server: &Arc<Server>| {
            server.origin() == ServerOrigin::Api && !self.is_in_use(server.name()) && server.release() == current
        };
        match is_any_named && !has_own && !servers.iter().any(is_apis_home) {
            true => Err(RosterError::NoHome(current.clone())),
            false => Ok(()),
        }
    }

    fn bring(&self, config: ServerConfig) {
        let fleet = self.fleet;
        let memory = self.memories.get(&config.name).cloned().unwrap_or_default();
        let server = fleet.servers.put(config, ServerOrigin::Config);
        server.remember(ServerMemory { named: None, ..memory });
        fleet.poller.start(&server);
        fleet.mover.look_after(&server, &fleet.poller.shutdown);
        let (url, release) = (server.url(), server.release());
        info!(server = %server.name(), %url, %release, "server named by the configuration");
    }

    /// Has the registry forget that the admin API has named a server: it is the file's from here on.
    async fn take_from_api(&self, server: &Server) {
        server.set_origin(ServerOrigin::Config);
        let before = server.memory();
        if before.named.is_none() {
            return;
        }
        let memory = ServerMemory { named: None, ..before };
        if let Err(error) = self.fleet.registry.put_server(server.name(), memory.encode()).await {
            // While the file names it that goes before; without the file's word it would come back with a restart.
            error!(server = %server.name(), %error, "the registry still knows a server as the admin API's");
        }
        server.remember(memory);
    }

    fn told(&self, server: &Server, wanted: ServerWish) -> ServerInUse {
        let name = server.name();
        let (boards, sessions) = (self.fleet.boards.owned_by(name) as u64, attached(server));
        warn!(server = %name, ?wanted, boards, sessions, "a server that is to go is still in use; drain it and reload again");
        ServerInUse {
            server: name.clone(),
            wanted,
            boards,
            sessions,
            fix: format!("still in use: drain it, as with `handover drain start --from {name}`, and reload again"),
        }
    }
}

impl Drop for RosterPlan<'_> {
    fn drop(&mut self) {
        for server in &self.closed {
            server.set_leaving(false);
        }
    }
}
