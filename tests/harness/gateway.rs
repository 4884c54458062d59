//! A gateway process and its configuration.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::admin::Admin;
use crate::binaries::binary;
use crate::board_server::BoardServer;
use crate::eventually::eventually;
use crate::port::free_port;
use crate::process::Process;

/// A running gateway: its process, its configuration and its registry's file.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    traffic: SocketAddr,
    admin: Admin,
    directory: TempDir,
    surroundings: Surroundings,
}

/// What a gateway process finds when it starts.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    open_files: Option<u32>,
    environment: Vec<(String, String)>,
    /// A socket that is open before it and after it.
    handed: Option<Arc<TcpListener>>,
    log_sink: LogSink,
}

/// Where a gateway's log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogSink {
    /// To a file that the test can read.
    #[default]
    File,
    /// Into a pipe that is full and that nobody reads, with all else that it says.
    Unread,
    /// To a disk that is full.
    Full,
}

/// How a gateway is configured.
#[derive(Debug, Clone)]
pub struct GatewayBuilder {
    current_release: String,
    listen: String,
    servers: String,
    routes: String,
    more: String,
    surroundings: Surroundings,
}

/// One `[[routes]]` table, written as an operator would.
#[derive(Debug, Clone)]
pub struct Route {
    keys: Vec<(String, String)>,
}

impl Gateway {
    /// Describes a gateway whose newcomers go to `current_release`.
    pub fn builder(current_release: &str) -> GatewayBuilder {
        GatewayBuilder {
            current_release: current_release.to_owned(),
            listen: String::new(),
            servers: String::new(),
            routes: String::new(),
            more: String::new(),
            surroundings: Surroundings::default(),
        }
    }

    /// Returns where users connect.
    pub fn traffic(&self) -> SocketAddr {
        self.traffic
    }

    /// Returns a client of the admin API.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Waits until every configured server is ready.
    ///
    /// # Panics
    /// When one is not in time, or the admin API does not answer.
    pub async fn all_ready(&self) {
        eventually("all servers are ready", READY_TIMEOUT, || async {
            let list = self.admin.servers().await.expect("the gateway lists its servers");
            list.servers.iter().all(|server| server.ready)
        })
        .await;
    }

    /// Returns the process, to be stopped or killed.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Returns the directory of the configuration and the registry.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Starts the gateway again on the same registry and the same ports, after its process was killed.
    ///
    /// # Panics
    /// When it is not ready within 20 s.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.directory, &self.surroundings);
        self.ready().await;
    }

    async fn ready(&self) {
        eventually("the gateway is ready", Duration::from_secs(20), || async {
            assert!(
                self.process.is_running(),
                "the gateway ended at its start:\n{}",
                self.process.tail()
            );
            self.admin.answers("/readyz").await
        })
        .await;
    }
}

impl GatewayBuilder {
    /// Adds a server at its own addresses.
    #[must_use]
    pub fn server(self, server: &BoardServer) -> Self {
        self.server_behind(server, server.traffic(), server.control())
    }

    /// Adds a server at its own addresses, with more keys of its table.
    #[must_use]
    pub fn server_with(self, server: &BoardServer, keys: &str) -> Self {
        let mut builder = self.server(server);
        let _ = writeln!(builder.servers, "{keys}");
        builder
    }

    /// Adds a server of which the gateway knows other addresses: those of meddlers.
    #[must_use]
    pub fn server_behind(mut self, server: &BoardServer, traffic: SocketAddr, control: Option<SocketAddr>) -> Self {
        let table = &mut self.servers;
        let (name, release, scheme) = (server.name(), server.release(), server.scheme());
        let _ = write!(
            table,
            "\n[[servers]]\nname = \"{name}\"\nrelease = \"{release}\"\nurl = \"{scheme}://{traffic}\"\n"
        );
        if let Some(control) = control {
            let token = server.token_file();
            let _ = writeln!(table, "control_url = \"{scheme}://{control}\"");
            let _ = writeln!(table, "control_token_file = \"{}\"", token.display());
        }
        self
    }

    /// Adds a server without the contract that is no process of its own.
    #[must_use]
    pub fn origin(mut self, name: &str, release: &str, address: SocketAddr) -> Self {
        let _ = write!(
            self.servers,
            "\n[[servers]]\nname = \"{name}\"\nrelease = \"{release}\"\nurl = \"http://{address}\"\n"
        );
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: &Route) -> Self {
        self.routes.push_str("\n[[routes]]\n");
        for (key, value) in &route.keys {
            let _ = writeln!(self.routes, "{key} = {value}");
        }
        self
    }

