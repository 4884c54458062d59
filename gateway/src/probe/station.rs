//! One server that is probed: its addresses, and test boards that are opened and closed at it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::contract::{ActivateRequest, ForgetQuery, FreezeRequest, ServerReport};
use handover_protocol::generation::Attempt;
use handover_protocol::{BoardId, Generation};

use crate::config::{ControlToken, MetricsConfig, ServerTlsConfig, ServerUrl};
use crate::shell::ShellError;
use crate::telemetry::Metrics;
use crate::tls::{CertificateFault, Connector, SystemRoots, Trust, TrustFault};
use crate::upstream::{ControlClient, ControlError, Destination};

/// A server that is probed.
#[derive(Debug)]
pub(super) struct Station {
    /// Where sessions go.
    pub to: Destination,
    control: Option<ControlClient>,
}

/// How a server is reached.
pub(super) struct Address<'a> {
    pub url: &'a ServerUrl,
    pub control: Option<&'a ServerUrl>,
    pub token_file: Option<&'a PathBuf>,
    pub tls: &'a ServerTlsConfig,
}

impl Station {
    /// Reads the files that a server needs; `number` counts servers from 0.
    pub(super) fn new(number: usize, address: &Address<'_>, system: &SystemRoots) -> Result<Self, ShellError> {
        let token = address.token_file.map(read_token).transpose()?;
        // Nobody scrapes them; connections and the client of the contract count.
        let metrics = MetricsConfig {
            open_boards_alias: None,
            ..MetricsConfig::default()
        };
        let metrics = Metrics::new(&metrics).map_err(|error| ShellError::System(error.to_string()))?;
        let is_tls = address.url.is_tls() || address.control.is_some_and(ServerUrl::is_tls);
        let connector = match is_tls {
            true => {
                let name = format!("server-{}", number + 1)
                    .parse()
                    .expect("letters and digits are a server's name");
                let trust =
                    Trust::load(address.tls.clone(), system).map_err(|fault| ShellError::Usage(told(&fault)))?;
                Some(Arc::new(Connector::new(&name, Arc::new(trust), &metrics)))
            }
            false => None,
        };
        let metrics = Arc::new(metrics);
        let control = address.control.map(|url| {
            let to = Destination::new(url.clone(), connector.as_ref());
            ControlClient::new(to, token.as_ref(), CALL_TIMEOUT, Arc::clone(&metrics))
        });
        Ok(Self {
            to: Destination::new(address.url.clone(), connector.as_ref()),
            control,
        })
    }

    /// Returns where sessions go.
    pub(super) fn url(&self) -> &ServerUrl {
        self.to.url()
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

/// Says which option names what cannot be used.
fn told(fault: &TrustFault) -> String {
    match fault {
        TrustFault::Authorities(_) => format!("--ca-file: {fault}"),
        TrustFault::NoSystemRoots { .. } => format!("{fault}; give --ca-file"),
        TrustFault::Client(CertificateFault::Certificate { .. }) => format!("--client-certificate: {fault}"),
        TrustFault::Client(CertificateFault::Key { .. } | CertificateFault::Mismatch { .. }) => {
            format!("--client-key: {fault}")
        }
        TrustFault::Unusable(_) => fault.to_string(),
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
