//! The embedded registry's file: creating, locking and checking it.
//!
//! A new file is made under another name and linked into place once it is whole, so that a kill at any moment leaves
//! either no registry or one that opens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};

use super::allocated::AllocatedFile;

/// Placements by board.
pub(super) const PLACEMENTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("placements");
/// Drain records by drain.
pub(super) const DRAINS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("drains");

/// Says why the registry's file could not be opened. No retry helps before somebody has acted.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another gateway has it open.
    #[error("the registry {} is in use; one gateway at a time may have it", file.display())]
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// It is some other file.
    #[error("{} is no registry of this version of Handover; give [registry] file another path", file.display())]
    Format {
        /// The file.
        file: PathBuf,
    },
    /// It was a registry, and what it says cannot be trusted any more.
    #[error(
        "the registry {} is damaged; restore it, or move it away: then contract servers tell what they own, \
         and the boards of other servers are placed anew", file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        #[source]
        source: Damage,
    },
    /// The operating system says no.
    #[error("the registry {} cannot be opened", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

/// What was found in a file that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Pages do not match their checksums.
    #[error("pages fail their checksums")]
    Checksums,
    /// An earlier start found the damage.
    #[error("an earlier start found pages that fail their checksums")]
    FoundBefore,
    /// The store stumbled over it.
    #[error(transparent)]
    Store(Box<redb::Error>),
    /// The store gave up in a way that it does not explain.
    #[error("the store panicked while it read the file")]
    Panic,
}

/// Makes the storage under the store from an open file.
pub(super) type Backing = Arc<dyn Fn(File) -> Result<Box<dyn StorageBackend>, DatabaseError> + Send + Sync>;

/// Returns the backing that is used but in tests of failing storage.
pub(super) fn file_backing() -> Backing {
    Arc::new(|file| Ok(Box::new(FileBackend::new(file)?)))
}

/// An open registry file.
#[derive(Debug)]
pub(super) struct RegistryFile {
    pub(super) database: Database,
    commit_begun: Arc<AtomicBool>,
}

impl RegistryFile {
    /// Opens the file and checks every page of it, or makes a new one.
    pub(super) fn open(path: &Path, backing: &Backing) -> Result<Self, OpenError> {
        if path.try_exists().map_err(|source| io_error(path, source))? {
            return Self::open_existing(path, backing);
        }
        let draft = draft_path(path);
        let made = Self::create(path, &draft, backing);
        // Whatever became of the draft, the name has done its work.
        let removed = fs::remove_file(&draft);
        let registry = made?;
        removed
            .and_then(|()| sync_directory(path))
            .map_err(|source| io_error(path, source))?;
        Ok(registry)
    }

    /// Forgets an earlier commit: a new transaction starts.
    pub(super) fn begin(&self) {
        self.commit_begun.store(false, Ordering::Relaxed);
    }

    /// Reads whether anything of a commit since [`RegistryFile::begin`] may show in the file.
    pub(super) fn commit_may_show(&self) -> bool {
        self.commit_begun.load(Ordering::Relaxed)
    }

