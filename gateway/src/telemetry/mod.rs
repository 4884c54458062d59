//! What an operator sees of the gateway: metrics and logs.

mod certificate_ends;
mod family;
pub mod label;
mod log;
mod loss;
mod metrics;
mod redaction;
mod server;
mod text_fields;

pub use certificate_ends::ShownCertificate;
pub use family::{CounterGrid, CounterRow, GaugeRow, HistogramRow};
pub use label::Label;
pub use log::{Log, LogError, LogFilter, LogFormat, init};
pub use metrics::{Counted, Metrics, MetricsError};
pub use redaction::{REDACTED_NAMES, Redaction};
pub use server::ServerMetrics;

/// The target of log lines about what happened to boards, servers and drains.
pub const EVENT: &str = "event";

/// The target of log lines about sessions and requests.
pub const ACCESS: &str = "access";
