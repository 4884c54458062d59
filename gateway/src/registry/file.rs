//! The embedded registry's file: creating, locking and checking it.
//!
//! A new file is made under another name and takes its own once it is whole, so that a kill at any moment leaves either
//! no registry or one that opens.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{BackendError, Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, TableDefinition};

use super::allocated::{AllocatedFile, Signs};

/// Placements by board.
pub(super) const PLACEMENTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("placements");
/// Drain records by drain.
pub(super) const DRAINS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("drains");

/// What drains have moved, by id and part.
pub(super) const DRAIN_PARTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("drain_parts");

/// What is remembered of servers, by name.
pub(super) const SERVERS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("servers");

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
}

impl RegistryFile {
    /// Opens the file and checks every page of it, or makes a new one.
    pub(super) fn open(path: &Path, backing: &Backing, signs: &Arc<Signs>) -> Result<Self, OpenError> {
        if path.try_exists().map_err(|source| io_error(path, source))? {
            Self::open_existing(path, backing, signs)
        } else {
            Draft::of(path)?.into_new(backing, signs)
        }
    }

    /// Opens the file as a copy that is synced from its first byte to its last, and puts the copy in its place.
    ///
    /// After a failed sync the kernel may have dropped pages that it could not write: reads show them, the disk does
    /// not have them, and later syncs succeed without them. Only a new file is beyond doubt.
    pub(super) fn renew(path: &Path, backing: &Backing, signs: &Arc<Signs>) -> Result<Self, OpenError> {
        let storage = open_storage(path, backing, &mut open_options())?;
        match storage.try_lock_range(Bound::Included(0), Bound::Unbounded) {
            Ok(true) | Err(BackendError::Unsupported) => {}
            Ok(false) => return Err(OpenError::InUse { file: path.to_owned() }),
            Err(error) => return Err(io_error(path, io::Error::other(error))),
        }
        let renewed = Draft::of(path)?.into_copy(&*storage, backing, signs);
        // Closing gives the lock back; the file has lost its name by then, or is as it was.
        storage.close().map_err(|source| io_error(path, source))?;
        renewed
    }

    fn open_existing(path: &Path, backing: &Backing, signs: &Arc<Signs>) -> Result<Self, OpenError> {
        let meant = identity(path)?;
        let storage = open_storage(path, backing, &mut open_options())?;
        if !is_store(&*storage).map_err(|source| io_error(path, source))? {
            return Err(OpenError::Format { file: path.to_owned() });
        }
        let registry = Self::over(path, storage, signs)?.checked(path)?;
        // Another gateway may have renewed the file while this one waited for its lock.
        if identity(path)? != meant {
            return Err(OpenError::InUse { file: path.to_owned() });
        }
        Ok(registry)
    }

    /// Opens a registry over storage that holds one, or nothing.
    fn over(path: &Path, storage: Box<dyn StorageBackend>, signs: &Arc<Signs>) -> Result<Self, OpenError> {
        let storage = AllocatedFile::new(storage, Arc::clone(signs)).map_err(|source| io_error(path, source))?;
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES_MAX)
            .create_with_backend(storage)
            .map_err(|error| translate(path, error.into()))?;
        Ok(Self { database })
    }

    /// Checks every page, and that it is a registry.
    fn checked(mut self, path: &Path) -> Result<Self, OpenError> {
        let fails = |error| translate(path, error);
        let is_whole = self.database.check_integrity().map_err(|error| fails(error.into()))?;
        if !is_whole {
            // The check has put the last whole state back, so the next start would not see the damage.
            self.set_mark(DAMAGED_KEY, 1).map_err(fails)?;
            return Err(damaged(path, Damage::Checksums));
        }
        if self.mark(FORMAT_KEY).map_err(fails)? != Some(FORMAT) {
            return Err(OpenError::Format { file: path.to_owned() });
        }
        if self.mark(DAMAGED_KEY).map_err(fails)?.is_some() {
            return Err(damaged(path, Damage::FoundBefore));
        }
        Ok(self)
    }

    /// Sets a mark of the file, and makes the tables where they are missing.
    fn set_mark(&self, key: &str, value: u64) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(MARKS)?.insert(key, value)?;
        transaction.open_table(PLACEMENTS)?;
        transaction.open_table(DRAINS)?;
        transaction.open_table(DRAIN_PARTS)?;
        transaction.open_table(SERVERS)?;
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

