//! What is true of the file store on disks that fail, lose power or are full.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use futures_util::future::join_all;
use handover_protocol::{BoardId, Placement};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::EmbeddedRegistry;
use super::sim_disk::SimDisk;
use crate::registry::suite::{board, settled};
use crate::registry::{CasError, Registry};

/// What a board's record must, may and must not be after the power failed.
#[derive(Default)]
struct Ledger {
    /// The newest record that was acknowledged or read before the power failed.
    sure: HashMap<BoardId, Placement>,
    /// Every record that was asked for.
    asked: HashMap<BoardId, Vec<Placement>>,
    /// Records of which it was said that they are certainly not written.
    denied: HashSet<String>,
}

impl Ledger {
    fn check(&self, id: &BoardId, stored: Option<&Placement>, seed: u64) {
        if let Some(sure) = self.sure.get(id) {
            let generation = stored.map(|placement| placement.generation);
            assert!(
                generation >= Some(sure.generation),
                "seed {seed}: {id} is {stored:?} after {sure:?}"
            );
        }
        if let Some(stored) = stored {
            assert!(self.asked[id].contains(stored), "seed {seed}: nobody wrote {stored:?}");
            let text = format!("{stored:?}");
            assert!(!self.denied.contains(&text), "seed {seed}: {stored:?} was denied");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_denied_appears_on_a_disk_that_fails() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut unknown = 0;
    for seed in 0..SEEDS {
        unknown += runtime.block_on(live_and_die(seed));
    }
    assert!(unknown > SEEDS, "the disk hardly ever failed: {unknown}");
}

/// Lets one disk live through several power failures; returns how often a write's outcome was unknown.
async fn live_and_die(seed: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handover.db");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut ledger = Ledger::default();
    let mut unknown = 0;
    let mut disk = SimDisk::new(seed, path.clone(), Vec::new());
    for life in 0..LIVES {
        let store = EmbeddedRegistry::open_on(&path, disk.backing())
            .unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error:?}"));
        for number in 0..BOARDS {
            let id = board(&format!("b{number}"));
            let stored = store.read(&id).await.unwrap();
            ledger.check(&id, stored.as_ref(), seed);
            if let Some(stored) = stored {
                ledger.sure.insert(id, stored);
            }
        }
        disk.fail(random.random_range(0..40));
        disk.lose_power_after(random.random_range(0..400));
        for round in 0..ROUNDS {
            if random.random_ratio(1, 5) {
                disk.fail(0);
            }
            let writes = (0..BOARDS).filter_map(|number| {
                let id = board(&format!("b{number}"));
                random
                    .random_bool(0.5)
                    .then(|| write(&store, id, format!("s{life}-{round}-{number}")))
            });
            for (id, next, outcome) in join_all(writes.collect::<Vec<_>>()).await {
                ledger.asked.entry(id.clone()).or_default().push(next.clone());
                match outcome {
                    Ok(()) if !disk.has_lost_power() => drop(ledger.sure.insert(id, next)),
                    Ok(()) | Err(CasError::Refused { .. }) => {}
                    Err(CasError::Unavailable { .. }) => drop(ledger.denied.insert(format!("{next:?}"))),
                    Err(CasError::Unknown { .. }) => {
                        unknown += 1;
                        // What is read back counts from then on.
                        if let Ok(Some(stored)) = store.read(&id).await {
                            ledger.check(&id, Some(&stored), seed);
                            if !disk.has_lost_power() {
                                ledger.sure.insert(id, stored);
                            }
                        }
                    }
                    Err(CasError::Lowered { current }) => panic!("seed {seed}: {current:?}"),
                }
            }
        }
        let wreck = disk.wreck();
        drop(store);
        disk = SimDisk::new(seed + life, path.clone(), wreck);
    }
    unknown
}

/// Raises a board's generation by one, from whatever the store says it is.
async fn write(store: &EmbeddedRegistry, id: BoardId, server: String) -> (BoardId, Placement, Result<(), CasError>) {
    let current = match store.read(&id).await {
        Ok(current) => current,
        Err(source) => {
            return (id, settled(&server, 0), Err(CasError::Unavailable { source }));
        }
    };
    let generation = current
        .as_ref()
        .map_or(1, |placement| placement.generation.number() + 1);
    let next = settled(&server, generation);
    let outcome = store.compare_and_set(&id, current, next.clone()).await;
    (id, next, outcome)
}

const SEEDS: u64 = 60;
const LIVES: u64 = 4;
const ROUNDS: u64 = 12;
const BOARDS: u64 = 6;

#[tokio::test]
async fn a_full_disk_refuses_before_the_commit_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(folder.path()) else {
        eprintln!("SKIPPED a_full_disk_refuses_before_the_commit_and_recovers: mounting a tmpfs needs root");
        return;
    };
    let path = folder.path().join("handover.db");
    let store: Arc<dyn Registry> = Arc::new(EmbeddedRegistry::open(&path).unwrap());
    let ballast = folder.path().join("ballast");
    fill(&ballast);
    let mut kept = Vec::new();
    let mut refusals = 0;
    // The first refusal may be of a growth that is not needed: opened anew, the store uses what the file had in reserve.
    let refused = loop {
        let id = board(&format!("{:0>200}", kept.len()));
        match store.compare_and_set(&id, None, settled("s", 1)).await {
            Ok(()) => {
                kept.push((id, settled("s", 1)));
                refusals = 0;
            }
            Err(CasError::Unavailable { .. }) => {
                refusals += 1;
                assert_eq!(store.read(&id).await.unwrap(), None);
                assert_eq!(store.load().await.unwrap(), kept);
                if refusals == 3 {
                    break id;
                }
            }
            Err(other) => panic!("after {} records: {other:?}", kept.len()),
        }
        assert!(kept.len() < 1_000_000, "the disk never was full");
    };
    assert!(!kept.is_empty());
    std::fs::remove_file(&ballast).unwrap();
    store.compare_and_set(&refused, None, settled("s", 1)).await.unwrap();
    kept.push((refused, settled("s", 1)));
    drop(store);
    let store = EmbeddedRegistry::open(&path).unwrap();
    assert_eq!(store.load().await.unwrap(), kept);
}

/// A small file system of its own, until it is dropped.
struct Tmpfs<'p>(&'p Path);

impl<'p> Tmpfs<'p> {
    fn mount(path: &'p Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(path))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        // Lazily: a failed test may still hold the file.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// Takes all the space that is left.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}
