//! The `handover-loadtest` binary: virtual users and the ledger against a gateway, one that stands already or its own.

#![allow(clippy::print_stdout, reason = "the verdict goes to standard output")]

mod options;
mod running;

use std::process::ExitCode;

use clap::Parser;
use handover_loadtest::demo::{become_bound_program, raise_open_files};
use handover_loadtest::ending::Ending;

use options::{Kind, Options};
use running::{perform, target};

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
    let mut ending = match Ending::new() {
        Ok(ending) => ending,
        Err(error) => {
            eprintln!("cannot heed signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = match options.run {
        Kind::Gateway(scenario) => perform(scenario, &mut ending).await,
        Kind::Target(options) => target(&options, &mut ending).await,
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
            ExitCode::from(error.code())
        }
    }
}

/// Something was lost, doubled, reordered, not saved or not moved.
const LEDGER_NOT_ZERO: u8 = 3;
