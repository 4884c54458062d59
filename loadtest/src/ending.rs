//! The signals by which somebody asks a program to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, and what systems and terminals send.
#[derive(Debug)]
pub struct Ending {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Ending {
    /// Begins to heed them; they end nothing by themselves any more.
    ///
    /// # Errors
    /// When the system does not allow that.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until one of them comes. Cancel-safe, as receiving a signal is.
    pub async fn asked_for(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
