//! Servers that are gone, and what becomes of their boards: seized for whoever comes, taken over by a drain, or left
//! alone where nobody can know.

use std::fmt;
use std::time::Duration;

use handover_protocol::admin::{BoardState, DrainRequest, DrainState};
use handover_tests::{
    BoardServer, Call, ControlMeddler, Database, Gateway, Program, Route, Trick, User, UserError, eventually,
    eventually_some, matrix,
};
use http::StatusCode;
use serde_json::{Value, json};

async fn server(name: &str, release: &str, database: &Database) -> BoardServer {
    BoardServer::builder(Program::Reference, name, release, database)
        .start()
        .await
}

async fn opaque_server(name: &str, release: &str, database: &Database) -> BoardServer {
    BoardServer::builder(Program::Reference, name, release, database)
        .without_contract()
        .start()
        .await
}

/// A gateway whose newcomers go to r1, once it has heard of every server.
async fn gateway(route: &Route, servers: &[&BoardServer]) -> Gateway {
    let mut builder = Gateway::builder("r1").route(route);
    for server in servers {
        builder = builder.server(server);
    }
    let gateway = builder.start().await;
    gateway.all_ready().await;
    gateway
}

/// Comes until it is let in.
async fn join_at_last(gateway: &Gateway, board: &str, name: &str) -> User {
    let mut user = eventually_some("the board is served", SOON, || {
        User::connect(gateway.traffic(), board, name)
    })
    .await;
    user.hello().await;
    user
}

async fn owner(gateway: &Gateway, board: &str) -> (String, u64) {
    let view = gateway.admin().board(board).await.expect("it is known");
    let server = view.server.expect("it is owned");
    (server.to_string(), view.generation.number())
}

