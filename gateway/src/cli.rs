//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::example::EXAMPLE;
use crate::config::{Config, Overrides, Reading, Report, schema_text, show};
use crate::edge::Shortage;
use crate::probe::ProbeArgs;
use crate::shell::{self, ReloadArgs, ShellCommand};
use crate::telemetry::LogFormat;

/// Carries the live WebSocket sessions of stateful servers from one release to the next.
#[derive(Debug, Parser)]
#[command(name = "handover", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway until SIGTERM or SIGINT
    Serve(ServeArgs),
    /// Look at a configuration without running it, or have a running gateway read its own anew
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// What is said to a running gateway.
    #[command(flatten)]
    Shell(ShellCommand),
    /// Try on test boards how sessions can cross from one server to another, and say which configuration follows
    Probe(ProbeArgs),
    /// Print what makes a shell complete commands, to be put where it looks
    Completions(CompletionsArgs),
}

/// Arguments of `handover completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  handover completions bash > /usr/share/bash-completion/completions/handover
  handover completions zsh  > \"${fpath[1]}/_handover\"
  handover completions fish > ~/.config/fish/completions/handover.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

impl CompletionsArgs {
    /// Prints the script.
    pub fn run(&self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "handover", &mut script);
        // Whoever closed the pipe has read enough.
        let _ = std::io::stdout().write_all(&script);
        ExitCode::SUCCESS
    }
}

/// Arguments of `handover serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "HANDOVER_CONFIG")]
    pub config: PathBuf,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", env = "HANDOVER_LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
    /// What is logged, as `level` or `target=level,…`; else [log] filter of the configuration counts
    #[arg(long, value_name = "FILTER", env = "HANDOVER_LOG")]
    pub log: Option<String>,
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every fault of a configuration at once, with line and key
    ///
    /// Exits with 0 where the gateway would start with it, also if there are warnings, and with 1 where it would not.
    Check(CheckArgs),
    /// Print a whole configuration with every key, its default and what it is for
    Default,
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Print the configuration as it would be used, each key with where it comes from; secrets are hidden
    Show(ShowArgs),
    /// Have the running gateway read its configuration anew, and say what has changed
    ///
    /// A configuration with faults changes nothing: each is told with line, key and way out.
    Reload(ReloadArgs),
}

impl ConfigCommand {
    /// Carries it out.
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Check(check) => check.run(),
            Self::Default => print(EXAMPLE),
            Self::Schema => print(&schema_text()),
            Self::Show(show) => show.run(),
            Self::Reload(reload) => shell::reload(reload),
        }
    }
}

/// Arguments of `handover config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "HANDOVER_CONFIG")]
    pub config: PathBuf,
}

impl ShowArgs {
    fn run(&self) -> ExitCode {
        let reading = Reading::load(&self.config, &Overrides::of_process());
        print(&show(&reading.settings, &self.config));
        match reading.outcome {
            Ok(_) => ExitCode::SUCCESS,
            Err(faults) => {
                // Whoever closed the pipe has read enough; the exit code still tells.
                let _ = writeln!(std::io::stderr(), "{faults}");
                ExitCode::FAILURE
            }
        }
    }
}

fn print(text: &str) -> ExitCode {
    // Whoever closed the pipe has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Arguments of `handover config check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "HANDOVER_CONFIG")]
    pub config: PathBuf,
    /// Text for people, or one JSON object for machines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

impl CheckArgs {
    /// Reads the configuration and prints what is wrong with it; fails where the gateway would not start.
    pub fn run(&self) -> ExitCode {
        let outcome = Config::load(&self.config);
        let report = Report::of(&self.config, &outcome);
        let text = match self.output {
            Output::Text => report.to_text(),
            Output::Json => report.to_json(),
        };
        // Whoever closed the pipe has read enough; the exit code still tells.
        let _ = std::io::stdout().write_all(text.as_bytes());
        // Of this machine and shell, which may not be those that the gateway is for: it changes no outcome.
        if let Ok((config, _)) = &outcome
            && let Some(shortage) = Shortage::of_this_process(&config.limits)
        {
            let _ = writeln!(std::io::stderr(), "note: as a process is started here, {shortage}");
        }
        if report.is_usable() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}
