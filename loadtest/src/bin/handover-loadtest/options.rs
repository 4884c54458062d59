//! What `handover-loadtest` can be told, and how it prints.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use handover_loadtest::demo::Mode;
use handover_loadtest::report::{Report, in_html, in_words};
use handover_loadtest::scenario::{AdminClient, Load, OwnStand, Stand};
use handover_loadtest::user::{Endpoint, Resend};
use handover_protocol::admin::{DrainRequest, Pace, PaceRequest, ServerSet};
use handover_protocol::id::{IdError, ReleaseName, ServerName};

use super::running::Failure;

/// Draws on boards through a gateway, and judges what was lost, doubled or reordered.
///
/// Without --traffic it starts a gateway and four board servers of its own (two of release r1, two of r2), which end
/// with it. The report goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(super) struct Options {
    #[command(subcommand)]
    pub(super) run: Kind,
}

#[expect(clippy::large_enum_variant, reason = "a process has one")]
#[derive(Debug, Subcommand)]
pub(super) enum Kind {
    #[command(flatten)]
    Gateway(Scenario),
    /// Users talk to any WebSocket server, as a small TOML file says; there is no database to compare with.
    Target(TargetOptions),
}

#[derive(Debug, Subcommand)]
pub(super) enum Scenario {
    /// Users draw, and nothing else happens; nobody sends anything twice.
    Steady(LoadOptions),
    /// Users draw while boards are drained from some servers to others.
    Release {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        drain: DrainOptions,
    },
    /// Many boards with nobody on them are drained as fast as it goes, and every admin GET is timed meanwhile.
    ///
    /// --idle-boards says how many; sessions and rate are small unless they are given.
    Drain {
        #[command(flatten)]
        load: LoadOptions,
        #[command(flatten)]
        drain: DrainOptions,
    },
    /// A server or the gateway is struck down while users draw; they come back by themselves and send again.
    Crash {
        #[command(flatten)]
        load: LoadOptions,
        /// What is struck: a server of the first release, or the gateway.
        #[arg(long, value_enum, default_value_t = Victim::Server)]
        what: Victim,
        /// With SIGKILL, or with SIGSTOP (which is lifted in the end).
        #[arg(long, value_enum, default_value_t = Blow::Kill)]
        how: Blow,
        /// The process to be struck, by its id; needed with --traffic.
        #[arg(long, requires = "traffic")]
        pid: Option<i32>,
        /// When a killed process of the own stand is started again; by default the gateway at once and a server never.
        #[arg(long, value_parser = humantime::parse_duration)]
        restart_after: Option<Duration>,
    },
    /// Every connection is cut at once, again and again, and everybody comes back at once.
    Storm {
        #[command(flatten)]
        load: LoadOptions,
        /// How often.
        #[arg(long, default_value_t = 5, value_parser = parse_count, allow_negative_numbers = true)]
        rounds: u64,
    },
    /// Many sessions that say nothing, and a few that draw.
    Idle {
        #[command(flatten)]
        load: LoadOptions,
        /// How many of the sessions draw.
        #[arg(long, default_value_t = 20)]
        drawing: u64,
    },
    /// A share of the sessions stops reading while the others draw, after everybody has drawn for a while.
    ///
    /// They are sent so much that the gateway has to stop: --shown-pad, --rate and --duration say how much; a stand that is
    /// there already needs board servers with --shown-pad. Readers stop for twice the duration.
    Slow {
        #[command(flatten)]
        load: LoadOptions,
        /// Which share of the sessions, from 0 to 1.
        #[arg(long, default_value_t = 0.1, value_parser = parse_share, allow_negative_numbers = true)]
        share: f64,
    },
}