#[tokio::test]
async fn boards_of_a_lost_server_go_to_the_release_of_newcomers_and_else_to_any() {
    let database = Database::fresh().await;
    let first = server("board-1", "r1", &database).await;
    let second = server("board-2", "r1", &database).await;
    let other = server("board-3", "r2", &database).await;
    let gateway = gateway(&Route::whiteboard(), &[&first, &second, &other]).await;
    for board in ["a", "b"] {
        let mut ann = User::join(gateway.traffic(), board, "ann").await;
        let seq = ann.draw().await;
        ann.saved(seq).await;
    }
    assert_eq!(owner(&gateway, "a").await, ("board-1".into(), 1));

    first.process().kill();
    let mut ann = join_at_last(&gateway, "a", "ann").await;
    ann.continue_after(1);
    let seq = ann.draw().await;
    assert_eq!(ann.saved(seq).await, 2);
    // It has a board already and board-3 has none; the release counts more.
    assert_eq!(owner(&gateway, "a").await, ("board-2".into(), 2));

    second.process().kill();
    let mut ann = join_at_last(&gateway, "a", "ann").await;
    ann.continue_after(2);
    let seq = ann.draw().await;
    assert_eq!(ann.saved(seq).await, 3);
    assert_eq!(owner(&gateway, "a").await, ("board-3".into(), 3));
    let generations = database.changes("a").await.into_iter().map(|change| change.generation);
    assert_eq!(generations.collect::<Vec<_>>(), [1, 2, 3]);
    // A board that nobody has served waits for its release.
    let refused = User::connect(gateway.traffic(), "new", "ann").await;
    assert!(
        matches!(refused, Err(UserError::Refused { status, .. }) if status == StatusCode::SERVICE_UNAVAILABLE),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_lost_servers_board_goes_to_no_server_that_is_being_emptied() {
    let database = Database::fresh().await;
    let first = server("board-1", "r1", &database).await;
    let emptied = server("board-2", "r1", &database).await;
    let other = server("board-3", "r2", &database).await;
    // A board that stays keeps the drain running.
    let route = Route::whiteboard().with("mode", "\"stay\"");
    let gateway = gateway(&route, &[&first, &emptied, &other]).await;
    drop(User::join(gateway.traffic(), "a", "ann").await);
    let _stays = User::join(gateway.traffic(), "b", "bob").await;
    assert_eq!(owner(&gateway, "b").await, ("board-2".into(), 1));
    drain(
        &gateway,
        &json!({"id": "d", "from": {"servers": ["board-2"]}, "to": {"servers": ["board-3"]}}),
    )
    .await;

    first.process().kill();
    let _ann = join_at_last(&gateway, "a", "ann").await;
    assert_eq!(owner(&gateway, "a").await, ("board-3".into(), 2));
    let status = gateway.admin().drain_status("d").await.expect("it is known");
    assert_eq!(status.state, DrainState::Running, "{status:?}");
}

#[tokio::test]
async fn a_board_whose_new_server_dies_goes_back_to_the_one_that_is_being_emptied_where_there_is_no_other() {
    let database = Database::fresh().await;
    let source = server("board-1", "r1", &database).await;
    let target = server("board-2", "r2", &database).await;
    let gateway = gateway(&Route::whiteboard(), &[&source, &target]).await;
    let mut users = Vec::new();
    for board in ["a", "b"] {
        let mut ann = User::join(gateway.traffic(), board, "ann").await;
        let seq = ann.draw().await;
        ann.saved(seq).await;
        users.push(ann);
    }
    // The first board goes at once, the second in a quarter of an hour.
    let pace = json!({"boards_per_second": 0.001});
    drain(
        &gateway,
        &json!({"id": "d", "from": {"release": "r1"}, "to": {"release": "r2"}, "pace": pace}),
    )
    .await;
    eventually("a board has moved", SOON, || async {
        gateway
            .admin()
            .drain_status("d")
            .await
            .is_ok_and(|status| status.boards.moved == 1)
    })
    .await;
    let moved = match owner(&gateway, "a").await.0.as_str() {
        "board-2" => "a",
        _ => "b",
    };
    assert_eq!(owner(&gateway, moved).await, ("board-2".into(), 2));

    target.process().kill();
    let mut ann = join_at_last(&gateway, moved, "ann").await;
    ann.continue_after(1);
    let seq = ann.draw().await;
    assert_eq!(ann.saved(seq).await, 2);
    assert_eq!(owner(&gateway, moved).await, ("board-1".into(), 3));
    eventually("the drain has it on its list again", SOON, || async {
        let status = gateway.admin().drain_status("d").await;
        status.is_ok_and(|status| status.state == DrainState::Paused && status.boards.left == 2)
    })
    .await;
    let servers = gateway.admin().servers().await.expect("the gateway answers").servers;
    let emptied = servers.iter().find(|server| server.name.as_str() == "board-1");
    assert_eq!(
        emptied.map(|server| (server.boards, server.safe_to_terminate)),
        Some((2, false))
    );
}

/// How the source of a drain is lost, and what else is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Killed,
    /// It stands still with its sockets open.
    Stopped,
    /// And a fence is higher than the registry knows.
    Fenced,
    /// And the target refuses the board at first.
    Refused,
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

#[tokio::test]
async fn a_drain_takes_the_boards_of_a_lost_server_under_a_higher_generation() {
    let cases = vec![Loss::Killed, Loss::Stopped, Loss::Fenced, Loss::Refused];
    for loss in matrix("drain of a lost server", cases, |_| true) {
        check_takeover(loss).await;
    }
}

async fn check_takeover(loss: Loss) {
    let database = Database::fresh().await;
    let source = server("board-1", "r1", &database).await;
    let target = server("board-2", "r2", &database).await;
    let calls = ControlMeddler::before(target.control().expect("it has the contract")).await;
    let gateway = Gateway::builder("r1").route(&Route::whiteboard()).server(&source);
    let gateway = gateway.server_behind(&target, target.traffic(), Some(calls.address()));
    let gateway = gateway.start().await;
    gateway.all_ready().await;
    let boards = ["a", "b", "c"];
    let mut users = Vec::new();
    for board in boards {
        let mut ann = User::join(gateway.traffic(), board, "ann").await;
        let seq = ann.draw().await;
        ann.saved(seq).await;
        users.push(ann);
    }
    let generation = match loss {
        Loss::Killed | Loss::Stopped | Loss::Refused => 2,
        Loss::Fenced => 8,
    };
    match loss {
        Loss::Killed => source.process().kill(),
        Loss::Stopped => source.process().stop(),
        Loss::Fenced => {
            source.process().kill();
            let raised = sqlx::query("UPDATE fences SET generation = 7, owner = 'board-9/x'");
            raised
                .execute(database.pool())
                .await
                .expect("the servers made the table");
        }
        Loss::Refused => {
            source.process().kill();
            calls.lay(Call::Activate, Trick::Refuse(StatusCode::INTERNAL_SERVER_ERROR));
        }
    }
    drain(
        &gateway,
        &json!({"id": "d", "from": {"release": "r1"}, "to": {"release": "r2"}}),
    )
    .await;
    let status = gateway.admin().drained("d", SOON).await;
    assert_eq!(status.state, DrainState::Done, "{loss}: {status:?}");
    // A board that was given to the heir before the drain came to it is not its own.
    let counts = status.boards;
    assert_eq!((counts.left, counts.closed), (0, 0), "{loss}: {status:?}");
    assert_eq!(counts.moved, counts.total, "{loss}: {status:?}");
    calls.all_sprung(SOON).await;
    for mut user in users {
        let code = user.closed(SOON).await;
        assert_eq!(code, Some(1012), "{loss}");
    }
    for board in boards {
        let mut ann = join_at_last(&gateway, board, "ann").await;
        ann.continue_after(1);
        let seq = ann.draw().await;
        assert_eq!(ann.saved(seq).await, 2, "{loss}: {board}");
        let view = gateway.admin().board(board).await.expect("it is known");
        assert_eq!(view.state, BoardState::Settled, "{loss}: {view:?}");
        assert_eq!(
            owner(&gateway, board).await,
            ("board-2".into(), generation),
            "{loss}: {board}"
        );
        let (fence, holder) = database.fence(board).await.expect("it has a fence");
        assert_eq!(
            (fence.unsigned_abs(), holder.starts_with("board-2/")),
            (generation, true),
            "{loss}"
        );
    }
}

#[tokio::test]
async fn a_board_of_an_opaque_server_is_given_to_nobody_while_its_server_is_gone() {
    let database = Database::fresh().await;
    let mut opaque = opaque_server("opaque-1", "r1", &database).await;
    let contract = server("board-1", "r1", &database).await;
    let spare = server("board-2", "r1", &database).await;
    let spare_opaque = opaque_server("opaque-2", "r1", &database).await;
    let gateway = gateway(&Route::whiteboard(), &[&opaque, &contract, &spare, &spare_opaque]).await;
    for board in ["a", "b"] {
        let mut ann = User::join(gateway.traffic(), board, "ann").await;
        let seq = ann.draw().await;
        ann.saved(seq).await;
    }
    assert_eq!(owner(&gateway, "a").await, ("opaque-1".into(), 1));
    assert_eq!(owner(&gateway, "b").await, ("board-1".into(), 1));

    opaque.process().kill();
    contract.process().kill();
    // Once a board of the contract server is elsewhere, every server has been silent for long enough to be lost.
    let _ann = join_at_last(&gateway, "b", "ann").await;
    assert_eq!(owner(&gateway, "b").await.1, 2);
    let refused = User::connect(gateway.traffic(), "a", "ann").await;
    assert!(matches!(refused, Err(UserError::Refused { .. })), "{refused:?}");
    assert_eq!(owner(&gateway, "a").await, ("opaque-1".into(), 1));

    opaque.restart().await;
    let mut ann = join_at_last(&gateway, "a", "ann").await;
    ann.continue_after(1);
    let seq = ann.draw().await;
    assert_eq!(ann.saved(seq).await, 2);
    assert_eq!(owner(&gateway, "a").await, ("opaque-1".into(), 1));
}

async fn drain(gateway: &Gateway, request: &Value) {
    let request: DrainRequest = serde_json::from_value(request.clone()).expect("there is such a drain");
    gateway.admin().drain(&request).await.expect("it is let in");
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);
