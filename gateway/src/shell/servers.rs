//! `handover servers`: see the board servers, name them, and say which take boards.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use handover_protocol::admin::{
    DEFAULT_WEIGHT, Level, ServerList, ServerOrigin, ServerRequest, ServerState, ServerTls, ServerView,
};
use handover_protocol::{ReleaseName, ServerName};
use http::Method;
use tokio::time::{Instant, sleep};

use super::client::Call;
use super::common::{Common, Shell};
use super::outcome::{EXIT_CODES, Outcome, ShellError};
use super::print::{confirm, say};
use super::words::{Label, labels, spelled};

/// The board servers.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("\
Examples:
  handover servers                                  every server, its boards and sessions
  handover servers cordon board-1                   no new boards for board-1
  handover servers wait board-1 && stop-board-1     stop a process once nobody would notice
  handover servers dead board-1 --yes               its machine is gone: give its boards to others

{EXIT_CODES}"))]
pub struct ServersArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<ServersCommand>,
}

#[derive(Debug, Subcommand)]
enum ServersCommand {
    /// List every server (the default)
    List,
    /// Show one server
    Show(Named),
    /// Name a server to the gateway; kept over restarts
    Add(AddArgs),
    /// Change a server that was named by `add`
    Set(SetArgs),
    /// Forget a server that was named by `add`; it must own nothing
    Remove(Named),
    /// Give it no new boards; it serves what it has
    Cordon(Named),
    /// Give it new boards again
    Uncordon(Named),
    /// Say that its process is gone for good: its boards go to other servers at once
    Dead(DeadArgs),
    /// Wait until its process can be ended unnoticed, or until it takes boards
    Wait(WaitArgs),
}

#[derive(Debug, Args)]
struct Named {
    /// The server
    #[arg(value_name = "SERVER")]
    name: ServerName,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The server's name
    #[arg(value_name = "SERVER")]
    name: ServerName,
    /// Where sessions and requests go: http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL")]
    url: String,
    /// The version that it runs
    #[arg(long, value_name = "RELEASE")]
    release: ReleaseName,
    /// Its share of new boards beside that of the others; 0: none
    #[arg(long, value_name = "N", default_value_t = DEFAULT_WEIGHT)]
    weight: u32,
    #[command(flatten)]
    more: MoreArgs,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The server's name
    #[arg(value_name = "SERVER")]
    name: ServerName,
    /// Where sessions and requests go: http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The version that it runs
    #[arg(long, value_name = "RELEASE")]
    release: Option<ReleaseName>,
    /// Its share of new boards beside that of the others; 0: none
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// Let it own as many boards as come
    #[arg(long, conflicts_with = "capacity")]
    no_capacity: bool,
    #[command(flatten)]
    more: MoreArgs,
}

#[derive(Debug, Args)]
struct MoreArgs {
    /// Where it speaks the control contract; without it the server is opaque
    #[arg(long, value_name = "URL")]
    control_url: Option<String>,
    /// A file on the gateway's machine with the token of its control contract
    #[arg(long, value_name = "FILE", requires = "control_url")]
    control_token_file: Option<String>,
    /// A PEM file on the gateway's machine: whom to believe over TLS, in the place of those that its system trusts
    #[arg(long, value_name = "FILE")]
    tls_ca_file: Option<String>,
    /// The name that the server's certificate is for, where that is not the URL's host
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// A PEM file on the gateway's machine: the certificate that the server is shown
    #[arg(long, value_name = "FILE", requires = "tls_client_key_file")]
    tls_client_certificate_file: Option<String>,
    /// And its private key
    #[arg(long, value_name = "FILE", requires = "tls_client_certificate_file")]
    tls_client_key_file: Option<String>,
    /// Boards that it may own
    #[arg(long, value_name = "N")]
    capacity: Option<u64>,
    /// A note, as KEY=VALUE; several are possible
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
}

