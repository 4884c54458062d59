//! What the gateway itself answers when it cannot pass a request on: `application/problem+json` (RFC 9457).
//!
//! The types are stable: clients and dashboards may rely on them. Nothing here names a server or its address.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION};
use http::{Response, StatusCode};
use http_body_util::Full;

/// An answer of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemType,
    detail: String,
}

/// What kind of refusal; the `type` of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemType {
    /// The request can be understood in more than one way, or in none.
    BadRequest,
    /// The WebSocket handshake is not that of RFC 6455.
    BadHandshake,
    /// The method is never passed on.
    MethodNotAllowed,
    /// The request's target is too long.
    TargetTooLong,
    /// Another version of the WebSocket protocol is asked for.
    UpgradeRequired,
    /// No route takes the request.
    NoRoute,
    /// The request is a route's and names no board that could be.
    BadBoard,
    /// The page that opens the WebSocket is none of the route's.
    OriginRefused,
    /// The board is being moved and was not released in time.
    BoardParked,
    /// Nobody can serve the board now.
    BoardUnavailable,
    /// This gateway carries as much as it may.
    Overloaded,
    /// The board's server could not be reached, or broke off.
    ServerUnreachable,
    /// The board's server did not answer in time.
    ServerTimeout,
    /// The board's server answered what cannot be passed on.
    BadAnswer,
}

impl ProblemType {
    /// Returns the stable slug.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::BadHandshake => "bad-handshake",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::TargetTooLong => "target-too-long",
            Self::UpgradeRequired => "upgrade-required",
            Self::NoRoute => "no-route",
            Self::BadBoard => "bad-board",
            Self::OriginRefused => "origin-refused",
            Self::BoardParked => "board-parked",
            Self::BoardUnavailable => "board-unavailable",
            Self::Overloaded => "overloaded",
            Self::ServerUnreachable => "server-unreachable",
            Self::ServerTimeout => "server-timeout",
            Self::BadAnswer => "bad-answer",
        }
    }

    /// Returns the HTTP status that goes with the type.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::BadHandshake | Self::BadBoard => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::OriginRefused => StatusCode::FORBIDDEN,
            Self::BoardParked | Self::BoardUnavailable | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerUnreachable | Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::ServerTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is ambiguous or malformed",
            Self::BadHandshake => "The WebSocket handshake is malformed",
            Self::MethodNotAllowed => "The method is not passed on",
            Self::TargetTooLong => "The request's target is too long",
            Self::UpgradeRequired => "WebSocket version 13 is required",
            Self::NoRoute => "No route takes this request",
            Self::BadBoard => "The request names no board",
            Self::OriginRefused => "Pages of this origin may not open the WebSocket",
            Self::BoardParked => "The board is being moved; try again",
            Self::BoardUnavailable => "No server can serve the board now; try again",
            Self::Overloaded => "The gateway is full; try again",
            Self::ServerUnreachable => "The board's server could not be reached",
            Self::ServerTimeout => "The board's server did not answer in time",
            Self::BadAnswer => "The board's server gave an answer that cannot be passed on",
        }
    }
}

impl Problem {
    /// Makes an answer; `detail` says what exactly, without the names of servers.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// Refuses a request that is ambiguous or malformed.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::BadRequest, detail)
    }

    /// Refuses a WebSocket handshake that is malformed.
    pub fn bad_handshake(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::BadHandshake, detail)
    }

    /// Returns what kind of refusal this is.
    pub fn kind(&self) -> ProblemType {
        self.kind
    }

    /// Writes the response.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let status = self.kind.status();
        let body = serde_json::json!({
            "type": self.kind.slug(),
            "title": self.kind.title(),
            "status": status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.kind {
            ProblemType::UpgradeRequired => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            ProblemType::MethodNotAllowed => {
                headers.insert(
                    ALLOW,
                    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
                );
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            ProblemType::BoardParked | ProblemType::BoardUnavailable | ProblemType::Overloaded => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds()));
            }
            // Where the next request begins is only known as far as this one could be read.
            ProblemType::BadRequest | ProblemType::BadHandshake | ProblemType::TargetTooLong => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            ProblemType::NoRoute
            | ProblemType::BadBoard
            | ProblemType::OriginRefused
            | ProblemType::ServerUnreachable
            | ProblemType::ServerTimeout
            | ProblemType::BadAnswer => {}
        }
        response
    }
}

/// Spreads those who come back: a fleet that was told the same second would come at once.
fn retry_after_seconds() -> u32 {
    let random = getrandom::u32().unwrap_or(0);
    RETRY_AFTER_SECONDS_MIN + random % RETRY_AFTER_SECONDS_SPREAD
}

/// A hold is over by then, mostly.
const RETRY_AFTER_SECONDS_MIN: u32 = 1;
const RETRY_AFTER_SECONDS_SPREAD: u32 = 4;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_problem_says_what_and_when_to_come_back() {
        let response = Problem::new(ProblemType::BoardParked, "held for 5 s").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let seconds: u32 = response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=4).contains(&seconds), "{seconds}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], "board-parked");
        assert_eq!(body["status"], 503);
        assert_eq!(body["detail"], "held for 5 s");
    }
}
