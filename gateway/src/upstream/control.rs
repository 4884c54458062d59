//! The gateway's side of the control contract: one call at a time, each with a deadline, none repeated.
//!
//! What a failed call lets the caller conclude is the whole point of [`ControlError`]. A repeat is the caller's
//! decision: calls are idempotent by (board, generation, attempt).

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use handover_protocol::contract::wire::{BOARDS_PER_PAGE_MAX, CONTROL_BODY_BYTES_MAX, PREFIX};
use handover_protocol::contract::{
    ActivateRequest, Activated, BoardPage, BoardReport, ContractProblem, ForgetQuery, FreezeRequest, Frozen,
    PrepareRequest, Prepared, ServerReport, ThawRequest, Thawed,
};
use handover_protocol::json;
use handover_protocol::{BoardId, Incarnation};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::connection::ConnectError;
use super::control_error::{ControlError, Nonsense, NotConnected};
use super::destination::Destination;
use super::door::Door;
use crate::config::ControlToken;
use crate::telemetry::Metrics;
use crate::telemetry::label::{ControlCall, Limit};

/// Calls one server's control contract.
#[derive(Debug, Clone)]
pub struct ControlClient {
    /// The control URL and the contract's prefix.
    base: Arc<str>,
    authorization: Option<HeaderValue>,
    destination: Destination,
    /// Clones share its connections.
    http: Arc<ArcSwap<Http>>,
    /// For calls that are no board's.
    timeout: Duration,
    metrics: Arc<Metrics>,
}

type Http = Client<Door, Full<Bytes>>;

/// What a server holds in memory, read page by page from one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardListing {
    /// That process.
    pub incarnation: Incarnation,
    /// By board id.
    pub boards: Vec<BoardReport>,
}

