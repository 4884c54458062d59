//! What a failed control call lets the gateway conclude.

use std::error::Error;
use std::{fmt, io};

use handover_protocol::contract::ContractProblem;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};

use super::scarcity::scarcity;
use crate::telemetry::label::{ControlFailure, Limit};
use crate::tls::ServerTlsFault;

/// Says why a control call failed, whose fault it is, and whether it was carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The server refuses as the contract says; it did not carry the call out.
    #[error("the server refuses: {}", describe(.0))]
    Refused(Box<ContractProblem>),
    /// The token is wrong or missing: the operator's to mend. It was not carried out.
    #[error("the server does not accept the control token ({status}); compare control_token_file with the server's")]
    Unauthorized {
        /// 401 or 403.
        status: StatusCode,
    },
    /// No whole answer came in time. The call may have been carried out, or may yet be.
    #[error("the server did not answer the call")]
    Unanswered(#[source] Box<dyn Error + Send + Sync>),
    /// There was no connection; certainly it was not carried out.
    #[error("the server cannot be reached at its control_url")]
    Unreachable(#[source] NotConnected),
    /// One side does not believe the other, or TLS came to nothing; certainly it was not carried out.
    #[error("no TLS with the server at its control_url: {0}")]
    Tls(ServerTlsFault),
    /// Something answered, but not as the contract says. It may have been carried out.
    #[error("the server's answer is none of the contract's")]
    Nonsense(#[from] Nonsense),
}

/// Why there was no connection: what the system said. That there was none, and for which call, whoever shows it says.
#[derive(Debug)]
pub struct NotConnected(hyper_util::client::legacy::Error);

/// In what way an answer is none of the contract's.
#[derive(Debug, thiserror::Error)]
pub enum Nonsense {
    /// A status that the contract does not know, or one without its problem.
    #[error("status {0} without a problem of the contract")]
    Status(StatusCode),
    /// Another content type.
    #[error("content type {found:?} instead of application/json")]
    ContentType {
        /// What came.
        found: String,
    },
    /// No JSON, or a field is missing or wrong.
    #[error("the body is not what the call answers")]
    Body(#[source] serde_json::Error),
    /// More than a control body may have.
    #[error("the body is larger than a control body may be")]
    TooLarge,
    /// The pages of a list do not follow one another.
    #[error("the pages of the board list do not follow one another")]
    Pages,
}

impl ControlError {
    /// Reads whether nobody listens at the control URL.
    pub fn is_refused_connection(&self) -> bool {
        self.connect_error()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Returns the bound of our own that is to blame, where one is.
    pub fn scarcity(&self) -> Option<Limit> {
        self.connect_error().and_then(scarcity)
    }

    fn connect_error(&self) -> Option<&io::Error> {
        let Self::Unreachable(error) = self else { return None };
        error.causes().find_map(|cause| cause.downcast_ref::<io::Error>())
    }

    /// Reads whether somebody is there who only is not believed, or does not believe us.
    pub fn proves_presence(&self) -> bool {
        match self {
            Self::Unauthorized { .. } => true,
            Self::Tls(fault) => fault.proves_presence(),
            Self::Refused(_) | Self::Unanswered(_) | Self::Unreachable(_) | Self::Nonsense(_) => false,
        }
    }

    /// Returns the label that the failure is counted under.
    pub fn label(&self) -> ControlFailure {
        match self {
            Self::Refused(_) => ControlFailure::Refused,
            Self::Unauthorized { .. } => ControlFailure::Unauthorized,
            Self::Unanswered(_) => ControlFailure::Unanswered,
            Self::Unreachable(_) | Self::Tls(_) => ControlFailure::Unreachable,
            Self::Nonsense(_) => ControlFailure::Nonsense,
        }
    }
}

impl Nonsense {
    /// Names the content type that came.
    pub(super) fn content_type(headers: &HeaderMap) -> Self {
        let found = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
        Self::ContentType {
            found: String::from_utf8_lossy(found.unwrap_or_default()).into_owned(),
        }
    }
}

impl NotConnected {
    /// Takes what the client of the contract makes of it.
    pub(super) fn new(error: hyper_util::client::legacy::Error) -> Self {
        Self(error)
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        std::iter::successors(self.0.source(), |error| (*error).source())
    }
}

impl fmt::Display for NotConnected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each cause says once more what the one behind it says.
        match self.causes().last() {
            Some(cause) => write!(formatter, "{cause}"),
            None => write!(formatter, "{}", self.0),
        }
    }
}

impl Error for NotConnected {}

fn describe(problem: &ContractProblem) -> String {
    match &problem.detail {
        Some(detail) => format!("{} ({detail})", problem.title),
        None => problem.title.clone(),
    }
}
