//! The series of servers: they come with a server and leave with it.

use handover_protocol::admin::ServerState;
use handover_protocol::{ReleaseName, ServerName};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::Label;
use super::family::register;
use super::label::{BoardRole, CheckResult};

/// The families that have a series for each server.
#[derive(Debug)]
pub(super) struct ServerFamilies {
    boards: IntGaugeVec,
    pub(super) boards_alias: Option<IntGaugeVec>,
    sessions: IntGaugeVec,
    state: IntGaugeVec,
    checks: IntCounterVec,
    restarts: IntCounterVec,
    load_seconds: HistogramVec,
}

/// The series of one server; they stay until [`super::Metrics::forget_server`].
#[derive(Debug, Clone)]
pub struct ServerMetrics {
    owned: IntGauge,
    standby: IntGauge,
    boards_alias: Option<IntGauge>,
    /// Sessions that the gateway carries to the server.
    pub sessions: IntGauge,
    /// In the order of [`ServerState`]'s values.
    state: Box<[IntGauge]>,
    checks: Box<[IntCounter]>,
    /// How often another process answered in the server's name.
    pub restarts: IntCounter,
    /// How long it took to load a board as a standby.
    pub load_seconds: Histogram,
}

impl ServerFamilies {
    pub(super) fn register(into: &Registry, load_buckets: &[f64]) -> Self {
        let gauge =
            |name: &str, help: &str, labels: &[&str]| register(into, IntGaugeVec::new(Opts::new(name, help), labels));
        let counter =
            |name: &str, help: &str, labels: &[&str]| register(into, IntCounterVec::new(Opts::new(name, help), labels));
        let loads = HistogramOpts::new(
            "handover_load_seconds",
            "How long a server took to load a board that is moved to it, while the source still served: its users notice \
             nothing of it. Rising times slow a drain down.",
        );
        Self {
            boards: gauge(
                "handover_boards",
                "Open boards: each once as owner, also while it is being moved, and where it is being moved to also as \
                 standby. Never add the two.",
                &["server", "release", "role"],
            ),
            boards_alias: None,
            sessions: gauge(
                "handover_sessions",
                "Sessions that the gateway carries now, by the server that they are attached to.",
                &["server"],
            ),
            state: gauge(
                "handover_server_state",
                "1 for the state that the server is in, as GET /v1/servers says it, 0 for the others. Look at a server that \
                 stays down.",
                &["server", "state"],
            ),
            checks: counter(
                "handover_server_checks_total",
                "Health checks of a server, by what came of them. Refused and unanswered ones come before it counts as down; \
                 disbelieved ones met another certificate than \
                 is to be believed; stalled are those in which the gateway itself stood still, and they prove nothing.",
                &["server", "result"],
            ),
            restarts: counter(
                "handover_server_restarts_total",
                "How often another process answered in the name of a server. What the one before owned is activated anew.",
                &["server"],
            ),
            load_seconds: register(
                into,
                HistogramVec::new(loads.buckets(load_buckets.to_vec()), &["server"]),
            ),
        }
    }

    /// Takes the handles of one server, at zero; it counts as down until it has been asked.
    pub(super) fn of(&self, server: &ServerName, release: &ReleaseName) -> ServerMetrics {
        let name = server.as_str();
        let metrics = ServerMetrics {
            owned: self.boards_of(name, release, BoardRole::Owner),
            standby: self.boards_of(name, release, BoardRole::Standby),
            boards_alias: self
                .boards_alias
                .as_ref()
                .map(|family| family.with_label_values(&[name])),
            sessions: self.sessions.with_label_values(&[name]),
            state: each(|state: ServerState| self.state.with_label_values(&[name, state.text()])),
            checks: each(|result: CheckResult| self.checks.with_label_values(&[name, result.text()])),
            restarts: self.restarts.with_label_values(&[name]),
            load_seconds: self.load_seconds.with_label_values(&[name]),
        };
        metrics.set_state(ServerState::Down);
        metrics
    }

    fn boards_of(&self, server: &str, release: &ReleaseName, role: BoardRole) -> IntGauge {
        self.boards.with_label_values(&[server, release.as_str(), role.text()])
    }

    /// Ends the series of a server that has left; what its handles still count is shown no more.
    pub(super) fn forget(&self, server: &ServerName, release: &ReleaseName) {
        let name = server.as_str();
        // Each fails only where the series has gone already.
        for role in BoardRole::ALL {
            let _ = self.boards.remove_label_values(&[name, release.as_str(), role.text()]);
        }
        for state in ServerState::ALL {
            let _ = self.state.remove_label_values(&[name, state.text()]);
        }
        for result in CheckResult::ALL {
            let _ = self.checks.remove_label_values(&[name, result.text()]);
        }
        let _ = self.sessions.remove_label_values(&[name]);
        let _ = self.restarts.remove_label_values(&[name]);
        let _ = self.load_seconds.remove_label_values(&[name]);
        if let Some(family) = &self.boards_alias {
            let _ = family.remove_label_values(&[name]);
        }
    }
}

impl ServerMetrics {
    /// Tells how many open boards the server owns, and how many are being moved to it.
    pub fn set_boards(&self, owned: usize, standby: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.owned.set(number(owned));
        self.standby.set(number(standby));
        if let Some(alias) = &self.boards_alias {
            alias.set(number(owned));
        }
    }

    /// Tells which state the server is in.
    pub fn set_state(&self, now: ServerState) {
        for (gauge, state) in self.state.iter().zip(ServerState::ALL) {
            gauge.set(i64::from(*state == now));
        }
    }

    /// Returns the counter of health checks that ended so.
    pub fn checks(&self, result: CheckResult) -> &IntCounter {
        &self.checks[result.index()]
    }
}

fn each<L: Label, T>(series: impl Fn(L) -> T) -> Box<[T]> {
    L::ALL.iter().map(|value| series(*value)).collect()
}
