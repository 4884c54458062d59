//! The shell: what an operator or a release script says to a running gateway, through its admin API only.
//!
//! It never looks into the gateway's files and knows none of its modules. Data goes to stdout, talk to stderr, and the
//! exit code says how it ended ([`Outcome`]).

mod address;
mod boards;
mod client;
mod common;
mod config;
mod credentials;
mod drain_view;
mod drains;
mod events;
mod health;
mod outcome;
mod print;
mod progress;
mod refusal;
mod server_view;
mod servers;
mod tls_fault;
mod top;
mod top_frame;
mod watch;
mod words;

use std::process::ExitCode;

use clap::Subcommand;

pub use address::AdminAddress;
pub use boards::{BoardsArgs, MovesArgs, SessionsArgs};
pub use client::{Call, Client, ClientError};
pub use common::{Common, Shell};
pub use config::ReloadArgs;
pub use credentials::{CredentialFault, Credentials};
pub use drains::DrainArgs;
pub use health::HealthArgs;
pub use outcome::{EXIT_CODES, Outcome, ShellError};
pub use print::{Data, Output, confirm, flatten, print, say, table};
pub use servers::ServersArgs;
pub use tls_fault::TlsFault;
pub use top::TopArgs;

/// What can be said to a running gateway.
#[derive(Debug, Subcommand)]
pub enum ShellCommand {
    /// Move every board off some servers, watch it, pause, abort or undo it
    Drain(Box<DrainArgs>),
    /// See and change the board servers
    Servers(ServersArgs),
    /// See open boards, and move one
    Boards(BoardsArgs),
    /// Close a session
    Sessions(SessionsArgs),
    /// List the moves that ended of late
    Moves(MovesArgs),
    /// Watch servers, drains and moves on one screen
    Top(TopArgs),
    /// Ask whether the gateway lives, for container checks
    Health(HealthArgs),
}

/// Carries a command out.
pub fn run(command: &ShellCommand) -> ExitCode {
    carry_out(async {
        match command {
            ShellCommand::Drain(args) => args.run().await,
            ShellCommand::Servers(args) => args.run().await,
            ShellCommand::Boards(args) => args.run().await,
            ShellCommand::Sessions(args) => args.run().await,
            ShellCommand::Moves(args) => args.run().await,
            ShellCommand::Top(args) => args.run().await,
            ShellCommand::Health(args) => args.run().await,
        }
    })
}

/// Carries `handover config reload` out: the one command about configurations that a gateway has to be there for.
pub fn reload(args: &ReloadArgs) -> ExitCode {
    carry_out(args.run())
}

fn carry_out(command: impl Future<Output = Result<Outcome, ShellError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("handover: no runtime: {error}"));
            return Outcome::Failed.into();
        }
    };
    let ended = runtime.block_on(command);
    // A thread that reads the terminal must not hold the end up.
    runtime.shutdown_background();
    conclude(ended).into()
}

/// Says what went wrong, and returns how the command has ended.
pub fn conclude(ended: Result<Outcome, ShellError>) -> Outcome {
    match ended {
        Ok(outcome) => outcome,
        Err(error) => {
            say(&format!("handover: {error}"));
            error.outcome()
        }
    }
}
