//! Asks every server how it is: a task for each, until the gateway ends.
//!
//! A contract server is asked `GET server` each second and `GET boards` every few; an opaque one is ready while it
//! takes connections. One that fails is asked more often, and at once when a session has met what a dead server would
//! cause. What that proves is [`handover_protocol::machine::health`]'s to say. Nobody waits for a poll: what was last
//! heard stands in [`Server::status`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::contract::ServerReport;
use handover_protocol::machine::health::{Event, Health, Verdict};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{Instrument, info, info_span, warn};

use super::control::ControlClient;
use super::server::Server;
use crate::config::HealthConfig;
use crate::telemetry::label::CheckResult;
use crate::telemetry::{EVENT, Metrics};
use crate::tls::ServerTlsFault;

/// Starts the tasks that ask servers.
#[derive(Debug, Clone)]
pub struct Poller {
    /// How a server's state is judged.
    pub health: HealthConfig,
    /// How often contract servers list their boards.
    pub boards_interval: Duration,
    /// Where the tasks are counted.
    pub tasks: TaskTracker,
    /// Ends them.
    pub shutdown: CancellationToken,
    /// Where it is counted what a question failed for want of.
    pub metrics: Arc<Metrics>,
}

impl Poller {
    /// Starts the task of one server; it ends with the gateway, or when the server is named no more.
    pub fn start(&self, server: &Arc<Server>) {
        let span = info_span!("poll", server = %server.name());
        let poll = Poll {
            server: Arc::clone(server),
            boards_interval: self.boards_interval,
            reading: None,
            addresses_due: Instant::now(),
            fault: None,
            config: self.health,
            health: Health::new(self.health.thresholds),
            epoch: Instant::now(),
            metrics: Arc::clone(&self.metrics),
        };
        let (shutdown, left) = (self.shutdown.clone(), server.left().clone());
        self.tasks.spawn(
            async move {
                // What a cancelled poll was about to hear, the next start of the gateway asks again.
                shutdown.run_until_cancelled(left.run_until_cancelled(poll.run())).await;
            }
            .instrument(span),
        );
    }
}

/// The task of one server.
struct Poll {
    server: Arc<Server>,
    boards_interval: Duration,
    /// The list of boards that is being read: it may be long, and no question waits for it.
    reading: Option<AbortOnDropHandle<()>>,
    addresses_due: Instant,
    /// What was last logged as wrong, so that it is logged once.
    fault: Option<String>,
    config: HealthConfig,
    health: Health,
    epoch: Instant,
    metrics: Arc<Metrics>,
}

impl Poll {
    async fn run(mut self) {
        let mut due = Instant::now();
        loop {
            self.wait_until(due).await;
            let asked_at = Instant::now();
            let server = Arc::clone(&self.server);
            match server.control() {
                Some(control) => self.ask(control).await,
                None => self.knock().await,
            }
            self.resolve().await;
            let interval = match self.health.verdict() {
                Verdict::Suspect => SUSPECT_INTERVAL,
                Verdict::Unknown | Verdict::Up | Verdict::Down => self.config.interval,
            };
            due = asked_at + interval;
            // However many nudge: a flood of broken sessions is no flood of questions.
            sleep_until(asked_at + NUDGED_GAP.min(interval)).await;
        }
    }

    /// Waits for the next question's time, or until somebody wants it asked now.
    async fn wait_until(&mut self, due: Instant) {
        let server = Arc::clone(&self.server);
        // A question that took longer than the time to the next has made nobody late.
        let due = due.max(Instant::now());
        tokio::select! {
            () = sleep_until(due) => {}
            () = server.nudged() => return,
        }
        if due.elapsed() >= STALL_MIN {
            warn!(late = ?due.elapsed(), "the gateway stood still; what it has not heard meanwhile proves nothing");
            self.judge(Event::Stalled);
        }
    }

