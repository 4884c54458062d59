//! Log lines that never reached anybody: a log that is slow or full costs lines, and never the gateway's time or life.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_appender::non_blocking::ErrorCounter;

use super::label::LogLoss;

/// Where log lines end; what it does not take is counted and forgotten.
#[derive(Debug)]
pub(super) struct Sink<W>(pub(super) W);

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        if self.0.write_all(line).is_err() {
            WRITE_FAILURES.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What could not be written has been counted.
        let _ = self.0.flush();
        Ok(())
    }
}

/// Notes where lines are counted that found the queue full; the process logs once.
pub(super) fn watch_queue(counter: ErrorCounter) {
    // A second set-up is refused anyway.
    let _ = QUEUE.set(counter);
}

/// Returns how many lines were lost since the start.
pub(super) fn lost(how: LogLoss) -> u64 {
    match how {
        LogLoss::QueueFull => QUEUE.get().map_or(0, |queue| queue.dropped_lines() as u64),
        LogLoss::WriteFailed => WRITE_FAILURES.load(Ordering::Relaxed),
    }
}

static QUEUE: OnceLock<ErrorCounter> = OnceLock::new();

static WRITE_FAILURES: AtomicU64 = AtomicU64::new(0);
