//! The `handover-loadtest` binary: virtual users and the ledger against a gateway, one that stands already or its own.

#![allow(clippy::print_stdout, reason = "the verdict goes to standard output")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use handover_loadtest::demo::{Mode, become_bound_program, raise_open_files};
use handover_loadtest::report::{Report, in_html, in_words};
use handover_loadtest::scenario::{AdminClient, Load, OwnStand, OwnStandError, Run, RunError, Stand};
use handover_loadtest::screen::Ticker;
use handover_loadtest::target::{Script, ScriptError, TargetError, TargetLoad};
use handover_loadtest::user::{Progress, Resend};
use handover_protocol::admin::{DrainRequest, Pace, PaceRequest, ServerSet};
use handover_protocol::id::{IdError, ReleaseName, ServerName};
use rustix::process::{Pid, Signal, kill_process};

/// Draws on boards through a gateway, and judges what was lost, doubled or reordered.
///
/// Without --traffic it starts a gateway and four board servers of its own (two of release r1, two of r2), which end
/// with it. The report goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Options {
    #[command(subcommand)]
    run: Kind,
}

#[expect(clippy::large_enum_variant, reason = "a process has one")]
#[derive(Debug, Subcommand)]
enum Kind {
    #[command(flatten)]
    Gateway(Scenario),
    /// Users talk to any WebSocket server, as a small TOML file says; there is no database to compare with.
    Target(TargetOptions),
}

#[derive(Debug, Subcommand)]
enum Scenario {
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
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// Many sessions that say nothing, and a few that draw.
    Idle {
        #[command(flatten)]
        load: LoadOptions,
        /// How many of the sessions draw.
        #[arg(long, default_value_t = 20)]
        drawing: u64,
    },
    /// A share of the sessions stops reading while the others draw.
    Slow {
        #[command(flatten)]
        load: LoadOptions,
        /// Which share of the sessions, from 0 to 1.
        #[arg(long, default_value_t = 0.1, value_parser = parse_share)]
        share: f64,
    },
}

#[derive(Debug, Args)]
struct TargetOptions {
    /// The server, such as ws://127.0.0.1:9000.
    #[arg(long)]
    target: String,
    /// What a user does; docs/examples/loadtest.toml explains each key.
    #[arg(long, value_name = "FILE")]
    user: PathBuf,
    /// Virtual users.
    #[arg(long, default_value_t = 100)]
    sessions: u64,
    /// Boards that they are spread over.
    #[arg(long, default_value_t = 20)]
    boards: u64,
    /// Messages per second, of all users.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// How long they talk.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    duration: Duration,
    /// Stands before the names of boards and users [default: one of its own for each run].
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    printing: Printing,
}

