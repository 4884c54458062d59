//! What is answered where something is wrong: a target that refuses one session, a source that answers no handshake as it
//! should, boards that are none, and a configuration that cannot be used. Nothing else breaks.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use handover_protocol::admin::{BoardState, DrainMode, Level, MoveReport, MoveRequest, Problem, ProblemType};
use handover_tests::{
    AdminError, BoardServer, Database, Gateway, Heard, Process, Program, Route, TrafficMeddler, Trick, User, UserError,
    binary, free_port,
};
use http::StatusCode;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

struct Stage {
    database: Database,
    _servers: [BoardServer; 2],
    before_source: TrafficMeddler,
    gateway: Gateway,
}

/// Two servers of one kind, of which the second refuses something, behind a gateway.
async fn stage(level: Level, of_target: Option<&str>) -> Stage {
    let database = Database::fresh().await;
    let server = |name, release| {
        let server = BoardServer::builder(Program::NodeWs, name, release, &database);
        match level {
            Level::Opaque => server.without_contract(),
            Level::Contract => server,
        }
    };
    let target = server("board-2", "r2");
    let target = of_target
        .into_iter()
        .fold(target, |target, habit| target.with_habit(habit));
    let (source, target) = tokio::join!(server("board-1", "r1").start(), target.start());
    let before_source = TrafficMeddler::before(source.traffic()).await;
    let route = Route::whiteboard()
        .with("mode", "\"transparent\"")
        .with("replay", "{ first = 1, await_answer = true }")
        .with("greeting", "{ messages = 1 }")
        .with("settle", "\"200ms\"")
        .with("quiet_max", "\"2s\"");
    let gateway = Gateway::builder("r1")
        .server_behind(&source, before_source.address(), source.control())
        .server(&target)
        .route(&route)
        .start()
        .await;
    gateway.all_ready().await;
    Stage {
        database,
        _servers: [source, target],
        before_source,
        gateway,
    }
}

/// Moves a board with three users, of whom the target takes two; returns the gateway and what was reported.
async fn move_past_a_refusal_of_bob(level: Level, habit: &str, reason: &str) -> (Stage, MoveReport) {
    let it = stage(level, Some(habit)).await;
    let offer = [("sec-websocket-protocol", "v1, v2")];
    let mut users = Vec::new();
    for name in ["ann", "bob", "cid"] {
        let connected = User::connect_with(it.gateway.traffic(), "b", name, &offer).await;
        let mut user = connected.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(user.answer_header("sec-websocket-protocol"), Some("v1"));
        user.hello().await;
        let seq = user.draw().await;
        user.saved(seq).await;
        users.push(user);
    }
    let [ann, bob, cid] = &mut users[..] else {
        panic!("three users have joined")
    };
    let to = "board-2".parse().expect("a good name");
    let mode = DrainMode::Transparent;
    let moved = it.gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
    let report = moved.expect("the gateway answers");
    assert!(report.is_moved(), "{report:?}");
    assert_eq!(
        (report.switched, report.reconnected, report.fallen_back),
        (2, 1, 1),
        "{report:?}"
    );
    assert_eq!(report.unconfirmed, [], "{report:?}");
    assert_eq!(bob.closed(PATIENCE).await, Some(1012));
    let metrics = it.gateway.admin().metrics().await.expect("it has metrics");
    let fallbacks = |labels: &[(&str, &str)]| metrics.value("handover_fallbacks_total", labels);
    assert_eq!(fallbacks(&[("reason", reason)]), Some(1.0), "{}", metrics.text());
    assert_eq!(fallbacks(&[]), Some(1.0), "{}", metrics.text());

    let seq = ann.draw().await;
    ann.saved(seq).await;
    let of_cid = cid.hear_until_quiet(Duration::from_millis(500)).await;
    let is_news = |heard: &Heard| matches!(heard, Heard::Drawn { user, seq: 2, .. } if user == "ann");
    assert!(of_cid.iter().any(is_news), "{of_cid:?}");
    let is_end = |heard: &Heard| matches!(heard, Heard::Closed(_));
    assert!(!of_cid.iter().any(is_end), "{of_cid:?}");
    let changes = it.database.changes("b").await;
    let owners: Vec<_> = changes
        .iter()
        .filter_map(|change| change.owner.split('/').next())
        .collect();
    assert_eq!(owners, ["board-1", "board-1", "board-1", "board-2"]);
    let view = it.gateway.admin().board("b").await.expect("it is open");
    assert_eq!(view.server.as_ref().map(|server| server.as_str()), Some("board-2"));
    assert_eq!((view.state, view.sessions), (BoardState::Settled, 2));
    (it, report)
}

