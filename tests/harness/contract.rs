//! A client of one server's control URL: the gateway's part of the contract, call by call.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use handover_protocol::contract::{
    ActivateRequest, Activated, BoardPage, ContractProblem, FreezeRequest, Frozen, PrepareRequest, Prepared,
    ServerReport, ThawRequest, Thawed, wire,
};
use handover_protocol::generation::{Attempt, Generation, Revision};
use handover_protocol::id::{BoardId, SessionId};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::board_server::BoardServer;

/// Calls one server's contract.
#[derive(Debug, Clone)]
pub struct Contract {
    base: String,
    token: String,
    http: reqwest::Client,
}

/// The numbers that every call on a board carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// The term.
    pub generation: u64,
    /// The try.
    pub attempt: u64,
}

/// Says why a call brought no answer of the expected form.
#[derive(Debug)]
pub enum ContractError {
    /// The server refused, as the contract wants it.
    Refused(Box<ContractProblem>),
    /// The server answered with something else.
    Other {
        /// The status.
        status: StatusCode,
        /// The body.
        body: String,
    },
    /// The server could not be reached, or broke off.
    Unreachable(reqwest::Error),
}

impl Contract {
    /// Speaks to the server's control URL with its token.
    ///
    /// # Panics
    /// When the server has no contract.
    pub fn of(server: &BoardServer) -> Self {
        let control = server.control().expect("the server was started with the contract");
        Self::through(server, control)
    }

    /// Speaks to the server with its token through a meddler at `address`.
    ///
    /// # Panics
    /// When the fixture's token file has gone.
    pub fn through(server: &BoardServer, address: SocketAddr) -> Self {
        let token = std::fs::read_to_string(server.token_file()).expect("the fixture wrote the token");
        Self::at(&format!("http://{address}"), token.trim())
    }

    /// Speaks to any control URL.
    ///
    /// # Panics
    /// Never: a client without TLS can always be made.
    pub fn at(url: &str, token: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client without TLS needs nothing");
        Self {
            base: format!("{url}{}", wire::PREFIX),
            token: token.to_owned(),
            http,
        }
    }

    /// `GET /handover/v1/server`.
    ///
    /// # Errors
    /// As [`ContractError`] says; so all below.
    pub async fn server(&self) -> Result<ServerReport, ContractError> {
        self.call(Method::GET, "/server", NOTHING).await
    }

    /// `GET /handover/v1/boards`.
    ///
    /// # Errors
    /// See [`Contract::server`].
    pub async fn boards(&self, after: Option<&BoardId>, limit: u32) -> Result<BoardPage, ContractError> {
        let after = after.map_or_else(String::new, |after| format!("&after={}", after.to_url_segment()));
        self.call(Method::GET, &format!("/boards?limit={limit}{after}"), NOTHING)
            .await
    }

    /// `PUT /handover/v1/boards/{board}`.
    ///
    /// # Errors
    /// See [`Contract::server`].
    pub async fn prepare(&self, board: &str, numbers: Numbers) -> Result<Prepared, ContractError> {
        let body = PrepareRequest {
            generation: Generation::new(numbers.generation),
            attempt: Attempt::new(numbers.attempt),
        };
        self.call(Method::PUT, &path(board, ""), Some(&body)).await
    }

    /// `POST …/freeze`, with the count of each session.
    ///
    /// # Errors
    /// See [`Contract::server`].
    pub async fn freeze(
        &self,
        board: &str,
        numbers: Numbers,
        sessions: &[(&str, u64)],
        deadline: Duration,
    ) -> Result<Frozen, ContractError> {
        let sessions: BTreeMap<SessionId, u64> = sessions.iter().map(|(name, count)| (id(name), *count)).collect();
        let body = FreezeRequest {
            generation: Generation::new(numbers.generation),
            attempt: Attempt::new(numbers.attempt),
            sessions,
            deadline_ms: u64::try_from(deadline.as_millis()).expect("tests wait less"),
        };
        self.call(Method::POST, &path(board, "/freeze"), Some(&body)).await
    }

