//! The one thread that reads and writes the embedded registry.
//!
//! It takes what waits in the queue, carries it out in one transaction, in order, and answers after that transaction
//! is synced; so a sync is shared by all who wait for one, and comparing needs no lock. Reads wait in the same queue:
//! one that follows an unknown write sees what came of it.
//!
//! ```text
//!   Open ── the storage fails ──▶ Closed ── the file opens ──▶ Open, owing ── a record is synced ──▶ Open
//! ```
//!
//! After a failed sync the kernel may drop pages that it could not write and report the next sync as fine. What the
//! failed transaction wrote is therefore written again, with the next transaction, and nobody is answered before that
//! one is synced.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::ReadableTable;
use tokio::sync::mpsc;

use super::StoreFailure;
use super::file::{Backing, DRAINS, Damage, OpenError, PLACEMENTS, RegistryFile, damaged, note_resync};
use super::operation::{Fate, Keys, Operation, Tables};

/// The thread's state.
pub(super) struct Writer {
    path: PathBuf,
    backing: Backing,
    file: FileState,
    /// Records that the file shows and the disk may not have.
    owed: Keys,
}

/// Whether the file is to be had.
enum FileState {
    Open(RegistryFile),
    Closed { failure: StoreFailure, retry_at: Instant },
}

impl Writer {
    /// Opens the file for a thread to come.
    pub(super) fn open(path: PathBuf, backing: Backing) -> Result<Self, OpenError> {
        let file = open_file(&path, &backing)?;
        Ok(Self {
            path,
            backing,
            file: FileState::Open(file),
            owed: Keys::default(),
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
        file.begin();
        let (written, result) = write(file, batch, &self.owed);
        let Err(error) = result else {
            self.owed = Keys::default();
            return Fate::Synced;
        };
        let may_show = file.commit_may_show();
        tracing::error!(file = %self.path.display(), %error, may_show, "the registry's storage failed");
        let failure: StoreFailure = Arc::new(error);
        // The store refuses everything after a failure of its storage until it is opened anew.
        self.file = FileState::Closed {
            failure: Arc::clone(&failure),
            retry_at: Instant::now(),
        };
        if may_show {
            self.owed.append(written);
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
        self.file = match open_file(&self.path, &self.backing) {
            Ok(file) => {
                tracing::info!(file = %self.path.display(), "the registry is open again");
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

/// Runs the batch and commits it where it wrote something; says what it wrote, whatever came of it.
fn write(file: &RegistryFile, batch: &mut [Box<dyn Operation>], owed: &Keys) -> (Keys, Result<(), redb::Error>) {
    let mut written = Keys::default();
    let mut attempt = || -> Result<(), redb::Error> {
        let transaction = file.database.begin_write()?;
        {
            let mut tables = Tables {
                placements: transaction.open_table(PLACEMENTS)?,
                drains: transaction.open_table(DRAINS)?,
                written: Keys::default(),
            };
            repay(&mut tables, owed)?;
            for operation in batch.iter_mut() {
                operation.run(&mut tables)?;
            }
            written = tables.written;
        }
        if owed.is_empty() && written.is_empty() {
            transaction.abort()?;
        } else {
            if !owed.is_empty() {
                note_resync(&transaction)?;
            }
            transaction.commit()?;
        }
        Ok(())
    };
    let result = attempt();
    (written, result)
}

/// Writes the owed records again as they are, so that their pages go to the disk anew.
fn repay(tables: &mut Tables<'_>, owed: &Keys) -> Result<(), redb::StorageError> {
    for board in &owed.boards {
        let record = tables
            .placements
            .get(board.as_str())?
            .map(|record| record.value().to_vec());
        if let Some(record) = record {
            tables.placements.insert(board.as_str(), record.as_slice())?;
        }
    }
    for drain in &owed.drains {
        let record = tables.drains.get(drain.as_str())?.map(|record| record.value().to_vec());
        if let Some(record) = record {
            tables.drains.insert(drain.as_str(), record.as_slice())?;
        }
    }
    Ok(())
}

/// Opens the file; the store's own panics over a damaged one become an error.
fn open_file(path: &std::path::Path, backing: &Backing) -> Result<RegistryFile, OpenError> {
    catch_unwind(AssertUnwindSafe(|| RegistryFile::open(path, backing)))
        .unwrap_or_else(|_| Err(damaged(path, Damage::Panic)))
}

/// Most operations that share one sync.
const BATCH_OPERATIONS_MAX: usize = 1024;

/// Pause between two tries to open a file that failed.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);