/// A file in the making, under a name of its own; the name goes when this is dropped.
struct Draft<'p> {
    path: &'p Path,
    draft: PathBuf,
}

impl<'p> Draft<'p> {
    /// Names the draft; two gateways that start at once do not share one.
    fn of(path: &'p Path) -> Result<Self, OpenError> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".new.{}", std::process::id()));
        let draft = PathBuf::from(name);
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
            Ok(()) | Err(_) => Ok(Self { path, draft }),
        }
    }

    /// Makes an empty registry.
    fn into_new(self, backing: &Backing, signs: &Arc<Signs>) -> Result<RegistryFile, OpenError> {
        let registry = RegistryFile::over(self.path, self.storage(backing)?, signs)?;
        self.finish(&registry)?;
        // Unlike a rename, this never replaces a registry that another gateway has made meanwhile.
        match fs::hard_link(&self.draft, self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(OpenError::InUse {
                    file: self.path.to_owned(),
                });
            }
            Err(error) => return Err(io_error(self.path, error)),
        }
        self.sync_directory()?;
        Ok(registry)
    }

    /// Copies a registry that this process holds the lock of, and takes its name.
    fn into_copy(
        self,
        from: &dyn StorageBackend,
        backing: &Backing,
        signs: &Arc<Signs>,
    ) -> Result<RegistryFile, OpenError> {
        let storage = self.storage(backing)?;
        copy(from, &*storage).map_err(|source| io_error(self.path, source))?;
        let registry = RegistryFile::over(self.path, storage, signs)?.checked(self.path)?;
        self.finish(&registry)?;
        fs::rename(&self.draft, self.path).map_err(|source| io_error(self.path, source))?;
        self.sync_directory()?;
        Ok(registry)
    }

    fn storage(&self, backing: &Backing) -> Result<Box<dyn StorageBackend>, OpenError> {
        open_storage(&self.draft, backing, open_options().create_new(true))
    }

    /// Sees to it that the draft is a registry, and synced.
    fn finish(&self, registry: &RegistryFile) -> Result<(), OpenError> {
        registry
            .set_mark(FORMAT_KEY, FORMAT)
            .map_err(|error| translate(self.path, error))
    }

    /// Syncs the directory, without which a file's new name may be gone after a power failure.
    fn sync_directory(&self) -> Result<(), OpenError> {
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| io_error(self.path, source))
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // A renamed draft has no such name any more. What stays behind is removed by the next draft of this process.
        let _ = fs::remove_file(&self.draft);
    }
}

fn open_storage(
    path: &Path,
    backing: &Backing,
    options: &mut OpenOptions,
) -> Result<Box<dyn StorageBackend>, OpenError> {
    let file = options.open(path).map_err(|source| io_error(path, source))?;
    backing(file).map_err(|error| translate(path, error.into()))
}

/// Reads whether a file begins as the store's do. The store itself would take an empty one for new.
fn is_store(storage: &dyn StorageBackend) -> io::Result<bool> {
    let mut magic = [0; STORE_MAGIC.len()];
    if storage.len()? < STORE_MAGIC.len() as u64 {
        return Ok(false);
    }
    storage.read(0, &mut magic)?;
    Ok(magic == STORE_MAGIC)
}

/// Copies all that `from` shows.
fn copy(from: &dyn StorageBackend, to: &dyn StorageBackend) -> io::Result<()> {
    let length = from.len()?;
    to.set_len(length)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < length {
        let bytes = usize::try_from(length - at).map_or(COPY_BYTES, |rest| rest.min(COPY_BYTES));
        from.read(at, &mut buffer[..bytes])?;
        to.write(at, &buffer[..bytes])?;
        at += bytes as u64;
    }
    Ok(())
}

/// Tells one file from another that has taken its name.
fn identity(path: &Path) -> Result<(u64, u64), OpenError> {
    let metadata = fs::metadata(path).map_err(|source| io_error(path, source))?;
    Ok((metadata.dev(), metadata.ino()))
}

fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
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
/// How a file of the store begins.
const STORE_MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
/// What is copied at once, in bytes.
const COPY_BYTES: usize = 256 * 1024;
/// Bound of the store's page cache, in bytes: the gateway's own table answers look-ups, not this cache.
const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;
