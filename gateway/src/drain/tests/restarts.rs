//! What the registry keeps of drains: over restarts, for as long as something goes by it, and where it keeps nothing.

use super::*;

#[tokio::test]
async fn a_restarted_gateway_goes_on_and_its_counts_are_whole() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(60));
    fleet.set_move_time(Duration::from_millis(20));
    let mut life = Life::begin(folder.path(), &fleet, "r1").await;
    let id = life.start(R1_TO_R2).await.unwrap().status.id;
    for moved in [10, 25, 40] {
        life.wait_for(&id, |status| status.boards.moved >= moved).await;
        life.finish().await;
        life = Life::begin(folder.path(), &fleet, "r1").await;
        let newcomers = fleet.newcomers().unwrap();
        assert_eq!((newcomers.release.as_str(), newcomers.closed.len()), ("r2", 2));
        let status = life.wait_for(&id, |status| status.boards.moving > 0).await;
        assert_eq!(status.boards.total, 60);
        assert!(status.boards.moved >= moved);
    }
    let status = life.end(&id).await;
    assert_eq!(status.state, DrainState::Done);
    assert_eq!(
        (status.boards.total, status.boards.moved, status.boards.closed),
        (60, 60, 0)
    );
    let levels: u64 = status.levels.iter().map(|level| level.count).sum();
    assert_eq!(levels, 60, "{status:?}");
    life.finish().await;
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    assert_eq!(life.drains.status(&id).unwrap().boards, status.boards);
    assert_eq!(fleet.newcomers().unwrap().release.as_str(), "r2");
    life.finish().await;
    Life::begin(folder.path(), &fleet, "r3").await;
    assert_eq!(
        fleet.newcomers().unwrap().release.as_str(),
        "r3",
        "the operator has configured another since"
    );
}

#[tokio::test]
async fn an_abort_undoes_what_is_under_way_and_outlives_a_restart() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(10));
    fleet.set_move_time(Duration::from_secs(60));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let id = life.start(R1_TO_R2).await.unwrap().status.id;
    life.wait_for(&id, |status| status.boards.moving == 4).await;
    let status = life.drains.ask(&id, Verb::Abort).await.unwrap();
    assert_eq!(status.boards.total, 10);
    let status = life.end(&id).await;
    assert_eq!(status.state, DrainState::Aborted);
    assert_eq!((status.boards.moved, status.boards.left), (0, 10));
    assert_eq!(status.failures[0].reason, "aborted");
    assert_eq!(fleet.lock().begun.len(), 4);
    life.finish().await;
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    assert_eq!(life.drains.status(&id).unwrap().state, DrainState::Aborted);
    let unknown = life.drains.ask(&"d9".parse().unwrap(), Verb::Abort).await;
    assert!(matches!(unknown, Err(AskError::Unknown)));
}

#[tokio::test]
async fn a_pause_outlives_a_restart_and_a_resume_ends_it() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(40));
    fleet.set_move_time(Duration::from_millis(20));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let id = life.start(R1_TO_R2).await.unwrap().status.id;
    life.wait_for(&id, |status| status.boards.moved >= 8).await;
    let status = life.drains.ask(&id, Verb::Pause).await.unwrap();
    assert_eq!(
        (status.state, status.paused_by),
        (DrainState::Paused, Some(PausedBy::Operator))
    );
    life.wait_for(&id, |status| status.boards.moving == 0).await;
    let begun = fleet.lock().begun.len();
    let conflict = life
        .start(r#"{"from": {"servers": ["a"]}, "to": {"servers": ["d"]}}"#)
        .await;
    assert!(
        matches!(conflict, Err(StartError::Conflict { .. })),
        "a paused drain keeps its servers"
    );
    life.finish().await;

    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let status = life.wait_for(&id, |status| status.boards.left > 0).await;
    assert_eq!((status.state, fleet.lock().begun.len()), (DrainState::Paused, begun));
    assert_eq!(status.waits_for[0].reason, "paused");
    assert!(fleet.newcomers().unwrap().closed.contains(&name("a")));
    let status = life.drains.ask(&id, Verb::Resume).await.unwrap();
    assert_eq!(status.state, DrainState::Running);
    let status = life.end(&id).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 40));
    assert!(status.ended_at_ms.unwrap() >= status.started_at_ms && status.started_at_ms > 0);
    let again = life.drains.ask(&id, Verb::Pause).await.unwrap();
    assert!(again.done, "one that has ended stays as it is");
}