    fn judge(&mut self, event: Event) {
        let before = self.health.verdict();
        let verdict = self.health.handle(event, self.epoch.elapsed());
        match verdict {
            Verdict::Down if before != verdict => tell_down(&self.server),
            Verdict::Up if before == Verdict::Down => {
                let server = self.server.name().as_str();
                info!(target: EVENT, event = "server", server, change = "up", "the server is back");
            }
            Verdict::Unknown | Verdict::Up | Verdict::Suspect | Verdict::Down => {}
        }
    }

    fn answered(&mut self) {
        self.fault = None;
        self.server.metrics().checks(CheckResult::Answered).inc();
        self.judge(Event::Answered);
    }

    /// Turns a failed question into evidence; one that took far too long says that the gateway stood still.
    fn failed(&mut self, asked_at: Instant, failure: Failure) {
        let overdue = asked_at.elapsed().saturating_sub(self.config.timeout);
        let asked_at = asked_at.duration_since(self.epoch);
        let (result, evidence) = match failure {
            Failure::Refused => (CheckResult::Refused, Event::Refused { asked_at }),
            Failure::Silent => (CheckResult::Unanswered, Event::Silent { asked_at }),
            Failure::Disbelieved => (CheckResult::Disbelieved, Event::Disbelieved),
        };
        let (result, evidence) = if overdue >= STALL_MIN {
            (CheckResult::Stalled, Event::Stalled)
        } else {
            (result, evidence)
        };
        self.server.metrics().checks(result).inc();
        self.judge(evidence);
    }

    /// Asks a contract server who it is, and what it holds where that is due.
    async fn ask(&mut self, control: &ControlClient) {
        let asked_at = Instant::now();
        match control.server(self.config.timeout).await {
            Ok(report) => self.heard(asked_at, report),
            Err(error) if error.scarcity().is_some() => return self.could_not_ask(format!("{}", Chain(&error))),
            Err(error) => {
                let failure = Failure::of(error.is_refused_connection(), error.proves_presence());
                self.failed(asked_at, failure);
                return self.silent(format!("{}", Chain(&error)));
            }
        }
        self.read_boards();
    }

    /// Has the list of boards read beside the questions, where it is due and nobody reads it.
    fn read_boards(&mut self) {
        let status = self.server.status();
        let is_fresh = status.listing.is_some_and(|heard| {
            let is_of_this_process = Some(&heard.listing.incarnation) == status.incarnation.as_ref();
            is_of_this_process && heard.heard_at.elapsed() < self.boards_interval
        });
        let is_under_way = self.reading.as_ref().is_some_and(|reading| !reading.is_finished());
        if is_fresh || is_under_way {
            return;
        }
        let server = Arc::clone(&self.server);
        let reading = async move {
            // The next tick tries again.
            if let Err(error) = server.read_boards().await {
                warn!(error = %Chain(&error), "the server does not list its boards");
            }
        };
        self.reading = Some(AbortOnDropHandle::new(tokio::spawn(reading.in_current_span())));
    }

