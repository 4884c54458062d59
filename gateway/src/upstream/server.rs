//! A board server as the gateway sees it now: its configuration, and what was last heard of it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use handover_protocol::admin::{Level, ServerOrigin};
use handover_protocol::machine::health::Verdict;
use handover_protocol::{Incarnation, Owner, ReleaseName, ServerName};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::control::ControlClient;
use super::destination::Destination;
use super::listing::{FailedReading, HeardListing};
use super::memory::{Dead, ServerMemory};
use crate::config::{Allotment, ServerConfig, ServerTlsConfig, ServerUrl};
use crate::telemetry::{Metrics, ServerMetrics};
use crate::tls::{Connector, Trust};

/// One board server.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    /// Whether the admin API has named it, and not the configuration.
    is_named_by_api: AtomicBool,
    /// Whether the configuration wants it gone or otherwise, and something needs it as it is.
    is_leaving: AtomicBool,
    allotment: ArcSwap<Allotment>,
    /// Cancelled once it is named no more.
    left: CancellationToken,
    traffic: Destination,
    control: Option<ControlClient>,
    tls: Option<Arc<Connector>>,
    pub(super) status: watch::Sender<ServerStatus>,
    /// Where the server's own requests come from; loopback addresses are not among them.
    addresses: ArcSwap<Vec<IpAddr>>,
    metrics: ServerMetrics,
    /// Somebody has met what a dead server would cause.
    nudge: Notify,
    memory: Mutex<ServerMemory>,
    /// Held while the list of boards is read for whoever finds the known one too old; how it failed last, if it did.
    pub(super) reading: tokio::sync::Mutex<Option<FailedReading>>,
}

/// What was last heard of a server.
#[derive(Debug, Clone, Default)]
pub struct ServerStatus {
    /// Whether boards may be placed there now.
    pub is_ready: bool,
    /// Whether it was ever ready.
    pub was_ready: bool,
    /// Whether it was asked at least once, with whatever result.
    pub was_asked: bool,
    /// The process that answered last; none of a server without the contract, or before its first answer.
    pub incarnation: Option<Incarnation>,
    /// What it can do beyond the contract's core.
    pub capabilities: Arc<[String]>,
    /// What it held in memory when it was last asked for all of it.
    pub listing: Option<Arc<HeardListing>>,
    /// Since when it has not answered, or not as the contract says.
    pub silent_since: Option<Instant>,
    /// And what was wrong when it was last asked.
    pub fault: Option<Arc<str>>,
    /// What is believed of its process.
    pub verdict: Verdict,
    /// How often it was asked.
    pub polls: u64,
}

impl Server {
    /// Takes a server of which nothing has been heard.
    pub(super) fn new(config: ServerConfig, origin: ServerOrigin, timeout: Duration, metrics: &Arc<Metrics>) -> Self {
        let tls = config.tls.as_ref();
        let tls = tls.map(|trust| Arc::new(Connector::new(&config.name, Arc::clone(trust), metrics)));
        let control = config.control.as_ref().map(|control| {
            let to = Destination::new(control.url.clone(), tls.as_ref());
            ControlClient::new(to, control.token.as_ref(), timeout, Arc::clone(metrics))
        });
        let addresses = config.url.host().parse().into_iter().collect();
        Self {
            traffic: Destination::new(config.url.clone(), tls.as_ref()),
            tls,
            control,
            status: watch::Sender::new(ServerStatus::default()),
            addresses: ArcSwap::from_pointee(foreign(addresses)),
            metrics: metrics.server(&config.name, &config.release),
            reading: tokio::sync::Mutex::default(),
            nudge: Notify::new(),
            memory: Mutex::default(),
            allotment: ArcSwap::from_pointee(config.allotment.clone()),
            left: CancellationToken::new(),
            is_named_by_api: AtomicBool::new(origin == ServerOrigin::Api),
            is_leaving: AtomicBool::new(false),
            config,
        }
    }

    /// Returns the server's name.
    pub fn name(&self) -> &ServerName {
        &self.config.name
    }

