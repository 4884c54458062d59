//! Every metric of the gateway, by name.
//!
//! Handles are taken once, at construction or when a server becomes known; nothing here looks a series up while bytes
//! flow. Names end in their unit; labels are closed lists and server names.

use std::sync::Arc;

use handover_protocol::admin::{DrainState, Level};
use handover_protocol::{ReleaseName, ServerName};
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::Label;
use super::family::{CounterGrid, CounterRow, GaugeRow, HistogramRow, register};
use super::label::{
    BoardRole, ControlCall, ControlFailure, Crossing, Direction, Fallback, Limit, MoveResult, MoveStep,
    ProxyHeaderOutcome, RegistryOperation, ReloadResult, RequestOutcome, ServerTlsOutcome, Side, TakeoverResult,
    TlsOutcome, UpgradeOutcome,
};
use crate::config::MetricsConfig;
use crate::tls::Certificate;

/// The metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    boards: IntGaugeVec,
    boards_alias: Option<IntGaugeVec>,
    sessions: IntGaugeVec,
    parked: IntGauge,
    parked_total: IntCounter,
    /// Sessions that were opened.
    pub sessions_opened: IntCounter,
    /// Boards whose server was gone, by what became of them.
    pub takeovers: CounterRow<TakeoverResult>,
    /// Moves that ended.
    pub moves: CounterGrid<MoveResult, Level>,
    /// How long each step of a move took.
    pub move_step_seconds: HistogramRow<MoveStep>,
    /// Of each session that had to wait: from its first frame that waited to the first that the target could take.
    pub blackout_seconds: HistogramRow<Crossing>,
    /// Of each held session: how long it was held.
    pub hold_seconds: HistogramRow<Crossing>,
    /// Sessions that were to cross transparently and were told to reconnect.
    pub fallbacks: CounterRow<Fallback>,
    /// Moved sessions of which something could not be confirmed.
    pub unconfirmed_sessions: IntCounter,
    /// Sessions whose user may have been told to reconnect twice within the bounce limit.
    pub bounced_sessions: IntCounter,
    /// Moves that did not begin because gateway and source count different sessions.
    pub counts_drifts: IntCounter,
    /// Sessions that crossed and were answered nothing by their target.
    pub silent_targets: IntCounter,
    /// Newcomers that waited for a board longer than a hold may last.
    pub parked_expired: IntCounter,
    /// WebSocket data messages that were passed on.
    pub messages: CounterRow<Direction>,
    /// Bytes of WebSocket frames that were passed on.
    pub bytes: CounterRow<Direction>,
    /// How often a bound was reached.
    pub limit_hits: CounterRow<Limit>,
    /// Sessions that ended because a peer broke the WebSocket protocol.
    pub protocol_violations: CounterRow<Side>,
    /// WebSocket handshakes.
    pub upgrades: CounterRow<UpgradeOutcome>,
    /// TLS handshakes with clients.
    pub tls_handshakes: CounterRow<TlsOutcome>,
    certificate_ends: IntGaugeVec,
    /// TLS handshakes at the admin listener.
    pub admin_tls_handshakes: CounterRow<TlsOutcome>,
    server_tls: IntCounterVec,
    /// PROXY headers of listed peers.
    pub proxy_headers: CounterRow<ProxyHeaderOutcome>,
    /// Plain requests.
    pub requests: CounterRow<RequestOutcome>,
    /// How long the registry took.
    pub registry_seconds: HistogramRow<RegistryOperation>,
    /// Writes to the registry of which the outcome was not known.
    pub registry_unknown: IntCounter,
    /// How long control calls took, failed ones included.
    pub control_call_seconds: HistogramRow<ControlCall>,
    /// Control calls that failed.
    pub control_failures: CounterGrid<ControlCall, ControlFailure>,
    /// Drains by state.
    pub drains: GaugeRow<DrainState>,
    /// How often the configuration was read anew.
    pub config_reloads: CounterRow<ReloadResult>,
    /// When the configuration was last read and found right, in seconds since 1970.
    pub config_last_reload: IntGauge,
}

/// The gauges of one server; they stay until [`Metrics::forget_server`].
#[derive(Debug, Clone)]
pub struct ServerMetrics {
    owned: IntGauge,
    standby: IntGauge,
    boards_alias: Option<IntGauge>,
    /// Sessions that the gateway carries to the server.
    pub sessions: IntGauge,
}

/// Counts one newcomer that waits for a board, until it is dropped.
#[derive(Debug)]
pub struct Parked(IntGauge);

/// Says which setting cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[error("[metrics] open_boards_alias = {name:?} cannot name a series; give it another name, or \"\" for none")]
pub struct MetricsError {
    /// The name that was asked for.
    name: Arc<str>,
    /// Why it cannot be.
    #[source]
    source: prometheus::Error,
}

