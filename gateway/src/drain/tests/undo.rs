//! Drains that are taken back.

use super::*;

const UNDOABLE: &str = r#"{"id": "d1", "from": {"release": "r1"}, "to": {"release": "r2"}, "undo_window_seconds": 600,
    "pace": {"boards_per_second": 0, "boards_at_once": 4, "loads_per_target": 4}}"#;

#[tokio::test]
async fn an_undo_brings_back_what_was_moved_to_where_it_was_and_nothing_else() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(40));
    fleet.set_move_time(Duration::from_millis(20));
    let before = fleet.lock().boards.clone();
    let mut life = Life::begin(folder.path(), &fleet, "r1").await;
    let id = life.start(UNDOABLE).await.unwrap().status.id;
    life.wait_for(&id, |status| status.boards.moved >= 12).await;
    // A restart forgets nothing of what was moved.
    life.finish().await;
    life = Life::begin(folder.path(), &fleet, "r1").await;
    life.wait_for(&id, |status| status.boards.moved >= 20).await;
    // Opened at a new server since, so it is none of the drain's.
    fleet.lock().boards.insert(board(99), (name("c"), 1));
    let status = life.drains.undo(&id).await.unwrap();
    assert_eq!(status.state, DrainState::Undoing, "{status:?}");
    assert!(!status.done);
    let again = life.drains.undo(&id).await.unwrap();
    assert!(matches!(again.state, DrainState::Undoing | DrainState::Undone));
    life.wait_for(&id, |status| status.undone > 3).await;
    life.finish().await;
    life = Life::begin(folder.path(), &fleet, "r1").await;
    let status = life.end(&id).await;
    assert_eq!(status.state, DrainState::Undone, "{status:?}");
    assert_eq!(status.undone, status.boards.moved);
    let mut after = fleet.lock().boards.clone();
    assert_eq!(after.remove(&board(99)).unwrap().0, name("c"));
    let lost_homes = before
        .iter()
        .filter(|(board, place)| after[*board].0 != place.0)
        .count();
    // Of a move that was under way as the gateway ended nobody knows the source.
    assert!(lost_homes <= 4, "{lost_homes}");
    assert!(
        after
            .values()
            .all(|(owner, _)| *owner == name("a") || *owner == name("b"))
    );
    assert_eq!(fleet.newcomers().unwrap().release.as_str(), "r1");
    assert!(fleet.lock().warm.len() >= 16);
}

#[tokio::test]
async fn without_a_window_or_behind_it_there_is_no_undo_and_nothing_stays_warm() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(6));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let id = life.start(R1_TO_R2).await.unwrap().status.id;
    life.end(&id).await;
    assert!(matches!(life.drains.undo(&id).await, Err(UndoError::WindowOver { .. })));
    assert!(matches!(
        life.drains.undo(&"x".parse().unwrap()).await,
        Err(UndoError::Unknown)
    ));
    assert!(fleet.lock().warm.is_empty());
    let back = r#"{"id": "back", "from": {"release": "r2"}, "to": {"release": "r1"}, "undo_window_seconds": 1}"#;
    let id = life.start(back).await.unwrap().status.id;
    let status = life.end(&id).await;
    assert!(status.undo_until_ms.unwrap() >= status.ended_at_ms.unwrap() + 1000);
    assert_eq!(fleet.lock().warm.len(), 6);
    for _ in 0..1000 {
        if fleet.lock().cooled.len() == 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fleet.lock().cooled.len(), 6);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(matches!(life.drains.undo(&id).await, Err(UndoError::WindowOver { .. })));
    life.rest().await;
    drop(life);
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    life.rest().await;
    assert_eq!(fleet.lock().cooled.len(), 6, "a restart does not ask for it once more");
    assert!(matches!(life.drains.undo(&id).await, Err(UndoError::WindowOver { .. })));
}

#[tokio::test]
async fn an_undo_whose_caller_hangs_up_goes_on() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(6));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let id = life.start(UNDOABLE).await.unwrap().status.id;
    life.end(&id).await;
    let hung_up = Box::pin(life.drains.undo(&id)).now_or_never();
    assert!(hung_up.is_none(), "it waits for the registry");
    let status = life.wait_for(&id, |status| status.state == DrainState::Undone).await;
    assert_eq!((status.undone, status.undo_until_ms), (6, None));
    life.until_counted("handover_drains{state=\"undone\"} 1").await;
}

#[tokio::test]
async fn a_drain_whose_sources_are_gone_promises_no_quick_undo() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(6));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let id = life.start(UNDOABLE).await.unwrap().status.id;
    life.end(&id).await;
    fleet.set_unready(&["a"]);
    assert!(life.drains.status(&id).unwrap().undo_until_ms.is_some());
    fleet.set_unready(&["a", "b"]);
    assert_eq!(life.drains.status(&id).unwrap().undo_until_ms, None);
}

#[tokio::test]
async fn an_undo_takes_no_other_drains_name_and_one_that_was_aborted_can_be_begun_anew() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(6));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let namesake = r#"{"id": "d1.undo", "from": {"servers": ["d"]}, "to": {"servers": ["c"]}}"#;
    let namesake = life.start(namesake).await.unwrap().status.id;
    life.end(&namesake).await;
    let id = life.start(UNDOABLE).await.unwrap().status.id;
    life.end(&id).await;
    fleet.set_move_time(Duration::from_secs(60));
    let both = tokio::join!(life.drains.undo(&id), life.drains.undo(&id));
    assert_eq!(both.0.unwrap().state, DrainState::Undoing);
    assert_eq!(both.1.unwrap().state, DrainState::Undoing);
    let kept = life.drains.status(&namesake).unwrap();
    assert_eq!((kept.state, kept.boards.total), (DrainState::Done, 0));
    let undo: DrainId = "d1.undo-2".parse().unwrap();
    life.wait_for(&undo, |status| status.boards.moving > 0).await;
    life.drains.ask(&undo, Verb::Abort).await.unwrap();
    life.end(&undo).await;
    assert_eq!(life.drains.status(&id).unwrap().state, DrainState::Done);
    fleet.set_move_time(Duration::from_millis(2));
    assert_eq!(life.drains.undo(&id).await.unwrap().state, DrainState::Undoing);
    let status = life.end(&id).await;
    assert_eq!((status.state, status.undone), (DrainState::Undone, 6));
    assert_eq!(life.drains.list().len(), 4);
}
