//! Reads the configuration anew while the gateway runs: what can be changed under open sessions is changed, what cannot
//! is named and left, and a configuration with a fault changes nothing.

mod keys;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use handover_protocol::ServerName;
use handover_protocol::admin::{ConfigFinding, ConfigReloaded};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use self::keys::Keys;
use self::keys::{is_live, is_server};
use crate::admin::{Access, ReloadDesk, ReloadOutcome};
use crate::config::{Config, Finding, Listen, NamedFault, Overrides, Reading};
use crate::drain::Drains;
use crate::edge::Edge;
use crate::fleet::{GatewayFleet, RosterError};
use crate::mover::Mover;
use crate::supervisor;
use crate::telemetry::label::ReloadResult;
use crate::telemetry::{LogFilter, Metrics, ShownCertificate};
use crate::tls::{Certificates, OperatorsAcceptor, OperatorsFiles, note_ends};
use crate::upstream::Servers;

/// What a reload changes.
pub struct Reloader {
    /// The file.
    pub file: PathBuf,
    /// What holds now.
    pub config: Arc<ArcSwap<Config>>,
    /// The keys that hold now, with their values.
    pub keys: Keys,
    /// Limits, and the routes of newcomers.
    pub edge: Arc<Edge>,
    /// The routes that boards are moved by.
    pub mover: Arc<Mover>,
    /// Where new boards go.
    pub drains: Arc<Drains>,
    /// The servers, which are checked over TLS by files that are read anew.
    pub servers: Arc<Servers>,
    /// Which servers there are.
    pub fleet: Arc<GatewayFleet>,
    /// What clients of TLS are shown; none where nobody listens for them.
    pub certificates: Option<Arc<Certificates>>,
    /// What whoever calls the admin API by TLS is shown; none where it is not served so.
    pub operators: Option<Arc<OperatorsAcceptor>>,
    /// Both, as the metrics show them.
    pub shown: Vec<ShownCertificate>,
    /// Who may use the admin API.
    pub access: Arc<Access>,
    /// What is logged.
    pub log: LogFilter,
    /// Where reloads are counted.
    pub metrics: Arc<Metrics>,
}

impl Reloader {
    /// Carries orders out, one after the other, until the shutdown.
    pub async fn run(
        mut self,
        mut orders: mpsc::Receiver<oneshot::Sender<ReloadOutcome>>,
        shutdown: CancellationToken,
    ) {
        self.note_success();
        loop {
            // Cancel-safe: an order stays in the channel until it is taken.
            let order = tokio::select! {
                () = shutdown.cancelled() => return,
                order = orders.recv() => order,
            };
            let Some(answer) = order else { return };
            supervisor::tell_reloading();
            let outcome = self.reload().await;
            match &outcome {
                Ok(_) => supervisor::tell_ready(&supervisor::status_of(self.fleet.as_ref())),
                Err(_) => supervisor::tell_ready("the new configuration is wrong, and the old one holds; see the log"),
            }
            // Whoever has ordered it may have gone; it is done all the same.
            let _ = answer.send(outcome);
        }
    }