    /// `POST …/activate` of a board that nobody has owned yet, or whose owner has died.
    ///
    /// # Errors
    /// See [`Contract::server`].
    pub async fn place(&self, board: &str, numbers: Numbers) -> Result<Activated, ContractError> {
        self.activate(board, numbers, None, &[]).await
    }

    /// `POST …/activate` behind a freeze of the source.
    ///
    /// # Errors
    /// See [`Contract::server`].
    pub async fn activate(
        &self,
        board: &str,
        numbers: Numbers,
        frozen: Option<&Frozen>,
        sessions: &[&str],
    ) -> Result<Activated, ContractError> {
        let body = ActivateRequest {
            generation: Generation::new(numbers.generation),
            attempt: Attempt::new(numbers.attempt),
            revision: frozen.map(|frozen| frozen.revision),
            sessions: sessions.iter().map(|name| id(name)).collect(),
            checkpoint: frozen.and_then(|frozen| frozen.checkpoint.clone()),
        };
        self.call(Method::POST, &path(board, "/activate"), Some(&body)).await
    }

    /// `POST …/activate` that asks for a revision of the test's choice.
    ///
    /// # Errors
    /// See [`Contract::server`].
    pub async fn activate_at(&self, board: &str, numbers: Numbers, revision: u64) -> Result<Activated, ContractError> {
        let frozen = Frozen {
            revision: Revision::new(revision),
            sent: BTreeMap::new(),
            short: BTreeMap::new(),
            checkpoint: None,
        };
        self.activate(board, numbers, Some(&frozen), &[]).await
    }

    /// `POST …/thaw`.
    ///
    /// # Errors
    /// See [`Contract::server`].
    pub async fn thaw(&self, board: &str, numbers: Numbers, gone: &[&str]) -> Result<Thawed, ContractError> {
        let body = ThawRequest {
            generation: Generation::new(numbers.generation),
            attempt: Attempt::new(numbers.attempt),
            gone: gone.iter().map(|name| id(name)).collect(),
        };
        self.call(Method::POST, &path(board, "/thaw"), Some(&body)).await
    }

    /// `DELETE /handover/v1/boards/{board}`.
    ///
    /// # Errors
    /// See [`Contract::server`].
    pub async fn forget(&self, board: &str, numbers: Numbers) -> Result<(), ContractError> {
        let query = format!("?generation={}&attempt={}", numbers.generation, numbers.attempt);
        let path = format!("{}{query}", path(board, ""));
        self.send(Method::DELETE, &path, NOTHING).await.map(drop)
    }

    async fn call<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, ContractError> {
        let (status, body) = self.send(method, path, body).await?;
        serde_json::from_str(&body).map_err(|_| ContractError::Other { status, body })
    }

    async fn send<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<(StatusCode, String), ContractError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(ContractError::Unreachable)?;
        let status = answer.status();
        let body = answer.text().await.map_err(ContractError::Unreachable)?;
        if status.is_success() {
            return Ok((status, body));
        }
        match serde_json::from_str::<ContractProblem>(&body) {
            Ok(problem) if problem.status == status.as_u16() => Err(ContractError::Refused(Box::new(problem))),
            Ok(_) | Err(_) => Err(ContractError::Other { status, body }),
        }
    }
}

impl Numbers {
    /// Names a generation and an attempt.
    pub fn new(generation: u64, attempt: u64) -> Self {
        Self { generation, attempt }
    }
}

fn path(board: &str, verb: &str) -> String {
    let board: BoardId = board.parse().expect("tests use good board ids");
    format!("/boards/{}{verb}", board.to_url_segment())
}

fn id(name: &str) -> SessionId {
    name.parse().expect("tests use good session ids")
}

const NOTHING: Option<&()> = None;
