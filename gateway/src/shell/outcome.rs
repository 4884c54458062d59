//! How a shell command ends, and the exit code that says so.

use std::process::ExitCode;

use http::StatusCode;

use super::client::ClientError;
use super::credentials::CredentialFault;

/// How a command ended. The codes are documented and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for is done.
    Done,
    /// It failed.
    Failed,
    /// The command line makes no sense, or something has to be confirmed.
    Usage,
    /// The drain came to its end, but more sessions than allowed were not confirmed or fell back.
    Unconfirmed,
    /// Time was up.
    TimedOut,
    /// The gateway refused.
    Refused,
    /// No gateway answers.
    Unreachable,
    /// The drain has paused by itself and waits for somebody to decide.
    Paused,
    /// Whoever watched has left; the drain goes on.
    Detached,
}

impl Outcome {
    /// Returns the exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unconfirmed => 3,
            Self::TimedOut => 4,
            Self::Refused => 5,
            Self::Unreachable => 6,
            Self::Paused => 7,
            Self::Detached => 130,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

/// Says why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// A call gave nothing.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file with a token, a certificate or a key cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialFault),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// What was asked about does not exist.
    #[error("{0}")]
    Unknown(String),
    /// Time was up.
    #[error("{0}")]
    TimedOut(String),
    /// The system refused something that every shell command needs.
    #[error("{0}")]
    System(String),
}

impl ShellError {
    /// Returns how a command ends that stops with it.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Client(error) => outcome_of(error),
            Self::Credential(_) | Self::Usage(_) => Outcome::Usage,
            Self::Unknown(_) => Outcome::Refused,
            Self::TimedOut(_) => Outcome::TimedOut,
            Self::System(_) => Outcome::Failed,
        }
    }
}

fn outcome_of(error: &ClientError) -> Outcome {
    match error {
        ClientError::Unreachable { .. }
        | ClientError::Insecure { .. }
        | ClientError::Broken { .. }
        | ClientError::Cut(_) => Outcome::Unreachable,
        ClientError::Late { .. } => Outcome::TimedOut,
        ClientError::Refused(refusal) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => Outcome::Unreachable,
        // A page that is no problem was written by another program.
        ClientError::Refused(refusal) if refusal.kind.is_none() || refusal.status.is_server_error() => Outcome::Failed,
        ClientError::Refused(_) => Outcome::Refused,
        ClientError::NotUnderstood(_) => Outcome::Failed,
    }
}

/// The exit codes, as every `--help` of a command that talks to the gateway ends.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: a drain that failed or was aborted, an answer that makes no sense
  2    the command line makes no sense, or needs --yes
  3    the drain is through, with more sessions unconfirmed or fallen back than allowed
  4    time is up: the drain's --deadline, or --timeout
  5    refused by the gateway: unknown, in conflict, or not in a state for it; a plan that would not come to its end
  6    no gateway answers, or it is starting or ending
  7    the drain has paused by itself and waits for somebody to decide
  130  Ctrl-C on a watch: the drain goes on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_exit_code() {
        let all = [
            Outcome::Done,
            Outcome::Failed,
            Outcome::Usage,
            Outcome::Unconfirmed,
            Outcome::TimedOut,
            Outcome::Refused,
            Outcome::Unreachable,
            Outcome::Paused,
            Outcome::Detached,
        ];
        let listed: Vec<u8> = EXIT_CODES
            .lines()
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
        assert_eq!(listed, all.map(Outcome::code));
    }
}