impl ControlClient {
    /// Aims at one server, without connections yet; `timeout` is for the calls that concern no single board.
    pub fn new(to: Destination, token: Option<&ControlToken>, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            http: Arc::new(ArcSwap::from_pointee(without_connections(&to))),
            base: format!("{}{PREFIX}", to.url()).into(),
            authorization: token.map(bearer),
            destination: to,
            timeout,
            metrics,
        }
    }

    /// Has calls from now on open connections of their own: those that are asked every second would else go on over one
    /// that was opened under other certificates. Calls that are under way end as they are.
    pub fn renew(&self) {
        self.http.store(Arc::new(without_connections(&self.destination)));
    }

    /// Asks who answers, and whether it can take boards.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn server(&self, timeout: Duration) -> Result<ServerReport, ControlError> {
        let request = self.request(Method::GET, "/server", Bytes::new());
        self.call(ControlCall::Server, request, timeout).await
    }

    /// Lists what the server holds in memory, all pages of it; each page has a deadline of its own.
    ///
    /// # Errors
    /// See [`ControlError`]. A server that is restarted between two pages, or whose pages do not go forward, talks
    /// nonsense.
    pub async fn boards(&self) -> Result<BoardListing, ControlError> {
        let mut page = self.board_page(None).await?;
        let mut listing = BoardListing {
            incarnation: page.incarnation,
            boards: page.boards,
        };
        while let Some(after) = page.next {
            page = self.board_page(Some(&after)).await?;
            let goes_on = page.incarnation == listing.incarnation
                && page.boards.iter().all(|report| report.board > after)
                && page.next.as_ref().is_none_or(|next| *next > after);
            if !goes_on || listing.boards.len() + page.boards.len() > BOARDS_MAX {
                return Err(self.fails(ControlCall::Boards, ControlError::Nonsense(Nonsense::Pages)));
            }
            listing.boards.extend(page.boards);
        }
        Ok(listing)
    }

    /// Has the server load a board as a standby.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn prepare(
        &self,
        board: &BoardId,
        request: &PrepareRequest,
        timeout: Duration,
    ) -> Result<Prepared, ControlError> {
        let request = self.request(Method::PUT, &board_path(board, ""), json(request));
        self.call(ControlCall::Prepare, request, timeout).await
    }

    /// Has the server handle what was passed on, save it, and take no more.
    ///
    /// # Errors
    /// See [`ControlError`]. After [`ControlError::Unanswered`] the board may be frozen: thaw it.
    pub async fn freeze(
        &self,
        board: &BoardId,
        request: &FreezeRequest,
        timeout: Duration,
    ) -> Result<Frozen, ControlError> {
        let request = self.request(Method::POST, &board_path(board, "/freeze"), json(request));
        self.call(ControlCall::Freeze, request, timeout).await
    }

    /// Has the server take the fence and own a board.
    ///
    /// # Errors
    /// See [`ControlError`]. After [`ControlError::Unanswered`] the server may own the board: repeat, or go above.
    pub async fn activate(
        &self,
        board: &BoardId,
        request: &ActivateRequest,
        timeout: Duration,
    ) -> Result<Activated, ControlError> {
        let request = self.request(Method::POST, &board_path(board, "/activate"), json(request));
        self.call(ControlCall::Activate, request, timeout).await
    }

    /// Has the server take a board back after an abort.
    ///
    /// # Errors
    /// See [`ControlError`]. Unless it is answered, no session may be resumed.
    pub async fn thaw(
        &self,
        board: &BoardId,
        request: &ThawRequest,
        timeout: Duration,
    ) -> Result<Thawed, ControlError> {
        let request = self.request(Method::POST, &board_path(board, "/thaw"), json(request));
        self.call(ControlCall::Thaw, request, timeout).await
    }

    /// Has the server drop its standby or its frozen copy of a board.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn forget(&self, board: &BoardId, query: &ForgetQuery, timeout: Duration) -> Result<(), ControlError> {
        let query = format!("?generation={}&attempt={}", query.generation, query.attempt);
        let request = self.request(Method::DELETE, &board_path(board, &query), Bytes::new());
        self.observe(ControlCall::Forget, async {
            let (head, body) = self.exchange(ControlCall::Forget, request, timeout).await?;
            accept(&head, &body)
        })
        .await
    }

    async fn board_page(&self, after: Option<&BoardId>) -> Result<BoardPage, ControlError> {
        let from = after.map_or_else(String::new, |after| format!("&after={}", after.to_url_segment()));
        let path = format!("/boards?limit={BOARDS_PER_PAGE_MAX}{from}");
        let request = self.request(Method::GET, &path, Bytes::new());
        self.call(ControlCall::Boards, request, self.timeout).await
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(
                ACCEPT,
                HeaderValue::from_static("application/json, application/problem+json"),
            )
            .body(Full::new(body.clone()))
            .expect("an authority that was parsed and an encoded path make a URI");
        let headers = request.headers_mut();
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    async fn call<T: DeserializeOwned>(
        &self,
        call: ControlCall,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<T, ControlError> {
        self.observe(call, async {
            let (head, body) = self.exchange(call, request, timeout).await?;
            accept(&head, &body)?;
            if media_type(&head.headers) != JSON {
                return Err(Nonsense::content_type(&head.headers).into());
            }
            json::read(&body).map_err(|error| Nonsense::Body(error).into())
        })
        .await
    }

    async fn exchange(
        &self,
        call: ControlCall,
        request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<(http::response::Parts, Bytes), ControlError> {
        let exchange = async {
            let answering = self.http.load().request(request);
            let response = answering.await.map_err(|error| self.failed(error))?;
            collect(response).await
        };
        match timeout(deadline, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if let ControlError::Nonsense(Nonsense::TooLarge) = &error {
                    self.metrics.limit_hits.of(Limit::ControlBodyBytes).inc();
                }
                if let Some(limit) = error.scarcity() {
                    self.metrics.limit_hits.of(limit).inc();
                }
                Err(error)
            }
            Err(_) => {
                self.metrics.limit_hits.of(time_limit_of(call)).inc();
                Err(ControlError::Unanswered(NoAnswer(deadline).into()))
            }
        }
    }

    fn failed(&self, error: hyper_util::client::legacy::Error) -> ControlError {
        if error.is_connect() {
            let connect = error.source().and_then(|error| error.downcast_ref::<ConnectError>());
            return match connect.and_then(ConnectError::tls) {
                Some(fault) => ControlError::Tls(fault.clone()),
                None => ControlError::Unreachable(NotConnected::new(error)),
            };
        }
        match self.destination.refusal(&error) {
            Some(fault) => ControlError::Tls(fault),
            None => ControlError::Unanswered(error.into()),
        }
    }

    async fn observe<T>(
        &self,
        call: ControlCall,
        work: impl Future<Output = Result<T, ControlError>>,
    ) -> Result<T, ControlError> {
        let begun = Instant::now();
        let result = work.await;
        let seconds = begun.elapsed().as_secs_f64();
        self.metrics.control_call_seconds.of(call).observe(seconds);
        result.map_err(|error| self.fails(call, error))
    }

    fn fails(&self, call: ControlCall, error: ControlError) -> ControlError {
        self.metrics.control_failures.of(call, error.label()).inc();
        error
    }
}

/// Nothing whole came within this time.
#[derive(Debug, thiserror::Error)]
#[error("nothing came within {} ms", .0.as_millis())]
struct NoAnswer(Duration);

/// Returns the bound that a call is subject to which is not answered in time.
fn time_limit_of(call: ControlCall) -> Limit {
    match call {
        ControlCall::Server => Limit::HealthTimeout,
        ControlCall::Prepare => Limit::PrepareTimeout,
        ControlCall::Freeze => Limit::FreezeTimeout,
        ControlCall::Boards | ControlCall::Activate | ControlCall::Thaw | ControlCall::Forget => {
            Limit::ControlCallTimeout
        }
    }
}

/// Makes a client without connections.
fn without_connections(to: &Destination) -> Http {
    let door = Door {
        destination: to.clone(),
        patience: CONNECT_TIMEOUT,
    };
    // It repeats a request only on a pooled connection that ended before a byte of it was written.
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .http1_max_headers(HEADER_COUNT_MAX)
        .http1_max_buf_size(HEAD_BYTES_MAX)
        .build(door)
}

/// Lets pass what the contract calls a success, and tells a refusal from nonsense.
fn accept(head: &http::response::Parts, body: &Bytes) -> Result<(), ControlError> {
    if head.status.is_success() {
        return Ok(());
    }
    if let StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN = head.status {
        return Err(ControlError::Unauthorized { status: head.status });
    }
    if media_type(&head.headers) != PROBLEM {
        return Err(Nonsense::Status(head.status).into());
    }
    match json::read::<ContractProblem>(body) {
        Ok(problem) => Err(ControlError::Refused(Box::new(problem))),
        Err(_) => Err(Nonsense::Status(head.status).into()),
    }
}

async fn collect(response: Response<Incoming>) -> Result<(http::response::Parts, Bytes), ControlError> {
    let (head, body) = response.into_parts();
    match Limited::new(body, CONTROL_BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok((head, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(Nonsense::TooLarge.into()),
        Err(error) => Err(ControlError::Unanswered(error)),
    }
}

fn board_path(board: &BoardId, rest: &str) -> String {
    format!("/boards/{}{rest}", board.to_url_segment())
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body)
        .expect("bodies of the contract have string keys and no other serializer")
        .into()
}

fn bearer(token: &ControlToken) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
        .expect("a token is checked to be visible ASCII when it is read");
    value.set_sensitive(true);
    value
}

/// Returns a message's media type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// A server on the same network takes a connection within a few milliseconds, or is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Below the keep-alive of every common server (gunicorn's 2 s is the shortest), so that it does not close a
/// connection at the moment at which we use it.
const IDLE_TIMEOUT: Duration = Duration::from_millis(1500);

/// As many as boards move at once by default.
const IDLE_CONNECTIONS_MAX: usize = 32;

const HEADER_COUNT_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Boards of one server that are listed; far beyond what fits into a server's memory.
const BOARDS_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests;