#[tokio::test]
async fn an_idempotency_key_finds_its_drain_also_after_a_restart() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(4));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let request = || request_of(r#"{"from": {"release": "r1"}, "to": {"release": "r2"}}"#);
    let key = || Some("pipeline-7".to_owned());
    let first = life.drains.start(request(), key()).await.unwrap();
    let again = life.drains.start(request(), key()).await.unwrap();
    assert_eq!((first.is_new, again.is_new), (true, false));
    assert_eq!(first.status.id, again.status.id);
    life.end(&first.status.id).await;
    life.finish().await;
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let later = life.drains.start(request(), key()).await.unwrap();
    assert_eq!((later.is_new, later.status.id), (false, first.status.id.clone()));
    let other = request_of(r#"{"from": {"release": "r2"}, "to": {"release": "r1"}}"#);
    let refused = life.drains.start(other, key()).await;
    assert!(matches!(refused, Err(StartError::KeyReused { id }) if id == first.status.id));
}

#[tokio::test]
async fn old_drains_are_forgotten_but_for_those_that_something_goes_by() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(0));
    let mut life = Life::begin(folder.path(), &fleet, "r1").await;
    let leading = life.start(R1_TO_R2).await.unwrap().status.id;
    life.end(&leading).await;
    let more = DRAINS_KEPT + 3;
    for number in 0..more {
        let request = r#"{"id": "ID", "from": {"servers": ["a"]}, "to": {"servers": ["b"]}}"#;
        let id = life
            .start(&request.replace("ID", &format!("n{number}")))
            .await
            .unwrap()
            .status
            .id;
        life.end(&id).await;
    }
    let kept = |life: &Life| {
        let known = |id: String| life.drains.status(&id.parse().unwrap()).is_some();
        assert!(known("d1".to_owned()), "new boards go by it");
        assert!(!known("n0".to_owned()));
        assert!(known(format!("n{}", more - 1)));
        life.drains.list().len()
    };
    life.rest().await;
    let before = kept(&life);
    assert!(
        before <= DRAINS_KEPT + 2,
        "the leading one, and the last, which may have ended after it looked"
    );
    life.finish().await;
    life = Life::begin(folder.path(), &fleet, "r1").await;
    assert_eq!(kept(&life), before);
    assert_eq!(fleet.newcomers().unwrap().release.as_str(), "r2");
}

#[tokio::test]
async fn what_the_registry_has_not_kept_is_refused_until_it_has() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(4));
    let path = folder.path().join("handover.db");
    let disk = SimDisk::new(1, path.clone(), Vec::new());
    let registry = EmbeddedRegistry::open_on_disk(&path, &disk).unwrap();
    let life = Life::prepare_on(registry, &fleet, "r1");
    life.drains.resume().await.unwrap();
    let slowly = R1_TO_R2.replace("\"boards_per_second\": 0", "\"boards_per_second\": 0.01");
    let id = life.start(&slowly).await.unwrap().status.id;
    for verb in [Verb::Pause, Verb::Resume, Verb::Abort] {
        disk.fail(100);
        let refused = life.drains.ask(&id, verb).await;
        assert!(
            matches!(refused, Err(AskError::NotKept { .. })),
            "{verb:?}: {refused:?}"
        );
        disk.fail(0);
        for attempt in 0.. {
            match life.drains.ask(&id, verb).await {
                Ok(_) => break,
                // The registry opens its file anew.
                Err(AskError::NotKept { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{verb:?}: {error}"),
            }
            assert!(attempt < 2000, "{verb:?} is never kept");
        }
    }
    assert_eq!(life.end(&id).await.state, DrainState::Aborted);
}
