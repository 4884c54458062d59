//! Refusals as `application/problem+json` (RFC 9457).

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use handover_protocol::contract::{ContractProblem, ContractProblemType};
use serde::Serialize;

/// A refusal of the contract, as an answer.
#[derive(Debug)]
pub(super) struct Refused(pub(super) ContractProblem);

/// A fault of HTTP or of a body, which the contract has no type for.
#[derive(Debug, Serialize)]
pub(super) struct PlainProblem {
    #[serde(rename = "type")]
    kind: &'static str,
    status: u16,
    title: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl PlainProblem {
    /// Describes a fault by its status.
    pub(super) fn new(status: StatusCode, detail: Option<String>) -> Self {
        Self {
            kind: "about:blank",
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            detail,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = problem(self.0.status, &self.0);
        if self.0.kind == ContractProblemType::Busy {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for PlainProblem {
    fn into_response(self) -> Response {
        let mut response = problem(self.status, &self);
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Makes a refusal of the contract.
pub(super) fn refusal(kind: ContractProblemType, detail: String) -> ContractProblem {
    let title = match kind {
        ContractProblemType::StaleGeneration => "The generation is too low",
        ContractProblemType::StaleAttempt => "The attempt is over",
        ContractProblemType::NotOwner => "The board is not owned here",
        ContractProblemType::UnknownBoard => "The board is not in memory",
        ContractProblemType::NotFrozen => "The board is not frozen",
        ContractProblemType::RevisionMissing => "The database lacks saved changes",
        ContractProblemType::Busy => "Try again later",
    };
    ContractProblem {
        kind,
        status: kind.status(),
        title: title.to_owned(),
        detail: Some(detail),
        fence: None,
        fence_owner: None,
    }
}

fn problem(status: u16, body: &impl Serialize) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(body).expect("names, numbers and text always serialize");
    (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
}
