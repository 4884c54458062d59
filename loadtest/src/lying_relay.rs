//! A WebSocket relay that lies: it stands between users and a real board server and drops, doubles, swaps or cuts
//! short just the messages it was told to. The ledger is tested against it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{self, Message};

/// What is done to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// It is not passed on.
    Drop,
    /// It is passed on twice.
    Double,
    /// It is passed on behind the next one that holds the first needle too.
    Swap,
    /// Its first half is passed on.
    Truncate,
}

/// Which message is lied about: the first on the connection whose text holds all of `needles`.
#[derive(Debug, Clone)]
pub struct Told {
    /// What is done.
    pub lie: Lie,
    /// Which way the message goes.
    pub direction: Direction,
    /// The user on whose connection it is done, as the path's query names it.
    pub user: String,
    /// Pieces of the message's text.
    pub needles: Vec<String>,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a user to the server.
    ToServer,
    /// From the server to a user.
    ToUser,
}

/// The running relay; ends when dropped.
pub struct LyingRelay {
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl LyingRelay {
    /// Listens on a free port of the loopback and relays to `server` (host and port).
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(server: SocketAddr, told: Vec<Told>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, server, told.into()));
        Ok(Self { address, tasks })
    }

    /// Returns where users connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops relaying and cuts what is open.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, told: Arc<[Told]>) {
    let mut relays = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        relays.spawn(relay(client, server, Arc::clone(&told)));
        while relays.try_join_next().is_some() {}
    }
}

/// Relays one connection until either side ends it.
#[expect(clippy::result_large_err, reason = "the library's own signature")]
async fn relay(client: TcpStream, server: SocketAddr, told: Arc<[Told]>) -> Result<(), tungstenite::Error> {
    let mut target = String::new();
    let note_target = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        target = request.uri().to_string();
        Ok(response)
    };
    let mut client = tokio_tungstenite::accept_hdr_async(client, note_target).await?;
    let upstream = TcpStream::connect(server).await?;
    let (mut upstream, _) = tokio_tungstenite::client_async(format!("ws://{server}{target}"), upstream).await?;
    let user = target.rsplit_once("user=").map_or("", |(_, user)| user).to_owned();
    let liar = |direction| Liar {
        told: told
            .iter()
            .filter(|told| told.direction == direction && told.user == user)
            .cloned()
            .collect(),
        held_back: None,
    };
    let mut up = liar(Direction::ToServer);
    let mut down = liar(Direction::ToUser);
    loop {
        let is_open = tokio::select! {
            message = client.next() => pass(message, &mut up, &mut upstream).await?,
            message = upstream.next() => pass(message, &mut down, &mut client).await?,
        };
        if !is_open {
            return Ok(());
        }
    }
}

/// Passes a message on as the liar has it; returns whether the connection goes on.
async fn pass(
    message: Option<Result<Message, tungstenite::Error>>,
    liar: &mut Liar,
    to: &mut WebSocketStream<TcpStream>,
) -> Result<bool, tungstenite::Error> {
    let Some(message) = message.transpose()? else {
        return Ok(false);
    };
    let is_end = message.is_close();
    for message in liar.tell(message) {
        to.send(message).await?;
    }
    Ok(!is_end)
}

/// One direction of one connection.
struct Liar {
    told: Vec<Told>,
    /// A message, and what the one holds that goes before it.
    held_back: Option<(Message, String)>,
}

impl Liar {
    /// Turns a message into what is passed on for it.
    fn tell(&mut self, message: Message) -> Vec<Message> {
        let Message::Text(text) = &message else {
            return vec![message];
        };
        let place = self
            .told
            .iter()
            .position(|told| told.needles.iter().all(|needle| text.contains(needle)));
        let behind = self.held_back.take_if(|(_, needle)| text.contains(needle.as_str()));
        let lie = place.map(|place| self.told.remove(place));
        let mut passed = match lie.as_ref().map(|told| told.lie) {
            None => vec![message],
            Some(Lie::Drop) => Vec::new(),
            Some(Lie::Double) => vec![message.clone(), message],
            Some(Lie::Truncate) => {
                let half = text.chars().count() / 2;
                vec![Message::text(text.chars().take(half).collect::<String>())]
            }
            Some(Lie::Swap) => {
                let needle = lie.and_then(|told| told.needles.into_iter().next());
                self.held_back = Some((message, needle.unwrap_or_default()));
                Vec::new()
            }
        };
        passed.extend(behind.map(|(held_back, _)| held_back));
        passed
    }
}
