//! Every metric of the gateway, by name.
//!
//! Handles are taken once, at construction or when a server becomes known; nothing here looks a series up while bytes
//! flow. Names end in their unit; labels are closed lists and server names.

use std::sync::{Arc, Mutex, PoisonError};

use handover_protocol::admin::{DrainState, Level, PausedBy};
use handover_protocol::{ReleaseName, ServerName};
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::Label;
use super::certificate_ends::{CertificateEnds, ShownCertificate};
use super::family::{CounterGrid, CounterRow, GaugeRow, HistogramRow, register};
use super::label::{
    ControlCall, ControlFailure, Crossing, Direction, DrainBoards, Fallback, HandshakeStep, Limit, LogLoss, MoveResult,
    MoveStep, ProxyHeaderOutcome, RegistryOperation, ReloadResult, RequestOutcome, ServerTlsOutcome, Side,
    TakeoverResult, TlsOutcome, UpgradeOutcome,
};
use super::loss;
use super::server::{ServerFamilies, ServerMetrics};
use crate::config::MetricsConfig;
use crate::tls::Certificate;

/// The metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    servers: ServerFamilies,
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
    certificate_ends: Arc<CertificateEnds>,
    /// TLS handshakes at the admin listener.
    pub admin_tls_handshakes: CounterRow<TlsOutcome>,
    server_tls: IntCounterVec,
    /// PROXY headers of listed peers.
    pub proxy_headers: CounterRow<ProxyHeaderOutcome>,
    /// Plain requests.
    pub requests: CounterRow<RequestOutcome>,
    /// How long the registry took.
    pub registry_seconds: HistogramRow<RegistryOperation>,
    /// How long the registry's transactions took to be on the disk.
    pub registry_sync_seconds: Histogram,
    /// Writes to the registry of which the outcome was not known.
    pub registry_unknown: IntCounter,
    /// How long control calls took, failed ones included.
    pub control_call_seconds: HistogramRow<ControlCall>,
    /// Control calls that failed.
    pub control_failures: CounterGrid<ControlCall, ControlFailure>,
    /// From a client's first byte to its session, in parts.
    pub handshake_seconds: HistogramRow<HandshakeStep>,
    held_boards: IntGauge,
    /// Boards of the drains that run.
    pub drain_boards: GaugeRow<DrainBoards>,
    log_lost: CounterRow<LogLoss>,
    /// Held while what the log has lost is brought up to this moment.
    log_watch: Mutex<()>,
    /// Drains by state.
    pub drains: GaugeRow<DrainState>,
    /// Drains that are paused, by who paused them.
    pub paused_drains: GaugeRow<PausedBy>,
    /// How often the configuration was read anew.
    pub config_reloads: CounterRow<ReloadResult>,
    /// When the configuration was last read and found right, in seconds since 1970.
    pub config_last_reload: IntGauge,
}

