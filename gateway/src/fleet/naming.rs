//! Servers that the admin API names, changes and removes.

use handover_protocol::ServerName;
use handover_protocol::admin::{ServerOrigin, ServerRequest};
use tracing::info;

use super::GatewayFleet;
use crate::config::{NamedFault, ServerConfig};
use crate::drain::NamingError;
use crate::telemetry::EVENT;
use crate::upstream::ServerMemory;

impl GatewayFleet {
    pub(super) async fn name_server(&self, name: &ServerName, request: ServerRequest) -> Result<bool, NamingError> {
        let _naming = self.naming.lock().await;
        let known = self.servers.get(name);
        if known
            .as_ref()
            .is_some_and(|known| known.origin() == ServerOrigin::Config && !known.is_leaving())
        {
            return Err(NamingError::Configured(name.clone()));
        }
        let config = ServerConfig::named(name.clone(), &request, &self.servers.system_roots())?;
        self.check_own(&config)?;
        let before = known.as_ref().map(|known| known.memory()).unwrap_or_default();
        let memory = ServerMemory {
            named: Some(request),
            ..before
        };
        let stays = known.filter(|known| known.is_reached_as(&config));
        if stays.is_none() && self.servers.get(name).is_some_and(|known| self.is_in_use(&known)) {
            return Err(NamingError::InUse(name.clone()));
        }
        self.registry.put_server(name, memory.encode()).await?;
        if let Some(known) = stays {
            known.allot(config.allotment);
            if let Some(trust) = config.tls {
                known.trust(trust, &self.metrics);
            }
            known.remember(memory);
            known.set_origin(ServerOrigin::Api);
            known.set_leaving(false);
            return Ok(false);
        }
        let is_new = self.servers.get(name).is_none();
        let server = self.servers.put(config, ServerOrigin::Api);
        server.remember(memory);
        self.poller.start(&server);
        self.mover.look_after(&server, &self.poller.shutdown);
        let change = if is_new { "named" } else { "changed" };
        info!(target: EVENT, event = "server", server = name.as_str(), change, url = %server.url(),
            "server named through the admin API");
        Ok(is_new)
    }

    /// Refuses a process that is named already: its boards would be counted and placed as two servers'.
    fn check_own(&self, config: &ServerConfig) -> Result<(), NamedFault> {
        let others = self.servers.all();
        for other in others.iter().filter(|other| *other.name() != config.name) {
            let problem = format!("is that of server {} already; name each process once", other.name());
            if *other.url() == config.url {
                return Err(NamedFault { field: "url", problem });
            }
            let control = config.control.as_ref().map(|control| &control.url);
            if control.is_some() && other.control_url() == control {
                return Err(NamedFault {
                    field: "control_url",
                    problem,
                });
            }
        }
        Ok(())
    }

    pub(super) async fn unname_server(&self, name: &ServerName) -> Result<(), NamingError> {
        let _naming = self.naming.lock().await;
        let server = self
            .servers
            .get(name)
            .ok_or_else(|| NamingError::Unknown(name.clone()))?;
        if server.origin() == ServerOrigin::Config && !server.is_leaving() {
            return Err(NamingError::Configured(name.clone()));
        }
        // Nothing new goes there from here on.
        let before = server.memory();
        server.remember(ServerMemory {
            cordoned: true,
            ..before.clone()
        });
        if self.is_in_use(&server) {
            server.remember(before);
            return Err(NamingError::InUse(name.clone()));
        }
        if let Err(error) = self.registry.put_server(name, None).await {
            server.remember(before);
            return Err(error.into());
        }
        self.servers.remove(name);
        info!(target: EVENT, event = "server", server = name.as_str(), change = "removed",
            "server removed through the admin API");
        Ok(())
    }
}
