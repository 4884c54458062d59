//! A gateway without admin API and mover, and clients that speak byte by byte.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::{BoardId, Generation, Owner, Placement};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::board::{Board, Boards, Placer};
use crate::config::{Config, Limits};
use crate::edge::{Edge, HandedSockets, Listeners};
use crate::registry::EmbeddedRegistry;
use crate::telemetry::Metrics;
use crate::upstream::{Poller, Servers};

/// A running gateway.
pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    pub(super) boards: Arc<Boards>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts a gateway before one opaque server; `route` adds lines to its only route, `/b/{board}/**`.
    pub(super) async fn start(server: SocketAddr, route: &str) -> Self {
        Self::start_with(server, route, |_| {}).await
    }

    /// Starts a gateway with other limits.
    pub(super) async fn start_with(server: SocketAddr, route: &str, change: impl FnOnce(&mut Limits)) -> Self {
        Self::start_knowing(server, "", route, Vec::new(), change).await
    }

    /// Starts a gateway before a contract server whose control nobody answers; the registry says that it owns a board.
    pub(super) async fn start_before_owner(server: SocketAddr, board: &str) -> Self {
        let owner = Owner {
            server: "board-1".parse().unwrap(),
            incarnation: None,
        };
        let granted = Placement::UNKNOWN.grant(owner, Generation::NONE, "gateway-0".parse().unwrap());
        let settled = granted.unwrap().settle().unwrap();
        let control = "control_url = \"http://127.0.0.1:3\"";
        Self::start_knowing(server, control, "", vec![(board.parse().unwrap(), settled)], |_| {}).await
    }

    async fn start_knowing(
        server: SocketAddr,
        control: &str,
        route: &str,
        placements: Vec<(BoardId, Placement)>,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let text = format!(
            "[listen]\ntraffic = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:2\"\n[registry]\nfile = \"r.db\"\n\
             [releases]\ncurrent = \"r1\"\n[[servers]]\nname = \"board-1\"\nurl = \"http://{server}\"\nrelease = \"r1\"\n\
             {control}\n[[routes]]\nname = \"boards\"\nboard = {{ path = \"/b/{{board}}/**\" }}\n{route}\n"
        );
        let (mut config, _) = Config::parse(&text, Path::new("handover.toml")).unwrap();
        change(&mut config.limits);
        let config = Arc::new(config);
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new(&config.metrics).unwrap());
        let servers = Servers::new(&config.servers, &config.limits, &metrics);
        let shutdown = CancellationToken::new();
        let poller = Poller {
            health: config.health,
            boards_interval: config.limits.boards_interval,
            tasks: TaskTracker::new(),
            shutdown: shutdown.clone(),
            metrics: Arc::clone(&metrics),
        };
        servers.all().iter().for_each(|server| poller.start(server));
        servers.asked().await;
        let boards = Boards::new(
            placements,
            servers,
            Arc::new(EmbeddedRegistry::open(&folder.path().join("r.db")).unwrap()),
            "gateway-1".parse().unwrap(),
            Arc::clone(&metrics),
            Placer::new(config.releases.current.clone(), TaskTracker::new()),
            TaskTracker::new(),
        );
        let listeners = Listeners::bind(&config.listen, HandedSockets::default()).unwrap();
        let address = listeners.addresses().unwrap()[0];
        let edge = Edge::new(
            config,
            Arc::clone(&boards),
            Arc::clone(&metrics),
            None,
            shutdown.clone(),
        );
        let running = tokio::spawn(async move { edge.run(listeners).await });
        Self {
            address,
            boards,
            metrics,
            shutdown,
            running,
            _folder: folder,
        }
    }

    /// Connects a client.
    pub(super) async fn client(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
        }
    }

    /// Sends one request over a connection of its own and returns all that comes back, up to the close.
    pub(super) async fn ask(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.say(request).await;
        client.rest().await
    }

    /// Returns a board that somebody has been let in to.
    pub(super) fn board(&self, id: &str) -> Arc<Board> {
        let id: BoardId = id.parse().unwrap();
        self.boards.get(&id).expect("the board is known")
    }

    /// Waits until the metrics hold a line.
    pub(super) async fn shows(&self, line: &str) {
        eventually(|| self.metrics.render().lines().any(|other| other == line), line).await;
    }

    /// Ends the gateway and waits for the requests under way.
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.running).await.expect("it ends").unwrap();
    }
}

/// A client that speaks byte by byte.
pub(super) struct Client {
    pub(super) stream: TcpStream,
}

impl Client {
    /// Sends bytes.
    pub(super) async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// Reads until what came holds `end`, and returns it.
    pub(super) async fn hear(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        let hearing = async {
            while !heard.windows(end.len()).any(|window| window == end.as_bytes()) {
                let byte = self.stream.read_u8().await.unwrap_or_else(|error| {
                    panic!("{error} before {end:?}: {}", String::from_utf8_lossy(&heard));
                });
                heard.push(byte);
            }
        };
        timeout(PATIENCE, hearing).await.expect("the rest comes");
        String::from_utf8(heard).unwrap()
    }

    /// Reads the head of an answer.
    pub(super) async fn head(&mut self) -> String {
        self.hear("\r\n\r\n").await
    }

    /// Reads to the end of the connection.
    pub(super) async fn rest(&mut self) -> String {
        let mut heard = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut heard)).await;
        read.expect("the connection is closed").expect("and not reset");
        String::from_utf8(heard).unwrap()
    }

    /// Reads whether nothing comes for a while.
    pub(super) async fn is_kept_waiting(&mut self) -> bool {
        let mut byte = [0];
        timeout(Duration::from_millis(100), self.stream.peek(&mut byte))
            .await
            .is_err()
    }
}

/// Waits until a condition holds.
pub(super) async fn eventually(condition: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Longer than anything takes here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