#[tokio::test]
async fn a_target_that_refuses_one_session_gets_the_others() {
    for (level, status) in [(Level::Opaque, 401), (Level::Contract, 403)] {
        let habit = format!("--refuse=user=bob:{status}");
        let (it, _) = move_past_a_refusal_of_bob(level, &habit, "dial_refused").await;
        // Who comes back with what has expired is told so by the server.
        let again = User::connect(it.gateway.traffic(), "b", "bob").await;
        assert!(
            matches!(&again, Err(UserError::Refused { status: told, .. }) if told.as_u16() == status),
            "{again:?}"
        );
        assert_eq!(it.before_source.handshakes(), 3, "nobody went back to the source");
    }
}

#[tokio::test]
async fn a_session_for_which_the_target_picks_another_subprotocol_reconnects() {
    let habit = "--last-protocol-for=user=bob";
    let (it, _) = move_past_a_refusal_of_bob(Level::Opaque, habit, "disagreement").await;
    // A new handshake settles it anew.
    let offer = [("sec-websocket-protocol", "v1, v2")];
    let again = User::connect_with(it.gateway.traffic(), "b", "bob", &offer).await;
    let mut bob = again.unwrap_or_else(|error| panic!("bob: {error:?}"));
    assert_eq!(bob.answer_header("sec-websocket-protocol"), Some("v2"));
    bob.hello().await;
}

#[tokio::test]
async fn what_a_source_answers_to_a_handshake_is_told_or_is_a_bad_gateway() {
    let it = stage(Level::Opaque, None).await;
    let mut ann = User::join(it.gateway.traffic(), "b", "ann").await;
    let told = [
        (Trick::Refuse(StatusCode::UNAUTHORIZED), 401, "meddled"),
        (Trick::Refuse(StatusCode::NOT_FOUND), 404, "meddled"),
        (Trick::Nonsense(OK), 200, "hello"),
        (Trick::Nonsense(WRONG_ACCEPT), 502, "bad-answer"),
        (Trick::Nonsense(NO_ACCEPT), 502, "bad-answer"),
        (Trick::Nonsense("\u{1}\u{2}what is this?\r\n\r\n"), 502, ""),
        (Trick::Drop, 502, ""),
    ];
    let count = told.len();
    for (number, (trick, expected, word)) in told.into_iter().enumerate() {
        let shown = format!("{trick:?}");
        it.before_source.lay(trick);
        match User::connect(it.gateway.traffic(), "b", "bob").await {
            Err(UserError::Refused { status, body }) => {
                assert_eq!(status.as_u16(), expected, "{shown}: {body}");
                assert!(body.contains(word), "{shown}: {body}");
            }
            other => panic!("{shown}: {other:?}"),
        }
        // Nobody else is touched.
        let seq = ann.draw().await;
        ann.saved(seq).await;
        assert_eq!(it.before_source.handshakes(), number + 2, "{shown}: dialled once");
    }
    let mut bob = User::join(it.gateway.traffic(), "b", "bob").await;
    let seq = bob.draw().await;
    bob.saved(seq).await;
    let view = it.gateway.admin().board("b").await.expect("it is open");
    assert_eq!(view.sessions, 2);
    let metrics = it.gateway.admin().metrics().await.expect("it has metrics");
    let outcomes = ["refused", "bad_answer", "unreachable"];
    let counted = outcomes.map(|outcome| {
        let value = metrics.value("handover_upgrades_total", &[("outcome", outcome)]);
        value.unwrap_or_default()
    });
    assert_eq!(counted.iter().sum::<f64>(), count as f64, "{}", metrics.text());
    assert_eq!(counted[0], 3.0, "{}", metrics.text());
}

