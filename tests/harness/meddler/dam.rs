//! A dam in one direction of a traffic meddler: it lets a number of bytes pass and holds the rest, so that a test knows
//! at which byte of a frame both ends stand.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// A direction of a tunnelled connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who connected.
    Up,
    /// To who connected.
    Down,
}

/// One direction of all connections of a meddler.
#[derive(Debug)]
pub(super) struct Dam(watch::Sender<Level>);

#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// Bytes that passed since the meddler began, the heads of handshakes not counted.
    passed: u64,
    /// Where it ends; none while the dam is open.
    passes_until: Option<u64>,
}

impl Level {
    fn room(&self) -> u64 {
        self.passes_until
            .map_or(u64::MAX, |until| until.saturating_sub(self.passed))
    }
}

impl Default for Dam {
    fn default() -> Self {
        Self(watch::Sender::new(Level::default()))
    }
}

impl Dam {
    /// Lets so many more bytes pass and holds what comes behind them.
    pub(super) fn close_behind(&self, bytes: u64) {
        self.0
            .send_modify(|level| level.passes_until = Some(level.passed + bytes));
    }

    /// Lets everything pass.
    pub(super) fn open(&self) {
        self.0.send_modify(|level| level.passes_until = None);
    }

    /// Counts the bytes that have passed.
    pub(super) fn passed(&self) -> u64 {
        self.0.borrow().passed
    }

    /// Waits until all has passed that is let pass.
    ///
    /// # Panics
    /// When it has not within `deadline`.
    pub(super) async fn filled(&self, deadline: Duration) {
        let mut level = self.0.subscribe();
        let filled = level.wait_for(|level| level.room() == 0);
        let filled = tokio::time::timeout(deadline, filled).await;
        assert!(filled.is_ok(), "not within {deadline:?}: {:?}", *self.0.borrow());
    }

    /// Carries one connection's bytes from `reader` to `writer` until the stream ends.
    pub(super) async fn carry<R, W>(&self, reader: &mut R, writer: &mut W) -> io::Result<()>
    where
        R: AsyncReadExt + Unpin,
        W: AsyncWriteExt + Unpin,
    {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let length = reader.read(&mut buffer).await?;
            if length == 0 {
                return writer.shutdown().await;
            }
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(self.take(rest.len()).await);
                writer.write_all(now).await?;
                rest = later;
            }
        }
    }

    /// Waits until something may pass, and takes as much of it as is wanted.
    async fn take(&self, wanted: usize) -> usize {
        let mut level = self.0.subscribe();
        loop {
            let mut taken = 0;
            self.0.send_if_modified(|level| {
                taken = usize::try_from(level.room()).unwrap_or(usize::MAX).min(wanted);
                level.passed += taken as u64;
                taken > 0
            });
            if taken > 0 {
                return taken;
            }
            // The sender is this very dam, which outlives its connections.
            let _ = level.wait_for(|level| level.room() > 0).await;
        }
    }
}

const BUFFER_BYTES: usize = 64 * 1024;
