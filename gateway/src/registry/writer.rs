//! The one thread that reads and writes the embedded registry.
//!
//! It takes what waits in the queue, carries it out in one transaction, in order, and answers after that transaction
//! is synced; so a sync is shared by all who wait for one, and comparing needs no lock. Reads wait in the same queue:
//! one that follows an unknown write sees what came of it.
//!
//! ```text
//!        ┌── a write fails ──▶ Closed ── the file opens ──┐
//!   Open ┤                       │ a sync fails           ├──▶ Open
//!        └── a sync fails ───▶ Doubtful ── it is renewed ─┘
//! ```
//!
//! While the file is closed nothing is written, and every answer says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::StoreFailure;
use super::allocated::Signs;
use super::file::{Backing, DRAIN_PARTS, DRAINS, Damage, OpenError, PLACEMENTS, RegistryFile, SERVERS, damaged};
use super::operation::{Fate, Operation, Tables};

/// The thread's state.
pub(super) struct Writer {
    path: PathBuf,
    backing: Backing,
    signs: Arc<Signs>,
    file: FileState,
    told: SyncTold,
}

/// Is told, on the registry's thread, how long a transaction took to be on the disk.
pub(super) type SyncTold = Box<dyn Fn(Duration) + Send>;

/// Whether the file is to be had.
enum FileState {
    Open(RegistryFile),
    Closed { failure: StoreFailure, retry_at: Instant },
}

impl Writer {
    /// Opens the file for a thread to come.
    pub(super) fn open(path: PathBuf, backing: Backing, told: SyncTold) -> Result<Self, OpenError> {
        let signs = Arc::new(Signs::default());
        let file = guarded(&path, || RegistryFile::open(&path, &backing, &signs))?;
        Ok(Self {
            path,
            backing,
            signs,
            file: FileState::Open(file),
            told,
        })
    }

    /// Serves the queue until nobody can send any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Operation>>) {
        let mut batch = Vec::new();
        while queue.blocking_recv_many(&mut batch, BATCH_OPERATIONS_MAX) > 0 {
            let fate = self.transact(&mut batch);
            for operation in batch.drain(..) {
                operation.answer(&fate);
            }
        }
    }

    /// Carries out one batch in one transaction.
    fn transact(&mut self, batch: &mut [Box<dyn Operation>]) -> Fate {
        self.reopen();
        let file = match &self.file {
            FileState::Open(file) => file,
            FileState::Closed { failure, .. } => return Fate::NotWritten(Arc::clone(failure)),
        };
        self.signs.header_written.store(false, Ordering::Relaxed);
        let Err(error) = carry_out(file, batch, &self.told) else {
            return Fate::Synced;
        };
        let may_show = self.signs.header_written.load(Ordering::Relaxed);
        tracing::error!(file = %self.path.display(), %error, may_show, "the registry's storage failed");
        let failure: StoreFailure = Arc::new(error);
        // The store refuses everything after a failure of its storage until it is opened anew.
        self.file = FileState::Closed {
            failure: Arc::clone(&failure),
            retry_at: Instant::now(),
        };
        if may_show {
            Fate::Unknown(failure)
        } else {
            Fate::NotWritten(failure)
        }
    }

    fn reopen(&mut self) {
        match &self.file {
            FileState::Closed { retry_at, .. } if Instant::now() >= *retry_at => {}
            FileState::Closed { .. } | FileState::Open(_) => return,
        }
        let opened = guarded(&self.path, || {
            if self.signs.sync_failed.load(Ordering::Relaxed) {
                // Its own signs: a copy that fails leaves the file itself as doubtful as it was.
                let signs = Arc::new(Signs::default());
                let file = RegistryFile::renew(&self.path, &self.backing, &signs)?;
                Ok((file, signs))
            } else {
                let file = RegistryFile::open(&self.path, &self.backing, &self.signs)?;
                Ok((file, Arc::clone(&self.signs)))
            }
        });
        self.file = match opened {
            Ok((file, signs)) => {
                tracing::info!(file = %self.path.display(), "the registry is open again");
                self.signs = signs;
                FileState::Open(file)
            }
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "the registry stays closed");
                FileState::Closed {
                    failure: Arc::new(error),
                    retry_at: Instant::now() + REOPEN_PAUSE,
                }
            }
        };
    }
}

/// Runs the batch in a transaction, and commits that where something was written.
fn carry_out(file: &RegistryFile, batch: &mut [Box<dyn Operation>], told: &SyncTold) -> Result<(), redb::Error> {
    let transaction = file.database.begin_write()?;
    let mut tables = Tables {
        placements: transaction.open_table(PLACEMENTS)?,
        drains: transaction.open_table(DRAINS)?,
        drain_parts: transaction.open_table(DRAIN_PARTS)?,
        servers: transaction.open_table(SERVERS)?,
        has_written: false,
    };
    for operation in batch.iter_mut() {
        operation.run(&mut tables)?;
    }
    let has_written = tables.has_written;
    drop(tables);
    if has_written {
        let begun = Instant::now();
        transaction.commit()?;
        told(begun.elapsed());
    } else {
        transaction.abort()?;
    }
    Ok(())
}

/// Turns the store's panics over a damaged file into an error.
fn guarded<T>(path: &Path, open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| Err(damaged(path, Damage::Panic)))
}

/// Most operations that share one sync.
const BATCH_OPERATIONS_MAX: usize = 1024;

/// Pause between two tries to open a file that failed.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);