#[derive(Debug, Args)]
pub(super) struct TargetOptions {
    /// The server, such as ws://127.0.0.1:9000 or wss://board.example.com.
    #[arg(long, value_name = "URL")]
    pub(super) target: String,
    #[command(flatten)]
    pub(super) trust: TrustOptions,
    /// What a user does; docs/examples/loadtest.toml explains each key.
    #[arg(long, value_name = "FILE")]
    pub(super) user: PathBuf,
    /// Virtual users.
    #[arg(long, default_value_t = 100, value_parser = parse_count, allow_negative_numbers = true)]
    pub(super) sessions: u64,
    /// Boards that they are spread over.
    #[arg(long, default_value_t = 20, value_parser = parse_count, allow_negative_numbers = true)]
    pub(super) boards: u64,
    /// Messages per second, of all users.
    #[arg(long, default_value_t = 100.0, value_parser = parse_rate, allow_negative_numbers = true)]
    pub(super) rate: f64,
    /// How long they talk.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    pub(super) duration: Duration,
    /// Stands before the names of boards and users [default: one of its own for each run].
    #[arg(long, value_parser = parse_prefix)]
    pub(super) prefix: Option<String>,
    #[command(flatten)]
    pub(super) printing: Printing,
}

/// Whose certificates are trusted, where TLS is spoken.
#[derive(Debug, Args)]
pub(super) struct TrustOptions {
    /// Certificates of the authorities that are trusted, as PEM [default: the system's; SSL_CERT_FILE and SSL_CERT_DIR are obeyed].
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Printing {
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
    /// Short for --output json.
    #[arg(long, conflicts_with = "output")]
    pub(super) json: bool,
    /// Writes the report as one HTML page that needs no other file.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DrainOptions {
    /// The release to leave [default with an own stand: r1].
    #[arg(long, conflicts_with = "from_servers")]
    pub(super) from_release: Option<ReleaseName>,
    /// The servers to leave.
    #[arg(long, value_delimiter = ',')]
    pub(super) from_servers: Vec<ServerName>,
    /// The release to go to [default with an own stand: r2].
    #[arg(long, conflicts_with = "to_servers")]
    pub(super) to_release: Option<ReleaseName>,
    /// The servers to go to.
    #[arg(long, value_delimiter = ',')]
    pub(super) to_servers: Vec<ServerName>,
    /// How sessions cross.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub(super) mode: Mode,
    /// Moves begun per second; 0 sets no limit [default: 50; 0 for `drain`].
    #[arg(long, value_parser = parse_rate, allow_negative_numbers = true)]
    pub(super) boards_per_second: Option<f64>,
    /// Moves under way at once [default: 32; 128 for `drain`].
    #[arg(long)]
    pub(super) boards_at_once: Option<u32>,
    /// Boards that one target loads at once [default: 16; 64 for `drain`].
    #[arg(long)]
    pub(super) loads_per_target: Option<u32>,
    /// How long the drain may take.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10m")]
    pub(super) drain_limit: Duration,
}

#[derive(Debug, Args)]
pub(super) struct LoadOptions {
    /// Where users connect, such as 127.0.0.1:8080 or wss://board.example.com; without it an own stand is started.
    #[arg(long, requires = "database", value_name = "ADDRESS")]
    pub(super) traffic: Option<String>,
    #[command(flatten)]
    pub(super) trust: TrustOptions,
    /// The own stand's gateway speaks TLS; with --traffic write wss://.
    #[arg(long, conflicts_with = "traffic")]
    pub(super) tls: bool,
    /// The gateway's admin API, such as http://127.0.0.1:8081; `release` and `drain` need it with --traffic.
    #[arg(long, requires = "traffic", value_name = "URL")]
    pub(super) admin: Option<String>,
    /// A file with the token that the admin API asks for.
    #[arg(long, requires = "admin", value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// The board servers' database: a sqlite: or postgres: URL; an own stand's is a file of its own without it.
    #[arg(long, env = "HANDOVER_LOADTEST_DATABASE", hide_env_values = true, value_name = "URL")]
    pub(super) database: Option<String>,
    /// The gateway's process, whose memory is looked at; an own stand's are known.
    #[arg(long, requires = "traffic", value_name = "PID")]
    pub(super) gateway_pid: Option<i32>,
    /// Virtual users.
    #[arg(long, default_value_t = 100, value_parser = parse_count, allow_negative_numbers = true)]
    pub(super) sessions: u64,
    /// Boards that they draw on.
    #[arg(long, default_value_t = 20, value_parser = parse_count, allow_negative_numbers = true)]
    pub(super) boards: u64,
    /// Boards that somebody draws on and leaves beforehand [default: 2; 20000 for `drain`].
    #[arg(long)]
    pub(super) idle_boards: Option<u64>,
    /// Changes per second, of all users.
    #[arg(long, default_value_t = 100.0, value_parser = parse_rate, allow_negative_numbers = true)]
    pub(super) rate: f64,
    /// Bytes of filler in each change.
    #[arg(long, default_value_t = 0)]
    pub(super) pad_bytes: usize,
    /// Bytes of filler in each change as the own stand's servers show it to others [default: none; 65536 for `slow`].
    #[arg(long, conflicts_with = "traffic")]
    pub(super) shown_pad: Option<usize>,
    /// How long users draw; before and after what happens to them.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    pub(super) duration: Duration,
    /// How long a server of the own stand loads a board.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    pub(super) load_time: Duration,
    /// Stands before the names of boards and users [default: one of its own for each run].
    #[arg(long, value_parser = parse_prefix)]
    pub(super) prefix: Option<String>,
    #[command(flatten)]
    pub(super) printing: Printing,
    /// Keeps configuration, logs and database of the own stand.
    #[arg(long)]
    pub(super) keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Victim {
    Server,
    Gateway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Blow {
    Kill,
    Stop,
}

impl Scenario {
    /// Returns the options that all of them have.
    pub(super) fn load(&self) -> &LoadOptions {
        match self {
            Self::Steady(load)
            | Self::Release { load, .. }
            | Self::Drain { load, .. }
            | Self::Crash { load, .. }
            | Self::Storm { load, .. }
            | Self::Idle { load, .. }
            | Self::Slow { load, .. } => load,
        }
    }

    /// Reads whether it begins a drain.
    pub(super) fn drains(&self) -> bool {
        match self {
            Self::Release { .. } | Self::Drain { .. } => true,
            Self::Steady(_) | Self::Crash { .. } | Self::Storm { .. } | Self::Idle { .. } | Self::Slow { .. } => false,
        }
    }

    /// Says what goes on when it is broken off: an own stand ends with it.
    pub(super) fn left_behind(&self) -> &'static str {
        match self.drains() && self.load().traffic.is_some() {
            true => "; a drain that was begun goes on: handover drain list",
            false => "",
        }
    }

    /// Returns what it is called in the report.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Steady(_) => "steady",
            Self::Release { .. } => "release",
            Self::Drain { .. } => "drain",
            Self::Crash { .. } => "crash",
            Self::Storm { .. } => "storm",
            Self::Idle { .. } => "idle",
            Self::Slow { .. } => "slow",
        }
    }
}

