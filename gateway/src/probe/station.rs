//! One server that is probed: its addresses, and test boards that are opened and closed at it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::contract::{ActivateRequest, ForgetQuery, FreezeRequest, ServerReport};
use handover_protocol::generation::Attempt;
use handover_protocol::{BoardId, Generation};

use crate::config::{Control, ControlToken, MetricsConfig, ServerUrl};
use crate::shell::ShellError;
use crate::telemetry::Metrics;
use crate::upstream::{ControlClient, ControlError, ControlHttp};

/// A server that is probed.
#[derive(Debug)]
pub(super) struct Station {
    /// Where sessions go.
    pub url: ServerUrl,
    control: Option<ControlClient>,
}

impl Station {
    pub(super) fn new(
        url: ServerUrl,
        control: Option<&ServerUrl>,
        token_file: Option<&PathBuf>,
    ) -> Result<Self, ShellError> {
        let token = token_file.map(read_token).transpose()?;
        let control = match control {
            None => None,
            Some(url) => {
                let control = Control {
                    url: url.clone(),
                    token,
                };
                // Nobody scrapes them; the client of the contract counts its calls.
                let metrics = MetricsConfig {
                    open_boards_alias: None,
                    ..MetricsConfig::default()
                };
                let metrics = Metrics::new(&metrics).map_err(|error| ShellError::System(error.to_string()))?;
                Some(ControlClient::new(
                    &control,
                    ControlHttp::new(),
                    CALL_TIMEOUT,
                    Arc::new(metrics),
                ))
            }
        };
        Ok(Self { url, control })
    }

    /// Reads whether it was named with a control URL.
    pub(super) fn has_contract(&self) -> bool {
        self.control.is_some()
    }

    /// Asks who it is.
    pub(super) async fn report(&self) -> Option<Result<ServerReport, ControlError>> {
        match &self.control {
            Some(control) => Some(control.server(CALL_TIMEOUT).await),
            None => None,
        }
    }

    /// Grants it a test board; an opaque server opens boards by itself.
    pub(super) async fn open(&self, board: &BoardId) -> Result<(), ControlError> {
        let Some(control) = &self.control else {
            return Ok(());
        };
        let request = ActivateRequest {
            generation: GENERATION,
            attempt: ATTEMPT,
            revision: None,
            sessions: Vec::new(),
            checkpoint: None,
        };
        control.activate(board, &request, CALL_TIMEOUT).await.map(|_| ())
    }

    /// Has it drop a test board again.
    pub(super) async fn close(&self, board: &BoardId) -> Result<(), ControlError> {
        let Some(control) = &self.control else {
            return Ok(());
        };
        let freeze = FreezeRequest {
            generation: GENERATION,
            attempt: ATTEMPT,
            sessions: BTreeMap::new(),
            deadline_ms: 5000,
        };
        control.freeze(board, &freeze, CALL_TIMEOUT).await?;
        let query = ForgetQuery {
            generation: GENERATION,
            attempt: ATTEMPT,
        };
        control.forget(board, &query, CALL_TIMEOUT).await
    }
}

fn read_token(file: &PathBuf) -> Result<ControlToken, ShellError> {
    let usage = |fault: String| ShellError::Usage(format!("--control-token-file {}: {fault}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| usage(error.to_string()))?;
    text.parse::<ControlToken>()
        .map_err(|fault| usage(format!("it {fault}")))
}

/// Nobody has ever owned a test board.
pub(super) const GENERATION: Generation = Generation::new(1);

const ATTEMPT: Attempt = Attempt::new(1);

/// A test board has nothing to load.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
