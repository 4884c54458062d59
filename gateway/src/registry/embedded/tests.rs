//! What the file store must do beyond the suite: locks, damage, kills, failing and full disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::EmbeddedRegistry;
use crate::registry::suite::{Records, board, settled, suite};
use crate::registry::{OpenError, Registry};

/// A registry's file in a folder of its own.
struct InFolder {
    folder: tempfile::TempDir,
}

impl InFolder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("handover.db")
    }
}

impl Records for InFolder {
    fn open(&self) -> Arc<dyn Registry> {
        Arc::new(EmbeddedRegistry::open(&self.path()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_store_passes_the_suite() {
    suite(InFolder::new).await;
}

#[tokio::test]
async fn a_second_gateway_is_told_which_file_is_in_use() {
    let records = InFolder::new();
    let first = records.open();
    let error = EmbeddedRegistry::open(&records.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&records.path().display().to_string()));
    first.compare_and_set(&board("b"), None, settled("s", 1)).await.unwrap();
}

#[test]
fn a_new_file_leaves_no_draft_and_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let records = InFolder::new();
    drop(records.open());
    let names: Vec<_> = fs::read_dir(records.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["handover.db"]);
    let mode = fs::metadata(records.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn another_file_is_refused_by_name_and_left_as_it_is() {
    let check = |content: &[u8]| {
        let records = InFolder::new();
        fs::write(records.path(), content).unwrap();
        let error = EmbeddedRegistry::open(&records.path()).unwrap_err();
        assert!(matches!(error, OpenError::Format { .. }), "{error:?}");
        assert!(error.to_string().contains("handover.db"), "{error}");
        assert!(fs::read(records.path()).unwrap() == content, "the file was changed");
    };
    check(b"");
    check(b"[listen]\ntraffic = []\n");
    check(&[0; 1 << 20]);
}

#[test]
fn another_programs_database_is_refused() {
    let records = InFolder::new();
    let database = redb::Database::create(records.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(redb::TableDefinition::<&str, &str>::new("handover"))
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = EmbeddedRegistry::open(&records.path()).unwrap_err();
    assert!(matches!(error, OpenError::Format { .. }), "{error:?}");
}

#[test]
fn a_missing_folder_is_named() {
    let error = EmbeddedRegistry::open(Path::new("/nowhere/handover.db")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("/nowhere/handover.db"));
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_loses_nothing() {
    let records = InFolder::new();
    let mut expected = Vec::new();
    let store = records.open();
    for number in 0..200 {
        let (id, placement) = (board(&format!("b{number:03}")), settled("s", number + 1));
        store.compare_and_set(&id, None, placement.clone()).await.unwrap();
        expected.push((id, placement));
    }
    drop(store);
    let whole = fs::read(records.path()).unwrap();
    let mut refused = 0;
    let places = (0..whole.len()).step_by(DAMAGE_STEP).chain(16..512);
    let mut tried = 0;
    for place in places {
        if whole[place..].iter().take(16).all(|byte| *byte == 0) {
            continue;
        }
        tried += 1;
        let mut damaged = whole.clone();
        for byte in damaged[place..].iter_mut().take(16) {
            *byte ^= 0x5A;
        }
        fs::write(records.path(), &damaged).unwrap();
        match EmbeddedRegistry::open(&records.path()) {
            Ok(store) => {
                let loaded = store.load().await;
                assert_eq!(loaded.unwrap(), expected, "damage at {place}");
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("handover.db"), "{error}");
                // A supervisor starts us again at once; that must not make it good.
                assert!(EmbeddedRegistry::open(&records.path()).is_err(), "damage at {place}");
            }
        }
    }
    assert!(refused > 0 && tried > refused, "{refused} of {tried}");
}

const DAMAGE_STEP: usize = 512;

#[test]
fn a_cut_file_is_refused() {
    let records = InFolder::new();
    drop(records.open());
    let whole = fs::read(records.path()).unwrap();
    for length in [9, 100, 4096, 16 * 1024, whole.len() - 1] {
        fs::write(records.path(), &whole[..length]).unwrap();
        assert!(EmbeddedRegistry::open(&records.path()).is_err(), "{length}");
    }
}