/// Counts one newcomer that waits for a board, or one board whose sessions are held, until it is dropped.
#[derive(Debug)]
pub struct Counted(IntGauge);

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
    /// Shows until when a certificate holds that is shown to somebody, by its file, until that is over.
    #[must_use = "it is shown until this is dropped"]
    pub fn certificate_end(&self, certificate: &Certificate) -> ShownCertificate {
        self.certificate_ends.show(certificate)
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
            servers: ServerFamilies::register(into, STEP_BUCKETS),
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
                "Boards whose server was gone: taken by another, or failed and tried again. Any is worth a look; failed ones serve \
                 nobody.",
                "result",
            ),
            moves: CounterGrid::register(
                into,
                "handover_moves_total",
                "Moves that ended: moved, undone (the source serves as before), forced (granted and not confirmed), lost (somebody \
                 else changed the placement). Forced and lost ones want an operator.",
                ["result", "level"],
            ),
            move_step_seconds: HistogramRow::register(
                into,
                "handover_move_step_seconds",
                "How long each step of a move took, by its end whatever it was. Users wait from hold to switch, nobody during prepare.",
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
                "Sessions that were to cross with their socket open and were told to reconnect, by why.",
                "reason",
            ),
            bounced_sessions: counter(
                "handover_bounced_sessions_total",
                "Sessions told to reconnect, by a broken connection or because they could not cross, whose user moves may have \
                 told bounce_count times within bounce_limit before; never by a move's plan.",
            ),
            counts_drifts: counter(
                "handover_counts_drifts_total",
                "Moves that did not begin because gateway and source count different sessions: somebody connects past the gateway, \
                 or one side has lost track.",
            ),
            silent_targets: counter(
                "handover_silent_targets_total",
                "Sessions that used to be answered, crossed, spoke to their target and heard nothing from it for 5 s. Look at once: \
                 the target hangs, or misses what it must hear first.",
            ),
            unconfirmed_sessions: counter(
                "handover_unconfirmed_sessions_total",
                "Moved sessions of which something could not be confirmed, as is common with opaque servers. With contract servers \
                 any is worth a look.",
            ),
            parked_expired: counter(
                "handover_parked_expired_total",
                "Newcomers that were refused after waiting for a board for as long as a hold may last.",
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
                "How often a bound was reached; the label is the setting's name, open_files and local_ports are the \
                 operating system's, control_body_bytes_max (4 MiB) and admin_connections_max (256) are fixed. A bound that bites \
                 all the time is too low, or somebody uses it up.",
                "limit",
            ),
            protocol_violations: CounterRow::register(
                into,
                "handover_protocol_violations_total",
                "Sessions that ended because a peer broke the WebSocket protocol.",
                "side",
            ),
            upgrades: CounterRow::register(
                into,
                "handover_upgrades_total",
                "WebSocket handshakes of clients, by what became of them.",
                "outcome",
            ),
            tls_handshakes: CounterRow::register(
                into,
                "handover_tls_handshakes_total",
                "TLS handshakes with clients, by what became of them.",
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
            certificate_ends: CertificateEnds::register(into),
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
            requests: CounterRow::register(
                into,
                "handover_requests_total",
                "Plain requests of clients, by what became of them.",
                "outcome",
            ),
            registry_seconds: HistogramRow::register(
                into,
                "handover_registry_seconds",
                "How long the registry took, its wait for others' writes and the sync of the disk included. Moves cannot commit \
                 faster than compare_and_set.",
                "operation",
                REGISTRY_BUCKETS,
            ),
            registry_sync_seconds: register(
                into,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "handover_registry_sync_seconds",
                        "How long the registry's transactions took to be on the disk; many writes share one. Commits of moves \
                         wait for it while users are held: a slow disk is a long blackout.",
                    )
                    .buckets(REGISTRY_BUCKETS.to_vec()),
                ),
            ),
            registry_unknown: counter(
                "handover_registry_unknown_total",
                "Writes to the registry of which nobody knew whether they happened; they are read back. The disk fails or hangs.",
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
                "Control calls that failed, by call and why. unauthorized: compare the token files.",
                ["call", "reason"],
            ),
            config_reloads: CounterRow::register(
                into,
                "handover_config_reloads_total",
                "How often the configuration was read anew while the gateway ran; refused: it was wrong, and the old one holds.",
                "result",
            ),
            config_last_reload: register(
                into,
                IntGauge::new(
                    "handover_config_last_reload_success_timestamp_seconds",
                    "When the configuration was last read and found right, in seconds since 1970.",
                ),
            ),
            handshake_seconds: HistogramRow::register(
                into,
                "handover_handshake_seconds",
                "How long the parts of a client's way to its session took, refused ones included. Long enters are boards \
                 that are held or placed, long dials are slow servers.",
                "step",
                STEP_BUCKETS,
            ),
            held_boards: register(
                into,
                IntGauge::new(
                    "handover_held_boards",
                    "Boards whose sessions a move holds at this moment. No hold outlives its hold_timeout.",
                ),
            ),
            drain_boards: GaugeRow::register(
                into,
                "handover_drain_boards",
                "Boards of running and paused drains that are still on a source: left are all of them, moving and put_off \
                 those whose move is under way and those that bounce_limit or board_move_interval puts off.",
                "state",
            ),
            log_lost: CounterRow::register(
                into,
                "handover_log_lines_lost_total",
                "Log lines that reached nobody: whoever reads the log is too slow, or it cannot be written.",
                "reason",
            ),
            log_watch: Mutex::new(()),
            drains: GaugeRow::register(
                into,
                "handover_drains",
                "Drains that the gateway remembers, by state; a failed one has left boards behind.",
                "state",
            ),
            paused_drains: GaugeRow::register(
                into,
                "handover_paused_drains",
                "Drains that are paused, by who paused them; by deadline and target_down they paused themselves, and wait \
                 for somebody to decide.",
                "by",
            ),
            registry,
        };
        let process = metrics.registry.register(Box::new(ProcessCollector::for_self()));
        process.expect("names of ours are not those of the process");
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
        self.servers.boards_alias = Some(family);
        Ok(self)
    }

    /// Takes the handles of one server, at zero.
    pub fn server(&self, server: &ServerName, release: &ReleaseName) -> ServerMetrics {
        self.servers.of(server, release)
    }

    /// Takes the counters of TLS with one server, at zero.
    pub fn server_tls(&self, server: &ServerName) -> CounterRow<ServerTlsOutcome> {
        CounterRow::of_family(&self.server_tls, server.as_str())
    }

    /// Ends the series of a server that has left; what its handles still count is shown no more.
    pub fn forget_server(&self, server: &ServerName, release: &ReleaseName) {
        self.servers.forget(server, release);
        for outcome in ServerTlsOutcome::ALL {
            // It fails only where the series has gone already.
            let _ = self.server_tls.remove_label_values(&[server.as_str(), outcome.text()]);
        }
    }

    /// Counts a newcomer that waits for a board.
    #[must_use = "the newcomer is counted until this is dropped"]
    pub fn parked(&self) -> Counted {
        self.parked_total.inc();
        Counted::of(&self.parked)
    }

    /// Counts a board whose sessions are held.
    #[must_use = "the board is counted until this is dropped"]
    pub fn held_board(&self) -> Counted {
        Counted::of(&self.held_boards)
    }

    /// Counts a newcomer that waited for too long.
    pub fn parked_expired(&self) {
        self.parked_expired.inc();
    }

    fn note_lost_lines(&self) {
        let _watch = self.log_watch.lock().unwrap_or_else(PoisonError::into_inner);
        for how in LogLoss::ALL {
            let counter = self.log_lost.of(*how);
            counter.inc_by(loss::lost(*how).saturating_sub(counter.get()));
        }
    }

    /// Writes every series in Prometheus's text format, version 0.0.4.
    pub fn render(&self) -> String {
        self.note_lost_lines();
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("every family has a series, and a Vec takes every byte");
        String::from_utf8(text).expect("the encoder writes strings")
    }
}

impl Counted {
    fn of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
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
mod tests;