impl DrainOptions {
    /// Writes the drain; an own stand has names for where it leads.
    pub(super) fn request(&self, is_own: bool, is_fast: bool) -> Result<DrainRequest, Failure> {
        let set = |release: &Option<ReleaseName>, servers: &[ServerName], own: &str, option| match release {
            Some(release) => Ok(ServerSet::Release(release.clone())),
            None if !servers.is_empty() => Ok(ServerSet::Servers(servers.to_vec())),
            None if is_own => Ok(ServerSet::Release(
                own.parse().expect("the stand's own names are sound"),
            )),
            None => Err(Failure::Missing(option)),
        };
        let plain = match is_fast {
            true => PaceRequest::from(Pace {
                boards_per_second: 0.0,
                boards_at_once: 128,
                loads_per_target: 64,
            }),
            // As the gateway is configured.
            false => PaceRequest::default(),
        };
        let from = set(
            &self.from_release,
            &self.from_servers,
            "r1",
            "--from-release or --from-servers",
        )?;
        let to = set(&self.to_release, &self.to_servers, "r2", "--to-release or --to-servers")?;
        Ok(DrainRequest {
            mode: Some(self.mode.of_drain()),
            pace: PaceRequest {
                boards_per_second: self.boards_per_second.or(plain.boards_per_second),
                boards_at_once: self.boards_at_once.or(plain.boards_at_once),
                loads_per_target: self.loads_per_target.or(plain.loads_per_target),
            },
            ..DrainRequest::new(from, to)
        })
    }
}

impl LoadOptions {
    /// Returns the stand that there is already.
    pub(super) fn stand(&self) -> Result<Stand, Failure> {
        let traffic = self.traffic.as_deref().unwrap_or_default();
        let admin = self.admin.as_deref().map(AdminClient::new);
        let admin = match (admin, &self.token_file) {
            (Some(admin), Some(file)) => Some(admin.with_token(read_token(file)?)),
            (admin, _) => admin,
        };
        Ok(Stand {
            endpoint: Endpoint::read(traffic, self.trust.ca.as_deref())?,
            admin,
            database: self.database.clone().unwrap_or_default(),
        })
    }

