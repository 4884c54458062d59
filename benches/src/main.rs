//! The side-by-side run.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use handover_benches::figure::Figure;
use handover_benches::load::Length;
use handover_benches::peer::Peer;
use handover_benches::report::{Report, Shown, machine, picture, table};
use handover_benches::rounds::{Stage, Terms, find_programs};
use handover_benches::{backend, tcp_relay};
use indicatif::{ProgressBar, ProgressStyle};

/// Measures Handover beside nginx, HAProxy, a bare TCP relay and the direct way, over the same work, in turns.
///
/// Every proxy runs on one core, clients and backend on another. What counts is the median of the ratios within a round.
#[derive(Debug, Parser)]
#[command(name = "side-by-side", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures, and writes the table to standard output.
    Run(RunArgs),
    /// Lists the figures.
    Figures,
    /// Serves as the backend of a run.
    #[command(hide = true)]
    Backend,
    /// Serves as the bare TCP relay of a run.
    #[command(hide = true)]
    Relay {
        /// The backend's address.
        backend: SocketAddr,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Only this figure; again for several. `side-by-side figures` lists them
    #[arg(long, value_name = "NAME")]
    figure: Vec<String>,
    /// Only these proxies; a ratio needs nginx or haproxy among them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    peers: Vec<Peer>,
    /// How often each proxy is looked at; fewer than 15 say little
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How long, each time
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// The core of the proxies
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// The core of clients and backend
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// The gateway's program; without it the one beside this program
    #[arg(long, value_name = "FILE")]
    handover: Option<PathBuf>,
    /// Writes run.json, run.md and run.svg into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Figures => list(),
        Command::Backend => backend::serve(announce),
        Command::Relay { backend } => tcp_relay::relay(backend, announce),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side-by-side: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &RunArgs) -> io::Result<()> {
    let figures = chosen(&args.figure)?;
    let mut peers = args.peers.clone();
    if peers.is_empty() {
        peers = Peer::ALL.to_vec();
    }
    let programs = find_programs(&peers, args.handover.clone())?;
    let stage = Stage::set(
        programs.clone(),
        Terms {
            rounds: args.rounds.max(1),
            length: Length::Time {
                warm_up: WARM_UP,
                window: Duration::from_secs_f64(args.seconds),
            },
            peers,
            proxy_core: args.proxy_core,
            load_core: args.load_core,
        },
    )?;
    let mut report = Report {
        command: std::env::args().collect::<Vec<_>>().join(" "),
        machine: machine(&programs),
        figures: Vec::new(),
    };
    let style = ProgressStyle::with_template("{msg:50} {bar:30} {pos}/{len} rounds, {elapsed} gone, {eta} to go")
        .map_err(io::Error::other)?;
    for figure in figures {
        let bar = ProgressBar::new(args.rounds as u64).with_message(figure.title);
        if bar.is_hidden() {
            eprintln!("{}: {} rounds", figure.title, args.rounds);
        }
        bar.set_style(style.clone());
        bar.tick();
        let outcomes = stage.measure(figure, |round, rounds| {
            bar.set_length(rounds as u64);
            bar.set_position(round as u64);
        })?;
        bar.finish();
        report.figures.push(Shown::of(figure, outcomes));
    }
    let table = table(&report);
    if let Some(folder) = &args.out {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("run.json"), serde_json::to_string_pretty(&report)?)?;
        fs::write(folder.join("run.md"), &table)?;
        fs::write(folder.join("run.svg"), picture(&report))?;
    }
    io::stdout().write_all(table.as_bytes())
}

fn chosen(names: &[String]) -> io::Result<Vec<&'static Figure>> {
    if names.is_empty() {
        return Ok(Figure::ALL.iter().collect());
    }
    let find = |name: &String| {
        Figure::ALL.iter().find(|figure| figure.name == name).ok_or_else(|| {
            let known: Vec<_> = Figure::ALL.iter().map(|figure| figure.name).collect();
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("there is no figure {name:?}; there are {}", known.join(", ")),
            )
        })
    };
    names.iter().map(find).collect()
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for figure in Figure::ALL {
        writeln!(out, "{:20} {}", figure.name, figure.title)?;
    }
    Ok(())
}

/// Tells whoever started us where we listen.
fn announce(address: SocketAddr) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{address}").and_then(|()| out.flush());
}

const WARM_UP: Duration = Duration::from_millis(300);
