//! `handover health`: one line and an exit code of 0 or 1, as container checks want it.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::client::Call;
use super::common::Common;
use super::outcome::{Outcome, ShellError};
use super::print::{Data, flatten};

/// Asks whether the gateway lives.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 or 1 and never with another code of the shell.

  HEALTHCHECK CMD [\"handover\", \"health\", \"--ready\"]")]
pub struct HealthArgs {
    #[command(flatten)]
    common: Common,
    /// Ask whether clients may be sent to it (/readyz) rather than whether it runs (/livez)
    #[arg(long)]
    ready: bool,
}

struct Health {
    is_fine: bool,
    said: String,
}

impl Data for Health {
    fn text(&self) -> String {
        format!("{}\n", self.said)
    }

    fn json(&self) -> Value {
        json!({ "ok": self.is_fine, "detail": self.said })
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER_HEALTH", &self.json())
    }
}

impl HealthArgs {
    pub(super) async fn run(&self) -> Result<Outcome, ShellError> {
        let shell = self.common.shell()?;
        let path = if self.ready { "/readyz?verbose" } else { "/livez" };
        let call = Call::get(path).within(shell.timeout.unwrap_or(HEALTH_TIMEOUT));
        let health = match shell.client.respond(call).await {
            Ok((status, body)) => {
                let text = String::from_utf8_lossy(&body);
                Health {
                    is_fine: status.is_success(),
                    said: if status.is_success() {
                        text.lines().next_back().unwrap_or("ok").to_owned()
                    } else {
                        faults(&text).unwrap_or_else(|| format!("not ready: {status}"))
                    },
                }
            }
            Err(error) => Health {
                is_fine: false,
                said: error.to_string(),
            },
        };
        shell.print(&health);
        Ok(if health.is_fine { Outcome::Done } else { Outcome::Failed })
    }
}

/// Picks out of a verbose answer what failed.
fn faults(text: &str) -> Option<String> {
    let failed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("[-]")).collect();
    (!failed.is_empty()).then(|| format!("not ready: {}", failed.join(", ")))
}

/// Container checks give up after a few seconds themselves.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_said_in_one_line() {
        let text = "[+]traffic ok\n[-]servers failed: no server has been ready yet\nnot ready\n";
        assert_eq!(
            faults(text).as_deref(),
            Some("not ready: servers failed: no server has been ready yet")
        );
        assert_eq!(faults("ok\n"), None);
    }
}
