//! Refusals as responses: `application/problem+json` (RFC 9457).

use std::num::NonZeroU32;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use handover_protocol::admin::{Problem, ProblemType};
use tracing::error;

use crate::drain::{NamingError, PlanError, StartError};
use crate::registry::RegistryError;

/// A refusal on its way out; boxed, for results are mostly fine.
pub(super) struct Refusal(Box<Problem>);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        respond(&self.0)
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        let detail = error.to_string();
        let problem = match error {
            StartError::Plan(fault) => Problem::new(kind_of(&fault), detail).at(fault.field()),
            StartError::Exists { id } => Problem::new(ProblemType::DrainExists, detail).at("id").because_of(id),
            StartError::KeyReused { id } => Problem::new(ProblemType::IdempotencyMismatch, detail).because_of(id),
            StartError::Conflict { running } => Problem::new(ProblemType::DrainConflict, detail).because_of(running),
            StartError::NoHome { .. } => Problem::new(ProblemType::ImpossibleDrain, detail).at("to"),
            StartError::NoTarget { .. } => Problem::new(ProblemType::TargetNotReady, detail).at("to"),
            StartError::Registry(error) => return error.into(),
            StartError::Starting => Problem::new(ProblemType::Starting, detail),
            StartError::ShuttingDown => Problem::new(ProblemType::ShuttingDown, detail),
        };
        problem.into()
    }
}

impl From<NamingError> for Refusal {
    fn from(error: NamingError) -> Self {
        let detail = error.to_string();
        let problem = match error {
            NamingError::Fault(fault) => Problem::new(ProblemType::ImpossibleServer, detail).at(fault.field),
            NamingError::Configured(_) => Problem::new(ProblemType::ServerConfigured, detail),
            NamingError::InUse(_) => Problem::new(ProblemType::ServerInUse, detail),
            NamingError::Unknown(_) => Problem::new(ProblemType::UnknownServer, detail),
            NamingError::Registry(error) => return error.into(),
        };
        problem.into()
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        error!(
            error = &error as &dyn std::error::Error,
            "the registry failed an admin call"
        );
        let problem = match error {
            RegistryError::Unavailable { .. } => Problem::new(
                ProblemType::RegistryUnavailable,
                "try again; if it stays so, the gateway's log says why",
            ),
            RegistryError::Damaged { .. } => Problem::new(ProblemType::Internal, "the gateway's log says more"),
        };
        problem.into()
    }
}

fn kind_of(fault: &PlanError) -> ProblemType {
    match fault {
        PlanError::Pace(_) | PlanError::Seconds { .. } => ProblemType::InvalidField,
        PlanError::UnknownServer { .. } | PlanError::UnknownRelease { .. } => ProblemType::UnknownReference,
        PlanError::Labels
        | PlanError::Empty { .. }
        | PlanError::SourceIsTarget { .. }
        | PlanError::NoOtherServer { .. } => ProblemType::ImpossibleDrain,
    }
}

/// Writes a problem as a response.
pub(super) fn respond(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).expect("a problem is strings and numbers");
    let mut response = (status, body).into_response();
    let media_type = HeaderValue::from_static(Problem::MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    let unavailable = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
    if let Some(seconds) = problem.retry_after_seconds.map(NonZeroU32::get).or(unavailable) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