    /// Returns where sessions and requests go.
    pub fn url(&self) -> &ServerUrl {
        &self.config.url
    }

    /// Returns the way to where sessions and requests go.
    pub fn traffic(&self) -> &Destination {
        &self.traffic
    }

    /// Returns how it is checked over TLS; nothing where none of its URLs is `https`.
    pub fn tls(&self) -> Option<ServerTlsConfig> {
        let is_tls = self.config.url.is_tls() || self.control_url().is_some_and(ServerUrl::is_tls);
        let tls = self.tls.as_ref().filter(|_| is_tls)?;
        Some(tls.trust().config().clone())
    }

    /// Goes by certificates that were read anew; connections that are open stay.
    pub fn trust(&self, trust: Arc<Trust>, metrics: &Metrics) {
        if let Some(tls) = &self.tls {
            tls.replace(trust, metrics);
            self.control.iter().for_each(ControlClient::renew);
            self.nudge();
        }
    }

    /// Shows no more in the metrics until when the certificate holds that it is shown: it is named no more.
    pub(super) fn forget_certificate_end(&self) {
        if let Some(tls) = &self.tls {
            tls.forget_certificate_end();
        }
    }

    /// Returns the release that the configuration says it runs.
    pub fn release(&self) -> &ReleaseName {
        &self.config.release
    }

    /// Returns what it is given of the boards that look for a server.
    pub fn allotment(&self) -> Arc<Allotment> {
        self.allotment.load_full()
    }

    /// Changes what it is given from now on; what it has stays.
    pub fn allot(&self, allotment: Allotment) {
        self.allotment.store(Arc::new(allotment));
    }

    /// Returns where it is named.
    pub fn origin(&self) -> ServerOrigin {
        match self.is_named_by_api.load(Ordering::Relaxed) {
            true => ServerOrigin::Api,
            false => ServerOrigin::Config,
        }
    }

    /// Notes that it is named elsewhere now.
    pub fn set_origin(&self, origin: ServerOrigin) {
        self.is_named_by_api
            .store(origin == ServerOrigin::Api, Ordering::Relaxed);
    }

