//! A board server in this process, a gateway's control calls, and clients over real sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use handover_loadtest::board_server::{BoardServer, Options};
use handover_loadtest::store::Store;
use handover_loadtest::wire::{ClientMessage, Draw, Hello, ServerMessage};
use handover_protocol::id::BoardId;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// One database and the servers that share it.
pub(crate) struct Bench {
    pub(crate) database: String,
    pub(crate) board: BoardId,
    _directory: tempfile::TempDir,
}

/// Runs a case on SQLite, and on PostgreSQL where `HANDOVER_TEST_POSTGRES` names one.
pub(crate) fn on_every_store<F: Future<Output = ()>>(case: impl Fn(Bench) -> F) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    for url in [None, std::env::var("HANDOVER_TEST_POSTGRES").ok()] {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite://{}/boards.sqlite", directory.path().display());
        let is_sqlite = url.is_none();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let bench = Bench {
            database: url.unwrap_or(sqlite),
            board: format!("board {}/{number}", std::process::id()).parse().unwrap(),
            _directory: directory,
        };
        runtime.block_on(async {
            timeout(CASE_TIMEOUT, case(bench))
                .await
                .expect("the case takes too long");
        });
        if is_sqlite && std::env::var_os("HANDOVER_TEST_POSTGRES").is_none() {
            break;
        }
    }
}

impl Bench {
    /// Starts a server under the contract, with more flags.
    pub(crate) async fn server(&self, name: &str, flags: &[&str]) -> Running {
        let fixed = [
            "board-server",
            "--name",
            name,
            "--listen",
            "127.0.0.1:0",
            "--control-listen",
            "127.0.0.1:0",
            "--database",
            &self.database,
        ];
        let options = Options::parse_from(fixed.iter().chain(flags));
        let server = BoardServer::start(options).await.unwrap();
        let addresses = server.addresses().clone();
        Running {
            server: Some(server),
            traffic: addresses.listening,
            control: addresses.control,
            board: self.board.clone(),
        }
    }

    /// Starts a server that owns the bench's board under generation 1.
    pub(crate) async fn owner(&self, name: &str, flags: &[&str]) -> Running {
        let server = self.server(name, flags).await;
        server
            .ok("POST", "/activate", json!({"generation": 1, "attempt": 1}))
            .await;
        server
    }

    /// Opens the database as the ledger does.
    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.database).await.unwrap()
    }

    /// Reads author and number of the board's changes, in its order.
    pub(crate) async fn saved(&self) -> Vec<(String, u64)> {
        let rows = self.store().await.changes_after(&self.board, 0).await.unwrap();
        assert!(rows.iter().zip(1..).all(|(row, revision)| row.revision == revision));
        rows.into_iter().map(|row| (row.author, row.seq)).collect()
    }
}

/// A server that runs.
pub(crate) struct Running {
    server: Option<BoardServer>,
    pub(crate) traffic: SocketAddr,
    pub(crate) control: Option<SocketAddr>,
    pub(crate) board: BoardId,
}

impl Running {
    /// Ends the server as SIGTERM does.
    pub(crate) fn stop(&mut self) -> JoinHandle<()> {
        tokio::spawn(self.server.take().unwrap().stop())
    }

    /// Returns how often something happened that must never happen.
    pub(crate) fn alarms(&self) -> u64 {
        self.server.as_ref().unwrap().alarms()
    }

    /// Makes a call on the bench's board and returns status and body.
    pub(crate) async fn call(&self, method: &str, rest: &str, body: Value) -> (u16, Value) {
        let path = format!("/boards/{}{rest}", self.board.to_url_segment());
        self.control(method, &path, body).await
    }

