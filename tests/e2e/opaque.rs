//! Somebody else's servers, which have never heard of us, behind a gateway that moves their boards.

use std::fmt;
use std::time::Duration;

use handover_protocol::admin::{DrainMode, Level, MoveReport, MoveRequest};
use handover_tests::{BoardServer, Database, Gateway, Heard, Program, Route, SavedChange, User, matrix};

/// A library, how its handler works, and how the sessions cross.
#[derive(Debug, Clone, Copy)]
struct Case {
    program: Program,
    handler: Handler,
    mode: DrainMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// Each message is handled at once.
    Plain,
    /// Each message waits 20 ms first, and those behind it wait for it.
    Awaiting,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?} {:?}", self.program, self.handler, self.mode)
    }
}

struct Stage {
    database: Database,
    source: BoardServer,
    _target: BoardServer,
    gateway: Gateway,
}

async fn stage(program: Program, handler: Handler, route: Route) -> Stage {
    let database = Database::fresh().await;
    let server = |name, release| {
        let server = BoardServer::builder(program, name, release, &database).without_contract();
        match handler {
            Handler::Plain => server,
            Handler::Awaiting => server.slow(),
        }
    };
    let (source, target) = tokio::join!(server("board-1", "r1").start(), server("board-2", "r2").start());
    let gateway = Gateway::builder("r1").server(&source).server(&target);
    let gateway = gateway.route(&route).start().await;
    Stage {
        database,
        source,
        _target: target,
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
}

async fn move_to_target(gateway: &Gateway, mode: DrainMode) -> MoveReport {
    let to = "board-2".parse().expect("a good name");
    let moved = gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
    let report = moved.expect("the gateway answers");
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
    ] {
        for mode in [DrainMode::Reconnect, DrainMode::Transparent] {
            cases.push(Case { program, handler, mode });
        }
    }
    let subset = |case: &Case| match (case.program, case.handler) {
        (Program::Websockets | Program::NodeWs, Handler::Awaiting) => true,
        (Program::NodeWs, Handler::Plain) => case.mode == DrainMode::Transparent,
        (Program::Reference | Program::Websockets | Program::Aiohttp, _) => false,
    };
    for case in matrix("opaque server x handler x mode", cases, subset) {
        check(case).await;
    }
}

async fn check(case: Case) {
    let Stage {
        database,
        source,
        gateway,
        ..
    } = &stage(case.program, case.handler, declared()).await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let mut bob = User::join(gateway.traffic(), "b", "bob").await;
    for _ in 0..BURST {
        ann.draw().await;
    }
    let (report, of_ann, of_bob) = match case.mode {
        DrainMode::Transparent => {
            let report = move_to_target(gateway, case.mode).await;
            assert_eq!((report.switched, report.reconnected), (2, 0), "{case}: {report:?}");
            let heard = tokio::join!(ann.hear_until_quiet(QUIET), bob.hear_until_quiet(QUIET));
            (report, heard.0, heard.1)
        }
        DrainMode::Reconnect | DrainMode::Auto | DrainMode::Stay => {
            let moving = move_to_target(gateway, case.mode);
            let (report, mut of_ann, mut of_bob) =
                tokio::join!(moving, ann.hear_until_quiet(PATIENCE), bob.hear_until_quiet(PATIENCE));
            assert_eq!((report.switched, report.reconnected), (0, 2), "{case}: {report:?}");
            assert_eq!(of_ann.pop(), Some(Heard::Closed(Some(1012))), "{case}");
            assert_eq!(of_bob.pop(), Some(Heard::Closed(Some(1012))), "{case}");
            (report, of_ann, of_bob)
        }
    };
    assert_eq!(report.unconfirmed, [], "{case}");
    assert_eq!(saved_of(&of_ann), (1..=BURST).collect::<Vec<_>>(), "{case}");
    assert_eq!(drawn_of(&of_bob), (1..=BURST).collect::<Vec<_>>(), "{case}");
    for heard in of_ann.iter().chain(&of_bob) {
        let is_disturbing = matches!(heard, Heard::Closed(_) | Heard::Welcome { .. });
        assert!(!is_disturbing, "{case}: {heard:?}");
    }
    let changes = database.changes("b").await;
    assert_eq!(sequence(&changes, "board-1"), (1..=BURST).collect::<Vec<_>>(), "{case}");
    assert_eq!(changes.len() as u64, BURST, "{case}");

    // Whoever still spoke to the source would notice.
    source.process().kill();
    if case.mode == DrainMode::Reconnect {
        (ann, bob) = tokio::join!(
            User::join(gateway.traffic(), "b", "ann"),
            User::join(gateway.traffic(), "b", "bob")
        );
        ann.continue_after(BURST);
    }
    let seq = ann.draw().await;
    assert_eq!(ann.saved(seq).await, BURST + 1, "{case}");
    let seq = bob.draw().await;
    assert_eq!(bob.saved(seq).await, BURST + 2, "{case}");
    assert_eq!(
        sequence(&database.changes("b").await, "board-2"),
        [BURST + 1, 1],
        "{case}"
    );
    assert_eq!(database.repeats("b").await, 0, "{case}");
}

#[tokio::test]
async fn a_source_that_does_not_fall_silent_is_reported_as_unconfirmed() {
    // The work of more than a second, and less patience than that.
    let route = declared().with("quiet_max", "\"400ms\"");
    let stage = stage(Program::Websockets, Handler::Awaiting, route).await;
    let mut ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    for _ in 0..80 {
        ann.draw().await;
    }
    let report = move_to_target(&stage.gateway, DrainMode::Transparent).await;
    assert_eq!(report.unconfirmed.len(), 1, "{report:?}");
    let metrics = stage.gateway.admin().metrics().await.expect("it has metrics");
    assert_eq!(
        metrics.value("handover_unconfirmed_sessions_total", &[]),
        Some(1.0),
        "{}",
        metrics.text()
    );
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

/// The work of 300 ms for a handler that awaits: less than a source is given to fall silent.
const BURST: u64 = 15;
const QUIET: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);
