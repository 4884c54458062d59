//! The processes of the demo: two servers of each release, and the gateway before them.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use crate::scenario::{AdminClient, Stand};
use crate::user::{Endpoint, EndpointError};

use super::build::Programs;
use super::child::{Child, ChildError, first_json};
use super::options::{Options, SOURCE_RELEASE, TARGET_RELEASE};

/// Everything that runs besides the users.
pub struct Fleet {
    gateway: Child,
    servers: Vec<Child>,
    stand: Stand,
}

/// Why the processes do not stand.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// One of them fails.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// No port or no file could be had.
    #[error("cannot prepare the demo")]
    Prepare(#[from] std::io::Error),
    /// There is no certificate to be shown.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The certificate that was made is not trusted.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// A server that listens.
struct Server {
    name: &'static str,
    release: &'static str,
    traffic: String,
    control: String,
}

impl Fleet {
    /// Starts everything in `directory` and waits until the gateway is ready.
    ///
    /// # Errors
    /// When one of them does not come up. To be called from the main thread, to which the processes are bound.
    pub async fn start(options: &Options, programs: &Programs, directory: &Path) -> Result<Self, FleetError> {
        let database = match &options.database {
            Some(url) => url.clone(),
            None => format!("sqlite:{}", directory.join("boards.db").display()),
        };
        let mut children = Vec::new();
        for (name, release) in SERVERS {
            std::fs::write(directory.join(token_file(name)), fresh_token())?;
            let args = server_args(options, name, release, &database);
            children.push(Child::start(name, &programs.board_server, &args, directory)?);
        }
        let mut servers = Vec::new();
        for ((name, release), child) in SERVERS.into_iter().zip(&mut children) {
            let server = await_server(name, release, child).await?;
            // Whoever starts it again finds it where the gateway's configuration says.
            child.say_next_time("--listen", server.traffic.clone());
            child.say_next_time("--control-listen", server.control.clone());
            servers.push(server);
        }
        let (traffic, admin) = (free_address()?, free_address()?);
        let (endpoint, config) = match options.tls {
            true => {
                let certificate = rcgen::generate_simple_self_signed([traffic.ip().to_string()])?;
                std::fs::write(directory.join(CERTIFICATE), certificate.cert.pem())?;
                std::fs::write(directory.join(KEY), certificate.signing_key.serialize_pem())?;
                let url = format!("wss://{traffic}");
                let endpoint = Endpoint::read(&url, Some(&directory.join(CERTIFICATE)))?;
                (endpoint, config("traffic_tls", traffic, admin, &servers) + TLS)
            }
            false => {
                let endpoint = Endpoint::plain(&traffic.to_string());
                (endpoint, config("traffic", traffic, admin, &servers))
            }
        };
        std::fs::write(directory.join(CONFIG), config)?;
        let args = ["serve", "--config", CONFIG].map(str::to_owned);
        let mut gateway = Child::start("gateway", &programs.gateway, &args, directory)?;
        let client = AdminClient::new(&format!("http://{admin}"));
        gateway
            .ready(READY_LIMIT, async || client.is_ready().await.then_some(()))
            .await?;
        Ok(Self {
            gateway,
            servers: children,
            stand: Stand {
                endpoint,
                admin: Some(client),
                database,
            },
        })
    }

    /// Returns where everything stands.
    pub fn stand(&self) -> &Stand {
        &self.stand
    }

    /// Returns the names and ids of the processes that run, the gateway first.
    pub fn pids(&self) -> Vec<(String, i32)> {
        let names = std::iter::once("gateway").chain(SERVERS.map(|(name, _)| name));
        let pid = |name: &str| self.child(name)?.pid();
        names.filter_map(|name| Some((name.to_owned(), pid(name)?))).collect()
    }

    /// Sends a signal to the process of that name: `gateway` or a server's.
    ///
    /// # Errors
    /// When there is none.
    pub fn signal(&self, name: &str, signal: rustix::process::Signal) -> std::io::Result<()> {
        let unknown = || std::io::Error::other(format!("no process is named {name}"));
        self.child(name).ok_or_else(unknown)?.signal(signal)
    }

    /// Starts a process again, where it listened before. To be called from the main thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn restart(&mut self, name: &str, directory: &Path) -> Result<(), FleetError> {
        let mut all = std::iter::once(&mut self.gateway).chain(&mut self.servers);
        match all.find(|child| child.is(name)) {
            Some(child) => Ok(child.restart(directory).await?),
            None => Err(std::io::Error::other(format!("no process is named {name}")).into()),
        }
    }

    fn child(&self, name: &str) -> Option<&Child> {
        std::iter::once(&self.gateway)
            .chain(&self.servers)
            .find(|child| child.is(name))
    }

    /// Waits until a process has ended by itself, which none should.
    pub(super) async fn ended(&mut self) -> ChildError {
        loop {
            let mut all = std::iter::once(&mut self.gateway).chain(&mut self.servers);
            if let Err(ended) = all.try_for_each(Child::running) {
                return ended;
            }
            sleep(WATCH_EVERY).await;
        }
    }

    /// Ends the gateway and then the servers.
    pub async fn stop(self) {
        self.gateway.stop().await;
        let stops = self.servers.into_iter().map(Child::stop);
        futures_util::future::join_all(stops).await;
    }
}