    /// Returns what the own stand is told.
    pub(super) fn of_own_stand(&self, is_slow: bool) -> handover_loadtest::demo::Options {
        let mut options = handover_loadtest::demo::Options::parse_from(["own-stand"]);
        options.load_time = self.load_time;
        options.tls = self.tls;
        options.shown_pad = self.shown_pad.unwrap_or(if is_slow { SLOW_SHOWN_PAD } else { 0 });
        options.database.clone_from(&self.database);
        options
    }

    /// Returns the processes that are weighed.
    pub(super) fn pids(&self, own: Option<&OwnStand>) -> Vec<(String, i32)> {
        match own {
            Some(own) => own.pids(),
            None => self
                .gateway_pid
                .map(|pid| ("gateway".to_owned(), pid))
                .into_iter()
                .collect(),
        }
    }

    /// Returns the load of a scenario that nothing special is said of.
    pub(super) fn load(&self, scenario: &'static str) -> Result<Load, IdError> {
        let prefix = match &self.prefix {
            Some(prefix) => prefix.clone(),
            None => fresh_prefix(),
        };
        Ok(Load {
            scenario,
            sessions: self.sessions,
            boards: self.boards,
            idle_boards: self.idle_boards.unwrap_or(IDLE_BOARDS),
            rate: self.rate,
            pad_bytes: self.pad_bytes,
            resend: Resend::Never,
            silent: 0,
            stuck: 0,
            prefix,
        })
    }
}

impl Printing {
    /// Looks whether the page can be written, before anything is spent on it. What is there stays as it is until then.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let Some(path) = &self.html else { return Ok(()) };
        let is_new = !path.exists();
        let mut options = std::fs::OpenOptions::new();
        let opened = options.append(true).create(true).open(path);
        opened.map_err(|source| Failure::Html {
            path: path.clone(),
            source,
        })?;
        if is_new {
            // A run that comes to nothing leaves no empty page.
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// Prints the report as it was asked for.
    pub(super) fn print(&self, report: &Report) -> Result<(), Failure> {
        if self.json || self.output == Output::Json {
            let json = serde_json::to_string_pretty(report).expect("a report always serializes");
            println!("{json}");
        } else {
            println!("{}", in_words(report));
        }
        // Last: a disk that is full costs the page only.
        let Some(path) = &self.html else { return Ok(()) };
        std::fs::write(path, in_html(report)).map_err(|source| Failure::Html {
            path: path.clone(),
            source,
        })
    }
}

/// Makes a name for a run of its own.
pub(super) fn fresh_prefix() -> String {
    format!("{:06x}-", rand::random::<u32>() >> 8)
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("give a number from 0 to 1".to_owned()),
    }
}

fn parse_count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        Ok(0) | Err(_) => Err("give a whole number, 1 or more".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
        Ok(_) | Err(_) => Err("give a number a second, 0 or more".to_owned()),
    }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let is_meant = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match text.len() <= PREFIX_BYTES_MAX && text.bytes().all(is_meant) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "give at most {PREFIX_BYTES_MAX} letters, digits, dashes, dots or underscores"
        )),
    }
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|source| Failure::Token {
        path: file.to_owned(),
        source,
    })?;
    Ok(text.trim().to_owned())
}

const EXIT_CODES: &str = "Exit codes:
  0    nothing was lost, doubled, reordered or left behind, and everybody is served
  1    the run could not be carried through; standard error says why
  2    the command line is wrong
  3    the ledger found something, or the release did not end well: see the report
  130  Ctrl-C, or another request to end; there is no report";
/// Names of boards and users are made of it, and stay short enough for every URL.
const PREFIX_BYTES_MAX: usize = 64;
const IDLE_BOARDS: u64 = 2;
pub(super) const DRAIN_IDLE_BOARDS: u64 = 20_000;
/// With this much in each change a reader that stops is felt within seconds: a kernel takes megabytes in its place.
const SLOW_SHOWN_PAD: usize = 64 * 1024;