#[derive(Debug, Args)]
struct DeadArgs {
    /// The server
    #[arg(value_name = "SERVER")]
    name: ServerName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// The server
    #[arg(value_name = "SERVER")]
    name: ServerName,
    /// What to wait for
    #[arg(long, value_name = "STATE", value_enum, default_value = "safe")]
    until: Until,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    /// Nobody would notice the end of its process
    Safe,
    /// It takes boards
    Ready,
}

impl ServersArgs {
    pub(super) async fn run(&self) -> Result<Outcome, ShellError> {
        let shell = self.common.shell()?;
        match self.command.as_ref().unwrap_or(&ServersCommand::List) {
            ServersCommand::List => shell.print(&list(&shell).await?),
            ServersCommand::Show(Named { name }) => shell.print(&find(&shell, name).await?),
            ServersCommand::Add(args) => {
                let view = put(&shell, &args.name, &args.request()).await?;
                shell.print(&view);
            }
            ServersCommand::Set(args) => {
                let before = find(&shell, &args.name).await?;
                let view = put(&shell, &args.name, &args.request(before)?).await?;
                shell.print(&view);
            }
            ServersCommand::Remove(Named { name }) => {
                shell.order(Call::new(Method::DELETE, path(name, ""))).await?;
                say(&format!("server {name} is forgotten"));
            }
            ServersCommand::Cordon(Named { name }) => {
                let view: ServerView = shell.ask(Call::post(path(name, "/cordon"))).await?;
                shell.print(&view);
            }
            ServersCommand::Uncordon(Named { name }) => {
                let view: ServerView = shell.ask(Call::post(path(name, "/uncordon"))).await?;
                shell.print(&view);
            }
            ServersCommand::Dead(args) => args.bury(&shell).await?,
            ServersCommand::Wait(args) => args.wait(&shell).await?,
        }
        Ok(Outcome::Done)
    }
}

impl MoreArgs {
    /// Joins what is known of the server's TLS and what is to change; nothing for a server that is reached without.
    fn tls(&self, before: ServerTls) -> ServerTls {
        let changed = |new: &Option<String>, before: Option<String>| new.clone().or(before);
        ServerTls {
            ca_file: changed(&self.tls_ca_file, before.ca_file),
            server_name: changed(&self.tls_server_name, before.server_name),
            client_certificate_file: changed(&self.tls_client_certificate_file, before.client_certificate_file),
            client_key_file: changed(&self.tls_client_key_file, before.client_key_file),
        }
    }
}

impl AddArgs {
    fn request(&self) -> ServerRequest {
        let tls = self.more.tls(ServerTls::default());
        ServerRequest {
            url: self.url.clone(),
            control_url: self.more.control_url.clone(),
            control_token_file: self.more.control_token_file.clone(),
            ca_file: tls.ca_file,
            server_name: tls.server_name,
            client_certificate_file: tls.client_certificate_file,
            client_key_file: tls.client_key_file,
            release: self.release.clone(),
            weight: self.weight,
            capacity: self.more.capacity,
            labels: labels(&self.more.labels),
        }
    }
}

impl SetArgs {
    /// Makes the whole request of what is known and what is to change.
    fn request(&self, before: ServerView) -> Result<ServerRequest, ShellError> {
        // The gateway never tells where a control contract is spoken, and leaving it out would make the server opaque.
        let has_contract = matches!(before.level, Level::Contract);
        if before.origin == ServerOrigin::Api && has_contract && self.more.control_url.is_none() {
            return Err(ShellError::Usage(format!(
                "server {} speaks the control contract: give --control-url (and --control-token-file) once more, else \
                 it would be opaque from now on",
                self.name
            )));
        }
        let is_tls = |url: &str| url.starts_with("https:");
        let stays_tls =
            is_tls(self.url.as_deref().unwrap_or(&before.url)) || self.more.control_url.as_deref().is_some_and(is_tls);
        // What was said of TLS stays as it is, unless the server is reached without from now on.
        let tls = self.more.tls(before.tls.filter(|_| stays_tls).unwrap_or_default());
        let mut all = before.labels;
        all.extend(labels(&self.more.labels));
        Ok(ServerRequest {
            url: self.url.clone().unwrap_or(before.url),
            control_url: self.more.control_url.clone(),
            control_token_file: self.more.control_token_file.clone(),
            ca_file: tls.ca_file,
            server_name: tls.server_name,
            client_certificate_file: tls.client_certificate_file,
            client_key_file: tls.client_key_file,
            release: self.release.clone().unwrap_or(before.release),
            weight: self.weight.unwrap_or(before.weight),
            capacity: if self.no_capacity {
                None
            } else {
                self.more.capacity.or(before.capacity)
            },
            labels: all,
        })
    }
}

