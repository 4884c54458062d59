//! What an operator sees of the gateway: metrics and logs.

mod family;
pub mod label;
mod log;
mod metrics;
mod redaction;

pub use family::{CounterGrid, CounterRow, GaugeRow, HistogramRow};
pub use label::Label;
pub use log::{LogError, LogFilter, LogFormat, init};
pub use metrics::{Metrics, MetricsError, Parked, ServerMetrics};
pub use redaction::{REDACTED_NAMES, Redaction};