    async fn reload(&mut self) -> ReloadOutcome {
        let file = self.file.clone();
        let reading = tokio::task::spawn_blocking(move || Reading::load(&file, &Overrides::of_process())).await;
        let reading = match reading {
            Ok(reading) => reading,
            Err(error) => {
                self.metrics.config_reloads.of(ReloadResult::Refused).inc();
                error!(%error, "the configuration could not be read anew; the old one holds");
                return Err(Vec::new());
            }
        };
        let (config, warnings) = match reading.outcome {
            Ok(read) => read,
            Err(faults) => {
                self.metrics.config_reloads.of(ReloadResult::Refused).inc();
                error!(file = %self.file.display(), "the new configuration is wrong, and the old one holds:\n{faults}");
                return Err(faults.faults.iter().map(told).collect());
            }
        };
        let fleet = Arc::clone(&self.fleet);
        let roster = match fleet.plan_roster(&config.servers, &config.releases.current).await {
            Ok(roster) => roster,
            Err(error) => {
                self.metrics.config_reloads.of(ReloadResult::Refused).inc();
                error!(%error, "the servers of the new configuration cannot be taken, and the old one holds");
                return Err(vec![unfit(&error)]);
            }
        };
        if let Err(unusable) = self.exchange_certificates(&config) {
            self.metrics.config_reloads.of(ReloadResult::Refused).inc();
            error!(error = %unusable.problem, "the new certificates cannot be used, and the old configuration holds");
            return Err(vec![*unusable]);
        }
        for warning in &warnings {
            warn!(file = %self.file.display(), "{warning}");
        }
        let servers = roster.apply().await;
        // New boards may go to the new servers at once, so it should be known by then whether they are there.
        let asked = [servers.added.clone(), servers.changed.clone()].concat();
        let _ = timeout(FIRST_ANSWERS, self.fleet.servers.asked_of(&asked)).await;
        self.shown = note_ends(self.certificates.as_deref(), self.operators.as_deref(), &self.metrics);
        let untrusted = self.trust_anew(&config);
        let mut reloaded = self.apply(config.clone(), Keys::of(&reading.settings));
        reloaded.servers = servers;
        reloaded.warnings = warnings.iter().map(told).chain(untrusted).collect();
        self.metrics.config_reloads.of(ReloadResult::Applied).inc();
        self.note_success();
        info!(
            reloaded = reloaded.reloaded.join(","),
            needs_restart = reloaded.needs_restart.join(","),
            "the configuration was read anew"
        );
        if !reloaded.needs_restart.is_empty() {
            warn!(
                keys = reloaded.needs_restart.join(","),
                "these changes hold only after a restart"
            );
        }
        Ok(reloaded)
    }

    /// Takes the certificates of a configuration, whose files are read anew: all of them, or none.
    fn exchange_certificates(&self, config: &Config) -> Result<(), Box<ConfigFinding>> {
        let unusable = |key: &str, problem: String| {
            Box::new(ConfigFinding {
                key: key.to_owned(),
                name: None,
                environment: None,
                line: None,
                problem,
                fix: "mend the files, or name others".to_owned(),
            })
        };
        let old = self.config.load();
        let admin = match self.holds_back_admin(config) {
            true => &old.admin,
            false => &config.admin,
        };
        let files = admin.tls.as_ref().filter(|_| self.operators.is_some());
        let files = files.map(OperatorsFiles::load).transpose();
        let files = files.map_err(|error| unusable("admin.tls", error.to_string()))?;
        if let Some(certificates) = &self.certificates {
            let replaced = certificates.replace(&config.tls);
            replaced.map_err(|error| unusable("tls.certificates", error.to_string()))?;
        }
        if let (Some(operators), Some(files)) = (&self.operators, files) {
            operators.replace(files);
        }
        Ok(())
    }

    /// Reads whether `[admin]` stays as it is until a restart: a listener that others reach goes on to ask who they are,
    /// whatever the next start binds; and whoever can show his certificate only after the restart is not locked out until
    /// then.
    fn holds_back_admin(&self, config: &Config) -> bool {
        let old = self.config.load();
        !old.listen.admin.is_local() && !config.admin.asks_who()
            || old.admin.tls.is_some() != config.admin.tls.is_some()
    }

