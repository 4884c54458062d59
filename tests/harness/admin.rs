//! A client of the gateway's admin API and of its metrics.

use std::net::SocketAddr;
use std::time::Duration;

use handover_protocol::admin::{
    BoardList, BoardView, DrainRequest, DrainState, DrainStatus, MoveReport, MoveRequest, ServerList,
};
use handover_protocol::id::BoardId;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::eventually::eventually_some;

/// Calls one gateway's admin API.
#[derive(Debug, Clone)]
pub struct Admin {
    base: String,
    http: reqwest::Client,
}

/// Says why a call gave no answer of the expected form.
#[derive(Debug)]
pub enum AdminError {
    /// The gateway could not be reached, or broke off.
    Unreachable(reqwest::Error),
    /// The gateway refused.
    Refused {
        /// With this status.
        status: StatusCode,
        /// And this body.
        body: String,
    },
    /// The answer is no JSON of the expected form.
    Unreadable {
        /// What is wrong with it.
        error: serde_json::Error,
        /// The answer.
        body: String,
    },
}

/// One scrape of `/metrics`.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: String,
}

impl Admin {
    /// Speaks to the admin listener at `address`.
    ///
    /// # Panics
    /// Never: a client without TLS can always be made.
    pub fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client without TLS needs nothing");
        Self {
            base: format!("http://{address}"),
            http,
        }
    }

    /// Returns the URL that the API's paths stand behind.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Calls one path, and returns the status and the JSON of the answer, null where it has none.
    ///
    /// # Panics
    /// When the gateway cannot be reached, or breaks off.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("the admin API answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the answer is whole");
        let body = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).expect("it answers JSON"),
        };
        (status, body)
    }

    /// Reads one path that is there.
    ///
    /// # Panics
    /// As [`Admin::call`], and when the answer is none of success.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Posts to one path without a body.
    ///
    /// # Panics
    /// As [`Admin::call`].
    pub async fn post(&self, path: &str) -> (u16, Value) {
        self.call(Method::POST, path, None).await
    }

    /// Starts a drain.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn drain(&self, request: &DrainRequest) -> Result<DrainStatus, AdminError> {
        self.send(Method::POST, "/v1/drains", Some(request)).await
    }

    /// Reads how far a drain is.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn drain_status(&self, id: &str) -> Result<DrainStatus, AdminError> {
        self.send(Method::GET, &format!("/v1/drains/{id}"), NOTHING).await
    }

    /// Aborts a drain.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn abort_drain(&self, id: &str) -> Result<DrainStatus, AdminError> {
        self.send(Method::POST, &format!("/v1/drains/{id}/abort"), NOTHING)
            .await
    }

    /// Waits until a drain no longer runs, and returns how it ended.
    ///
    /// # Panics
    /// When it still runs after `deadline`.
    pub async fn drained(&self, id: &str, deadline: Duration) -> DrainStatus {
        eventually_some("the drain has ended", deadline, || async {
            let status = self.drain_status(id).await.map_err(|error| format!("{error:?}"))?;
            match status.state {
                DrainState::Running | DrainState::Undoing => Err(format!("{status:?}")),
                DrainState::Paused
                | DrainState::Done
                | DrainState::Failed
                | DrainState::Aborted
                | DrainState::Undone => Ok(status),
            }
        })
        .await
    }

    /// Lists open boards, of one server or of all.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn boards(&self, server: Option<&str>) -> Result<BoardList, AdminError> {
        let query = server.map_or_else(String::new, |server| format!("?server={server}"));
        self.send(Method::GET, &format!("/v1/boards{query}"), NOTHING).await
    }

    /// Reads one board.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn board(&self, board: &str) -> Result<BoardView, AdminError> {
        let path = format!("/v1/boards/{}", segment(board));
        self.send(Method::GET, &path, NOTHING).await
    }

    /// Moves one board and waits for the end of the move.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn move_board(&self, board: &str, request: &MoveRequest) -> Result<MoveReport, AdminError> {
        let path = format!("/v1/boards/{}/move", segment(board));
        self.send(Method::POST, &path, Some(request)).await
    }

    /// Lists the configured servers.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn servers(&self) -> Result<ServerList, AdminError> {
        self.send(Method::GET, "/v1/servers", NOTHING).await
    }

    /// Scrapes the metrics.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn metrics(&self) -> Result<Metrics, AdminError> {
        let text = self.send_raw(Method::GET, "/metrics", NOTHING).await?;
        Ok(Metrics { text })
    }

    /// Reads whether `path`, `/livez` or `/readyz`, answers with success.
    pub async fn answers(&self, path: &str) -> bool {
        self.send_raw(Method::GET, path, NOTHING).await.is_ok()
    }

    /// Sends any request, and returns the body of a successful answer.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn send_raw<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<String, AdminError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(AdminError::Unreachable)?;
        let status = response.status();
        let body = response.text().await.map_err(AdminError::Unreachable)?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(AdminError::Refused { status, body })
        }
    }

    async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, AdminError> {
        let body = self.send_raw(method, path, body).await?;
        serde_json::from_str(&body).map_err(|error| AdminError::Unreadable { error, body })
    }
}

impl Metrics {
    /// Returns the value of one series; none where there is no such series.
    ///
    /// `labels` are all that must match; where several series do, their sum.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values: Vec<f64> = self
            .text
            .lines()
            .filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                let (series, value) = rest.rsplit_once(' ')?;
                let is_series = series.is_empty() || (series.starts_with('{') && series.ends_with('}'));
                let matches = |(key, value): &(&str, &str)| {
                    let label = format!("{key}=\"{value}\"");
                    series.trim_matches(['{', '}']).split(',').any(|part| part == label)
                };
                (is_series && labels.iter().all(matches)).then(|| value.parse().ok())?
            })
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Returns the scrape as it came.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn segment(board: &str) -> String {
    let board: BoardId = board.parse().expect("tests use good board ids");
    board.to_url_segment()
}

const NOTHING: Option<&()> = None;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_name_and_labels() {
        let metrics = Metrics {
            text: "# TYPE moves counter\nmoves{result=\"moved\",level=\"contract\"} 3\n\
                   moves{result=\"aborted\",level=\"contract\"} 1\nmoves_total 9\nsessions 4\n"
                .to_owned(),
        };
        assert_eq!(metrics.value("moves", &[("result", "moved")]), Some(3.0));
        assert_eq!(metrics.value("moves", &[("level", "contract")]), Some(4.0));
        assert_eq!(metrics.value("moves", &[("level", "opaque")]), None);
        assert_eq!(metrics.value("sessions", &[]), Some(4.0));
        assert_eq!(metrics.value("session", &[]), None);
    }
}