async fn await_server(name: &'static str, release: &'static str, child: &mut Child) -> Result<Server, ChildError> {
    let output = child.output();
    let (traffic, control) = child
        .ready(READY_LIMIT, async || {
            let line = first_json(&output)?;
            Some((
                line["listening"].as_str()?.to_owned(),
                line["control"].as_str()?.to_owned(),
            ))
        })
        .await?;
    Ok(Server {
        name,
        release,
        traffic,
        control,
    })
}

fn server_args(options: &Options, name: &str, release: &str, database: &str) -> Vec<String> {
    let ms = |time: Duration| format!("{}ms", time.as_millis());
    let (load_time, save_time, token) = (ms(options.load_time), ms(options.save_time), token_file(name));
    let shown_pad = options.shown_pad.to_string();
    let args = [
        ["--name", name],
        ["--release", release],
        ["--listen", "127.0.0.1:0"],
        ["--control-listen", "127.0.0.1:0"],
        ["--control-token-file", &token],
        ["--database", database],
        ["--load-time", &load_time],
        ["--save-time", &save_time],
        ["--shown-pad", &shown_pad],
    ];
    args.into_iter().flatten().map(str::to_owned).collect()
}

/// Writes the gateway's configuration: what a newcomer would write for these servers, and no more.
fn config(listen: &str, traffic: SocketAddr, admin: SocketAddr, servers: &[Server]) -> String {
    let mut config = format!(
        r#"[listen]
{listen} = ["{traffic}"]
admin = "{admin}"

[registry]
file = "handover.db"

[releases]
current = "{SOURCE_RELEASE}"

[[routes]]
name = "boards"
board = {{ path = "/boards/{{board}}/**" }}
mode = "auto"
replay = {{ first = 1, await_answer = true }}
greeting = {{ messages = 1 }}
"#
    );
    for server in servers {
        let token = token_file(server.name);
        config += &format!(
            r#"
[[servers]]
name = "{}"
release = "{}"
url = "http://{}"
control_url = "http://{}"
control_token_file = "{token}"
"#,
            server.name, server.release, server.traffic, server.control
        );
    }
    config
}

/// Finds a port that nobody listens on, below those that outgoing connections take.
fn free_address() -> std::io::Result<SocketAddr> {
    let mut last = Err(std::io::Error::other("no port was tried"));
    for _ in 0..PORT_TRIES {
        let port = rand::random_range(PORTS);
        last = TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
        if last.is_ok() {
            break;
        }
    }
    last
}

fn fresh_token() -> String {
    format!("{:032x}\n", rand::random::<u128>())
}

fn token_file(server: &str) -> String {
    format!("{server}.token")
}

/// The servers and their releases.
pub(super) const SERVERS: [(&str, &str); 4] = [
    ("board-1", SOURCE_RELEASE),
    ("board-2", SOURCE_RELEASE),
    ("board-3", TARGET_RELEASE),
    ("board-4", TARGET_RELEASE),
];
const CONFIG: &str = "handover.toml";
const CERTIFICATE: &str = "gateway.pem";
const KEY: &str = "gateway.key";
/// The certificate that users are shown.
const TLS: &str = r#"
[[tls.certificates]]
certificate_file = "gateway.pem"
key_file = "gateway.key"
"#;
const PORTS: std::ops::Range<u16> = 12_000..32_000;
const PORT_TRIES: u32 = 100;
const WATCH_EVERY: Duration = Duration::from_millis(200);
const READY_LIMIT: Duration = Duration::from_secs(20);
