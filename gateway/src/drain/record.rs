//! What the registry keeps of a drain: everything a restarted gateway needs to go on with it.

use handover_protocol::admin::DrainRequest;
use handover_protocol::machine::drain::DrainSnapshot;
use handover_protocol::{DrainId, ReleaseName};
use serde::{Deserialize, Serialize};

use super::plan::DrainPlan;

/// One drain, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DrainRecord {
    /// Drains are numbered in the order of their start; a later one says where newcomers go.
    pub(super) number: u64,
    /// What was asked for, where that is not the request itself.
    #[serde(default)]
    pub(super) original: Option<DrainRequest>,
    /// With everything that the drain goes by.
    pub(super) request: DrainRequest,
    pub(super) plan: DrainPlan,
    /// The configured current release at the drain's start: where an operator has since configured another one, that
    /// counts and not the drain's.
    pub(super) configured_release: ReleaseName,
    /// What the caller sent as `Idempotency-Key`.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// The drain whose moves it takes back.
    #[serde(default)]
    pub(super) undoes: Option<DrainId>,
    /// Whether the sources have dropped what they kept warm.
    #[serde(default)]
    pub(super) is_cooled: bool,
    #[serde(default)]
    pub(super) started_at_ms: u64,
    #[serde(default)]
    pub(super) ended_at_ms: Option<u64>,
    pub(super) snapshot: DrainSnapshot,
}

impl DrainRecord {
    /// Writes the record down.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is strings and numbers, and every float was checked to be finite")
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the bytes are no record.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
