//! The storage under the embedded store: a file whose space the disk has really given, and that remembers what may be
//! wrong with it.
//!
//! The file is longer than the store knows, in steps of [`RESERVE_BYTES`], and never shorter again: a commit that only
//! writes over blocks which are there waits for its own data, one that changes the file's length waits for the file
//! system's journal, and so for whatever other processes have written. Users are held meanwhile. What is too long at
//! the next start the store takes for free space.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{BackendError, StorageBackend};

/// Wraps the file's storage. Every call is passed on; growing, syncing and writing the header do more.
#[derive(Debug)]
pub(super) struct AllocatedFile {
    inner: Box<dyn StorageBackend>,
    /// How long the store takes the file to be.
    known_bytes: AtomicU64,
    signs: Arc<Signs>,
}

/// What the storage has seen happen to the file.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// The header was written: until then nobody can find a commit in the file.
    pub(super) header_written: AtomicBool,
    /// A sync has failed: what reads show may be neither on the disk nor on its way there.
    pub(super) sync_failed: AtomicBool,
}

impl AllocatedFile {
    /// Wraps `inner`, and tells what happens by `signs`.
    ///
    /// # Errors
    /// When the file does not tell its length.
    pub(super) fn new(inner: Box<dyn StorageBackend>, signs: Arc<Signs>) -> io::Result<Self> {
        let known_bytes = AtomicU64::new(inner.len()?);
        Ok(Self {
            inner,
            known_bytes,
            signs,
        })
    }

    /// Makes the file longer, by written zeros: on a hole a full disk would fail a commit in its middle, here it fails
    /// before.
    fn grow(&self, before: u64, length: u64) -> io::Result<()> {
        self.inner.set_len(length)?;
        let filled = self.fill(before, length);
        if filled.is_err() {
            self.inner.set_len(before)?;
        }
        filled
    }

    /// Writes zeros where a longer file would have a hole.
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let length = ZEROS.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
            self.inner.write(at, &ZEROS[..length])?;
            at += length as u64;
        }
        Ok(())
    }
}

impl StorageBackend for AllocatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.known_bytes.load(Ordering::Relaxed))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let before = self.inner.len()?;
        if length > before {
            let reserved = length.next_multiple_of(RESERVE_BYTES);
            // A disk that is nearly full may still have what is needed.
            self.grow(before, reserved).or_else(|_| self.grow(before, length))?;
        }
        self.known_bytes.store(length, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.inner.sync_data();
        if synced.is_err() {
            self.signs.sync_failed.store(true, Ordering::Relaxed);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset < HEADER_BYTES {
            self.signs.header_written.store(true, Ordering::Relaxed);
        }
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}

/// The store's header, with its two commit slots, lies below this offset.
const HEADER_BYTES: u64 = 512;

/// The file grows by so much at a time: some ten thousand placements.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
