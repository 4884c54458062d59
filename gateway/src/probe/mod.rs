//! `handover probe`: tries on test boards, with the gateway's own handshake and comparison, what a route could promise.
//!
//! Every visit opens a test board of its own, so that two servers never serve one board at once, and closes it again.
//!
//! ```text
//!   first server: what does it say unasked, how does it answer the script?
//!   second:       how many of the script's messages must be said again until the last is answered as before?
//!   both:         do the 101s agree, what is said of compression and of Handover-Mode?
//! ```

mod address;
mod conversation;
mod report;
mod station;
#[cfg(test)]
mod tests;
mod trial;
mod visit;

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use http::HeaderValue;
use http::header::HeaderName;

use self::address::ProbeUrl;
use self::report::{Mode, ProbeReport};
use self::station::{Address, Station};
use self::trial::Trial;
use crate::config::{CertificateFiles, ServerTlsConfig, ServerUrl};
use crate::shell::{Outcome, Output, ShellError, conclude, print, say};
use crate::tls::SystemRoots;

/// Arguments of `handover probe`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  handover probe --url 'ws://app.example/boards/{board}/ws?user=probe' \\
      --server http://127.0.0.1:9001 --server http://127.0.0.1:9002 \\
      --send '{\"type\":\"hello\",\"user\":\"probe\"}' --send '{\"type\":\"draw\",\"seq\":1,\"color\":\"#000\",\"points\":[[0,0]]}'

  --send once for each message, in the order in which a client says them: those with which it opens a session, and as
  the last one any that is always answered. Test boards are named handover-probe-…; the probe writes what you send.

Exit codes:
  0  the probe has run, and --expect holds
  1  a server could not be reached or opens no session, or --expect does not hold
  2  the command line makes no sense")]
pub struct ProbeArgs {
    /// Where clients connect, with {board} where a board's id stands; its host is sent as Host
    #[arg(long, value_name = "URL")]
    url: ProbeUrl,
    /// A board server: http://HOST:PORT or https://HOST:PORT (or ws, wss); give two of them
    #[arg(long = "server", value_name = "URL", required = true, value_parser = server_url)]
    servers: Vec<ServerUrl>,
    /// Where the servers speak the control contract, in the order of --server; without it they are taken as opaque
    #[arg(long = "control", value_name = "URL", value_parser = server_url)]
    controls: Vec<ServerUrl>,
    /// The token of the control contract, in the order of --server, or one for all
    #[arg(long = "control-token-file", value_name = "FILE", requires = "controls")]
    token_files: Vec<PathBuf>,
    /// A PEM file with the certificates of whom to believe over TLS, for both servers; without it those that the system
    /// trusts
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The name that a server's certificate is for, where that is not its URL's host: in the order of --server, or one for
    /// both
    #[arg(long = "server-name", value_name = "NAME", value_parser = tls_name)]
    server_names: Vec<String>,
    /// A PEM file with the certificate that the servers are shown
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// And its private key
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// A text message that a client sends; several are possible
    #[arg(long = "send", value_name = "TEXT")]
    script: Vec<String>,
    /// A header of the handshake, as Cookie or Authorization
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A subprotocol that the client offers; several are possible
    #[arg(long = "subprotocol", value_name = "NAME")]
    subprotocols: Vec<String>,
    /// How long an answer may take
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Exit with 1 where this mode does not hold
    #[arg(long, value_name = "MODE", value_parser = mode())]
    expect: Option<Mode>,
    /// How the report is printed on stdout
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Output,
}

fn server_url(text: &str) -> Result<ServerUrl, String> {
    // As clients write it: only sessions are opened here.
    let written = match text.split_once("://") {
        Some(("ws", rest)) => format!("http://{rest}"),
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(_) | None => text.to_owned(),
    };
    written.parse::<ServerUrl>().map_err(|fault| format!("it {fault}"))
}

fn tls_name(text: &str) -> Result<String, String> {
    match rustls::pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it is neither a host name nor an address".to_owned()),
    }
}

fn mode() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(["reconnect", "transparent"]).map(|word| match word.as_str() {
        "transparent" => Mode::Transparent,
        _ => Mode::Reconnect,
    })
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("is no NAME: VALUE")?;
    let name: HeaderName = name
        .trim()
        .parse()
        .map_err(|_| "has no header's name before the colon")?;
    let is_ours = name.as_str().starts_with("sec-websocket-") || name.as_str().starts_with("handover-");
    if is_ours || ["host", "connection", "upgrade"].contains(&name.as_str()) {
        return Err(format!("{name} is set by the probe"));
    }
    let value = value
        .trim()
        .parse()
        .map_err(|_| "has no header's value behind the colon")?;
    Ok((name, value))
}

impl ProbeArgs {
    /// Probes, and prints what was found.
    pub fn run(&self) -> std::process::ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                say(&format!("handover: no runtime: {error}"));
                return Outcome::Failed.into();
            }
        };
        conclude(runtime.block_on(self.probe())).into()
    }

    async fn probe(&self) -> Result<Outcome, ShellError> {
        let stations = self.stations()?;
        let script = if self.script.is_empty() {
            asked()
        } else {
            self.script.clone()
        };
        let trial = Trial {
            url: &self.url,
            headers: &self.headers,
            subprotocols: &self.subprotocols,
            script: &script,
            wait: self.wait,
        };
        let report: ProbeReport = trial.run(&stations).await;
        print(self.output, &report);
        let is_fine = report.is_complete() && self.expect.is_none_or(|mode| report.holds(mode));
        Ok(if is_fine { Outcome::Done } else { Outcome::Failed })
    }

    fn stations(&self) -> Result<Vec<Station>, ShellError> {
        let usage = |text: &str| Err(ShellError::Usage(text.to_owned()));
        if self.servers.len() != 2 {
            return usage("give --server twice: where boards leave, and where they go");
        }
        if !self.controls.is_empty() && self.controls.len() != self.servers.len() {
            return usage("give --control once for each --server, or not at all");
        }
        if self.token_files.len() > 1 && self.token_files.len() != self.servers.len() {
            return usage("give --control-token-file once for each --server, or one for all");
        }
        if self.server_names.len() > 1 && self.server_names.len() != self.servers.len() {
            return usage("give --server-name once for each --server, or one for all");
        }
        let system = SystemRoots::default();
        let client = self.client_certificate.clone().zip(self.client_key.clone());
        let client = client.map(|(certificate, key)| CertificateFiles { certificate, key });
        let station = |(number, url): (usize, &ServerUrl)| {
            let name = self.server_names.get(number).or_else(|| self.server_names.first());
            let address = Address {
                url,
                control: self.controls.get(number),
                token_file: self.token_files.get(number).or_else(|| self.token_files.first()),
                tls: &ServerTlsConfig {
                    ca_file: self.ca_file.clone(),
                    server_name: name.map(|name| name.as_str().into()),
                    client: client.clone(),
                },
            };
            Station::new(number, &address, &system)
        };
        self.servers.iter().enumerate().map(station).collect()
    }
}

/// Asks at a terminal what a client says; elsewhere nothing is said.
fn asked() -> Vec<String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Vec::new();
    }
    say("What does a client say, one message a line, the last one that is always answered? An empty line ends it.");
    let lines = io::stdin().lock().lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect()
}
