//! The board servers' database: SQLite always, PostgreSQL where `HANDOVER_TEST_POSTGRES` names one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicU32, Ordering};

use handover_loadtest::store::{BoardWrites, FenceTaken, Fencing, Store, Write, Writer, Written};
use handover_protocol::generation::Generation;
use handover_protocol::id::BoardId;

/// Runs one case on every database at hand; boards are named anew each time, so that one PostgreSQL serves all.
fn on_every_store<F: Future<Output = ()>>(case: impl Fn(String, BoardId) -> F) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}/boards.sqlite", directory.path().display());
    let urls = std::iter::once(sqlite).chain(std::env::var("HANDOVER_TEST_POSTGRES").ok());
    for url in urls {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let board = format!("store-{}-{number}", std::process::id()).parse().unwrap();
        runtime.block_on(case(url, board));
    }
}

fn change(revision: u64, author: &str, seq: u64) -> Write {
    Write::Change {
        revision,
        author: author.into(),
        seq,
        body: r#"{"bytes":1,"sha1":"x\u0000y"}"#.into(),
    }
}

fn writes(board: &BoardId, generation: u64, writes: Vec<Write>) -> BoardWrites {
    BoardWrites {
        board: board.clone(),
        generation: Generation::new(generation),
        writes,
    }
}

fn writer(store: &Store, owner: &str, fencing: Fencing) -> Writer {
    let (writer, task) = Writer::start(store.clone(), owner.into(), fencing);
    tokio::spawn(task);
    writer
}

#[test]
fn a_fence_goes_up_and_only_its_owner_takes_it_again() {
    on_every_store(async |url, board| {
        let store = Store::open(&url).await.unwrap();
        let take = async |generation, owner| {
            store
                .take_fence(&board, Generation::new(generation), owner)
                .await
                .unwrap()
        };
        assert_eq!(take(3, "a/1").await, FenceTaken::Taken);
        assert_eq!(take(3, "a/1").await, FenceTaken::Taken);
        for (generation, owner) in [(3, "a/2"), (3, "b/1"), (2, "a/1")] {
            let FenceTaken::Refused(fence) = take(generation, owner).await else {
                panic!("{owner} took the fence under {generation}");
            };
            assert_eq!((fence.generation.number(), &*fence.owner), (3, "a/1"));
        }
        assert_eq!(take(4, "b/1").await, FenceTaken::Taken);
        let fences = store.fences().await.unwrap();
        let (_, fence) = fences.iter().find(|(of, _)| *of == board).unwrap();
        assert_eq!(fence.owner_of_contract().unwrap().server.as_str(), "b");
    });
}

