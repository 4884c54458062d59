//! The smaller parts of a report.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Quantiles;

/// One path of the admin API.
#[derive(Debug, Clone, Serialize)]
pub struct CallReport {
    /// The path.
    pub path: String,
    /// Calls that were not answered well.
    pub failed: u64,
    /// The largest body that came.
    pub bytes_max: u64,
    /// From when a call was due to the last byte of its answer.
    pub ms: Quantiles,
}

/// What one process held.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessReport {
    /// Which.
    pub name: String,
    /// Resident before any user came, in bytes.
    pub rss_bytes_empty: u64,
    /// Resident when all users were there, in bytes.
    pub rss_bytes_before: u64,
    /// Resident at the most, in bytes.
    pub rss_bytes_max: u64,
    /// Time on processors from then on.
    pub cpu_seconds: f64,
    /// What the coming of the users has added, for each of them; the gateway's only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_per_session: Option<f64>,
    /// Time on processors for each message that crossed, in microseconds; the gateway's only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_message: Option<f64>,
}

/// Everybody came at once.
#[derive(Debug, Clone, Serialize)]
pub struct RoundReport {
    /// When everybody was cut, in milliseconds of the run.
    pub at_ms: f64,
    /// Until the last one was welcomed; absent where not all of them were.
    pub all_back_ms: Option<f64>,
    /// Until each one was welcomed.
    pub back_ms: Quantiles,
}

/// One look at the servers.
#[derive(Debug, Clone, Serialize)]
pub struct TracePoint {
    /// When, in milliseconds of the run.
    pub ms: f64,
    /// Open boards of each server.
    pub boards: BTreeMap<String, u64>,
}