#[tokio::test]
async fn boards_that_are_none_and_moves_to_nowhere_are_refused() {
    let it = stage(Level::Opaque, None).await;
    let traffic = it.gateway.traffic();
    for (path, expected) in [
        ("/boards/%00/ws", 400),
        ("/boards/%ff/ws", 400),
        ("/boards/../ws", 400),
        ("/boards//ws", 400),
        ("/nowhere", 404),
    ] {
        assert_eq!(refused(traffic, path).await, expected, "{path}");
    }
    assert_eq!(it.before_source.handshakes(), 0);
    let admin = it.gateway.admin();
    let kind_of = |error: AdminError| {
        let AdminError::Refused { status, body } = error else {
            panic!("{error:?}")
        };
        let problem: Problem = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(problem.status, status.as_u16(), "{body}");
        problem.kind
    };
    let to = |name: &str| MoveRequest {
        to: name.parse().expect("a good name"),
        mode: DrainMode::Auto,
    };
    let unknown = admin.board("nobody").await.expect_err("nobody came to it");
    assert_eq!(kind_of(unknown), ProblemType::UnknownBoard);
    let unknown = admin.move_board("nobody", &to("board-2")).await;
    assert_eq!(
        kind_of(unknown.expect_err("nobody came to it")),
        ProblemType::UnknownBoard
    );
    let bad = admin
        .send_raw(reqwest::Method::GET, "/v1/boards/%00", None::<&()>)
        .await;
    assert_eq!(
        kind_of(bad.expect_err("no board is named so")),
        ProblemType::InvalidField
    );

    let mut ann = User::join(traffic, "b", "ann").await;
    let nowhere = admin.move_board("b", &to("board-9")).await;
    assert_eq!(
        kind_of(nowhere.expect_err("no server is named so")),
        ProblemType::UnknownReference
    );
    let there = admin.move_board("b", &to("board-1")).await;
    assert_eq!(
        kind_of(there.expect_err("it is there already")),
        ProblemType::BoardNotMovable
    );
    let seq = ann.draw().await;
    ann.saved(seq).await;
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_start_with_every_fault_and_nothing_listens() {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let [traffic, admin] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut text = String::new();
    writeln!(text, "[listen]\ntraffic = [\"{traffic}\"]\nadmin = \"{admin}\"").expect("a String takes everything");
    text.push_str(WRONG);
    std::fs::write(directory.path().join("handover.toml"), text).expect("the directory was just made");
    let mut command = Command::new(binary("handover"));
    command.args(["serve", "--config", "handover.toml"]);
    command.current_dir(directory.path());
    let gateway = Process::start("gateway", &command);
    assert_eq!(gateway.exited(PATIENCE).await.code(), Some(1));
    let told = gateway.errors();
    for (key, line) in [
        ("registry.fiel", 5),
        ("servers[0].url", 9),
        ("routes[0].board.path", 13),
        ("routes[0].hold_timeout", 14),
        ("routes[0].quiet_pattern", 15),
    ] {
        assert!(told.contains(&format!("`{key}` ")), "{key}: {told}");
        assert!(told.contains(&format!("--> handover.toml:{line}:")), "{line}: {told}");
    }
    assert!(told.contains("help: "), "{told}");
    assert_eq!(gateway.output(), "");
    for address in [traffic, admin] {
        assert!(TcpStream::connect(address).await.is_err(), "{address} is open");
    }
    assert!(!directory.path().join("handover.db").exists(), "a registry was made");
}

/// Sends a handshake that is to be refused, and returns the status.
async fn refused(to: SocketAddr, path: &str) -> u16 {
    let stream = TcpStream::connect(to).await.expect("the gateway listens");
    match tokio_tungstenite::client_async(format!("ws://{to}{path}"), stream).await {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        other => panic!("{path}: {other:?}"),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
/// The accept value of RFC 6455's own example, which is nobody's here.
const WRONG_ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                            sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const NO_ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n";

/// Behind three lines that say where to listen.
const WRONG: &str = r#"[registry]
fiel = "handover.db"
[releases]
current = "r1"
[[servers]]
url = "ftp://127.0.0.1:9"
name = "board-1"
release = "r1"
[[routes]]
board = { path = "/boards/{bord}/ws" }
hold_timeout = "10s"
quiet_pattern = '['
name = "boards"
"#;

const PATIENCE: Duration = Duration::from_secs(20);
