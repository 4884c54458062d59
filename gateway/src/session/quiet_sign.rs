//! How the sessions of a board tell its move that their source has said it is done.

use std::sync::Arc;

use regex::bytes::Regex;
use tokio::sync::Notify;

/// What a source says when it has answered everything, and who is told of it.
#[derive(Debug)]
pub struct QuietSign {
    pattern: Regex,
    seen: Notify,
}

impl QuietSign {
    /// Looks for messages that match.
    pub fn new(pattern: Regex) -> Arc<Self> {
        Arc::new(Self {
            pattern,
            seen: Notify::new(),
        })
    }

    /// Returns what such a message matches.
    pub(super) fn pattern(&self) -> &Regex {
        &self.pattern
    }

    /// Says that a session has seen one.
    pub(super) fn tell(&self) {
        self.seen.notify_one();
    }

    /// Waits until a session has seen one since the last wait; one move waits at a time.
    ///
    /// Cancel-safe: word that nobody has taken stays.
    pub async fn told(&self) {
        self.seen.notified().await;
    }
}
