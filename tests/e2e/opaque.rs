//! Somebody else's servers, which have never heard of us, behind a gateway that moves their boards.

use std::fmt;
use std::time::Duration;

use handover_protocol::admin::{DrainMode, Level, MoveReport, MoveRequest};
use handover_tests::{
    BoardServer, BoardServerBuilder, Database, Gateway, Heard, Program, Route, SavedChange, TrafficMeddler, User,
    eventually, matrix,
};

mod quiet;
mod replay;
mod saved;

/// A library, how its handler works, and how the sessions cross.
#[derive(Debug, Clone, Copy)]
struct Case {
    program: Program,
    handler: Handler,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// Each message is handled at once.
    Plain,
    /// Each message waits 20 ms first, and those behind it wait for it.
    Awaiting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A close frame tells the users to come back.
    ByClose,
    /// A message does; they leave by themselves when they have heard their answers.
    ByMessage,
    Transparent,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?} {:?}", self.program, self.handler, self.way)
    }
}

struct Stage {
    database: Database,
    _source: BoardServer,
    /// Counts who comes to the source.
    before_source: TrafficMeddler,
    target: BoardServer,
    gateway: Gateway,
}

async fn stage(program: Program, handler: Handler, route: Route) -> Stage {
    stage_of(route, |name, release, database| {
        let server = BoardServer::builder(program, name, release, database);
        match handler {
            Handler::Plain => server,
            Handler::Awaiting => server.slow(),
        }
    })
    .await
}

/// Two servers that know nothing of us, `board-1` of the current release and `board-2` of the next.
async fn stage_of(route: Route, server: impl Fn(&str, &str, &Database) -> BoardServerBuilder) -> Stage {
    let database = Database::fresh().await;
    let (source, target) = tokio::join!(
        server("board-1", "r1", &database).without_contract().start(),
        server("board-2", "r2", &database).without_contract().start(),
    );
    let before_source = TrafficMeddler::before(source.traffic()).await;
    let gateway = Gateway::builder("r1")
        .server_behind(&source, before_source.address(), None)
        .server(&target)
        .route(&route)
        .start()
        .await;
    gateway.all_ready().await;
    Stage {
        database,
        _source: source,
        before_source,
        target,
        gateway,
    }
}

/// What an operator declares for these servers: a hello, and the welcome that answers it.
fn declared() -> Route {
    Route::whiteboard()
        .with("mode", "\"transparent\"")
        .with("replay", "{ first = 1, await_answer = true }")
        .with("greeting", "{ messages = 1 }")
        .with("settle", "\"200ms\"")
        .with("quiet_max", "\"2s\"")
}

async fn try_move(gateway: &Gateway, mode: DrainMode) -> MoveReport {
    let to = "board-2".parse().expect("a good name");
    let moved = gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
    moved.expect("the gateway answers")
}

async fn move_to_target(gateway: &Gateway, mode: DrainMode) -> MoveReport {
    let report = try_move(gateway, mode).await;
    assert!(report.is_moved(), "{report:?}");
    assert_eq!(report.level, Level::Opaque, "{report:?}");
    report
}

#[tokio::test]
async fn everything_sent_before_the_cut_is_handled_by_the_source_and_answered() {
    let mut cases = Vec::new();
    for (program, handler) in [
        (Program::Websockets, Handler::Awaiting),
        (Program::NodeWs, Handler::Awaiting),
        (Program::NodeWs, Handler::Plain),
        (Program::Websockets, Handler::Plain),
        (Program::Aiohttp, Handler::Awaiting),
        (Program::Reference, Handler::Plain),
    ] {
        for way in [Way::ByClose, Way::ByMessage, Way::Transparent] {
            cases.push(Case { program, handler, way });
        }
    }
    let subset = |case: &Case| match (case.program, case.handler) {
        (Program::Websockets | Program::NodeWs, Handler::Awaiting) => true,
        (Program::NodeWs, Handler::Plain) => case.way == Way::Transparent,
        (Program::Reference, Handler::Plain) => case.way == Way::ByMessage,
        (Program::Reference | Program::Websockets | Program::Aiohttp, _) => false,
    };
    for case in matrix("opaque server x handler x way", cases, subset) {
        check(case).await;
    }
}