impl Metrics {
    /// Shows until when a certificate holds that is shown to somebody, by its file.
    pub fn note_certificate_end(&self, certificate: &Certificate) {
        let file = certificate.file.display().to_string();
        let end = certificate.validity.not_after;
        self.certificate_ends.with_label_values(&[&file]).set(end);
    }

    /// Forgets which certificates are shown, before they are read anew.
    pub fn forget_certificate_ends(&self) {
        self.certificate_ends.reset();
    }

    /// Registers every series, at zero.
    ///
    /// # Errors
    /// When the alias of the open boards is no metric name, or taken.
    pub fn new(config: &MetricsConfig) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let into = &registry;
        let counter = |name: &str, help: &str| register(into, IntCounter::new(name, help));
        let gauge =
            |name: &str, help: &str, labels: &[&str]| register(into, IntGaugeVec::new(Opts::new(name, help), labels));
        let build = gauge(
            "handover_build_info",
            "1, labelled with the version that runs.",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            boards: gauge(
                "handover_boards",
                "Open boards: each once as owner, and where it is being moved to also as standby.",
                &["server", "release", "role"],
            ),
            boards_alias: None,
            sessions: gauge(
                "handover_sessions",
                "Sessions that the gateway carries, by server.",
                &["server"],
            ),
            parked: register(
                into,
                IntGauge::new(
                    "handover_parked",
                    "Newcomers that wait for a board which is being moved or placed.",
                ),
            ),
            parked_total: counter("handover_parked_total", "Newcomers that had to wait for a board."),
            sessions_opened: counter("handover_sessions_opened_total", "Sessions that were opened."),
            takeovers: CounterRow::register(
                into,
                "handover_takeovers_total",
                "Boards whose server was gone, by what became of them.",
                "result",
            ),
            moves: CounterGrid::register(
                into,
                "handover_moves_total",
                "Moves that ended, by how and at which level.",
                ["result", "level"],
            ),
            move_step_seconds: HistogramRow::register(
                into,
                "handover_move_step_seconds",
                "How long each step of a move took.",
                "step",
                STEP_BUCKETS,
            ),
            blackout_seconds: HistogramRow::register(
                into,
                "handover_blackout_seconds",
                "Per session: from the first client frame that had to wait to the first that the target could take.",
                "mode",
                HOLD_BUCKETS,
            ),
            hold_seconds: HistogramRow::register(
                into,
                "handover_hold_seconds",
                "Per session: how long its client's frames were held.",
                "mode",
                HOLD_BUCKETS,
            ),
            fallbacks: CounterRow::register(
                into,
                "handover_fallbacks_total",
                "Sessions that were to cross transparently and were told to reconnect.",
                "reason",
            ),
            bounced_sessions: counter(
                "handover_bounced_sessions_total",
                "Sessions told to reconnect whose user may have been told within the bounce limit before.",
            ),
            counts_drifts: counter(
                "handover_counts_drifts_total",
                "Moves that did not begin because gateway and source count different sessions.",
            ),
            silent_targets: counter(
                "handover_silent_targets_total",
                "Sessions that crossed, spoke to their target and heard nothing from it.",
            ),
            unconfirmed_sessions: counter(
                "handover_unconfirmed_sessions_total",
                "Moved sessions of which something could not be confirmed.",
            ),
            parked_expired: counter(
                "handover_parked_expired_total",
                "Newcomers that waited for a board longer than a hold may last.",
            ),
            messages: CounterRow::register(
                into,
                "handover_messages_total",
                "WebSocket data messages that were passed on.",
                "direction",
            ),
            bytes: CounterRow::register(
                into,
                "handover_bytes_total",
                "Bytes of WebSocket frames that were passed on.",
                "direction",
            ),
            limit_hits: CounterRow::register(
                into,
                "handover_limit_hits_total",
                "How often a bound was reached.",
                "limit",
            ),
            protocol_violations: CounterRow::register(
                into,
                "handover_protocol_violations_total",
                "Sessions that ended because a peer broke the WebSocket protocol.",
                "side",
            ),
            upgrades: CounterRow::register(into, "handover_upgrades_total", "WebSocket handshakes.", "outcome"),
            tls_handshakes: CounterRow::register(
                into,
                "handover_tls_handshakes_total",
                "TLS handshakes with clients.",
                "outcome",
            ),
            admin_tls_handshakes: CounterRow::register(
                into,
                "handover_admin_tls_handshakes_total",
                "TLS handshakes at the admin listener.",
                "outcome",
            ),
            proxy_headers: CounterRow::register(
                into,
                "handover_proxy_headers_total",
                "Connections of peers in listen.proxy_protocol, by what became of their PROXY header.",
                "outcome",
            ),
            certificate_ends: gauge(
                "handover_tls_certificate_not_after_seconds",
                "Until when a certificate that clients or servers are shown holds, in seconds since 1970.",
                &["certificate"],
            ),
            server_tls: register(
                into,
                IntCounterVec::new(
                    Opts::new(
                        "handover_server_tls_handshakes_total",
                        "TLS handshakes with servers, by server and how they ended.",
                    ),
                    &["server", "outcome"],
                ),
            ),
            requests: CounterRow::register(into, "handover_requests_total", "Plain requests.", "outcome"),
            registry_seconds: HistogramRow::register(
                into,
                "handover_registry_seconds",
                "How long the registry took.",
                "operation",
                REGISTRY_BUCKETS,
            ),
            registry_unknown: counter(
                "handover_registry_unknown_total",
                "Writes to the registry of which the outcome was not known.",
            ),
            control_call_seconds: HistogramRow::register(
                into,
                "handover_control_call_seconds",
                "How long control calls took, failed ones included.",
                "call",
                STEP_BUCKETS,
            ),
            control_failures: CounterGrid::register(
                into,
                "handover_control_failures_total",
                "Control calls that failed.",
                ["call", "reason"],
            ),
            config_reloads: CounterRow::register(
                into,
                "handover_config_reloads_total",
                "How often the configuration was read anew while the gateway ran.",
                "result",
            ),
            config_last_reload: register(
                into,
                IntGauge::new(
                    "handover_config_last_reload_success_timestamp_seconds",
                    "When the configuration was last read and found right, in seconds since 1970.",
                ),
            ),
            drains: GaugeRow::register(into, "handover_drains", "Drains, by state.", "state"),
            registry,
        };
        metrics.with_alias(config)
    }

    fn with_alias(mut self, config: &MetricsConfig) -> Result<Self, MetricsError> {
        let Some(name) = &config.open_boards_alias else {
            return Ok(self);
        };
        let fails = |source| MetricsError {
            name: Arc::clone(name),
            source,
        };
        let help = "Open boards, each under its owner: handover_boards under its older name.";
        let family =
            IntGaugeVec::new(Opts::new(name.as_ref(), help), &[config.open_boards_label.as_ref()]).map_err(fails)?;
        self.registry.register(Box::new(family.clone())).map_err(fails)?;
        self.boards_alias = Some(family);
        Ok(self)
    }

    /// Takes the handles of one server, at zero.
    pub fn server(&self, server: &ServerName, release: &ReleaseName) -> ServerMetrics {
        let name = server.as_str();
        ServerMetrics {
            owned: self.boards_of(name, release, BoardRole::Owner),
            standby: self.boards_of(name, release, BoardRole::Standby),
            boards_alias: self
                .boards_alias
                .as_ref()
                .map(|family| family.with_label_values(&[name])),
            sessions: self.sessions.with_label_values(&[name]),
        }
    }

    /// Takes the counters of TLS with one server, at zero.
    pub fn server_tls(&self, server: &ServerName) -> CounterRow<ServerTlsOutcome> {
        CounterRow::of_family(&self.server_tls, server.as_str())
    }

    fn boards_of(&self, server: &str, release: &ReleaseName, role: BoardRole) -> IntGauge {
        self.boards.with_label_values(&[server, release.as_str(), role.text()])
    }

    /// Ends the series of a server that has left; what its handles still count is shown no more.
    pub fn forget_server(&self, server: &ServerName, release: &ReleaseName) {
        let name = server.as_str();
        // Each fails only where the series has gone already.
        for role in BoardRole::ALL {
            let _ = self.boards.remove_label_values(&[name, release.as_str(), role.text()]);
        }
        let _ = self.sessions.remove_label_values(&[name]);
        for outcome in ServerTlsOutcome::ALL {
            let _ = self.server_tls.remove_label_values(&[name, outcome.text()]);
        }
        if let Some(family) = &self.boards_alias {
            let _ = family.remove_label_values(&[name]);
        }
    }

    /// Counts a newcomer that waits for a board.
    #[must_use = "the newcomer is counted until this is dropped"]
    pub fn parked(&self) -> Parked {
        self.parked.inc();
        self.parked_total.inc();
        Parked(self.parked.clone())
    }

    /// Counts a newcomer that waited for too long.
    pub fn parked_expired(&self) {
        self.parked_expired.inc();
    }

    /// Writes every series in Prometheus's text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("every family has a series, and a Vec takes every byte");
        String::from_utf8(text).expect("the encoder writes strings")
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
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// From half a millisecond, which is a few round trips on a loopback, to the longest hold.
const HOLD_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// As the holds, and on to a board that loads for a minute.
const STEP_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// From a look into the page cache to a disk that hangs.
const REGISTRY_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(&MetricsConfig::default()).unwrap()
    }

    fn holds(text: &str, line: &str) -> bool {
        text.lines().any(|other| other == line)
    }

    #[test]
    fn every_series_is_there_at_zero_from_the_start() {
        let text = metrics().render();
        let check = |line: &str| assert!(holds(&text, line), "{line} in\n{text}");
        check("handover_moves_total{level=\"opaque\",result=\"forced\"} 0");
        check("handover_moves_total{level=\"contract\",result=\"moved\"} 0");
        check("handover_move_step_seconds_count{step=\"drain_down\"} 0");
        check("handover_blackout_seconds_count{mode=\"transparent\"} 0");
        check("handover_hold_seconds_bucket{mode=\"reconnect\",le=\"0.0005\"} 0");
        check("handover_hold_seconds_bucket{mode=\"reconnect\",le=\"5\"} 0");
        check("handover_fallbacks_total{reason=\"boundary\"} 0");
        check("handover_limit_hits_total{limit=\"hold_bytes\"} 0");
        check("handover_control_failures_total{call=\"thaw\",reason=\"unanswered\"} 0");
        check("handover_drains{state=\"running\"} 0");
        check("handover_parked 0");
        check("handover_parked_total 0");
        check("handover_parked_expired_total 0");
        check("handover_registry_unknown_total 0");
        check("handover_sessions_opened_total 0");
        check("handover_unconfirmed_sessions_total 0");
        check("handover_bounced_sessions_total 0");
        check("handover_counts_drifts_total 0");
        check("handover_silent_targets_total 0");
        check("handover_limit_hits_total{limit=\"bounce_limit\"} 0");
        check(concat!(
            "handover_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ));
    }

    #[test]
    fn each_pair_of_labels_counts_for_itself() {
        let metrics = metrics();
        metrics.moves.of(MoveResult::Undone, Level::Opaque).inc_by(2);
        metrics.moves.of(MoveResult::Moved, Level::Contract).inc_by(3);
        let text = metrics.render();
        assert!(holds(
            &text,
            "handover_moves_total{level=\"opaque\",result=\"undone\"} 2"
        ));
        assert!(holds(
            &text,
            "handover_moves_total{level=\"contract\",result=\"moved\"} 3"
        ));
        assert_eq!(text.matches("handover_moves_total{").count(), 8);
    }

    #[test]
    fn open_boards_have_their_older_name_too_until_the_server_leaves() {
        let metrics = metrics();
        let (name, release) = ("board-1".parse().unwrap(), "r1".parse().unwrap());
        let server = metrics.server(&name, &release);
        server.set_boards(7, 2);
        server.sessions.inc();
        let text = metrics.render();
        assert!(holds(&text, "rtb_spaces_count{instance=\"board-1\"} 7"), "{text}");
        for line in [
            "handover_boards{release=\"r1\",role=\"owner\",server=\"board-1\"} 7",
            "handover_boards{release=\"r1\",role=\"standby\",server=\"board-1\"} 2",
        ] {
            assert!(holds(&text, line), "{text}");
        }
        assert!(holds(&text, "handover_sessions{server=\"board-1\"} 1"));
        metrics.forget_server(&name, &release);
        assert!(!metrics.render().contains("board-1"));
    }

    #[test]
    fn an_alias_can_be_another_none_or_impossible() {
        let with = |alias: Option<&str>| {
            Metrics::new(&MetricsConfig {
                open_boards_alias: alias.map(Into::into),
                ..MetricsConfig::default()
            })
        };
        let server = |metrics: &Metrics| metrics.server(&"s".parse().unwrap(), &"r".parse().unwrap());
        let other = with(Some("open_rooms")).unwrap();
        server(&other).set_boards(1, 0);
        assert!(holds(&other.render(), "open_rooms{instance=\"s\"} 1"));
        let none = with(None).unwrap();
        server(&none).set_boards(1, 0);
        assert!(!none.render().contains("instance="));
        let labelled = Metrics::new(&MetricsConfig {
            open_boards_label: "node".into(),
            ..MetricsConfig::default()
        })
        .unwrap();
        server(&labelled).set_boards(1, 0);
        assert!(holds(&labelled.render(), "rtb_spaces_count{node=\"s\"} 1"));
        assert!(with(Some("no name")).unwrap_err().to_string().contains("no name"));
        assert!(with(Some("handover_boards")).is_err());
    }

    #[test]
    fn a_parked_newcomer_is_counted_while_it_waits() {
        let metrics = metrics();
        let waiting = metrics.parked();
        assert!(holds(&metrics.render(), "handover_parked 1"));
        drop(waiting);
        let text = metrics.render();
        assert!(holds(&text, "handover_parked 0") && holds(&text, "handover_parked_total 1"));
    }
}
