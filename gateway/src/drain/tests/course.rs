//! How drains go, to their end.

use super::*;

#[tokio::test]
async fn every_board_moves_within_the_pace_and_newcomers_go_to_the_new_release() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(40));
    fleet.lock().failures.insert(board(7), 1);
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    assert_eq!(fleet.newcomers().unwrap().release.as_str(), "r1");
    let started = life.start(R1_TO_R2).await.unwrap();
    assert!(started.is_new);
    let newcomers = fleet.newcomers().unwrap();
    assert_eq!(newcomers.release.as_str(), "r2");
    assert_eq!(newcomers.closed, [name("a"), name("b")].into());
    let status = life.end(&started.status.id).await;
    assert_eq!(status.state, DrainState::Done);
    assert_eq!(
        (status.boards.total, status.boards.moved, status.boards.left),
        (40, 40, 0)
    );
    assert_eq!(status.failures[0].reason, "target-unready");
    assert_eq!((fleet.count(&["c"]), fleet.count(&["d"])), (20, 20));
    assert_eq!(fleet.lock().most_under_way, 4);
    // The drain's end is seen a moment before it is kept and told.
    life.rest().await;
    let newcomers = fleet.newcomers().unwrap();
    assert_eq!(newcomers.release.as_str(), "r2");
    assert!(newcomers.closed.is_empty());
    assert!(life.metrics.render().contains("handover_drains{state=\"done\"} 1"));
}

#[tokio::test]
async fn a_drain_that_stays_waits_until_its_sources_are_empty() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(3));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let request = r#"{"from": {"release": "r1"}, "to": {"release": "r2"}, "mode": "stay"}"#;
    let id = life.start(request).await.unwrap().status.id;
    life.wait_for(&id, |status| status.boards.total == 3).await;
    fleet.lock().boards.clear();
    let status = life.end(&id).await;
    assert_eq!((status.state, status.boards.closed), (DrainState::Done, 3));
    assert!(fleet.lock().begun.is_empty());
}

#[tokio::test]
async fn a_drain_without_a_ready_target_is_refused_and_one_that_loses_them_waits() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(6));
    fleet.set_unready(&["c", "d"]);
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    assert!(matches!(life.start(R1_TO_R2).await, Err(StartError::NoTarget { .. })));
    assert_eq!(fleet.newcomers().unwrap().release.as_str(), "r1");
    fleet.set_unready(&["d"]);
    let slow = R1_TO_R2
        .replace("boards_per_second\": 0", "boards_per_second\": 5")
        .replace("\"pace\"", "\"on_target_down\": \"continue\", \"pace\"");
    let id = life.start(&slow).await.unwrap().status.id;
    life.wait_for(&id, |status| status.boards.moved >= 1).await;
    fleet.set_unready(&["c", "d"]);
    // Longer than the driver takes to notice, then three turns of the pace: that nothing begins takes time to see.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let begun = fleet.lock().begun.len();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(fleet.lock().begun.len(), begun);
    assert!(begun < 6);
    fleet.set_unready(&["c"]);
    assert_eq!(life.end(&id).await.state, DrainState::Done);
    assert!(fleet.count(&["d"]) > 0);
}

#[tokio::test]
async fn a_target_that_falls_over_stops_the_drain_before_the_next_board() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(30));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let slow = R1_TO_R2.replace("boards_per_second\": 0", "boards_per_second\": 20");
    let id = life.start(&slow).await.unwrap().status.id;
    life.wait_for(&id, |status| status.boards.moved >= 2).await;
    fleet.set_unready(&["d"]);
    let status = life.wait_for(&id, |status| status.state == DrainState::Paused).await;
    assert_eq!(status.paused_by, Some(PausedBy::TargetDown));
    assert!(
        status.waits_for[0].detail.starts_with("d stopped being ready"),
        "{status:?}"
    );
    assert!(status.waits_for[0].detail.ends_with("; d is down"), "{status:?}");
    let counted = async |line: &str| life.until_counted(line).await;
    counted("handover_drains{state=\"paused\"} 1").await;
    counted("handover_drains{state=\"running\"} 0").await;
    counted("handover_paused_drains{by=\"target_down\"} 1").await;
    // Somebody takes it in hand: it is no longer a pause that nobody knows of.
    life.drains.ask(&id, Verb::Pause).await.unwrap();
    counted("handover_paused_drains{by=\"target_down\"} 0").await;
    counted("handover_paused_drains{by=\"operator\"} 1").await;
    life.drains.ask(&id, Verb::Resume).await.unwrap();
    counted("handover_paused_drains{by=\"operator\"} 0").await;
    assert_eq!(life.end(&id).await.state, DrainState::Done);
}

#[tokio::test]
async fn a_drain_is_not_done_while_a_board_is_on_its_way_to_a_source() {
    // With and without boards that it can move meanwhile.
    for boards in [0, 4] {
        let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(boards));
        let life = Life::begin(folder.path(), &fleet, "r1").await;
        fleet.lock().awaited = vec![name("b")];
        let id = life.start(R1_TO_R2).await.unwrap().status.id;
        life.wait_for(&id, |status| status.boards.moved == boards).await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
            assert!(!life.drains.status(&id).unwrap().done);
        }
        {
            let mut arrival = fleet.lock();
            arrival.boards.insert(board(99), (name("b"), 1));
            arrival.awaited.clear();
        }
        let status = life.end(&id).await;
        assert_eq!((status.state, status.boards.moved), (DrainState::Done, boards + 1));
        assert_eq!(fleet.count(&["a", "b"]), 0);
    }
}

#[tokio::test]
async fn targets_that_are_full_count_once_as_a_capacity_that_bites() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(3));
    fleet.lock().is_full = true;
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let bitten = |count: u32| {
        let series = format!("handover_limit_hits_total{{limit=\"capacity\"}} {count}\n");
        life.metrics.render().contains(&series)
    };
    assert!(bitten(0));
    let id = life.start(R1_TO_R2).await.unwrap().status.id;
    let waits = |status: &DrainStatus| status.waits_for.iter().any(|wait| wait.reason == "targets_full");
    life.wait_for(&id, waits).await;
    life.wait_for(&id, |_| bitten(1)).await;
    // Every answer is a turn of the machine.
    for verb in [Verb::Pause, Verb::Pause] {
        life.drains.ask(&id, verb).await.unwrap();
    }
    assert!(bitten(1));
    life.drains.ask(&id, Verb::Resume).await.unwrap();
    fleet.lock().is_full = false;
    life.end(&id).await;
}
