//! A disk for tests: it has a write cache, loses power, and fails like Linux does.
//!
//! After a failed sync each sector that was not yet written is written, or still dirty, or dropped: then reads still
//! show it, later syncs do not write it, and it may fall back to what the disk has once the file is opened anew.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use redb::StorageBackend;

use crate::registry::file::Backing;

/// The disk under one path. The real file system knows the names of its files; what they hold is simulated.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: SmallRng,
    /// The registry's.
    path: PathBuf,
    files: HashMap<FileId, Content>,
    /// Syncs fail with this chance in percent, writes and growth with a fifth of it.
    fault_percent: u32,
    /// Calls until the power fails.
    calls_left: Option<u32>,
    /// What the registry's file held when it did.
    wreck: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Content {
    /// What reads show.
    shown: Vec<u8>,
    /// What outlives a power failure.
    kept: Vec<u8>,
    /// Sectors that a sync will write.
    dirty: BTreeSet<usize>,
    /// Sectors that no sync will write.
    dropped: BTreeSet<usize>,
}

/// One open file of the disk.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: FileId,
}

/// Tells files apart whatever they are called; a number alone is given again soon after its file was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileId {
    inode: u64,
    born: SystemTime,
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            born: metadata.created().unwrap(),
        }
    }
}

impl SimDisk {
    /// Makes a disk; where something is given, the file at `path` holds it.
    pub(crate) fn new(seed: u64, path: PathBuf, content: Vec<u8>) -> Self {
        let mut files = HashMap::new();
        if let Ok(metadata) = fs::metadata(&path) {
            let content = Content {
                shown: content.clone(),
                kept: content,
                ..Content::default()
            };
            files.insert(FileId::of(&metadata), content);
        }
        Self(Arc::new(Mutex::new(State {
            random: SmallRng::seed_from_u64(seed),
            path,
            files,
            fault_percent: 0,
            calls_left: None,
            wreck: None,
        })))
    }

    pub(super) fn backing(&self) -> Backing {
        let disk = self.clone();
        Arc::new(move |file| {
            let id = FileId::of(&file.metadata()?);
            disk.lock().evict(id);
            let disk = disk.clone();
            Ok(Box::new(SimFile { disk, id }))
        })
    }

    pub(crate) fn fail(&self, percent: u32) {
        self.lock().fault_percent = percent;
    }

    /// Has the power fail after so many more calls; who uses the disk does not notice.
    pub(super) fn lose_power_after(&self, calls: u32) {
        self.lock().calls_left = Some(calls);
    }

    pub(super) fn has_lost_power(&self) -> bool {
        self.lock().wreck.is_some()
    }

    /// Returns what the registry's file holds after the power failure, which is now where it has not been yet.
    pub(super) fn wreck(&self) -> Vec<u8> {
        let mut state = self.lock();
        match state.wreck.take() {
            Some(wreck) => wreck,
            None => state.crash(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Counts one call; the power may fail before it.
    fn begin(&mut self) {
        match self.calls_left {
            Some(0) if self.wreck.is_none() => {
                let wreck = self.crash();
                self.wreck = Some(wreck);
            }
            Some(0) | None => {}
            Some(calls) => self.calls_left = Some(calls - 1),
        }
    }

    /// Lets some dirty sectors reach the disk by themselves, and returns what the registry's file then holds.
    fn crash(&mut self) -> Vec<u8> {
        let id = FileId::of(&fs::metadata(&self.path).unwrap());
        let file = self.files.entry(id).or_default();
        let mut wreck = file.kept.clone();
        // A file's length travels with the metadata; the store syncs after growing and so never depends on the rest.
        wreck.resize(file.shown.len().max(wreck.len()), 0);
        for sector in &file.dirty {
            if self.random.random_bool(0.5) {
                copy(&file.shown, &mut wreck, *sector);
            }
        }
        wreck
    }

    fn fails(&mut self, percent: u32) -> io::Result<()> {
        if percent > 0 && self.random.random_ratio(percent.min(100), 100) {
            return Err(io::Error::other("the simulated disk fails"));
        }
        Ok(())
    }

    /// Lets some dropped sectors fall back to what the disk has.
    fn evict(&mut self, id: FileId) {
        let file = self.files.entry(id).or_default();
        for sector in std::mem::take(&mut file.dropped) {
            if self.random.random_bool(0.5) {
                copy(&file.kept, &mut file.shown, sector);
            } else {
                file.dropped.insert(sector);
            }
        }
    }

    fn fail_sync(&mut self, id: FileId) {
        let file = self.files.entry(id).or_default();
        for sector in std::mem::take(&mut file.dirty) {
            match self.random.random_range(0..3) {
                0 => file.keep(sector),
                1 => drop(file.dropped.insert(sector)),
                _ => drop(file.dirty.insert(sector)),
            }
        }
    }
}

impl Content {
    fn keep(&mut self, sector: usize) {
        self.kept.resize(self.shown.len(), 0);
        copy(&self.shown, &mut self.kept, sector);
    }
}

impl StorageBackend for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.lock();
        Ok(state.files.entry(self.id).or_default().shown.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let file = state.files.entry(self.id).or_default();
        let from = usize::try_from(offset).unwrap();
        let bytes = file.shown.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.begin();
        let percent = state.fault_percent.div_ceil(5);
        state.fails(percent)?;
        let file = state.files.entry(self.id).or_default();
        let length = usize::try_from(length).unwrap();
        file.shown.resize(length, 0);
        let sectors = length.div_ceil(SECTOR);
        file.dirty.retain(|sector| *sector < sectors);
        file.dropped.retain(|sector| *sector < sectors);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.begin();
        let percent = state.fault_percent;
        if let Err(error) = state.fails(percent) {
            state.fail_sync(self.id);
            return Err(error);
        }
        let file = state.files.entry(self.id).or_default();
        file.kept.resize(file.shown.len(), 0);
        for sector in std::mem::take(&mut file.dirty) {
            file.keep(sector);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.begin();
        let percent = state.fault_percent.div_ceil(5);
        let from = usize::try_from(offset).unwrap();
        let failed = state.fails(percent);
        // A failed write may have written its beginning.
        let length = match failed {
            Ok(()) => data.len(),
            Err(_) => state.random.random_range(0..=data.len() / SECTOR) * SECTOR,
        };
        let file = state.files.entry(self.id).or_default();
        if file.shown.len() < from + length {
            file.shown.resize(from + length, 0);
        }
        file.shown[from..from + length].copy_from_slice(&data[..length]);
        for sector in from / SECTOR..(from + length).div_ceil(SECTOR) {
            file.dropped.remove(&sector);
            file.dirty.insert(sector);
        }
        failed
    }
}

fn copy(from: &[u8], to: &mut [u8], sector: usize) {
    let begin = sector * SECTOR;
    let end = (begin + SECTOR).min(from.len()).min(to.len());
    if begin < end {
        to[begin..end].copy_from_slice(&from[begin..end]);
    }
}

/// What a disk writes as a whole.
const SECTOR: usize = 512;