    /// Adds a line to the `[listen]` table.
    #[must_use]
    pub fn listen(mut self, line: &str) -> Self {
        let _ = writeln!(self.listen, "{line}");
        self
    }

    /// Starts the gateway with so many open files at most.
    #[must_use]
    pub fn open_files(mut self, most: u32) -> Self {
        self.surroundings.open_files = Some(most);
        self
    }

    /// Starts the gateway with a variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.surroundings.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Hands the gateway a listening socket for its clients, as a service manager does; it stays open when the gateway
    /// ends.
    #[must_use]
    pub fn handed(mut self, socket: TcpListener) -> Self {
        self.surroundings.handed = Some(Arc::new(socket));
        self
    }

    /// Has the gateway log elsewhere than to a file.
    #[must_use]
    pub fn log_to(mut self, sink: LogSink) -> Self {
        self.surroundings.log_sink = sink;
        self
    }

    /// Adds TOML as it is, behind all else: whole tables.
    #[must_use]
    pub fn toml(mut self, tables: &str) -> Self {
        self.more.push_str(tables);
        self
    }

    /// Returns the file that the gateway would read.
    pub fn file(&self, traffic: SocketAddr, admin: SocketAddr) -> String {
        let Self {
            current_release,
            listen,
            servers,
            routes,
            more,
            surroundings: _,
        } = self;
        // Tests move boards to and fro; those of the interval say what it is.
        let drain = match more.contains("[drain]") {
            true => "",
            false => "\n[drain]\nboard_move_interval = \"0s\"\n",
        };
        format!(
            "[listen]\ntraffic = [\"{traffic}\"]\nadmin = \"{admin}\"\n{listen}\n[registry]\nfile = \"handover.db\"\n\n\
             [releases]\ncurrent = \"{current_release}\"\n{servers}{routes}\n{drain}{more}"
        )
    }

    /// Writes the configuration, starts the gateway and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready within 20 s; the message has what it printed.
    pub async fn start(self) -> Gateway {
        let gateway = self.launch();
        gateway.ready().await;
        gateway
    }

    /// Writes the configuration and starts the gateway without waiting, for its admin API may ask for what
    /// [`Gateway::admin`] does not have.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn launch(self) -> Gateway {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let traffic = match &self.surroundings.handed {
            Some(socket) => socket.local_addr().expect("it is open"),
            None => SocketAddr::from(([127, 0, 0, 1], free_port())),
        };
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let file = directory.path().join("handover.toml");
        std::fs::write(file, self.file(traffic, admin)).expect("the directory was just made");
        Gateway {
            process: launch(&directory, &self.surroundings),
            traffic,
            admin: Admin::new(admin),
            directory,
            surroundings: self.surroundings,
        }
    }
}

impl Route {
    /// The whiteboard's route: `/boards/{board}/ws`, with everything else left to its default.
    pub fn whiteboard() -> Self {
        Self { keys: Vec::new() }
            .with("name", "\"boards\"")
            .with("board", "{ path = \"/boards/{board}/ws\" }")
    }

    /// Sets a key to a TOML value, in the place of what it had.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.keys.retain(|(known, _)| known != key);
        self.keys.push((key.to_owned(), value.to_owned()));
        self
    }
}

fn launch(directory: &TempDir, surroundings: &Surroundings) -> Process {
    let mut steps = Vec::new();
    if let Some(most) = surroundings.open_files {
        steps.push(format!("ulimit -n {most}"));
    }
    if surroundings.handed.is_some() {
        // The first descriptor behind the three streams, and told to this process alone.
        steps.push("exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=traffic".to_owned());
    }
    steps.push(match surroundings.log_sink {
        LogSink::File => "exec \"$0\" \"$@\"".to_owned(),
        // Held open for reading too, so that writing waits and does not fail.
        LogSink::Unread => "mkfifo log.pipe && exec 9<>log.pipe && head -c 65536 /dev/zero >&9 && \
                            exec \"$0\" \"$@\" >log.pipe 2>log.pipe"
            .to_owned(),
        LogSink::Full => "exec \"$0\" \"$@\" 2>/dev/full".to_owned(),
    });
    let mut command = Command::new("sh");
    command.args(["-c", &steps.join(" && ")]).arg(binary("handover"));
    command.args(["serve", "--config", "handover.toml"]);
    command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into()));
    command.envs(surroundings.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(directory.path());
    let stdin = match &surroundings.handed {
        Some(socket) => Stdio::from(OwnedFd::from(socket.try_clone().expect("there is a descriptor left"))),
        None => Stdio::null(),
    };
    Process::start_with("gateway", &command, stdin)
}

/// A server is asked every second, and a busy machine takes its time.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
