//! What every store must do. Each store's tests run this suite.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::{Attempt, BoardId, DrainId, Generation, Owner, Placement, ServerName, Term};
use tokio::time::timeout;

use super::{CasError, Registry};

/// Records that can be opened again and again, one store after the other.
pub(super) trait Records {
    /// Opens the records; the store that was opened before has been dropped.
    fn open(&self) -> Arc<dyn Registry>;
}

/// Runs every case, each on records of its own.
pub(super) async fn suite<R: Records>(fresh: impl Fn() -> R) {
    a_record_is_written_only_where_it_is_as_expected(&fresh()).await;
    of_many_who_race_for_a_record_exactly_one_wins(&fresh()).await;
    no_step_of_racing_counters_is_lost(&fresh()).await;
    no_number_is_ever_lowered(&fresh()).await;
    boards_of_every_name_keep_apart(&fresh()).await;
    a_read_that_follows_an_abandoned_write_sees_what_came_of_it(&fresh()).await;
    what_was_written_is_there_after_a_restart(&fresh()).await;
}

async fn a_record_is_written_only_where_it_is_as_expected(records: &impl Records) {
    let (store, id) = (records.open(), board("b"));
    let (first, second, other) = (settled("s1", 1), settled("s2", 2), settled("s3", 1));
    assert_eq!(store.read(&id).await.unwrap(), None);
    let outcome = store.compare_and_set(&id, Some(other.clone()), first.clone()).await;
    assert_eq!(refused_by(outcome), None);
    store.compare_and_set(&id, None, first.clone()).await.unwrap();
    for expected in [None, Some(other), Some(second.clone())] {
        let outcome = store.compare_and_set(&id, expected, second.clone()).await;
        assert_eq!(refused_by(outcome), Some(first.clone()));
    }
    assert_eq!(store.read(&id).await.unwrap(), Some(first.clone()));
    store.compare_and_set(&id, Some(first), second.clone()).await.unwrap();
    assert_eq!(store.read(&id).await.unwrap(), Some(second.clone()));
    assert_eq!(store.load().await.unwrap(), [(id, second)]);
}

