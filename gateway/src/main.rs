//! The `handover` binary.

use std::process::ExitCode;

use clap::Parser;
use handover_gateway::cli::{Cli, Command, ConfigCommand};
use handover_gateway::{serve, shell};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Config {
            command: ConfigCommand::Check(check),
        } => check.run(),
        Command::Serve(args) => serve::run(&args),
        Command::Shell(command) => shell::run(&command),
        Command::Probe(args) => args.run(),
        Command::Completions(args) => args.run(),
    }
}
