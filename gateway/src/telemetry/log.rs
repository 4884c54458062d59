//! Logs: text for people at a terminal, one JSON object a line for everything else.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::util::TryInitError;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Says why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error("the log filter {filter:?} is none; write for example `info` or `info,handover_gateway=debug`")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The process logs already.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
}

/// Sets up logging to stderr for the whole process; stdout is for answers.
///
/// `filter` is what the flag or `HANDOVER_LOG` gave, in `EnvFilter`'s syntax.
///
/// # Errors
/// When the filter is malformed, or logging was set up before.
pub fn init(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::builder().parse(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let is_terminal = io::stderr().is_terminal();
    let is_json = match format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let set_up = if is_json {
        registry
            .with(layer.json().flatten_event(true).with_current_span(false))
            .try_init()
    } else {
        registry.with(layer.with_ansi(is_terminal)).try_init()
    };
    set_up.map_err(LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named_with_the_way_out() {
        let error = init("gateway=loud", LogFormat::Text).unwrap_err();
        assert!(matches!(&error, LogError::Filter { filter, .. } if filter == "gateway=loud"));
        assert!(error.to_string().contains("info,handover_gateway=debug"));
    }
}
