//! The configuration: one TOML file, read once, checked whole, typed from there on.
//!
//! Whoever takes a [`Config`] needs to check nothing again. What is wrong with a file is reported all at once, each
//! fault with its place, its key, its value and the way out; only a syntax error of TOML stops before that.

mod access_log;
mod admin;
mod board_source;
mod command;
mod drain;
pub mod example;
mod finding;
mod health;
pub mod limits;
mod named_server;
mod networks;
mod origins;
mod overrides;
mod path_pattern;
mod read;
mod report;
pub mod route;
mod schema;
mod server;
mod settings;
mod settle_hook;
mod show;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::{BoardId, ReleaseName};

use finding::Findings;

use crate::telemetry::Redaction;

pub use access_log::AccessLog;
pub use admin::{AdminAddress, AdminCertificate, AdminConfig, AdminTls, AdminToken, Scope};
pub use board_source::{BoardIdFault, BoardSource};
pub use command::{CommandFault, CommandTemplate};
pub use drain::{BOARD_MOVE_INTERVAL, BOARD_MOVE_INTERVAL_MAX, DrainConfig};
pub use finding::{Finding, Place};
pub use health::HealthConfig;
pub use limits::Limits;
pub use named_server::NamedFault;
pub use networks::{ForwardingHeaders, Network, NetworkFault, Networks};
pub use origins::{Origin, OriginFault, Origins};
pub use overrides::Overrides;
pub use path_pattern::{PathPattern, PathPatternFault};
pub use report::{Faults, Report};
pub use route::{Greeting, OnServerDeath, Replay, Route, RouteMode};
pub use schema::{schema, schema_text};
pub use server::{Allotment, Control, ControlToken, ControlTokenFault, ServerConfig, ServerUrl, ServerUrlFault};
pub use settings::{Given, Kind, Setting, Settings, Source};
pub use settle_hook::SettleHook;
pub use show::show;
pub use tls::{CertificateFiles, ServerTlsConfig, TlsConfig, UnknownNames};

/// Everything that an operator has said.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the gateway listens.
    pub listen: Listen,
    /// What TLS clients are shown.
    pub tls: TlsConfig,
    /// Where placements live.
    pub registry: RegistryConfig,
    /// Which release takes new boards.
    pub releases: Releases,
    /// The board servers, in the order of the file; names and URLs are unique.
    pub servers: Vec<ServerConfig>,
    /// The routes, in the order of the file: the first that matches a request takes it.
    pub routes: Vec<Arc<Route>>,
    /// Bounds that are not a route's.
    pub limits: Limits,
    /// How servers are watched.
    pub health: HealthConfig,
    /// What drains and moves go by.
    pub drain: DrainConfig,
    /// How the gateway ends.
    pub shutdown: Shutdown,
    /// What `/metrics` shows beyond the usual.
    pub metrics: MetricsConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Who may use the admin API.
    pub admin: AdminConfig,
}

impl Config {
    /// Reads a file and what this process's environment sets, and returns the configuration with what is doubtful.
    ///
    /// Files that it names are looked for from its own folder.
    ///
    /// # Errors
    /// When the file cannot be read or anything in it is wrong; everything is reported at once.
    pub fn load(file: &Path) -> Result<(Self, Vec<Finding>), Faults> {
        Reading::load(file, &Overrides::of_process()).outcome
    }

    /// Reads the text of a file; the path is where files that it names are looked for, and what reports show.
    ///
    /// # Errors
    /// When anything in it is wrong; everything is reported at once.
    pub fn parse(text: &str, file: &Path) -> Result<(Self, Vec<Finding>), Faults> {
        Reading::parse(text, file, &Overrides::default()).outcome
    }

    /// Returns the first route that takes a request, and the board that it names.
    pub fn route_of(&self, parts: &http::request::Parts) -> Option<(&Arc<Route>, Result<BoardId, BoardIdFault>)> {
        self.routes
            .iter()
            .find_map(|route| route.board_of(parts).map(|board| (route, board)))
    }
}

/// What came of reading a file.
#[derive(Debug)]
pub struct Reading {
    /// The configuration with what is doubtful about it, or everything that is wrong.
    pub outcome: Result<(Config, Vec<Finding>), Faults>,
    /// What was said, as far as it could be read.
    pub settings: Settings,
}

