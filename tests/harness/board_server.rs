//! Board servers: the reference one and those on other people's libraries, all behind the same flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::authority::{Authority, Issued};
use crate::binaries::{binary, workspace};
use crate::postgres::Database;
use crate::process::{Process, address};

/// Which program serves the boards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// The reference board server of the load test.
    Reference,
    /// Python `websockets`: a queue between the socket and the handler.
    Websockets,
    /// Python `aiohttp`: the handler pulls.
    Aiohttp,
    /// node `ws`: events, handled one after the other.
    NodeWs,
}

/// A running board server.
#[derive(Debug)]
pub struct BoardServer {
    builder: BoardServerBuilder,
    process: Process,
    traffic: SocketAddr,
    control: Option<SocketAddr>,
    directory: TempDir,
}

/// What a server shows over TLS, and whom it asks to show something.
#[derive(Debug, Clone)]
struct Tls {
    shown: Issued,
    clients: Option<PathBuf>,
}

/// How a board server is started.
#[derive(Debug, Clone)]
pub struct BoardServerBuilder {
    program: Program,
    name: String,
    release: String,
    database: String,
    has_contract: bool,
    slow: bool,
    load_time: Duration,
    save_time: Duration,
    habits: Vec<String>,
    tls: Option<Tls>,
    traffic: SocketAddr,
    control: SocketAddr,
}

impl Program {
    /// Every program.
    pub const ALL: [Self; 4] = [Self::Reference, Self::Websockets, Self::Aiohttp, Self::NodeWs];
    /// Those on other people's libraries: they compress, and have a slow handler.
    pub const LIBRARIES: [Self; 3] = [Self::Websockets, Self::Aiohttp, Self::NodeWs];

    fn command(self) -> Command {
        let servers = workspace().join("tests/servers");
        let python = || workspace().join("tests/.venv/bin/python");
        let script = |interpreter: PathBuf, file: &str| {
            let mut command = Command::new(interpreter);
            command.arg(servers.join(file));
            command
        };
        match self {
            Self::Reference => Command::new(binary("board-server")),
            Self::Websockets => script(python(), "websockets_server.py"),
            Self::Aiohttp => script(python(), "aiohttp_server.py"),
            Self::NodeWs => script("node".into(), "ws_server.mjs"),
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Reference => "reference",
            Self::Websockets => "websockets",
            Self::Aiohttp => "aiohttp",
            Self::NodeWs => "ws",
        })
    }
}

impl BoardServer {
    /// Describes a server of the given name and release that keeps its boards in `database`.
    ///
    /// It has the contract, handles at once, loads and saves in no time, and listens where the kernel chooses.
    pub fn builder(program: Program, name: &str, release: &str, database: &Database) -> BoardServerBuilder {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        BoardServerBuilder {
            program,
            name: name.to_owned(),
            release: release.to_owned(),
            database: database.url(),
            has_contract: true,
            slow: false,
            load_time: Duration::ZERO,
            save_time: Duration::ZERO,
            habits: Vec::new(),
            tls: None,
            traffic: anywhere,
            control: anywhere,
        }
    }

    /// Returns the name that the gateway knows it under.
    pub fn name(&self) -> &str {
        &self.builder.name
    }

    /// Returns the release that it runs.
    pub fn release(&self) -> &str {
        &self.builder.release
    }

    /// Returns where it takes sessions.
    pub fn traffic(&self) -> SocketAddr {
        self.traffic
    }

    /// Returns where it takes the contract's calls; none without the contract.
    pub fn control(&self) -> Option<SocketAddr> {
        self.control
    }

    /// Returns the scheme of its URLs.
    pub fn scheme(&self) -> &'static str {
        if self.builder.tls.is_some() { "https" } else { "http" }
    }

    /// Returns the file of the token that the control URL asks for.
    pub fn token_file(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    /// Returns the process, to be stopped or killed.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Starts the server again, under the same name and at the same addresses, after its process was killed.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.builder.traffic = self.traffic;
        if let Some(control) = self.control {
            self.builder.control = control;
        }
        (self.process, self.traffic, self.control) = self.builder.launch(&self.token_file()).await;
    }
}

impl BoardServerBuilder {
    /// Makes it somebody's server that has never heard of us.
    #[must_use]
    pub fn without_contract(mut self) -> Self {
        self.has_contract = false;
        self
    }

    /// Makes each message's handler await 20 ms before it begins.
    #[must_use]
    pub fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    /// Sets how long a board takes to load.
    #[must_use]
    pub fn load_time(mut self, time: Duration) -> Self {
        self.load_time = time;
        self
    }

    /// Sets how long a change takes to save, besides what the database takes.
    #[must_use]
    pub fn save_time(mut self, time: Duration) -> Self {
        self.save_time = time;
        self
    }

    /// Gives it a habit that only the node server has, as `tests/servers/flags.mjs` lists them.
    #[must_use]
    pub fn with_habit(mut self, flag: &str) -> Self {
        assert_eq!(self.program, Program::NodeWs, "no other program knows {flag}");
        self.habits.push(flag.to_owned());
        self
    }

    /// Has both listeners speak TLS with a certificate.
    #[must_use]
    pub fn tls(mut self, shown: &Issued) -> Self {
        assert_eq!(self.program, Program::Reference, "no other program speaks TLS");
        self.tls = Some(Tls {
            shown: shown.clone(),
            clients: None,
        });
        self
    }

    /// Asks whoever connects over TLS for a certificate of an authority.
    #[must_use]
    pub fn demanding(mut self, authority: &Authority) -> Self {
        let tls = self.tls.as_mut().expect("it speaks TLS");
        tls.clients = Some(authority.file());
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it does not come up; the message has what it printed.
    pub async fn start(self) -> BoardServer {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let token_file = directory.path().join("token");
        std::fs::write(&token_file, format!("token-of-{}\n", self.name)).expect("the directory was just made");
        let (process, traffic, control) = self.launch(&token_file).await;
        BoardServer {
            builder: self,
            process,
            traffic,
            control,
            directory,
        }
    }

    async fn launch(&self, token_file: &std::path::Path) -> (Process, SocketAddr, Option<SocketAddr>) {
        let mut command = self.program.command();
        command
            .args(["--name", &self.name, "--release", &self.release])
            .args(["--listen", &self.traffic.to_string(), "--database", &self.database])
            .args(["--load-time", &milliseconds(self.load_time)])
            .args(["--save-time", &milliseconds(self.save_time)])
            .args(&self.habits);
        if self.has_contract {
            command.args(["--control-listen", &self.control.to_string(), "--control-token-file"]);
            command.arg(token_file);
        } else {
            command.arg("--no-contract");
        }
        if let Some(Tls { shown, clients }) = &self.tls {
            command.arg("--tls-certificate").arg(&shown.certificate);
            command.arg("--tls-key").arg(&shown.key);
            if let Some(file) = clients {
                command.arg("--tls-client-ca").arg(file);
            }
        }
        if self.slow {
            assert_ne!(
                self.program,
                Program::Reference,
                "the reference server has a save time instead"
            );
            command.arg("--slow");
        }
        let process = Process::start(&self.name, &command);
        let line = process.first_json_line().await;
        let traffic = address(&line, "listening").unwrap_or_else(|| panic!("{}: no address in {line}", self.name));
        let control = address(&line, "control");
        assert_eq!(control.is_some(), self.has_contract, "{}: {line}", self.name);
        (process, traffic, control)
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