    /// Reads whether the configuration wants it gone or otherwise, which only what still needs it prevents.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::SeqCst)
    }

    /// Closes it to new boards because the configuration wants it gone or otherwise, or opens it again.
    pub fn set_leaving(&self, is_leaving: bool) {
        self.is_leaving.store(is_leaving, Ordering::SeqCst);
        // Whoever watches looks again.
        self.status.send_modify(|_| {});
    }

    /// Returns what is cancelled once the server is named no more.
    pub fn left(&self) -> &CancellationToken {
        &self.left
    }

    /// Reads whether `other` leads to the same process under the same release, by the same ways; how it is checked there may
    /// be another.
    pub fn is_reached_as(&self, other: &ServerConfig) -> bool {
        let control = |config: &ServerConfig| {
            config
                .control
                .as_ref()
                .map(|control| (control.url.clone(), control.token.clone()))
        };
        let config = &self.config;
        config.url == other.url && config.release == other.release && control(config) == control(other)
    }

    /// Returns where its contract is called.
    pub fn control_url(&self) -> Option<&ServerUrl> {
        self.config.control.as_ref().map(|control| &control.url)
    }

    /// Returns for how many more boards it has room if it owns so many; nothing where it has no bound.
    pub fn room(&self, owned: usize) -> Option<u64> {
        let capacity = self.allotment().capacity?;
        Some(capacity.saturating_sub(owned as u64))
    }

    /// Returns the way to call its control contract; none of an opaque server.
    pub fn control(&self) -> Option<&ControlClient> {
        self.control.as_ref()
    }

    /// Reads whether it implements the control contract.
    pub fn has_contract(&self) -> bool {
        self.control.is_some()
    }

    /// Returns what the server was changed for.
    pub fn level(&self) -> Level {
        match self.control {
            Some(_) => Level::Contract,
            None => Level::Opaque,
        }
    }

    /// Returns the server's gauges.
    pub fn metrics(&self) -> &ServerMetrics {
        &self.metrics
    }

    /// Returns what was last heard of it.
    pub fn status(&self) -> ServerStatus {
        self.status.borrow().clone()
    }

    /// Reads whether boards may be placed there now.
    pub fn is_ready(&self) -> bool {
        self.status.borrow().is_ready && !self.is_cordoned() && !self.is_leaving() && !self.is_dead()
    }

    /// Reads whether an operator has closed it to new boards.
    pub fn is_cordoned(&self) -> bool {
        self.lock_memory().cordoned
    }

    /// Reads whether somebody has said that its process is gone.
    pub fn is_dead(&self) -> bool {
        match &self.lock_memory().dead {
            Some(Dead { incarnation: None }) => true,
            Some(dead) => dead.incarnation == self.incarnation(),
            None => false,
        }
    }

    /// Returns what operators have said of it.
    pub fn memory(&self) -> ServerMemory {
        self.lock_memory().clone()
    }

    /// Takes in what operators say of it; keep it in the registry before.
    pub fn remember(&self, memory: ServerMemory) {
        *self.lock_memory() = memory;
        // Whoever watches looks again.
        self.status.send_modify(|_| {});
    }

    /// Has it asked at once: somebody has met what a dead server would cause.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Waits until somebody nudges. Cancel-safe.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Has it asked at once, and waits until it is known whether it is there, at most for so long.
    pub async fn judged(&self, patience: Duration) -> Verdict {
        let mut watch = self.watch();
        let asked = watch.borrow_and_update().polls;
        self.nudge();
        let is_judged = |status: &ServerStatus| status.polls > asked && status.verdict != Verdict::Suspect;
        // The sender lives as long as this server.
        let _ = tokio::time::timeout(patience, watch.wait_for(is_judged)).await;
        self.status.borrow().verdict
    }

    /// Returns the process that answered last.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.status.borrow().incarnation.clone()
    }

    /// Watches what is heard of it.
    pub fn watch(&self) -> watch::Receiver<ServerStatus> {
        self.status.subscribe()
    }

    /// Returns the server as an owner: its name and the process that answered last.
    pub fn owner(&self) -> Owner {
        Owner {
            server: self.config.name.clone(),
            incarnation: self.incarnation(),
        }
    }

    /// Reads whether the server can be the very process that `owner` means.
    ///
    /// A restarted server owns nothing of what its former process owned. Before the first answer of a server it is
    /// believed to be the same: known boards route on while control is silent, and a contract server refuses a
    /// handshake for a board that it does not own.
    pub fn may_serve(&self, owner: &Owner) -> bool {
        let heard = self.incarnation();
        owner.server == self.config.name && (heard.is_none() || heard == owner.incarnation) && !self.is_lost()
    }

    /// Reads whether its boards may be given to other servers.
    ///
    /// With the contract that takes evidence: the fence in the boards' database refuses the writes of one that lives on.
    /// Of an opaque server somebody who knows has to say it.
    pub fn is_lost(&self) -> bool {
        let is_down = self.has_contract() && self.status.borrow().verdict == Verdict::Down;
        is_down || self.is_dead()
    }

    fn lock_memory(&self) -> MutexGuard<'_, ServerMemory> {
        // Nothing can panic in between.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what was heard.
    pub(super) fn hear(&self, change: impl FnOnce(&mut ServerStatus)) {
        self.status.send_modify(|status| {
            change(status);
            status.was_ready |= status.is_ready;
        });
    }

    /// Notes where the server's own requests come from.
    pub(super) fn set_addresses(&self, addresses: Vec<IpAddr>) {
        self.addresses.store(Arc::new(foreign(addresses)));
    }

    /// Reads whether the server's own requests come from there.
    pub(super) fn has_address(&self, peer: IpAddr) -> bool {
        self.addresses.load().contains(&peer)
    }
}

/// Keeps the addresses that are not this machine's loopback.
fn foreign(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses
        .into_iter()
        .map(|address| address.to_canonical())
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .collect()
}
