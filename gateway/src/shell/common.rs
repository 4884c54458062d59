//! What every command that talks to the gateway can be told.

use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;

use super::address::AdminAddress;
use super::client::{Call, Client};
use super::credentials::Credentials;
use super::outcome::ShellError;
use super::print::{Data, Output, print};

/// Which gateway, and how its answers are printed.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The gateway's admin API: http://HOST:PORT, https://HOST:PORT or unix:/PATH
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "HANDOVER_ADMIN",
        default_value = "http://127.0.0.1:8081",
        help_heading = "Gateway"
    )]
    pub admin: AdminAddress,
    /// What is shown to it, and by what it is known.
    #[command(flatten)]
    pub credentials: Credentials,
    /// How data is printed on stdout
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        help_heading = "Gateway"
    )]
    pub output: Output,
    /// Give up after this long (as 30s or 5m); a call has 30s, a watch all the time that it needs
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration,
          help_heading = "Gateway")]
    pub timeout: Option<Duration>,
}

impl Common {
    /// Opens the shell that these arguments describe.
    ///
    /// # Errors
    /// When a file of the credentials cannot be used.
    pub fn shell(&self) -> Result<Shell, ShellError> {
        Ok(Shell {
            client: Client::new(self.admin.clone(), &self.credentials)?,
            output: self.output,
            timeout: self.timeout,
        })
    }
}

/// A gateway to talk to, and a way to print.
#[derive(Debug, Clone)]
pub struct Shell {
    /// The gateway.
    pub client: Client,
    /// The format of data.
    pub output: Output,
    /// How long it may take; absent: as the command has it.
    pub timeout: Option<Duration>,
}

impl Shell {
    /// Calls, with the time that the user gives a call.
    ///
    /// # Errors
    /// As [`super::ClientError`] says.
    pub async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, ShellError> {
        Ok(self.client.ask(self.in_time(call)).await?)
    }

    /// Gives an order whose answer says nothing.
    ///
    /// # Errors
    /// As [`super::ClientError`] says.
    pub async fn order(&self, call: Call) -> Result<(), ShellError> {
        Ok(self.client.order(self.in_time(call)).await?)
    }

    /// Prints data in the format asked for.
    pub fn print(&self, data: &impl Data) {
        print(self.output, data);
    }

    fn in_time(&self, call: Call) -> Call {
        match self.timeout {
            Some(timeout) => call.within(timeout),
            None => call,
        }
    }
}
