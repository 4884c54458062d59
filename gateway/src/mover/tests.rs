//! Orders that are not carried out, over the real registry.

use std::path::Path;

use handover_protocol::admin::Level;
use handover_protocol::machine::moving::Event;
use handover_protocol::{Generation, Owner, Placement};

use super::*;
use crate::board::Placer;
use crate::config::Config;
use crate::registry::{EmbeddedRegistry, Registry};

/// A board that `board-2` owns under its first generation, and whoever could move it.
struct Yard {
    mover: Arc<Mover>,
    boards: Arc<Boards>,
    _folder: tempfile::TempDir,
}

async fn yard() -> Yard {
    let server = |number: u8| {
        format!(
            "[[servers]]\nname = \"board-{number}\"\nurl = \"http://127.0.0.1:{}\"\nrelease = \"r1\"\n\
             control_url = \"http://127.0.0.1:{}\"\n",
            3 + u16::from(number),
            6 + u16::from(number)
        )
    };
    let text = format!(
        "[listen]\ntraffic = [\"127.0.0.1:1\"]\nadmin = \"127.0.0.1:2\"\n[registry]\nfile = \"r.db\"\n\
         [releases]\ncurrent = \"r1\"\n{}{}{}[[routes]]\nname = \"boards\"\nboard = {{ path = \"/b/{{board}}/**\" }}\n",
        server(1),
        server(2),
        server(3)
    );
    let (config, _) = Config::parse(&text, Path::new("handover.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new(&config.metrics).unwrap());
    let servers = Servers::new(&config.servers, &config.limits, &metrics);
    let granted = Placement::UNKNOWN.grant(owner("board-2"), Generation::NONE, "gateway-0".parse().unwrap());
    let coordinator = || "gateway-0".parse().unwrap();
    let granted = granted.unwrap();
    let settled = granted.settle().unwrap();
    let left_behind = settled.begin(owner("board-1"), coordinator()).unwrap();
    let registry = EmbeddedRegistry::open(&folder.path().join("r.db")).unwrap();
    let moving: BoardId = "moving".parse().unwrap();
    registry
        .compare_and_set(&moving, None, left_behind.clone())
        .await
        .unwrap();
    let boards = Boards::new(
        vec![("b".parse().unwrap(), settled), (moving, left_behind)],
        Arc::clone(&servers),
        Arc::new(registry),
        "gateway-1".parse().unwrap(),
        Arc::clone(&metrics),
        Placer::new(config.releases.current.clone(), TaskTracker::new()),
        TaskTracker::new(),
    );
    let route = Arc::clone(&config.routes[0]);
    Yard {
        mover: Mover::new(Arc::clone(&boards), servers, metrics, route, TaskTracker::new()),
        boards,
        _folder: folder,
    }
}

fn owner(server: &str) -> Owner {
    Owner {
        server: server.parse().unwrap(),
        incarnation: None,
    }
}

async fn order(yard: &Yard, board: &str, from: Option<&str>, target: &str) -> MoveReport {
    let order = MoveOrder {
        spacing: Spacing::Kept,
        keep_warm: false,
        asked_by: AskedBy::Caller("a test".to_owned()),
        board: board.parse().unwrap(),
        from: from.map(|server| server.parse().unwrap()),
        target: target.parse().unwrap(),
        mode: DrainMode::Auto,
        cancel: CancellationToken::new(),
        prepared: None,
    };
    yard.mover.move_board(order).await
}

#[tokio::test]
async fn a_board_is_moved_off_the_source_that_the_order_names_and_off_no_other() {
    let yard = yard().await;
    let board = yard.boards.get(&"b".parse().unwrap()).unwrap();
    let before = board.placement();
    let check = async |board: &str, from: Option<&str>, target: &str, expected: (&str, Option<&str>)| {
        let report = order(&yard, board, from, target).await;
        let server = report.server.as_ref().map(ServerName::as_str);
        assert_eq!((report.result.as_str(), server), expected, "{from:?} {target}");
        let known = server.map_or((Generation::NONE, Level::Opaque), |_| {
            (before.generation, Level::Contract)
        });
        assert_eq!((report.generation, report.level), known, "{from:?} {target}");
    };
    check("b", Some("board-1"), "board-3", ("not_at_source", Some("board-2"))).await;
    check("b", Some("board-1"), "board-2", ("not_at_source", Some("board-2"))).await;
    check("other", Some("board-1"), "board-3", ("not_at_source", None)).await;
    // Nobody has heard of the targets, so that is what stands in the way next.
    check("b", Some("board-2"), "board-3", ("target_not_ready", Some("board-2"))).await;
    check("b", None, "board-3", ("target_not_ready", Some("board-2"))).await;
    check("b", None, "board-2", ("already_there", Some("board-2"))).await;
    check("other", None, "board-3", ("not_open", None)).await;
    assert_eq!(board.placement(), before);
    assert!(yard.mover.recent(1).is_empty());
}

#[tokio::test]
async fn a_move_that_is_cancelled_before_it_has_a_plan_does_not_begin() {
    let yard = yard().await;
    let board = yard.boards.get(&"b".parse().unwrap()).unwrap();
    let before = board.placement();
    let order = MoveOrder {
        spacing: Spacing::Kept,
        keep_warm: false,
        asked_by: AskedBy::Caller("a test".to_owned()),
        board: board.id().clone(),
        from: None,
        target: "board-3".parse().unwrap(),
        mode: DrainMode::Auto,
        cancel: CancellationToken::new(),
        prepared: None,
    };
    order.cancel.cancel();
    let report = yard.mover.move_board(order).await;
    assert_eq!(report.result, "aborted");
    assert_eq!(report.server, Some("board-2".parse().unwrap()));
    assert_eq!(board.placement(), before);
}

#[tokio::test]
async fn a_board_that_changed_hands_behind_the_plan_is_not_claimed() {
    let yard = yard().await;
    let board = yard.boards.get(&"b".parse().unwrap()).unwrap();
    let before = board.placement();
    let planned_off = "board-1".parse().unwrap();
    let event = calls::claim(&yard.boards, &board, &planned_off, owner("board-3")).await;
    assert_eq!(event, Event::ClaimRefused);
    assert_eq!(board.placement(), before);
}

#[tokio::test]
async fn a_move_that_nobody_drives_any_more_is_undone_and_one_that_somebody_drives_is_left_alone() {
    let yard = yard().await;
    let board = yard.boards.get(&"moving".parse().unwrap()).unwrap();
    let before = board.placement();
    let driving = yard.mover.driven.begin(board.id());
    yard.mover.tidy().await;
    drop(driving);
    assert_eq!(board.placement(), before);
    yard.mover.tidy().await;
    yard.mover.tasks.close();
    yard.mover.tasks.wait().await;
    let after = board.placement();
    assert_eq!((after.is_settled(), after.attempt), (true, before.attempt.next()));
    assert!(
        yard.mover.driven.begin_alone(board.id()).is_some(),
        "nobody has it in hand"
    );
}