    fn heard(&mut self, asked_at: Instant, report: ServerReport) {
        if report.name != *self.server.name() {
            self.failed(asked_at, Failure::Silent);
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
                self.server.metrics().restarts.inc();
                let server = self.server.name().as_str();
                info!(target: EVENT, event = "server", server, change = "restarted", incarnation = %report.incarnation,
                    "the server was restarted");
            }
            Some(_) | None => {}
        }
        self.answered();
        let verdict = self.health.verdict();
        self.tell_readiness(report.ready);
        self.server.hear(|status| {
            status.verdict = verdict;
            status.polls += 1;
            if status.incarnation.as_ref() != Some(&report.incarnation) {
                status.listing = None;
            }
            status.was_asked = true;
            status.is_ready = report.ready;
            status.incarnation = Some(report.incarnation);
            status.capabilities = report.capabilities.into();
            status.silent_since = None;
            status.fault = None;
        });
    }

    /// Tries whether an opaque server takes connections.
    async fn knock(&mut self) {
        let asked_at = Instant::now();
        let server = Arc::clone(&self.server);
        match server.traffic().knock(asked_at + self.config.timeout).await {
            Ok(()) => {
                self.answered();
                let verdict = self.health.verdict();
                self.tell_readiness(true);
                self.server.hear(|status| {
                    status.verdict = verdict;
                    status.polls += 1;
                    status.was_asked = true;
                    status.is_ready = true;
                    status.silent_since = None;
                    status.fault = None;
                });
            }
            Err(error) if let Some(limit) = error.scarcity() => {
                self.metrics.limit_hits.of(limit).inc();
                self.could_not_ask(error.to_string());
            }
            Err(error) => {
                let is_there = error.tls().is_some_and(ServerTlsFault::proves_presence);
                let failure = Failure::of(error.is_refused(), is_there);
                self.failed(asked_at, failure);
                self.silent(error.to_string());
            }
        }
    }

    /// Notes that the server does not answer as it should. Its boards stay where they are: this proves nothing.
    fn silent(&mut self, fault: String) {
        if self.fault.as_ref() != Some(&fault) {
            warn!(target: EVENT, event = "server", server = self.server.name().as_str(), change = "failing", fault,
                "the server is not to be had");
            self.fault = Some(fault.clone());
        }
        let verdict = self.health.verdict();
        self.server.hear(|status| {
            status.verdict = verdict;
            status.polls += 1;
            status.was_asked = true;
            status.is_ready = false;
            status.fault = Some(fault.into());
            status.silent_since.get_or_insert_with(std::time::Instant::now);
        });
    }

    /// Notes that this process has no file or port left to ask the server with, which says nothing of the server.
    fn could_not_ask(&mut self, fault: String) {
        if self.fault.as_ref() != Some(&fault) {
            warn!(
                fault,
                "the server could not be asked, for want of what this process has no more of"
            );
            self.fault = Some(fault);
        }
        self.judge(Event::Stalled);
    }

    fn tell_readiness(&self, is_ready: bool) {
        let before = self.server.status();
        if is_ready != before.is_ready || !before.was_asked {
            let change = if is_ready { "ready" } else { "not_ready" };
            info!(target: EVENT, event = "server", server = self.server.name().as_str(), change, "the server's readiness changed");
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

/// In what way a question failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nobody listens there.
    Refused,
    /// No answer came, or a wrong one.
    Silent,
    /// Somebody is there who is not believed, or does not believe us.
    Disbelieved,
}

impl Failure {
    fn of(is_refused: bool, proves_presence: bool) -> Self {
        if is_refused {
            Self::Refused
        } else if proves_presence {
            Self::Disbelieved
        } else {
            Self::Silent
        }
    }
}

/// An error with its causes, on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut last = self.0.to_string();
        formatter.write_str(&last)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // Some errors show their cause and name it as well.
            if !last.ends_with(&said) {
                write!(formatter, ": {said}")?;
            }
            last = said;
            cause = error.source();
        }
        Ok(())
    }
}

fn tell_down(server: &Server) {
    let name = server.name().as_str();
    if server.has_contract() {
        warn!(target: EVENT, event = "server", server = name, change = "down",
            "the server is down; its boards are activated elsewhere");
    } else {
        warn!(target: EVENT, event = "server", server = name, change = "down",
            "the server is down; its boards stay its own until somebody says that its process is gone");
    }
}

/// How often a server is asked whose fate is to be decided.
const SUSPECT_INTERVAL: Duration = Duration::from_millis(200);

/// A server is not asked more often than this, whoever wants it asked.
const NUDGED_GAP: Duration = Duration::from_millis(50);

/// Later than this no timer fires on a machine that only is busy.
const STALL_MIN: Duration = Duration::from_secs(1);

/// A server on the same network takes a connection within a few milliseconds, or is not there.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a server's host name is looked up.
const ADDRESSES_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
