//! What all users together have done so far: read while they run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::connection::ConnectError;

/// Counters that every user adds to.
#[derive(Debug, Default)]
pub struct Progress {
    /// Users that are connected and welcomed.
    pub served: AtomicU64,
    /// Distinct changes sent.
    pub sent: AtomicU64,
    /// Distinct changes acknowledged.
    pub acked: AtomicU64,
    /// Sends of a change that had been sent before.
    pub resent: AtomicU64,
    /// Changes of others that came.
    pub seen: AtomicU64,
    /// Sockets that ended and were followed by another.
    pub reconnects: AtomicU64,
    /// Messages that could not be understood.
    pub garbled: AtomicU64,
    refusal: Mutex<Option<String>>,
}

impl Progress {
    /// Returns how many changes are sent and not acknowledged.
    pub fn unanswered(&self) -> u64 {
        self.sent.load(Relaxed).saturating_sub(self.acked.load(Relaxed))
    }

    /// Returns how many messages of a board have crossed the gateway, in both directions.
    pub fn messages(&self) -> u64 {
        let counts = [&self.sent, &self.resent, &self.acked, &self.seen];
        counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Returns the last reason for which a connection was refused.
    pub fn last_refusal(&self) -> Option<String> {
        self.refusal.lock().ok().and_then(|refusal| refusal.clone())
    }

    pub(super) fn note_refusal(&self, error: &ConnectError) {
        if let Ok(mut refusal) = self.refusal.lock() {
            *refusal = Some(error.to_string());
        }
    }

    /// Notes why somebody was not let in.
    pub(crate) fn note_refusal_text(&self, text: String) {
        if let Ok(mut refusal) = self.refusal.lock() {
            *refusal = Some(text);
        }
    }
}
