//! The `handover-loadtest` binary: virtual users and the ledger against a gateway that stands already.

#![allow(clippy::print_stdout, reason = "the verdict goes to standard output")]

use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use handover_loadtest::demo::{Mode, raise_open_files};
use handover_loadtest::report::{Report, in_words};
use handover_loadtest::scenario::{AdminClient, Load, Run, RunError, Stand};
use handover_loadtest::user::Resend;
use handover_protocol::admin::{DrainRequest, Pace, ServerSet};
use handover_protocol::id::{IdError, ReleaseName, ServerName};

/// Draws on boards through a gateway, and judges what was lost, doubled or reordered. Exits 3 when anything was.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Users draw, and nothing else happens; nobody sends anything twice.
    Steady(LoadOptions),
    /// Users draw while boards are drained from some servers to others.
    Release {
        #[command(flatten)]
        load: LoadOptions,
        /// The gateway's admin API, such as http://127.0.0.1:8081.
        #[arg(long)]
        admin: String,
        /// The release to leave.
        #[arg(long, required_unless_present = "from_servers", conflicts_with = "from_servers")]
        from_release: Option<ReleaseName>,
        /// The servers to leave.
        #[arg(long, value_delimiter = ',')]
        from_servers: Vec<ServerName>,
        /// The release to go to.
        #[arg(long, required_unless_present = "to_servers", conflicts_with = "to_servers")]
        to_release: Option<ReleaseName>,
        /// The servers to go to.
        #[arg(long, value_delimiter = ',')]
        to_servers: Vec<ServerName>,
        /// How sessions cross.
        #[arg(long, value_enum, default_value_t = Mode::Auto)]
        mode: Mode,
        /// Moves begun per second; 0 sets no limit.
        #[arg(long, default_value_t = Pace::default().boards_per_second)]
        boards_per_second: f64,
        /// Moves under way at once.
        #[arg(long, default_value_t = Pace::default().boards_at_once)]
        boards_at_once: u32,
        /// Boards that one target loads at once.
        #[arg(long, default_value_t = Pace::default().loads_per_target)]
        loads_per_target: u32,
        /// How long the drain may take.
        #[arg(long, value_parser = humantime::parse_duration, default_value = "10m")]
        drain_limit: Duration,
    },
}

#[derive(Debug, Args)]
struct LoadOptions {
    /// Host and port where users connect, such as 127.0.0.1:8080.
    #[arg(long)]
    traffic: String,
    /// The board servers' database: a sqlite: or postgres: URL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,
    /// Virtual users.
    #[arg(long, default_value_t = 100)]
    sessions: u64,
    /// Boards that they draw on.
    #[arg(long, default_value_t = 20)]
    boards: u64,
    /// Boards that somebody draws on and leaves beforehand.
    #[arg(long, default_value_t = 2)]
    idle_boards: u64,
    /// Changes per second, of all users.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Bytes of filler in each change.
    #[arg(long, default_value_t = 0)]
    pad_bytes: usize,
    /// How long users draw; by a release, before it and after it.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    duration: Duration,
    /// Stands before the names of boards and users [default: one of its own for each run].
    #[arg(long)]
    prefix: Option<String>,
    /// How the verdict is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = raise_open_files() {
        eprintln!("cannot raise the limit of open files, many users will not fit: {error}");
    }
    let (output, result) = match options.scenario {
        Scenario::Steady(load) => (load.output, steady(&load).await),
        Scenario::Release {
            load,
            admin,
            from_release,
            from_servers,
            to_release,
            to_servers,
            mode,
            boards_per_second,
            boards_at_once,
            loads_per_target,
            drain_limit,
        } => {
            let request = DrainRequest {
                mode: mode.of_drain(),
                pace: Pace {
                    boards_per_second,
                    boards_at_once,
                    loads_per_target,
                },
                ..DrainRequest::new(
                    server_set(from_release, from_servers),
                    server_set(to_release, to_servers),
                )
            };
            (load.output, release(&load, &admin, mode, request, drain_limit).await)
        }
    };
    match result {
        Ok(report) => {
            match output {
                Output::Text => println!("{}", in_words(&report)),
                Output::Json => {
                    let json = serde_json::to_string_pretty(&report).expect("a report always serializes");
                    println!("{json}");
                }
            }
            if report.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(LEDGER_NOT_ZERO)
            }
        }
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

async fn steady(options: &LoadOptions) -> Result<Report, RunError> {
    let run = Run::begin(options.stand(None), options.load(Resend::Never)?).await?;
    draw(&run, options.duration).await;
    run.finish().await
}

async fn release(
    options: &LoadOptions,
    admin: &str,
    mode: Mode,
    request: DrainRequest,
    limit: Duration,
) -> Result<Report, RunError> {
    let stand = options.stand(Some(AdminClient::new(admin)));
    let resend = match mode {
        Mode::Transparent => Resend::Never,
        Mode::Reconnect | Mode::Auto => Resend::Unacknowledged,
    };
    let mut run = Run::begin(stand, options.load(resend)?).await?;
    draw(&run, options.duration).await;
    let mut told = 0;
    run.release(request, limit, |status| {
        if status.boards.moved != told {
            told = status.boards.moved;
            eprintln!(
                "{told} of {} boards moved, {:.1} a second",
                status.boards.total, status.rate
            );
        }
    })
    .await?;
    draw(&run, options.duration).await;
    run.finish().await
}

/// Lets the users draw and says each second how far they are.
async fn draw(run: &Run, duration: Duration) {
    let progress = run.progress();
    let until = tokio::time::Instant::now() + duration;
    while tokio::time::Instant::now() < until {
        tokio::time::sleep_until(until.min(tokio::time::Instant::now() + Duration::from_secs(1))).await;
        eprintln!(
            "{} users, {} changes sent, {} unanswered, {} reconnects",
            progress.served.load(Relaxed),
            progress.sent.load(Relaxed),
            progress.unanswered(),
            progress.reconnects.load(Relaxed),
        );
    }
}

impl LoadOptions {
    fn stand(&self, admin: Option<AdminClient>) -> Stand {
        Stand {
            authority: self
                .traffic
                .trim_start_matches("ws://")
                .trim_end_matches('/')
                .to_owned(),
            admin,
            database: self.database.clone(),
        }
    }

    fn load(&self, resend: Resend) -> Result<Load, IdError> {
        let prefix = match &self.prefix {
            Some(prefix) => prefix.clone(),
            None => format!("{:06x}-", rand::random::<u32>() >> 8),
        };
        Ok(Load {
            sessions: self.sessions,
            boards: self.boards,
            idle_boards: self.idle_boards,
            rate: self.rate,
            pad_bytes: self.pad_bytes,
            resend,
            prefix,
        })
    }
}

fn server_set(release: Option<ReleaseName>, servers: Vec<ServerName>) -> ServerSet {
    match release {
        Some(release) => ServerSet::Release(release),
        None => ServerSet::Servers(servers),
    }
}

/// Something was lost, doubled, reordered, not saved or not moved.
const LEDGER_NOT_ZERO: u8 = 3;