async fn check(case: Case) {
    let route = match case.way {
        // The board's users have 3 s to hear their answers and to go.
        Way::ByMessage => declared().with("command", COMMAND).with("grace", "\"3s\""),
        Way::ByClose | Way::Transparent => declared(),
    };
    let it = &stage(case.program, case.handler, route).await;
    let traffic = it.gateway.traffic();
    let mut ann = User::join(traffic, "b", "ann").await;
    let mut bob = User::join(traffic, "b", "bob").await;
    for _ in 0..BURST {
        ann.draw().await;
    }
    let mode = match case.way {
        Way::Transparent => DrainMode::Transparent,
        Way::ByClose | Way::ByMessage => DrainMode::Reconnect,
    };
    let moving = move_to_target(&it.gateway, mode);
    let (report, of_ann, of_bob) = match case.way {
        Way::Transparent => {
            let report = moving.await;
            let heard = tokio::join!(ann.hear_until_quiet(QUIET), bob.hear_until_quiet(QUIET));
            (report, heard.0, heard.1)
        }
        Way::ByClose => {
            let (report, mut of_ann, mut of_bob) =
                tokio::join!(moving, ann.hear_until_quiet(PATIENCE), bob.hear_until_quiet(PATIENCE));
            assert_eq!(of_ann.pop(), Some(Heard::Closed(Some(1012))), "{case}");
            assert_eq!(of_bob.pop(), Some(Heard::Closed(Some(1012))), "{case}");
            (report, of_ann, of_bob)
        }
        Way::ByMessage => {
            let (report, of_ann, of_bob) = tokio::join!(
                moving,
                leave_and_return(&it.gateway, ann),
                leave_and_return(&it.gateway, bob)
            );
            ann = of_ann.1;
            bob = of_bob.1;
            (report, of_ann.0, of_bob.0)
        }
    };
    let crossed = if case.way == Way::Transparent { (2, 0) } else { (0, 2) };
    assert_eq!((report.switched, report.reconnected), crossed, "{case}: {report:?}");
    assert_eq!(report.unconfirmed, [], "{case}");
    assert_eq!(saved_of(&of_ann), (1..=BURST).collect::<Vec<_>>(), "{case}");
    assert_eq!(drawn_of(&of_bob), (1..=BURST).collect::<Vec<_>>(), "{case}");
    for heard in of_ann.iter().chain(&of_bob) {
        let is_disturbing = matches!(heard, Heard::Closed(_) | Heard::Welcome { .. });
        assert!(!is_disturbing, "{case}: {heard:?}");
    }
    let changes = it.database.changes("b").await;
    assert_eq!(sequence(&changes, "board-1"), (1..=BURST).collect::<Vec<_>>(), "{case}");
    assert_eq!(changes.len() as u64, BURST, "{case}");

    if case.way == Way::ByClose {
        (ann, bob) = tokio::join!(User::join(traffic, "b", "ann"), User::join(traffic, "b", "bob"));
    }
    ann.continue_after(BURST);
    bob.continue_after(0);
    let seq = ann.draw().await;
    assert_eq!(ann.saved(seq).await, BURST + 1, "{case}");
    let seq = bob.draw().await;
    assert_eq!(bob.saved(seq).await, BURST + 2, "{case}");
    let changes = it.database.changes("b").await;
    assert_eq!(sequence(&changes, "board-2"), [BURST + 1, 1], "{case}");
    assert_eq!(it.database.repeats("b").await, 0, "{case}");

    // Nobody came to the source again, and nobody is left there.
    assert_eq!(it.before_source.handshakes(), 2, "{case}");
    eventually("nobody is at the source", PATIENCE, || async {
        it.before_source.open() == 0
    })
    .await;
}

/// What a client does that is told by a message: it hears its answers, closes, and comes back at once.
async fn leave_and_return(gateway: &Gateway, mut user: User) -> (Vec<Heard>, User) {
    let mut heard = Vec::new();
    loop {
        let next = user.hear(PATIENCE).await;
        if next == Heard::Text(TOLD.to_owned()) {
            break;
        }
        heard.push(next);
    }
    heard.extend(user.hear_until_quiet(QUIET).await);
    let name = user.name().to_owned();
    user.leave().await;
    (heard, User::join(gateway.traffic(), "b", &name).await)
}

fn saved_of(heard: &[Heard]) -> Vec<u64> {
    let saved = heard.iter().filter_map(|heard| match heard {
        Heard::Saved { seq, .. } => Some(*seq),
        Heard::Welcome { .. }
        | Heard::Drawn { .. }
        | Heard::Text(_)
        | Heard::Binary(_)
        | Heard::Pong(_)
        | Heard::Closed(_) => None,
    });
    saved.collect()
}

fn drawn_of(heard: &[Heard]) -> Vec<u64> {
    let drawn = heard.iter().filter_map(|heard| match heard {
        Heard::Drawn { seq, .. } => Some(*seq),
        Heard::Welcome { .. }
        | Heard::Saved { .. }
        | Heard::Text(_)
        | Heard::Binary(_)
        | Heard::Pong(_)
        | Heard::Closed(_) => None,
    });
    drawn.collect()
}

/// Returns the authors' numbers of what one server saved, in the board's order.
fn sequence(changes: &[SavedChange], server: &str) -> Vec<u64> {
    let of_server = changes
        .iter()
        .filter(|change| change.owner.split('/').next() == Some(server));
    of_server.map(|change| change.seq.unsigned_abs()).collect()
}

const COMMAND: &str = "'{\"type\":\"reconnect\",\"within_ms\":{grace_ms}}'";
const TOLD: &str = "{\"type\":\"reconnect\",\"within_ms\":3000}";

/// The work of 300 ms for a handler that awaits: less than a source is given to fall silent.
const BURST: u64 = 15;
const QUIET: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);
