//! Which drains are let in, and what a preview says of one.

use super::*;

#[tokio::test]
async fn a_repeated_request_finds_its_drain_and_another_is_refused() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(4));
    fleet.set_move_time(Duration::from_secs(30));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let repeats: Vec<_> = (0..5)
        .map(|_| tokio::spawn(Arc::clone(&life.drains).start_owned(R1_TO_R2)))
        .collect();
    let mut new = 0;
    for repeat in repeats {
        new += usize::from(repeat.await.unwrap().unwrap().is_new);
    }
    assert_eq!(new, 1);
    let other = R1_TO_R2.replace("boards_at_once\": 4", "boards_at_once\": 5");
    assert!(matches!(life.start(&other).await, Err(StartError::Exists { .. })));
    let check = |error: StartError| {
        let StartError::Conflict { running } = error else {
            panic!("{error:?}")
        };
        assert_eq!(running.as_str(), "d1");
    };
    check(
        life.start(r#"{"from": {"servers": ["a"]}, "to": {"servers": ["d"]}}"#)
            .await
            .unwrap_err(),
    );
    check(
        life.start(r#"{"from": {"release": "r2"}, "to": {"release": "r1"}}"#)
            .await
            .unwrap_err(),
    );
}

impl Drains {
    async fn start_owned(self: Arc<Self>, request: &str) -> Result<Started, StartError> {
        self.start(request_of(request), None).await
    }
}

#[tokio::test]
async fn a_drain_never_leaves_new_boards_without_a_server() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(2));
    let life = Life::begin(folder.path(), &fleet, "r2").await;
    fleet.set_unready(&["d"]);
    let request = r#"{"from": {"servers": ["c"]}, "to": {"servers": ["d", "b"]}}"#;
    assert!(matches!(life.start(request).await, Err(StartError::NoHome { .. })));
    fleet.set_unready(&[]);
    assert!(life.start(request).await.is_ok());
}

#[tokio::test]
async fn a_preview_says_what_would_happen_and_begins_nothing() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(10));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let request = request_of(R1_TO_R2);
    let preview = life.drains.preview(&request).await.unwrap();
    assert!(preview.acceptable && preview.problems.is_empty(), "{preview:?}");
    assert_eq!((preview.totals.boards, preview.totals.transparent), (10, 10));
    assert_eq!((preview.boards.len(), preview.truncated), (10, false));
    assert!(
        preview.boards.is_sorted_by_key(|board| board.sessions),
        "idle boards first"
    );
    assert!(preview.estimate_seconds > 0.0);
    assert!(life.drains.list().is_empty() && fleet.lock().begun.is_empty());

    // It is what happens then.
    let id = life.start(R1_TO_R2).await.unwrap().status.id;
    life.end(&id).await;
    let went: Vec<_> = fleet.recent_moves_by_board();
    for board in &preview.boards {
        assert!(
            went.contains(&(board.board.clone(), board.to.clone().unwrap())),
            "{board:?}"
        );
    }

    fleet.set_unready(&["a", "b"]);
    let back = request_of(r#"{"id": "d1", "from": {"release": "r2"}, "to": {"release": "r1"}}"#);
    let preview = life.drains.preview(&back).await.unwrap();
    assert_eq!(
        (preview.acceptable, preview.problems[0].reason.as_str()),
        (false, "drain_exists")
    );
    assert_eq!(
        (preview.problems[1].reason.as_str(), preview.problems[1].boards),
        ("target_not_ready", 10)
    );
    assert!(preview.boards.iter().all(|board| board.to.is_none()));
    let nowhere = request_of(r#"{"from": {"release": "r9"}, "to": {"release": "r1"}}"#);
    assert!(matches!(life.drains.preview(&nowhere).await, Err(StartError::Plan(_))));
}

#[tokio::test]
async fn a_plan_judges_a_request_as_its_start_would() {
    let (folder, fleet) = (tempfile::tempdir().unwrap(), MemoryFleet::new(4));
    let life = Life::begin(folder.path(), &fleet, "r1").await;
    let plan = async |text: &str| life.drains.preview(&request_of(text)).await.unwrap();
    assert_eq!(plan(R1_TO_R2).await.started_already, None);
    let id = life.start(R1_TO_R2).await.unwrap().status.id;
    life.end(&id).await;
    // With no target left the same start is still accepted, for it starts nothing.
    fleet.set_unready(&["c", "d"]);
    let again = plan(R1_TO_R2).await;
    assert!(!life.start(R1_TO_R2).await.unwrap().is_new);
    assert_eq!(
        (again.acceptable, again.started_already, again.problems.len()),
        (true, Some(DrainState::Done), 0),
        "{again:?}"
    );
    let other = R1_TO_R2.replace("loads_per_target\": 4", "loads_per_target\": 3");
    let other = plan(&other).await;
    assert_eq!((other.acceptable, other.started_already), (false, None));
    assert_eq!(other.problems[0].reason, "drain_exists");
}
