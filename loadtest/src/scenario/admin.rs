//! The gateway's admin API, as far as a load test asks it.

use std::fmt;
use std::time::Duration;

use handover_protocol::admin::{
    BoardList, BoardView, DrainRequest, DrainStatus, MoveList, MoveRecord, ServerList, ServerView,
};
use handover_protocol::id::DrainId;
use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::report::MoveTimes;
use crate::user::Clock;

/// A client of the admin API at one base URL.
#[derive(Clone)]
pub struct AdminClient {
    base: String,
    token: Option<String>,
    http: Client,
}

impl fmt::Debug for AdminClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has the token may call.
        formatter.debug_tuple("AdminClient").field(&self.base).finish()
    }
}

/// A call to the admin API that brought no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It did not get through.
    #[error("cannot call {url}")]
    Call {
        /// What was called.
        url: String,
        /// What failed.
        #[source]
        source: reqwest::Error,
    },
    /// It was refused.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// What was called.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What was said.
        body: String,
    },
}

impl AdminClient {
    /// Makes a client; `base` is like `http://127.0.0.1:8081`.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            token: None,
            http: Client::new(),
        }
    }

    /// Shows a token with each call.
    #[must_use]
    pub fn with_token(self, token: String) -> Self {
        let token = Some(token);
        Self { token, ..self }
    }

    /// Starts a drain, which is asked for afterwards by the id in the request.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn start_drain(&self, request: &DrainRequest) -> Result<(), AdminError> {
        let url = format!("{}/v1/drains", self.base);
        let call = self.call(self.http.post(&url).json(request)).send().await;
        answered(&url, call).await?;
        Ok(())
    }

    /// Asks how far a drain is.
    ///
    /// # Errors
    /// When the gateway does not answer or knows no such drain.
    pub async fn drain(&self, id: &DrainId) -> Result<DrainStatus, AdminError> {
        self.fetch(&format!("/v1/drains/{id}")).await
    }

    /// Lists the open boards.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn boards(&self) -> Result<Vec<BoardView>, AdminError> {
        let mut boards = Vec::new();
        let mut behind = String::new();
        loop {
            let page: BoardList = self.fetch(&format!("/v1/boards?limit=10000{behind}")).await?;
            boards.extend(page.boards);
            match page.next {
                Some(next) => behind = format!("&after={}", next.to_url_segment()),
                None => return Ok(boards),
            }
        }
    }

    /// Lists the moves of late.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn moves(&self) -> Result<Vec<MoveRecord>, AdminError> {
        let list: MoveList = self.fetch("/v1/moves?limit=10000").await?;
        Ok(list.moves)
    }

    /// Lists the servers that the gateway is configured with.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn servers(&self) -> Result<Vec<ServerView>, AdminError> {
        let list: ServerList = self.fetch("/v1/servers").await?;
        Ok(list.servers)
    }

    /// Reads the metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn metrics(&self) -> Result<String, AdminError> {
        let url = format!("{}/metrics", self.base);
        let response = answered(&url, self.call(self.http.get(&url)).send().await).await?;
        response.text().await.map_err(|source| AdminError::Call { url, source })
    }

    /// Reads the body of a GET to its end, whatever it is.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, AdminError> {
        let url = format!("{}{path}", self.base);
        let response = answered(&url, self.call(self.http.get(&url)).send().await).await?;
        let body = response.bytes().await;
        body.map(|body| body.to_vec())
            .map_err(|source| AdminError::Call { url, source })
    }

    /// Reads whether the gateway says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let call = self.call(self.http.get(format!("{}/readyz", self.base))).send();
        call.await.is_ok_and(|response| response.status().is_success())
    }

    fn call(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.timeout(TIMEOUT);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn fetch<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let url = format!("{}{path}", self.base);
        let call = self.call(self.http.get(&url)).send().await;
        read_json(&url, call).await
    }
}

/// Returns when a board's sessions were held and went on, in the time of the run; absent where it did not come to that.
pub(super) fn times_of(moved: &MoveRecord, clock: &Clock) -> Option<MoveTimes> {
    Some(MoveTimes {
        board: moved.board.clone(),
        hold: clock.from_unix_ms(moved.hold_at_ms?),
        switched: clock.from_unix_ms(moved.switched_at_ms?),
    })
}

async fn read_json<T: DeserializeOwned>(url: &str, call: reqwest::Result<Response>) -> Result<T, AdminError> {
    let response = answered(url, call).await?;
    response.json().await.map_err(|source| AdminError::Call {
        url: url.to_owned(),
        source,
    })
}

async fn answered(url: &str, call: reqwest::Result<Response>) -> Result<Response, AdminError> {
    let response = call.map_err(|source| AdminError::Call {
        url: url.to_owned(),
        source,
    })?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(AdminError::Refused {
        url: url.to_owned(),
        status: response.status().as_u16(),
        body: response.text().await.unwrap_or_default(),
    })
}

/// An admin call does little; one that takes so long is a fault.
const TIMEOUT: Duration = Duration::from_secs(10);