    fn create(path: &Path, draft: &Path, backing: &Backing) -> Result<Self, OpenError> {
        let file = open_options()
            .create(true)
            .truncate(true)
            .open(draft)
            .map_err(|source| io_error(path, source))?;
        let registry = Self::over(path, file, backing)?;
        registry
            .set_mark(FORMAT_KEY, FORMAT)
            .map_err(|error| translate(path, error))?;
        // Unlike a rename, this never replaces a registry that another gateway has made meanwhile.
        match fs::hard_link(draft, path) {
            Ok(()) => Ok(registry),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OpenError::InUse { file: path.to_owned() })
            }
            Err(error) => Err(io_error(path, error)),
        }
    }

    fn open_existing(path: &Path, backing: &Backing) -> Result<Self, OpenError> {
        let mut file = open_options().open(path).map_err(|source| io_error(path, source))?;
        let mut magic = [0; STORE_MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || magic != STORE_MAGIC {
            return Err(OpenError::Format { file: path.to_owned() });
        }
        let mut registry = Self::over(path, file, backing)?;
        let is_whole = registry
            .database
            .check_integrity()
            .map_err(|error| translate(path, error.into()))?;
        if !is_whole {
            // The check has put the last whole state back, so the next start would not see the damage.
            registry
                .set_mark(DAMAGED_KEY, 1)
                .map_err(|error| translate(path, error))?;
            return Err(damaged(path, Damage::Checksums));
        }
        if registry.mark(FORMAT_KEY).map_err(|error| translate(path, error))? != Some(FORMAT) {
            return Err(OpenError::Format { file: path.to_owned() });
        }
        if registry
            .mark(DAMAGED_KEY)
            .map_err(|error| translate(path, error))?
            .is_some()
        {
            return Err(damaged(path, Damage::FoundBefore));
        }
        Ok(registry)
    }

    fn over(path: &Path, file: File, backing: &Backing) -> Result<Self, OpenError> {
        let commit_begun = Arc::new(AtomicBool::new(false));
        let open = || {
            let storage = AllocatedFile::new(backing(file)?, Arc::clone(&commit_begun));
            Builder::new()
                .set_cache_size(CACHE_BYTES_MAX)
                .create_with_backend(storage)
        };
        match open() {
            Ok(database) => Ok(Self { database, commit_begun }),
            Err(error) => Err(translate(path, error.into())),
        }
    }

    /// Sets a mark of the file, and makes the tables where they are missing.
    fn set_mark(&self, key: &str, value: u64) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(MARKS)?.insert(key, value)?;
        transaction.open_table(PLACEMENTS)?;
        transaction.open_table(DRAINS)?;
        transaction.commit()?;
        Ok(())
    }

    fn mark(&self, key: &str) -> Result<Option<u64>, redb::Error> {
        match self.database.begin_read()?.open_table(MARKS) {
            Ok(marks) => Ok(marks.get(key)?.map(|value| value.value())),
            Err(redb::TableError::TableDoesNotExist(_) | redb::TableError::TableTypeMismatch { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Writes a number that no file had before, so that a transaction has something newer to sync.
pub(super) fn note_resync(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let mut marks = transaction.open_table(MARKS)?;
    let count = marks.get(RESYNCS_KEY)?.map_or(0, |count| count.value());
    marks.insert(RESYNCS_KEY, count + 1)?;
    Ok(())
}

fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Names the file while it is being made; two gateways that start at once do not share it.
fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new.{}", std::process::id()));
    name.into()
}

/// Syncs the directory, without which a new file's name may be gone after a power failure.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "redb's error is non-exhaustive; what it adds is damage until we know better"
)]
fn translate(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse { file: path.to_owned() },
        redb::Error::UpgradeRequired(_) => OpenError::Format { file: path.to_owned() },
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => io_error(path, source),
        other => damaged(path, Damage::Store(Box::new(other))),
    }
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        file: path.to_owned(),
        source,
    }
}

pub(super) fn damaged(path: &Path, source: Damage) -> OpenError {
    OpenError::Damaged {
        file: path.to_owned(),
        source,
    }
}

/// Numbers about the file itself.
const MARKS: TableDefinition<'static, &str, u64> = TableDefinition::new("handover");
/// Which layout the tables have.
const FORMAT_KEY: &str = "format";
const FORMAT: u64 = 1;
/// Set once a check has failed; only another file is trusted after that.
const DAMAGED_KEY: &str = "damaged";
/// How often records were written again after a failed sync.
const RESYNCS_KEY: &str = "resyncs";
/// How a file of the store begins.
const STORE_MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
/// Bound of the store's page cache, in bytes: the gateway's own table answers look-ups, not this cache.
const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;