    /// Makes a call that must succeed.
    pub(crate) async fn ok(&self, method: &str, rest: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, rest, body).await;
        assert!(status < 300, "{method} {rest}: {status} {answer}");
        answer
    }

    /// Makes a call that must be refused, and returns the problem.
    pub(crate) async fn refused(&self, method: &str, rest: &str, body: Value, kind: &str) -> Value {
        let (status, answer) = self.call(method, rest, body).await;
        assert_eq!(answer["type"], kind, "{method} {rest}: {status} {answer}");
        assert_eq!(answer["status"], status);
        answer
    }

    /// Makes any control call.
    pub(crate) async fn control(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("http://{}/handover/v1{path}", self.control.unwrap());
        let request = reqwest::Client::new().request(method.parse().unwrap(), url);
        let response = request.json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        let value = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).unwrap(),
        };
        (status, value)
    }

    /// Returns the only board that the server lists.
    pub(crate) async fn listed(&self) -> Option<Value> {
        let (status, page) = self.control("GET", "/boards", Value::Null).await;
        assert_eq!(status, 200);
        let boards = page["boards"].as_array().unwrap();
        boards
            .iter()
            .find(|report| report["board"] == self.board.as_str())
            .cloned()
    }

    /// Connects as a gateway would under a generation, with more headers.
    pub(crate) async fn join(
        &self,
        generation: u64,
        session: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Client, Response), Error> {
        let generation = generation.to_string();
        let segment = self.board.to_url_segment();
        let fixed = [
            ("handover-board", segment.as_str()),
            ("handover-generation", &generation),
            ("handover-session", session),
        ];
        let headers: Vec<_> = fixed.iter().chain(headers).copied().collect();
        self.connect("", &headers).await
    }

    /// Connects with these headers only.
    pub(crate) async fn connect(
        &self,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Client, Response), Error> {
        let url = format!("ws://{}/boards/{}/ws{query}", self.traffic, self.board.to_url_segment());
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, response) = connect_async(request).await?;
        Ok((Client { socket }, response))
    }

    /// Connects under generation 1 and says hello; returns the client and its welcome.
    pub(crate) async fn user(&self, name: &str) -> (Client, ServerMessage) {
        self.user_at(1, name).await
    }

    /// Connects under a generation and says hello; session and user have the same name.
    pub(crate) async fn user_at(&self, generation: u64, name: &str) -> (Client, ServerMessage) {
        let (mut client, _) = self.join(generation, name, &[]).await.unwrap();
        client.hello(name).await;
        let welcome = client.next().await;
        (client, welcome)
    }
}

/// A client's socket.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn say(&mut self, message: &ClientMessage) {
        let text = serde_json::to_string(message).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn hello(&mut self, user: &str) {
        self.say(&ClientMessage::Hello(Hello { user: user.into() })).await;
    }

    pub(crate) async fn draw(&mut self, seq: u64) {
        let draw = Draw {
            seq,
            color: "#e33".into(),
            points: vec![[1.0, 2.0], [3.0, seq as f64]],
            pad: None,
        };
        self.say(&ClientMessage::Draw(draw)).await;
    }

    /// Returns the next message, which must be JSON of the wire.
    pub(crate) async fn next(&mut self) -> ServerMessage {
        match self.raw().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            Message::Binary(bytes) => serde_json::from_slice(&bytes).unwrap(),
            other @ (Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {
                panic!("{other:?}")
            }
        }
    }

    /// Returns the next data message or close.
    pub(crate) async fn raw(&mut self) -> Message {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("nothing came");
            match message.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message @ (Message::Text(_) | Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                    return message;
                }
            }
        }
    }

    /// Waits for the acknowledgement of a change and returns its revision; what comes before is dropped.
    pub(crate) async fn saved(&mut self, seq: u64) -> u64 {
        loop {
            if let ServerMessage::Saved(saved) = self.next().await
                && saved.seq == seq
            {
                return saved.revision;
            }
        }
    }

    /// Waits for the server's goodbye and returns its code; what comes before is dropped.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.raw().await {
                return frame.unwrap().code.into();
            }
        }
    }

    /// Checks that nothing comes for a moment.
    pub(crate) async fn is_told_nothing(&mut self) {
        let message = timeout(MOMENT, self.socket.next()).await;
        assert!(message.is_err(), "{message:?}");
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    timeout(PATIENCE, async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it never came true");
}

/// Returns the status of a refused handshake and its problem.
pub(crate) fn refusal(error: Error) -> (u16, Value) {
    let Error::Http(response) = error else {
        panic!("{error}");
    };
    let body = response.body().as_deref().unwrap_or_default();
    (response.status().as_u16(), serde_json::from_slice(body).unwrap())
}

const CASE_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for a message that should not come.
const MOMENT: Duration = Duration::from_millis(100);