    /// Puts what can be changed in the place of what holds.
    fn apply(&mut self, config: Config, keys: Keys) -> ConfigReloaded {
        let old = self.config.load_full();
        let mut outcome = ConfigReloaded::default();
        let holds_back_admin = self.holds_back_admin(&config);
        for key in self.keys.differences(&keys) {
            let is_held_back = holds_back_admin && key.starts_with("admin.");
            if is_live(&key) && !is_held_back {
                self.keys.take_over(&key, &keys);
                outcome.reloaded.push(key);
            } else if is_server(&key) {
                // What became of it is told by the server's name: its number changes with its neighbours.
                self.keys.take_over(&key, &keys);
            } else {
                outcome.needs_restart.push(key);
            }
        }
        let mut config = Config {
            // What only a restart changes stays as it is, also for whoever asks later.
            listen: Listen {
                proxy_protocol: config.listen.proxy_protocol,
                trusted_proxies: config.listen.trusted_proxies,
                forwarding_headers: config.listen.forwarding_headers,
                ..old.listen.clone()
            },
            registry: old.registry.clone(),
            metrics: old.metrics.clone(),
            ..config
        };
        if holds_back_admin {
            config.admin = old.admin.clone();
        }
        config.limits.control_call_timeout = old.limits.control_call_timeout;
        config.limits.boards_interval = old.limits.boards_interval;
        let config = Arc::new(config);
        self.config.store(Arc::clone(&config));
        self.mover.set_routes(config.routes.clone());
        self.mover.set_move_interval(config.drain.board_move_interval);
        self.drains.configure_defaults(&config.drain.defaults);
        self.drains.judge_again();
        self.edge.configure(&config);
        self.access.configure(&config.admin);
        self.drains.configure_release(&config.releases.current);
        if let Err(error) = self.log.set_configured(&config.log.filter) {
            error!(%error, "the log filter could not be changed");
        }
        outcome
    }

    /// Has servers checked by the files that were just read; says of which servers that the admin API has named the files
    /// are of no use.
    fn trust_anew(&self, config: &Config) -> Vec<ConfigFinding> {
        let faults = self.servers.trust_anew(&config.servers);
        let told = |(server, fault): (ServerName, NamedFault)| {
            warn!(%server, %fault, "files that this server was named with cannot be used; what was read before holds");
            ConfigFinding {
                key: format!("servers.{}", fault.field),
                name: Some(server.to_string()),
                environment: None,
                line: None,
                problem: fault.problem,
                fix: "mend the file, or name the server anew: PUT /v1/servers/{name}; until then the old one holds"
                    .to_owned(),
            }
        };
        faults.into_iter().map(told).collect()
    }

    fn note_success(&self) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        self.metrics
            .config_last_reload
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}

/// Orders a reload at each SIGHUP, until the shutdown.
///
/// # Errors
/// When the signal cannot be caught.
pub fn reload_on_hangup(desk: ReloadDesk, shutdown: CancellationToken) -> std::io::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            // Cancel-safe: a signal that came meanwhile is received at the next look.
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hangup.recv() => {}
            }
            info!("SIGHUP: the configuration is read anew");
            // What came of it is in the log.
            let _ = desk.reload().await;
        }
    })
}

fn unfit(error: &RosterError) -> ConfigFinding {
    let (key, fix) = match error {
        RosterError::Registry(_) => ("servers".to_owned(), "look at its disk, and reload again"),
        RosterError::NoHome(_) => (
            "releases.current".to_owned(),
            "name servers of that release beside those that are in use, drain these, and take them out then",
        ),
        RosterError::Fault { index, fault } => {
            let key = format!("servers[{index}].{}", fault.field);
            (
                key,
                "name another process here, or reload again once that server has gone",
            )
        }
    };
    ConfigFinding {
        key,
        name: None,
        environment: None,
        line: None,
        problem: error.to_string(),
        fix: fix.to_owned(),
    }
}

fn told(finding: &Finding) -> ConfigFinding {
    ConfigFinding {
        key: finding.key.clone(),
        name: finding.name.clone(),
        environment: finding.environment.clone(),
        line: finding.place.as_ref().and_then(|place| u64::try_from(place.line).ok()),
        problem: finding.problem.clone(),
        fix: finding.fix.clone(),
    }
}

/// How long a reload waits for the first answers of servers that it brings.
const FIRST_ANSWERS: Duration = Duration::from_secs(3);
