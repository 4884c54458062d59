//! The `handover` binary.

use std::process::ExitCode;

use clap::Parser;
use handover_gateway::cli::{Cli, Command, ConfigCommand};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Config {
            command: ConfigCommand::Check(check),
        } => check.run(),
        Command::Serve(_) => {
            eprintln!("handover: this build cannot serve yet");
            ExitCode::FAILURE
        }
    }
}
