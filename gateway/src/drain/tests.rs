//! Drains against the real registry and a fleet in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use handover_protocol::DrainId;
use handover_protocol::admin::{DrainRequest, DrainState, DrainStatus, PausedBy};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::memory_fleet::{Handle, MemoryFleet, board, name};
use super::retention::DRAINS_KEPT;
use super::*;
use crate::config::MetricsConfig;
use crate::registry::{EmbeddedRegistry, SimDisk};
use crate::telemetry::Metrics;

/// One life of a gateway.
pub(crate) struct Life {
    pub(crate) drains: Arc<Drains>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Life {
    pub(crate) async fn begin(folder: &Path, fleet: &Arc<MemoryFleet>, release: &str) -> Self {
        let life = Self::prepare(folder, fleet, release);
        life.drains.resume().await.unwrap();
        life
    }

    /// Puts the parts together and does not yet take up what was kept.
    pub(crate) fn prepare(folder: &Path, fleet: &Arc<MemoryFleet>, release: &str) -> Self {
        let registry = EmbeddedRegistry::open(&folder.join("handover.db")).unwrap();
        Self::prepare_on(registry, fleet, release)
    }

    fn prepare_on(registry: EmbeddedRegistry, fleet: &Arc<MemoryFleet>, release: &str) -> Self {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
        let drains = Drains::new(
            release.parse().unwrap(),
            Arc::new(Handle(Arc::clone(fleet))),
            Arc::new(registry),
            Arc::clone(&metrics),
            tasks.clone(),
            shutdown.clone(),
        );
        Self {
            drains,
            metrics,
            tasks,
            shutdown,
        }
    }

    /// Ends as on SIGTERM: moves that have not committed are undone, drains stay as they were.
    async fn finish(self) {
        self.shutdown.cancel();
        self.rest().await;
    }

    /// Waits for the tasks of drains that have ended.
    async fn rest(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn wait_for(&self, id: &DrainId, wanted: impl Fn(&DrainStatus) -> bool) -> DrainStatus {
        for _ in 0..2000 {
            let status = self.drains.status(id).unwrap();
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("drain {id} never came that far: {:?}", self.drains.status(id));
    }

    async fn end(&self, id: &DrainId) -> DrainStatus {
        self.wait_for(id, |status| status.done).await
    }

    async fn start(&self, request: &str) -> Result<Started, StartError> {
        self.drains.start(request_of(request), None).await
    }
}

fn request_of(text: &str) -> DrainRequest {
    serde_json::from_str(text).unwrap()
}

const R1_TO_R2: &str = r#"{"id": "d1", "from": {"release": "r1"}, "to": {"release": "r2"},
    "pace": {"boards_per_second": 0, "boards_at_once": 4, "loads_per_target": 4}}"#;

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
    life.drains.ask(&id, Verb::Resume).await.unwrap();
    assert_eq!(life.end(&id).await.state, DrainState::Done);
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
    assert_eq!(status.undone, 6);
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