async fn of_many_who_race_for_a_record_exactly_one_wins(records: &impl Records) {
    let (store, id) = (records.open(), board("raced"));
    for generation in 1..=3 {
        let expected = store.read(&id).await.unwrap();
        let racers: Vec<_> = (0..RACERS)
            .map(|racer| {
                let (store, id, expected) = (Arc::clone(&store), id.clone(), expected.clone());
                let next = settled(&format!("s{racer}"), generation);
                tokio::spawn(async move {
                    let outcome = store.compare_and_set(&id, expected, next.clone()).await;
                    (next, outcome)
                })
            })
            .collect();
        let (mut winners, mut seen) = (Vec::new(), HashSet::new());
        for racer in racers {
            match racer.await.unwrap() {
                (next, Ok(())) => winners.push(next),
                (_, outcome) => drop(seen.insert(format!("{:?}", refused_by(outcome)))),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let winner = winners.pop();
        assert_eq!(seen, HashSet::from([format!("{winner:?}")]));
        assert_eq!(store.read(&id).await.unwrap(), winner);
    }
}

async fn no_step_of_racing_counters_is_lost(records: &impl Records) {
    let (store, id) = (records.open(), board("counted"));
    let counters: Vec<_> = (0..COUNTERS)
        .map(|counter| {
            let (store, id) = (Arc::clone(&store), id.clone());
            tokio::spawn(async move {
                for _ in 0..STEPS {
                    let mut current = store.read(&id).await.unwrap();
                    loop {
                        let generation = current.as_ref().map_or(0, |placement| placement.generation.number());
                        let next = settled(&format!("s{counter}"), generation + 1);
                        match store.compare_and_set(&id, current, next).await {
                            Ok(()) => break,
                            outcome => current = refused_by(outcome),
                        }
                    }
                }
            })
        })
        .collect();
    for counter in counters {
        counter.await.unwrap();
    }
    let last = store.read(&id).await.unwrap().unwrap();
    assert_eq!(last.generation, Generation::new(COUNTERS * STEPS));
}

async fn no_number_is_ever_lowered(records: &impl Records) {
    let (store, id) = (records.open(), board("fenced"));
    let high = Placement {
        attempt: Attempt::new(5),
        ..settled("s", 5)
    };
    store.compare_and_set(&id, None, high.clone()).await.unwrap();
    for (generation, attempt) in [(4, 5), (5, 4), (4, 6), (6, 4)] {
        let lower = Placement {
            attempt: Attempt::new(attempt),
            ..settled("s", generation)
        };
        match store.compare_and_set(&id, Some(high.clone()), lower).await {
            Err(CasError::Lowered { current }) => assert_eq!(current, high),
            outcome => panic!("{generation} {attempt} was not refused: {outcome:?}"),
        }
    }
    assert_eq!(store.read(&id).await.unwrap(), Some(high));
}

async fn boards_of_every_name_keep_apart(records: &impl Records) {
    let store = records.open();
    let longest = "ü".repeat(BoardId::BYTES_MAX / 2);
    let names = ["a", "A", "a ", "a/b", "a%2Fb", "..", "{a}", "ä", "\u{10FFFF}", &longest];
    let mut expected = BTreeMap::new();
    for (number, name) in names.into_iter().enumerate() {
        let placement = settled("s", number as u64 + 1);
        store
            .compare_and_set(&board(name), None, placement.clone())
            .await
            .unwrap();
        expected.insert(board(name), placement);
    }
    let loaded: BTreeMap<_, _> = store.load().await.unwrap().into_iter().collect();
    assert_eq!(loaded, expected);
}

async fn a_read_that_follows_an_abandoned_write_sees_what_came_of_it(records: &impl Records) {
    let store = records.open();
    for number in 0..50 {
        let id = board(&format!("abandoned-{number}"));
        let mut write = store.compare_and_set(&id, None, settled("s", 1));
        // One poll hands the write over; then its caller gives up.
        let _ = timeout(Duration::ZERO, &mut write).await;
        drop(write);
        let seen = store.read(&id).await.unwrap();
        let outcome = store.compare_and_set(&id, seen.clone(), settled("s", 2)).await;
        assert!(outcome.is_ok(), "read {seen:?} and then {outcome:?}");
    }
}

async fn what_was_written_is_there_after_a_restart(records: &impl Records) {
    let (id, drain): (_, DrainId) = (board("kept"), "d1".parse().unwrap());
    for generation in 1..=3 {
        let store = records.open();
        let before = store.read(&id).await.unwrap();
        assert_eq!(before, (generation > 1).then(|| settled("s", generation - 1)));
        store
            .compare_and_set(&id, before, settled("s", generation))
            .await
            .unwrap();
        let drains = store.drains().await.unwrap();
        assert_eq!(drains.len(), usize::from(generation > 1));
        let server: ServerName = "board-1".parse().unwrap();
        let known = store.servers().await.unwrap();
        assert_eq!(known.len(), usize::from(generation == 2));
        let record = (generation == 1).then(|| vec![7]);
        store.put_server(&server, record).await.unwrap();
        store.put_drain(&drain, vec![generation as u8; 100]).await.unwrap();
        store.put_drain(&drain, vec![generation as u8]).await.unwrap();
    }
    let store = records.open();
    assert_eq!(store.load().await.unwrap(), [(id, settled("s", 3))]);
    assert_eq!(store.drains().await.unwrap(), [(drain.clone(), vec![3])]);
    let other: DrainId = "d10".parse().unwrap();
    for part in [0, 1, 2, 10] {
        store.put_drain_part(&drain, part, vec![0]).await.unwrap();
        store.put_drain_part(&drain, part, vec![part as u8]).await.unwrap();
        store.put_drain_part(&other, part, vec![99]).await.unwrap();
    }
    drop(store);
    let store = records.open();
    let parts = store.drain_parts(&drain).await.unwrap();
    assert_eq!(parts, [[0], [1], [2], [10]]);
    assert!(store.drain_parts(&"d".parse().unwrap()).await.unwrap().is_empty());
    for _ in 0..2 {
        store.forget_drain(&drain).await.unwrap();
    }
    drop(store);
    let store = records.open();
    assert!(store.drains().await.unwrap().is_empty());
    assert!(store.drain_parts(&drain).await.unwrap().is_empty());
    assert_eq!(store.drain_parts(&other).await.unwrap().len(), 4);
}

pub(super) fn board(name: &str) -> BoardId {
    name.parse().unwrap()
}

/// A placement that is told from others by its server and its generation.
pub(super) fn settled(server: &str, generation: u64) -> Placement {
    Placement {
        generation: Generation::new(generation),
        attempt: Attempt::NONE,
        term: Term::Settled {
            owner: Owner {
                server: server.parse().unwrap(),
                incarnation: None,
            },
        },
    }
}

fn refused_by(outcome: Result<(), CasError>) -> Option<Placement> {
    match outcome {
        Err(CasError::Refused { current }) => current,
        outcome => panic!("not refused: {outcome:?}"),
    }
}

const RACERS: usize = 100;
const COUNTERS: u64 = 8;
const STEPS: u64 = 20;
