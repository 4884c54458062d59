//! One gateway between users and two board servers: the shortest way through everything.

use std::time::Duration;

use handover_protocol::admin::{DrainMode, MoveRequest};
use handover_tests::{
    BoardServer, ClientLibrary, Database, Gateway, LibraryUser, Program, Route, Strokes, User, eventually,
};

struct Stage {
    database: Database,
    source: BoardServer,
    _target: BoardServer,
    gateway: Gateway,
}

/// Two servers of two releases, and a gateway whose newcomers go to the first.
async fn stage(program: Program) -> Stage {
    let database = Database::fresh().await;
    let (source, target) = tokio::join!(
        BoardServer::builder(program, "board-1", "r1", &database).start(),
        BoardServer::builder(program, "board-2", "r2", &database).start(),
    );
    let gateway = Gateway::builder("r1").server(&source).server(&target);
    let gateway = gateway.route(&Route::whiteboard()).start().await;
    Stage {
        database,
        source,
        _target: target,
        gateway,
    }
}

fn to_target(mode: DrainMode) -> MoveRequest {
    MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode,
    }
}

#[tokio::test]
async fn a_socket_stays_open_while_its_board_moves() {
    let Stage {
        database,
        source,
        gateway,
        ..
    } = &stage(Program::Reference).await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let mut bob = User::join(gateway.traffic(), "b", "bob").await;
    for _ in 0..3 {
        let seq = ann.draw().await;
        ann.saved(seq).await;
    }
    assert_eq!(
        gateway
            .admin()
            .board("b")
            .await
            .expect("it is open")
            .server
            .expect("it is owned")
            .as_str(),
        "board-1"
    );
    let report = gateway
        .admin()
        .move_board("b", &to_target(DrainMode::Transparent))
        .await;
    let report = report.expect("the board is moved");
    assert_eq!(report.result, "moved", "{report:?}");
    assert_eq!((report.switched, report.reconnected), (2, 0), "{report:?}");
    source.process().kill();
    let seq = ann.draw().await;
    assert_eq!(ann.saved(seq).await, 4);
    let seq = bob.draw().await;
    assert_eq!(bob.saved(seq).await, 5);
    let generations: Vec<i64> = database
        .changes("b")
        .await
        .iter()
        .map(|change| change.generation)
        .collect();
    assert_eq!(generations, [1, 1, 1, 2, 2]);
}

#[tokio::test]
async fn a_user_who_reconnects_finds_the_board_on_the_target() {
    let Stage { database, gateway, .. } = &stage(Program::Reference).await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let request = to_target(DrainMode::Reconnect);
    let (report, code) = tokio::join!(
        gateway.admin().move_board("b", &request),
        ann.closed(Duration::from_secs(10))
    );
    assert_eq!(code, Some(1012));
    assert_eq!(report.expect("the board is moved").reconnected, 1);
    let mut again = User::connect(gateway.traffic(), "b", "ann")
        .await
        .expect("the board is served");
    assert_eq!(again.hello().await, 1);
    again.continue_after(1);
    let seq = again.draw().await;
    again.saved(seq).await;
    assert_eq!(database.changes("b").await[1].generation, 2);
}

#[tokio::test]
async fn a_gateway_that_was_killed_knows_its_boards_again() {
    let mut stage = stage(Program::Reference).await;
    let mut ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let before = stage.gateway.admin().board("b").await.expect("it is open");
    stage.gateway.restart().await;
    assert_eq!(ann.closed(Duration::from_secs(5)).await, None);
    let mut again = User::connect(stage.gateway.traffic(), "b", "ann")
        .await
        .expect("the board is served");
    assert_eq!(again.hello().await, 1);
    let after = stage.gateway.admin().board("b").await.expect("it is open");
    assert_eq!((after.server, after.generation), (before.server, before.generation));
    let metrics = stage.gateway.admin().metrics().await.expect("it has metrics");
    eventually("the board is counted once", Duration::from_secs(10), || async {
        let metrics = stage.gateway.admin().metrics().await.expect("it has metrics");
        metrics.value("rtb_spaces_count", &[("instance", "board-1")]) == Some(1.0)
    })
    .await;
    assert_eq!(metrics.value("rtb_spaces_count", &[("instance", "board-2")]), Some(0.0));
}

#[tokio::test]
async fn a_compressed_session_is_switched_between_queueing_servers() {
    let stage = stage(Program::Websockets).await;
    let strokes = Strokes {
        fragments: 3,
        ..Strokes::default()
    };
    let ann = LibraryUser::join(ClientLibrary::Websockets, stage.gateway.traffic(), "b", "ann", &strokes).await;
    eventually("some changes are saved", Duration::from_secs(10), || async {
        ann.saved().len() >= 10
    })
    .await;
    let report = stage
        .gateway
        .admin()
        .move_board("b", &to_target(DrainMode::Transparent))
        .await;
    let report = report.expect("the board is moved");
    assert_eq!((report.switched, report.reconnected), (1, 0), "{report:?}");
    let before = ann.saved().len();
    eventually("more changes are saved", Duration::from_secs(10), || async {
        ann.saved().len() >= before + 10
    })
    .await;
    let sent = ann.finish().await;
    assert_eq!(ann.saved(), (1..=sent).collect::<Vec<_>>());
    assert_eq!(stage.database.changes("b").await.len() as u64, sent);
    assert_eq!(stage.database.repeats("b").await, 0);
}