#[test]
fn a_writer_that_was_fenced_out_writes_nothing() {
    on_every_store(async |url, board| {
        let store = Store::open(&url).await.unwrap();
        let source = writer(&store, "a/1", Fencing::Fenced);
        let both = async |from| {
            let repeat = Write::Repeat {
                author: "u1".into(),
                seq: 1,
            };
            let wanted = writes(&board, 1, vec![change(from, "u1", from), repeat]);
            source.write(wanted).await.unwrap()
        };
        assert!(matches!(
            both(1).await[..],
            [Written::FencedOut(None), Written::FencedOut(None)]
        ));
        store.take_fence(&board, Generation::new(1), "a/1").await.unwrap();
        assert_eq!(both(1).await, [Written::Saved, Written::Repeated { revision: 1 }]);
        store.take_fence(&board, Generation::new(2), "b/1").await.unwrap();
        for outcome in both(2).await {
            let Written::FencedOut(Some(fence)) = outcome else {
                panic!("{outcome:?} after the fence was raised");
            };
            assert_eq!(fence.owner, "b/1");
        }
        let saved = store.changes_after(&board, 0).await.unwrap();
        assert_eq!(saved.iter().map(|row| row.revision).collect::<Vec<_>>(), [1]);
        assert_eq!(saved[0].body, r#"{"bytes":1,"sha1":"x\u0000y"}"#);
        let repeats = store.repeats().await.unwrap();
        assert_eq!(repeats.iter().filter(|row| row.board == board).count(), 1);
    });
}

#[test]
fn what_stands_in_the_way_of_a_write_is_named() {
    on_every_store(async |url, board| {
        let store = Store::open(&url).await.unwrap();
        store.take_fence(&board, Generation::new(1), "a/1").await.unwrap();
        let owner = writer(&store, "a/1", Fencing::Fenced);
        let write = async |wanted| owner.write(writes(&board, 1, wanted)).await.unwrap();
        assert_eq!(write(vec![change(1, "u1", 1)]).await, [Written::Saved]);
        // The answer to a write was lost and it is tried again: not a repeat.
        assert_eq!(write(vec![change(1, "u1", 1)]).await, [Written::Saved]);
        assert!(store.repeats().await.unwrap().iter().all(|row| row.board != board));
        assert_eq!(
            write(vec![change(2, "u1", 1), change(1, "u2", 1), change(3, "u2", 2)]).await,
            [Written::Repeated { revision: 1 }, Written::Collided, Written::Saved],
        );
        assert_eq!(
            store
                .repeats()
                .await
                .unwrap()
                .iter()
                .filter(|row| row.board == board)
                .count(),
            1
        );
    });
}

#[test]
fn without_the_contract_no_fence_is_asked_for() {
    on_every_store(async |url, board| {
        let store = Store::open(&url).await.unwrap();
        let owner = writer(&store, "a/1", Fencing::Unfenced);
        let wanted = writes(&board, 0, vec![change(1, "u1", 1), change(2, "u1", 2)]);
        assert_eq!(owner.write(wanted).await.unwrap(), [Written::Saved, Written::Saved]);
        assert_eq!(store.changes_after(&board, 1).await.unwrap().len(), 1);
    });
}

#[test]
fn several_processes_open_and_write_one_new_database_at_once() {
    on_every_store(async |url, board| {
        let writers = (0..4).map(|number| {
            let (url, board) = (url.clone(), format!("{board}-{number}").parse::<BoardId>().unwrap());
            tokio::spawn(async move {
                let store = Store::open(&url).await.unwrap();
                let owner = format!("s{number}/1");
                store.take_fence(&board, Generation::new(1), &owner).await.unwrap();
                let writer = writer(&store, &owner, Fencing::Fenced);
                for revision in 1..=100 {
                    let outcome = writer
                        .write(writes(&board, 1, vec![change(revision, "u", revision)]))
                        .await;
                    assert_eq!(outcome.unwrap(), [Written::Saved]);
                }
                store.checkpoint().await.unwrap();
                assert_eq!(store.changes_after(&board, 0).await.unwrap().len(), 100);
            })
        });
        for task in writers.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

/// A fence is raised while writes are under way: what the new owner reads then is all there will ever be.
#[test]
fn nothing_is_written_behind_the_read_of_the_next_owner() {
    on_every_store(async |url, board| {
        let store = Store::open(&url).await.unwrap();
        let target = Store::open(&url).await.unwrap();
        let mut generation = 1;
        let mut revision = 0;
        for _ in 0..20 {
            store
                .take_fence(&board, Generation::new(generation), "a/1")
                .await
                .unwrap();
            let source = writer(&store, "a/1", Fencing::Fenced);
            let wanted = board.clone();
            let drawing = tokio::spawn(async move {
                loop {
                    let next = change(revision + 1, "u", revision + 1);
                    match source.write(writes(&wanted, generation, vec![next])).await.unwrap()[..] {
                        [Written::Saved] => revision += 1,
                        [Written::FencedOut(_)] => return revision,
                        ref other => panic!("{other:?}"),
                    }
                }
            });
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            target
                .take_fence(&board, Generation::new(generation + 1), "b/1")
                .await
                .unwrap();
            let read = target.changes_after(&board, 0).await.unwrap().len() as u64;
            revision = drawing.await.unwrap();
            assert_eq!(read, revision);
            assert_eq!(target.changes_after(&board, 0).await.unwrap().len() as u64, revision);
            generation += 2;
        }
        assert!(revision > 0);
    });
}
