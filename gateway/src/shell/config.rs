//! `handover config reload`: a running gateway reads its configuration anew.

use std::fmt::Write;

use clap::Args;
use handover_protocol::ServerName;
use handover_protocol::admin::ConfigReloaded;
use serde_json::{Value, json};

use super::client::Call;
use super::common::Common;
use super::outcome::{EXIT_CODES, Outcome, ShellError};
use super::print::{Data, flatten, say};
use super::refusal::finding;
use super::words::spelled;

/// Has the running gateway read its configuration anew.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ReloadArgs {
    #[command(flatten)]
    common: Common,
}

impl ReloadArgs {
    pub(super) async fn run(&self) -> Result<Outcome, ShellError> {
        let shell = self.common.shell()?;
        let reloaded: ConfigReloaded = shell.ask(Call::post("/v1/config/reload")).await?;
        shell.print(&reloaded);
        for warning in &reloaded.warnings {
            say(&format!("warning: {}", finding(warning)));
        }
        Ok(Outcome::Done)
    }
}

impl Data for ConfigReloaded {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, names: Vec<String>| {
            if !names.is_empty() {
                let _ = writeln!(text, "{key:<14} {}", names.join(", "));
            }
        };
        let names = |servers: &[ServerName]| servers.iter().map(ToString::to_string).collect();
        line("reloaded", self.reloaded.clone());
        line("needs restart", self.needs_restart.clone());
        line("added", names(&self.servers.added));
        line("changed", names(&self.servers.changed));
        line("removed", names(&self.servers.removed));
        for server in &self.servers.still_in_use {
            line(
                "still in use",
                vec![format!(
                    "{} ({}; {} boards, {} sessions): {}",
                    server.server,
                    spelled(&server.wanted),
                    server.boards,
                    server.sessions,
                    server.fix
                )],
            );
        }
        if text.is_empty() {
            text.push_str("nothing has changed\n");
        }
        text
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER_RELOAD", &self.json())
    }
}
