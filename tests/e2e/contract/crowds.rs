//! Boards with nobody, one user and fifty users, who draw all through the move; the ledger judges.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use handover_loadtest::report::in_words;
use handover_loadtest::scenario::{AdminClient, Load, Run, Stand};
use handover_loadtest::user::{Endpoint, Resend};
use handover_protocol::admin::DrainRequest;
use handover_protocol::contract::BoardRole;
use handover_tests::{Call, Contract, Program, Route, Trick, User, eventually, matrix};
use serde_json::json;

use super::meddled::{Meddled, SOON};
use super::{Stage, stage};

struct Case {
    users: u64,
    crossing: Crossing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crossing {
    Transparent,
    ReconnectByClose,
    ReconnectByMessage,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?}", self.users, self.crossing)
    }
}

#[tokio::test]
async fn a_crowd_that_draws_all_through_a_move_loses_nothing() {
    let mut cases = Vec::new();
    for users in [0, 1, 50] {
        for crossing in [
            Crossing::Transparent,
            Crossing::ReconnectByClose,
            Crossing::ReconnectByMessage,
        ] {
            cases.push(Case { users, crossing });
        }
    }
    let subset = |case: &Case| match case.users {
        0 => case.crossing == Crossing::ReconnectByClose,
        1 => case.crossing == Crossing::Transparent,
        _ => true,
    };
    for case in matrix("users x crossing", cases, subset) {
        check(&case).await;
    }
}

async fn check(case: &Case) {
    let (route, mode, resend) = match case.crossing {
        Crossing::Transparent => {
            let route = Route::whiteboard().with("greeting", "{ messages = 1 }");
            (route, "transparent", Resend::Never)
        }
        Crossing::ReconnectByClose => (Route::whiteboard(), "reconnect", Resend::Unacknowledged),
        Crossing::ReconnectByMessage => {
            let route = Route::whiteboard().with("command", r#"'{"type":"reconnect"}'"#);
            (route, "reconnect", Resend::Unacknowledged)
        }
    };
    let Stage { database, gateway, .. } = &stage(&route).await;
    let stand = Stand {
        endpoint: Endpoint::plain(&gateway.traffic().to_string()),
        admin: Some(AdminClient::new(gateway.admin().url())),
        database: database.url(),
    };
    // A board that was drawn on and left is there in each case; with nobody it is the only one.
    let load = Load {
        scenario: "release",
        sessions: case.users,
        boards: 1,
        idle_boards: 1,
        rate: 5.0 * case.users.min(20) as f64,
        pad_bytes: 0,
        silent: 0,
        stuck: 0,
        resend,
        prefix: String::new(),
    };
    let mut run = Run::begin(stand, load).await.expect("everybody is let in");
    let progress = run.progress();
    let more_is_saved = async |changes: u64| {
        let before = progress.acked.load(Relaxed);
        eventually("more is saved", SOON, || async {
            progress.acked.load(Relaxed) >= before + changes
        })
        .await;
    };
    more_is_saved(2 * case.users).await;
    let request = json!({"from": {"release": "r1"}, "to": {"release": "r2"}, "mode": mode});
    let request: DrainRequest = serde_json::from_value(request).expect("it is what the API takes");
    run.release(request, LIMIT, |_| {}).await.expect("the drain ends");
    more_is_saved(2 * case.users).await;
    let report = run.finish().await.expect("the database can be read");

    assert!(report.is_ok(), "{case}: {}", in_words(&report));
    let release = report.release.as_ref().expect("there was one");
    let boards = 1 + case.users.min(1);
    assert_eq!((release.boards_moved, release.boards_failed), (boards, 0), "{case}");
    assert_eq!(
        (release.fallen_back_sessions, release.unconfirmed_sessions),
        (0, 0),
        "{case}: {}",
        in_words(&report)
    );
    let came_back = if case.crossing == Crossing::Transparent {
        0
    } else {
        case.users
    };
    assert_eq!(report.load.sessions_reconnected, came_back, "{case}");
    assert_eq!(report.totals.seen > 0, case.users > 1, "{case}: {:?}", report.totals);
    let generations: Vec<i64> = database
        .changes("board-1")
        .await
        .iter()
        .map(|change| change.generation)
        .collect();
    for generation in [1, 2] {
        assert_eq!(
            generations.contains(&generation),
            case.users > 0,
            "{case}: {generation}"
        );
    }
    assert!(!database.changes("idle-1").await.is_empty(), "{case}");
}

#[tokio::test]
async fn what_a_board_without_sockets_has_not_saved_is_saved_by_its_freeze() {
    let stage = Meddled::start(Program::Reference, |server| server, &Route::whiteboard()).await;
    let mut ann = stage.join("ann").await;
    let mut locking = stage.database.pool().begin().await.expect("the database answers");
    // Nobody can write; everybody can read.
    sqlx::query("LOCK TABLE changes IN SHARE MODE")
        .execute(&mut *locking)
        .await
        .expect("the server has made the table");
    ann.draw().await;
    ann.leave().await;
    let contract = Contract::of(&stage.source.server);
    let (unlocked, unlocking) = tokio::sync::oneshot::channel();
    stage.source.control.lay(
        Call::Freeze,
        Trick::before(move || async move {
            tokio::spawn(async move {
                eventually("the board freezes", SOON, || async {
                    let page = contract.boards(None, 10).await.expect("it lists");
                    page.boards.iter().all(|report| report.role == BoardRole::Frozen)
                })
                .await;
                let count: i64 = sqlx::query_scalar("SELECT count(*) FROM changes")
                    .fetch_one(&mut *locking)
                    .await
                    .expect("the lock is for writers");
                locking.rollback().await.expect("the database answers");
                let _ = unlocked.send(count);
            });
        }),
    );
    let report = stage.switch().await;
    assert_eq!((report.switched, report.reconnected), (0, 0), "{report:?}");
    assert_eq!(report.unconfirmed, [], "{report:?}");
    let saved_before = unlocking.await.expect("the freeze came");
    assert_eq!(saved_before, 0, "the board froze with its change unsaved");
    let changes = stage.database.changes("b").await;
    assert_eq!((changes.len(), changes[0].generation), (1, 1));
    stage.source.server.process().kill();
    let mut ann = User::connect(stage.users.address(), "b", "ann")
        .await
        .expect("the target serves");
    assert_eq!(ann.hello().await, 1, "the target has the change");
}

const LIMIT: Duration = Duration::from_secs(60);