impl Reading {
    /// Reads a file and what the environment sets.
    pub fn load(file: &Path, overrides: &Overrides) -> Self {
        let text = std::fs::read(file)
            .map_err(|error| format!("cannot be read: {error}"))
            .and_then(|bytes| String::from_utf8(bytes).map_err(|error| format!("is not UTF-8: {error}")))
            .map_err(|problem| Faults {
                file: file.to_owned(),
                faults: vec![Finding {
                    key: String::new(),
                    name: None,
                    environment: None,
                    place: None,
                    value: None,
                    problem: format!("the file {problem}"),
                    fix: "name a readable file with --config".into(),
                }],
                warnings: Vec::new(),
            });
        match text {
            Ok(text) => Self::parse(&text, file, overrides),
            Err(faults) => Self {
                outcome: Err(faults),
                settings: Settings::default(),
            },
        }
    }

    /// Reads the text of a file and what the environment sets.
    pub fn parse(text: &str, file: &Path, overrides: &Overrides) -> Self {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        // The variables' lines stand behind the file's: each byte of both has a place of its own.
        let lines = overrides.to_toml();
        let variables = format!("{}\n{lines}", " ".repeat(text.len()));
        let findings = Findings::with_environment(&format!("{text}\n{lines}"), text.len() + 1);
        let config = read::read(text, &variables, folder, &findings);
        let settings = findings.settings();
        let (faults, warnings) = findings.into_parts();
        let outcome = match config {
            Some(config) if faults.is_empty() => Ok((config, warnings)),
            Some(_) | None => Err(Faults {
                file: file.to_owned(),
                faults,
                warnings,
            }),
        };
        Self { outcome, settings }
    }
}

/// Where the gateway listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Addresses for clients without TLS.
    pub traffic: Vec<SocketAddr>,
    /// Addresses for clients with TLS; of the two lists one at least names an address.
    pub traffic_tls: Vec<SocketAddr>,
    /// Where the admin API, `/metrics`, `/livez` and `/readyz` are; beyond this machine only for tokens or client
    /// certificates.
    pub admin: AdminAddress,
    /// Who begins its connections by a PROXY header that says for whom they are.
    pub proxy_protocol: Networks,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Networks,
    /// In which headers those proxies say whose request they bring.
    pub forwarding_headers: ForwardingHeaders,
}

impl Listen {
    /// Returns every address, the admin API's included.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let traffic = self.traffic.iter().chain(&self.traffic_tls).copied();
        traffic.chain(self.admin.tcp())
    }
}

/// Where placements live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// The embedded registry's file, resolved against the configuration's folder.
    pub file: PathBuf,
}

/// Which release takes new boards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    /// First placements go to servers of this release.
    pub current: ReleaseName,
}

/// How the gateway ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// From SIGTERM until what is still open is cut.
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: SHUTDOWN_GRACE }
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// In the syntax of `tracing_subscriber`'s `EnvFilter`: `level` or `target=level,…`.
    pub filter: Arc<str>,
    /// Whose coming and going is.
    pub access: AccessLog,
    /// What of request targets is not.
    pub redaction: Redaction,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: LOG_FILTER.into(),
            access: AccessLog::default(),
            redaction: Redaction::default(),
        }
    }
}

/// What `/metrics` shows beyond the usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// A second name for the open boards per server, labelled with the server, for dashboards that know it by that name;
    /// none where it is empty in the file.
    pub open_boards_alias: Option<Arc<str>>,
    /// The label of that series which names the server.
    pub open_boards_label: Arc<str>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            open_boards_alias: Some(OPEN_BOARDS_ALIAS.into()),
            open_boards_label: OPEN_BOARDS_LABEL.into(),
        }
    }
}

/// Half of what Kubernetes and systemd installations commonly give a process before SIGKILL (30 s): closes are spread
/// over it, and time is left for clients that answer late.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// One line for each board and server that changes, none for each session.
pub const LOG_FILTER: &str = "info";

/// The series that the dashboards which this gateway was made for already read.
pub const OPEN_BOARDS_ALIAS: &str = "rtb_spaces_count";

/// The label by which they select the server.
pub const OPEN_BOARDS_LABEL: &str = "instance";
