//! The `demo` binary: `cargo demo`.

#![allow(clippy::print_stdout, reason = "the verdict goes to standard output")]

use std::process::ExitCode;

use clap::Parser;
use handover_loadtest::demo::{DemoError, Options, become_bound_program, demo, raise_open_files};
use handover_loadtest::report::in_words;

fn main() -> ExitCode {
    if let Err(error) = become_bound_program() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let options = Options::parse();
    if let Err(error) = raise_open_files() {
        eprintln!("cannot raise the limit of open files, many users will not fit: {error}");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(demo(&options)) {
        Ok(report) => {
            if options.json {
                let json = serde_json::to_string_pretty(&report).expect("a report always serializes");
                println!("{json}");
            } else {
                println!("\n{}", in_words(&report));
            }
            if report.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(LEDGER_NOT_ZERO)
            }
        }
        Err(DemoError::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("{}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Something was lost, doubled, reordered, not saved or not moved.
const LEDGER_NOT_ZERO: u8 = 3;
/// As shells say it for Ctrl-C.
const INTERRUPTED: u8 = 130;
