//! The `handover` binary.

use std::process::ExitCode;

use clap::Parser;
use handover_gateway::cli::{Cli, Command};
use handover_gateway::{serve, shell};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Config { command } => command.run(),
        Command::Serve(args) => serve::run(&args),
        Command::Shell(command) => shell::run(&command),
        Command::Probe(args) => args.run(),
        Command::Completions(args) => args.run(),
    }
}
