//! Asks every server how it is: a task for each, until the gateway ends.
//!
//! A contract server is asked `GET server` each second and `GET boards` every few; an opaque one is ready while it
//! takes connections. Nobody waits for a poll: what was last heard stands in [`Server::status`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::contract::ServerReport;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

use super::connection::connect;
use super::control::ControlClient;
use super::server::{Server, Servers};

/// Starts a task for each server on `tasks`; they end when `shutdown` is cancelled.
pub fn poll_servers(servers: &Servers, boards_interval: Duration, tasks: &TaskTracker, shutdown: &CancellationToken) {
    for server in servers.all() {
        let span = info_span!("poll", server = %server.name());
        let poll = Poll {
            server: Arc::clone(server),
            boards_interval,
            boards_due: Instant::now(),
            addresses_due: Instant::now(),
            fault: None,
        };
        let shutdown = shutdown.clone();
        tasks.spawn(
            async move {
                // What a cancelled poll was about to hear, the next start of the gateway asks again.
                shutdown.run_until_cancelled(poll.run()).await;
            }
            .instrument(span),
        );
    }
}

/// The task of one server.
struct Poll {
    server: Arc<Server>,
    boards_interval: Duration,
    boards_due: Instant,
    addresses_due: Instant,
    /// What was last logged as wrong, so that it is logged once.
    fault: Option<String>,
}

impl Poll {
    async fn run(mut self) {
        let mut ticks = interval(SERVER_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let server = Arc::clone(&self.server);
            match server.control() {
                Some(control) => self.ask(control).await,
                None => self.knock().await,
            }
            self.resolve().await;
        }
    }

    /// Asks a contract server who it is, and what it holds where that is due.
    async fn ask(&mut self, control: &ControlClient) {
        match control.server().await {
            Ok(report) => self.heard(report),
            Err(error) => return self.silent(format!("{}", Chain(&error))),
        }
        if Instant::now() < self.boards_due {
            return;
        }
        match self.server.read_boards().await {
            Ok(_) => self.boards_due = Instant::now() + self.boards_interval,
            // The next tick tries again.
            Err(error) => warn!(error = %Chain(&error), "the server does not list its boards"),
        }
    }

    fn heard(&mut self, report: ServerReport) {
        if report.name != *self.server.name() {
            return self.silent(format!(
                "it calls itself {}; control_url leads to another server",
                report.name
            ));
        }
        let before = self.server.status();
        if report.release != *self.server.release() && before.incarnation.as_ref() != Some(&report.incarnation) {
            warn!(configured = %self.server.release(), reported = %report.release, "the server runs another release");
        }
        match &before.incarnation {
            Some(known) if *known != report.incarnation => {
                info!(incarnation = %report.incarnation, "the server was restarted");
                self.boards_due = Instant::now();
            }
            Some(_) | None => {}
        }
        self.fault = None;
        self.tell_readiness(report.ready);
        self.server.hear(|status| {
            if status.incarnation.as_ref() != Some(&report.incarnation) {
                status.listing = None;
            }
            status.was_asked = true;
            status.is_ready = report.ready;
            status.incarnation = Some(report.incarnation);
            status.capabilities = report.capabilities.into();
            status.silent_since = None;
        });
    }

    /// Tries whether an opaque server takes connections.
    async fn knock(&mut self) {
        match connect(self.server.url(), Instant::now() + KNOCK_TIMEOUT).await {
            Ok(_) => {
                self.fault = None;
                self.tell_readiness(true);
                self.server.hear(|status| {
                    status.was_asked = true;
                    status.is_ready = true;
                    status.silent_since = None;
                });
            }
            Err(error) => self.silent(error.to_string()),
        }
    }

    /// Notes that the server does not answer as it should. Its boards stay where they are: this proves nothing.
    fn silent(&mut self, fault: String) {
        if self.fault.as_ref() != Some(&fault) {
            warn!(fault, "the server is not to be had");
            self.fault = Some(fault);
        }
        self.server.hear(|status| {
            status.was_asked = true;
            status.is_ready = false;
            status.silent_since.get_or_insert_with(std::time::Instant::now);
        });
    }

    fn tell_readiness(&self, is_ready: bool) {
        let before = self.server.status();
        if is_ready != before.is_ready || !before.was_asked {
            info!(is_ready, "the server's readiness changed");
        }
    }

    /// Looks up where a server that is configured by a host name lives.
    async fn resolve(&mut self) {
        let url = self.server.url();
        if url.host().parse::<IpAddr>().is_ok() || Instant::now() < self.addresses_due {
            return;
        }
        self.addresses_due = Instant::now() + ADDRESSES_INTERVAL;
        let lookup = tokio::net::lookup_host((url.host(), url.port()));
        // Without an answer the addresses that were known stay.
        if let Ok(Ok(addresses)) = timeout(KNOCK_TIMEOUT, lookup).await {
            let addresses = addresses.map(|address| address.ip()).collect();
            self.server.set_addresses(addresses);
        }
    }
}

/// An error with its causes, on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// A server that is not ready takes no newcomers for at most this long after it said so.
const SERVER_INTERVAL: Duration = Duration::from_secs(1);

/// A server on the same network takes a connection within a few milliseconds, or is not there.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a server's host name is looked up.
const ADDRESSES_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