impl DeadArgs {
    async fn bury(&self, shell: &Shell) -> Result<(), ShellError> {
        let server = find(shell, &self.name).await?;
        let question = format!(
            "Server {} owns {} boards and carries {} sessions. Is its process gone for good, so that it can write \
             nothing any more?",
            server.name, server.boards, server.sessions
        );
        if !self.yes && !confirm(&question).ok_or_else(|| needs_yes("servers dead"))? {
            return Err(ShellError::Usage("nothing was done".to_owned()));
        }
        let call = Call::post(path(&self.name, "/dead"));
        let report: handover_protocol::admin::DeathReport = shell.ask(call).await?;
        shell.print(&report);
        Ok(())
    }
}

/// Asks for `--yes` where nobody can be asked.
pub(super) fn needs_yes(command: &str) -> ShellError {
    ShellError::Usage(format!(
        "{command} has to be confirmed and there is no terminal to ask at: give --yes"
    ))
}

impl WaitArgs {
    /// Asks until it is so; where there is a `--timeout`, a gateway that starts again meanwhile is waited for.
    async fn wait(&self, shell: &Shell) -> Result<(), ShellError> {
        let deadline = shell.timeout.map(|timeout| Instant::now() + timeout);
        let mut said = String::new();
        loop {
            let blocked = match find(shell, &self.name).await {
                Ok(server) => match self.blocked_by(&server) {
                    None => {
                        shell.print(&server);
                        return Ok(());
                    }
                    Some(blocked) => blocked,
                },
                Err(ShellError::Client(error)) if error.may_pass() && deadline.is_some() => error.to_string(),
                Err(error) => return Err(error),
            };
            if blocked != said {
                say(&blocked);
                said.clone_from(&blocked);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(ShellError::TimedOut(format!("time is up: {blocked}")));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn blocked_by(&self, server: &ServerView) -> Option<String> {
        let is_reached = match self.until {
            Until::Safe => server.safe_to_terminate,
            Until::Ready => server.state == ServerState::Ready,
        };
        (!is_reached).then(|| {
            let mut text = format!(
                "server {} is {}, with {} boards and {} sessions",
                server.name,
                spelled(&server.state),
                server.boards,
                server.sessions
            );
            if self.until == Until::Safe && server.new_boards {
                text += &format!(
                    "; new boards go there: drain it, or close it with handover servers cordon {}",
                    server.name
                );
            }
            text
        })
    }
}

async fn list(shell: &Shell) -> Result<ServerList, ShellError> {
    shell.ask(Call::get("/v1/servers")).await
}

async fn find(shell: &Shell, name: &ServerName) -> Result<ServerView, ShellError> {
    let list = list(shell).await?;
    let known: Vec<String> = list.servers.iter().map(|server| server.name.to_string()).collect();
    let found = list.servers.into_iter().find(|server| server.name == *name);
    found.ok_or_else(|| ShellError::Unknown(format!("no server is named {name}; there are {}", known.join(", "))))
}

async fn put(shell: &Shell, name: &ServerName, request: &ServerRequest) -> Result<ServerView, ShellError> {
    shell.ask(Call::new(Method::PUT, path(name, "")).with(request)).await
}

/// A server's name is letters, digits and marks that stand in a path as they are.
fn path(name: &ServerName, behind: &str) -> String {
    format!("/v1/servers/{name}{behind}")
}

/// A drain takes minutes; half a second more is nothing, and no load.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
