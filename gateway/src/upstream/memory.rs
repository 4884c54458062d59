//! What operators have said of a server, as the registry keeps it.

use handover_protocol::Incarnation;
use handover_protocol::admin::ServerRequest;
use serde::{Deserialize, Serialize};

/// What outlives the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServerMemory {
    /// It takes no new boards.
    #[serde(default)]
    pub cordoned: bool,
    /// Its process is gone.
    #[serde(default)]
    pub dead: Option<Dead>,
    /// How it is named, where that is not in the configuration.
    #[serde(default)]
    pub named: Option<ServerRequest>,
}

/// Somebody who knows has said that a process is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// The process that was meant; none of an opaque server, which cannot be told from its successor.
    pub incarnation: Option<Incarnation>,
}

impl ServerMemory {
    /// Writes it down; nothing where there is nothing to remember.
    pub fn encode(&self) -> Option<Vec<u8>> {
        (*self != Self::default()).then(|| serde_json::to_vec(self).expect("it is flags and strings"))
    }

    /// Reads it.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