#[derive(Debug, Args)]
struct Printing {
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Short for --output json.
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Writes the report as one HTML page that needs no other file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DrainOptions {
    /// The release to leave [default with an own stand: r1].
    #[arg(long, conflicts_with = "from_servers")]
    from_release: Option<ReleaseName>,
    /// The servers to leave.
    #[arg(long, value_delimiter = ',')]
    from_servers: Vec<ServerName>,
    /// The release to go to [default with an own stand: r2].
    #[arg(long, conflicts_with = "to_servers")]
    to_release: Option<ReleaseName>,
    /// The servers to go to.
    #[arg(long, value_delimiter = ',')]
    to_servers: Vec<ServerName>,
    /// How sessions cross.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Moves begun per second; 0 sets no limit [default: 50; 0 for `drain`].
    #[arg(long)]
    boards_per_second: Option<f64>,
    /// Moves under way at once [default: 32; 128 for `drain`].
    #[arg(long)]
    boards_at_once: Option<u32>,
    /// Boards that one target loads at once [default: 16; 64 for `drain`].
    #[arg(long)]
    loads_per_target: Option<u32>,
    /// How long the drain may take.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10m")]
    drain_limit: Duration,
}

#[derive(Debug, Args)]
struct LoadOptions {
    /// Host and port where users connect, such as 127.0.0.1:8080; without it an own stand is started.
    #[arg(long, requires = "database")]
    traffic: Option<String>,
    /// The gateway's admin API, such as http://127.0.0.1:8081; `release` and `drain` need it with --traffic.
    #[arg(long, requires = "traffic")]
    admin: Option<String>,
    /// The board servers' database: a sqlite: or postgres: URL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// The gateway's process, whose memory is looked at; an own stand's are known.
    #[arg(long, requires = "traffic")]
    gateway_pid: Option<i32>,
    /// Virtual users.
    #[arg(long, default_value_t = 100)]
    sessions: u64,
    /// Boards that they draw on.
    #[arg(long, default_value_t = 20)]
    boards: u64,
    /// Boards that somebody draws on and leaves beforehand [default: 2; 20000 for `drain`].
    #[arg(long)]
    idle_boards: Option<u64>,
    /// Changes per second, of all users.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Bytes of filler in each change.
    #[arg(long, default_value_t = 0)]
    pad_bytes: usize,
    /// How long users draw; before and after what happens to them.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    duration: Duration,
    /// How long a server of the own stand loads a board.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    load_time: Duration,
    /// Stands before the names of boards and users [default: one of its own for each run].
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    printing: Printing,
    /// Keeps configuration, logs and database of the own stand.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Victim {
    Server,
    Gateway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Blow {
    Kill,
    Stop,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Stand(#[from] OwnStandError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("with --traffic, {0} is needed")]
    Missing(&'static str),
    #[error("cannot strike process {pid}")]
    Strike { pid: i32, source: rustix::io::Errno },
    #[error("cannot write {}", path.display())]
    Html { path: PathBuf, source: std::io::Error },
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(error) = become_bound_program() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let options = Options::parse();
    if let Err(error) = raise_open_files() {
        eprintln!("cannot raise the limit of open files, many users will not fit: {error}");
    }
    let result = match options.run {
        Kind::Gateway(scenario) => perform(scenario).await,
        Kind::Target(options) => target(&options).await,
    };
    match result {
        Ok(report) if report.is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(LEDGER_NOT_ZERO),
        Err(error) => {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            eprintln!(
                "{}",
                causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
            );
            ExitCode::FAILURE
        }
    }
}

/// Runs a scenario on the stand that it was told of or on its own, and prints the report.
async fn perform(scenario: Scenario) -> Result<Report, Failure> {
    let load = scenario.load();
    let mut own = match &load.traffic {
        Some(_) => None,
        None => Some(OwnStand::start(&load.of_own_stand()).await?),
    };
    let stand = match &own {
        Some(own) => own.stand(),
        None => load.stand(),
    };
    let result = play(&scenario, stand, &mut own).await;
    if let Some(own) = own {
        let is_failure = !result.as_ref().is_ok_and(Report::is_ok);
        if let Some(kept) = own.stop(load.keep || is_failure).await {
            eprintln!("Configuration, logs and database are kept in {}", kept.display());
        }
    }
    let report = result?;
    load.printing.print(&report)?;
    Ok(report)
}

/// Runs a script's users against a server that is no gateway of ours, and prints the report.
async fn target(options: &TargetOptions) -> Result<Report, Failure> {
    let script = Script::read(&options.user)?;
    let load = TargetLoad {
        target: options.target.clone(),
        sessions: options.sessions,
        boards: options.boards,
        rate: options.rate,
        duration: options.duration,
        prefix: options.prefix.clone().unwrap_or_else(fresh_prefix),
    };
    let tell = |progress: &Progress| {
        let (served, acked) = (progress.served.load(Relaxed), progress.acked.load(Relaxed));
        eprintln!(
            "{served} users, {acked} messages acknowledged, {} unanswered",
            progress.unanswered()
        );
    };
    let report = handover_loadtest::target::run(script, &load, tell).await?;
    options.printing.print(&report)?;
    Ok(report)
}

impl Printing {
    fn print(&self, report: &Report) -> Result<(), Failure> {
        if let Some(path) = &self.html {
            std::fs::write(path, in_html(report)).map_err(|source| Failure::Html {
                path: path.clone(),
                source,
            })?;
        }
        if self.json || self.output == Output::Json {
            let json = serde_json::to_string_pretty(report).expect("a report always serializes");
            println!("{json}");
        } else {
            println!("{}", in_words(report));
        }
        Ok(())
    }
}

fn fresh_prefix() -> String {
    format!("{:06x}-", rand::random::<u32>() >> 8)
}

async fn play(scenario: &Scenario, stand: Stand, own: &mut Option<OwnStand>) -> Result<Report, Failure> {
    let options = scenario.load();
    let has_admin = stand.admin.is_some();
    let mut load = options.load().map_err(RunError::from)?;
    match scenario {
        Scenario::Steady(_) => {}
        Scenario::Release { drain, .. } | Scenario::Drain { drain, .. } => {
            load.resend = match drain.mode {
                Mode::Transparent => Resend::Never,
                Mode::Reconnect | Mode::Auto => Resend::Unacknowledged,
            };
            if !has_admin {
                return Err(Failure::Missing("--admin"));
            }
        }
        Scenario::Crash { .. } | Scenario::Storm { .. } => load.resend = Resend::Unacknowledged,
        Scenario::Idle { drawing, .. } => load.silent = load.sessions.saturating_sub(*drawing),
        Scenario::Slow { share, .. } => {
            load.stuck = (load.sessions as f64 * share).round() as u64;
            load.resend = Resend::Unacknowledged;
        }
    }
    if matches!(scenario, Scenario::Drain { .. }) {
        load.idle_boards = options.idle_boards.unwrap_or(DRAIN_IDLE_BOARDS);
    }
    let mut ticker = Ticker::new();
    ticker.say("users gather");
    let mut run = Run::begin(stand, load).await?;
    run.watch(&options.pids(own.as_ref()));
    ticker.draw("drawing", &run, options.duration).await;
    match scenario {
        Scenario::Steady(_) | Scenario::Idle { .. } | Scenario::Slow { .. } => {}
        Scenario::Release { drain, .. } | Scenario::Drain { drain, .. } => {
            let is_fast = matches!(scenario, Scenario::Drain { .. });
            let request = drain.request(own.is_some(), is_fast)?;
            run.release(request, drain.drain_limit, |status| ticker.drain(status))
                .await?;
            ticker.draw("drawing on", &run, options.duration).await;
        }
        Scenario::Crash {
            what,
            how,
            pid,
            restart_after,
            ..
        } => {
            crash(&mut run, own, (*what, *how), *pid, *restart_after, &mut ticker, options).await?;
        }
        Scenario::Storm { rounds, .. } => {
            for round in 1..=*rounds {
                ticker.say(&format!("round {round} of {rounds}: everybody is cut"));
                if !run.gust(BACK_LIMIT).await {
                    ticker.say(&format!("not everybody is back after {BACK_LIMIT:?}"));
                }
                ticker.draw("drawing on", &run, options.duration / *rounds).await;
            }
        }
    }
    ticker.say("the ledger looks");
    Ok(run.finish().await?)
}

/// Strikes a process, lets users draw on, and lifts what can be lifted.
async fn crash(
    run: &mut Run,
    own: &mut Option<OwnStand>,
    (what, how): (Victim, Blow),
    pid: Option<i32>,
    restart_after: Option<Duration>,
    ticker: &mut Ticker,
    options: &LoadOptions,
) -> Result<(), Failure> {
    let name = match what {
        Victim::Server => OWN_VICTIM,
        Victim::Gateway => "gateway",
    };
    let (signal, how_named) = match how {
        Blow::Kill => (Signal::KILL, "kill"),
        Blow::Stop => (Signal::STOP, "stop"),
    };
    let strike = |signal| match (own.as_ref(), pid) {
        (Some(own), _) => own.signal(name, signal).map_err(Failure::from),
        (None, Some(pid)) => {
            let fault = |source| Failure::Strike { pid, source };
            let target = Pid::from_raw(pid).ok_or(fault(rustix::io::Errno::SRCH))?;
            kill_process(target, signal).map_err(fault)
        }
        (None, None) => Err(Failure::Missing("--pid")),
    };
    ticker.say(&format!("{name}: {how_named}"));
    run.note_strike(name, how_named);
    strike(signal)?;
    match (how, what, restart_after) {
        (Blow::Stop, _, _) => {
            ticker.draw("drawing on", run, options.duration).await;
            strike(Signal::CONT)?;
        }
        (Blow::Kill, Victim::Server, None) => {}
        (Blow::Kill, Victim::Server, Some(_)) | (Blow::Kill, Victim::Gateway, _) => {
            tokio::time::sleep(restart_after.unwrap_or_default()).await;
            if let Some(own) = own {
                own.restart(name).await?;
            }
        }
    }
    ticker.draw("drawing on", run, options.duration).await;
    if !run.all_served(BACK_LIMIT).await {
        ticker.say(&format!("not everybody is served after {BACK_LIMIT:?}"));
    }
    Ok(())
}

impl Scenario {
    fn load(&self) -> &LoadOptions {
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
}

impl DrainOptions {
    fn request(&self, is_own: bool, is_fast: bool) -> Result<DrainRequest, Failure> {
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
    fn stand(&self) -> Stand {
        let traffic = self.traffic.as_deref().unwrap_or_default();
        Stand {
            authority: traffic.trim_start_matches("ws://").trim_end_matches('/').to_owned(),
            admin: self.admin.as_deref().map(AdminClient::new),
            database: self.database.clone().unwrap_or_default(),
        }
    }

    fn of_own_stand(&self) -> handover_loadtest::demo::Options {
        let mut options = handover_loadtest::demo::Options::parse_from(["own-stand"]);
        options.load_time = self.load_time;
        options.database.clone_from(&self.database);
        options
    }

    fn pids(&self, own: Option<&OwnStand>) -> Vec<(String, i32)> {
        match own {
            Some(own) => own.pids(),
            None => self
                .gateway_pid
                .map(|pid| ("gateway".to_owned(), pid))
                .into_iter()
                .collect(),
        }
    }

    fn load(&self) -> Result<Load, IdError> {
        let prefix = match &self.prefix {
            Some(prefix) => prefix.clone(),
            None => fresh_prefix(),
        };
        Ok(Load {
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

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("give a number from 0 to 1".to_owned()),
    }
}

const EXIT_CODES: &str = "Exit codes:
  0  nothing was lost, doubled, reordered or left behind, and everybody is served
  1  the run could not be carried through; standard error says why
  2  the command line is wrong
  3  the ledger found something, or the release did not end well: see the report";
/// Something was lost, doubled, reordered, not saved or not moved.
const LEDGER_NOT_ZERO: u8 = 3;
const IDLE_BOARDS: u64 = 2;
const DRAIN_IDLE_BOARDS: u64 = 20_000;
/// Which server of the own stand is struck.
const OWN_VICTIM: &str = "board-1";
const BACK_LIMIT: Duration = Duration::from_secs(60);
