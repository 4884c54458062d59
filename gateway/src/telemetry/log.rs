//! Logs: text for people at a terminal, one JSON object a line for everything else.
//!
//! A thread of its own writes them. Who logs never waits: where the reader of the log is too slow, or the disk behind it
//! full, lines are lost and counted.

use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::loss::{self, Sink};
use super::text_fields::text_fields;

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
    #[error("the log filter {filter:?} is none")]
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
    /// Nothing is logged any more.
    #[error("logging has ended")]
    Ended(#[source] reload::Error),
}

/// The log of the process; dropped, it waits a moment for lines that were not written.
pub struct Log {
    /// What is logged.
    pub filter: LogFilter,
    writer: Option<WorkerGuard>,
}

impl Drop for Log {
    fn drop(&mut self) {
        let writer = self.writer.take();
        let (ended, waited) = mpsc::channel();
        // Where the log is stuck the guard complains to stdout, which may be stuck as well: nobody waits for that.
        thread::spawn(move || {
            drop(writer);
            let _ = ended.send(());
        });
        let _ = waited.recv_timeout(LAST_LINES);
    }
}

/// What is logged, to be changed while the process runs.
#[derive(Clone)]
pub struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
    /// Whether the command line said it; then the configuration does not.
    is_pinned: bool,
}

impl LogFilter {
    /// Takes another filter from the configuration; the command line's stays.
    ///
    /// # Errors
    /// When the filter is malformed.
    pub fn set_configured(&self, filter: &str) -> Result<(), LogError> {
        if self.is_pinned {
            return Ok(());
        }
        self.handle.reload(parse(filter)?).map_err(LogError::Ended)
    }
}

/// Sets up logging to stderr for the whole process; stdout is for answers.
///
/// `pinned` is what the flag or `HANDOVER_LOG` gave, in `EnvFilter`'s syntax; without it `configured` counts.
///
/// # Errors
/// When the filter is malformed, or logging was set up before.
pub fn init(pinned: Option<&str>, configured: &str, format: LogFormat) -> Result<Log, LogError> {
    let (filter, handle) = reload::Layer::new(parse(pinned.unwrap_or(configured))?);
    let is_terminal = io::stderr().is_terminal();
    let is_json = match format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_MAX)
        .lossy(true)
        .thread_name("log")
        .finish(Sink(io::stderr()));
    loss::watch_queue(writer.error_counter());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let set_up = if is_json {
        registry
            .with(layer.json().flatten_event(true).with_current_span(false))
            .try_init()
    } else {
        registry
            .with(layer.with_ansi(is_terminal).fmt_fields(text_fields()))
            .try_init()
    };
    set_up.map_err(LogError::Twice)?;
    Ok(Log {
        filter: LogFilter {
            handle,
            is_pinned: pinned.is_some(),
        },
        writer: Some(guard),
    })
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })
}

/// Lines that may wait to be written: a few MiB, and some seconds of a storm.
const LINES_MAX: usize = 8192;

/// How long the end of the process waits for lines that were not written.
const LAST_LINES: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named_with_the_way_out() {
        let error = init(Some("gateway=loud"), "info", LogFormat::Text).err().unwrap();
        assert!(matches!(&error, LogError::Filter { filter, .. } if filter == "gateway=loud"));
        assert_eq!(error.to_string(), "the log filter \"gateway=loud\" is none");
    }
}
