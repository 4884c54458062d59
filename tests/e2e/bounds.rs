//! What a move may cost its users, and what an operator is told: nobody is told twice in a row, counts are compared,
//! a board counts once, and a target that says nothing is an alarm.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handover_protocol::admin::{DrainMode, DrainRequest, DrainState, MoveRequest};
use handover_tests::{
    BoardServer, Call, ControlMeddler, Database, Gateway, Heard, Program, Route, TrafficMeddler, Trick, User,
    eventually, eventually_some,
};
use http::StatusCode;
use serde_json::json;

/// Two servers of two releases, each behind a meddler, and a gateway whose newcomers go to the first.
struct Stage {
    gateway: Gateway,
    source: BoardServer,
    target: BoardServer,
    before_source: ControlMeddler,
    on_the_way: TrafficMeddler,
    before_target: ControlMeddler,
    _database: Database,
}

impl Stage {
    async fn start(route: &Route) -> Self {
        Self::start_with(route, "").await
    }

    async fn start_with(route: &Route, tables: &str) -> Self {
        let database = Database::fresh().await;
        let server = |name, release| BoardServer::builder(Program::Reference, name, release, &database).start();
        let (source, target) = tokio::join!(server("board-1", "r1"), server("board-2", "r2"));
        let meddle = async |server: &BoardServer| ControlMeddler::before(server.control().expect("it has one")).await;
        let (before_source, before_target) = (meddle(&source).await, meddle(&target).await);
        let on_the_way = TrafficMeddler::before(source.traffic()).await;
        let gateway = Gateway::builder("r1")
            .server_behind(&source, on_the_way.address(), Some(before_source.address()))
            .server_behind(&target, target.traffic(), Some(before_target.address()))
            .route(route)
            .toml("\n[limits]\nboards_interval = \"2s\"\n")
            .toml(tables)
            .start()
            .await;
        gateway.all_ready().await;
        Self {
            gateway,
            source,
            target,
            before_source,
            on_the_way,
            before_target,
            _database: database,
        }
    }

    async fn join(&self, name: &str) -> User {
        User::join(self.gateway.traffic(), "b", name).await
    }

    async fn drain(&self, id: &str, from: &str, to: &str) {
        let request = json!({"id": id, "from": {"release": from}, "to": {"release": to}});
        let request: DrainRequest = serde_json::from_value(request).expect("the tests ask for what there is");
        self.gateway.admin().drain(&request).await.expect("it is let in");
    }

    async fn move_board(&self, mode: DrainMode) -> String {
        let to = "board-2".parse().expect("a good name");
        let moved = self.gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
        moved.expect("the gateway answers").result
    }

    async fn owner(&self) -> String {
        let view = self.gateway.admin().board("b").await.expect("it is known");
        view.server.expect("it is owned").to_string()
    }

    async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let metrics = self.gateway.admin().metrics().await.expect("it has metrics");
        metrics.value(name, labels).expect("every series is there")
    }

    async fn put_off(&self, times: f64) {
        eventually("the board is put off", SOON, || async {
            let hits = self.metric("handover_limit_hits_total", &[("limit", "bounce_limit")]);
            hits.await >= times
        })
        .await;
    }
}

fn reconnecting() -> Route {
    // Longer than a drain waits before it tries a board again.
    let route = Route::whiteboard().with("mode", "\"reconnect\"");
    route.with("bounce_limit", "\"5s\"")
}

async fn draws(user: &mut User) {
    let seq = user.draw().await;
    user.saved(seq).await;
}

#[tokio::test]
async fn users_who_were_told_before_an_abort_are_not_told_again_within_the_limit() {
    let command = "{\"type\":\"reconnect\"}";
    let stage = Stage::start(&reconnecting().with("command", &format!("'{command}'"))).await;
    let told = Heard::Text(command.to_owned());
    let refused = Trick::Refuse(StatusCode::SERVICE_UNAVAILABLE);
    stage.before_source.lay(Call::Freeze, refused);
    let mut ann = stage.join("ann").await;
    draws(&mut ann).await;
    stage.drain("d", "r1", "r2").await;
    assert_eq!(ann.hear(SOON).await, told);
    ann.leave().await;
    // Parked until the abort, then at the source as before.
    let mut ann = stage.join("ann").await;
    assert_eq!(stage.owner().await, "board-1");
    stage.put_off(1.0).await;
    let status = stage.gateway.admin().drain_status("d").await.expect("it is known");
    assert_eq!((status.boards.failed, status.boards.moved), (1, 0), "{status:?}");

    assert_eq!(ann.hear(SOON).await, told);
    ann.leave().await;
    let mut ann = stage.join("ann").await;
    assert_eq!(stage.owner().await, "board-2");
    ann.continue_after(1);
    draws(&mut ann).await;
    let status = stage.gateway.admin().drained("d", SOON).await;
    assert_eq!(status.state, DrainState::Done);
    assert_eq!((status.boards.failed, status.boards.moved), (1, 1), "{status:?}");
    assert_eq!(stage.metric("handover_bounced_sessions_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_second_drain_right_behind_the_first_waits_until_users_may_be_told_again() {
    let stage = Stage::start(&reconnecting()).await;
    let mut ann = stage.join("ann").await;
    stage.drain("there", "r1", "r2").await;
    assert_eq!(ann.closed(SOON).await, Some(1012));
    let mut ann = stage.join("ann").await;
    let status = stage.gateway.admin().drained("there", SOON).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 1), "{status:?}");

    stage.drain("back", "r2", "r1").await;
    stage.put_off(1.0).await;
    assert_eq!(stage.owner().await, "board-2");
    draws(&mut ann).await;
    assert_eq!(ann.closed(SOON).await, Some(1012));
    let mut ann = stage.join("ann").await;
    let status = stage.gateway.admin().drained("back", SOON).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 1), "{status:?}");
    assert_eq!((status.boards.failed, status.failures.len()), (0, 0), "{status:?}");
    assert_eq!(stage.owner().await, "board-1");
    ann.continue_after(1);
    draws(&mut ann).await;
}

#[tokio::test]
async fn a_connection_that_broke_by_itself_puts_no_move_off() {
    let stage = Stage::start(&reconnecting().with("bounce_limit", "\"1h\"")).await;
    let mut ann = stage.join("ann").await;
    draws(&mut ann).await;
    stage.on_the_way.cut_all();
    assert_eq!(ann.closed(SOON).await, Some(1012));
    let mut ann = stage.join("ann").await;
    assert_eq!(stage.move_board(DrainMode::Auto).await, "moved");
    assert_eq!(ann.closed(SOON).await, Some(1012));
    assert_eq!(stage.metric("handover_bounced_sessions_total", &[]).await, 0.0);

    // What a move has told its users counts.
    let mut ann = stage.join("ann").await;
    let to = "board-1".parse().expect("a good name");
    let mode = DrainMode::Auto;
    let back = stage.gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
    assert_eq!(back.expect("the gateway answers").result, "bounce_limit");
    ann.continue_after(1);
    draws(&mut ann).await;
}

#[tokio::test]
async fn a_board_whose_source_counts_other_sessions_is_not_moved_until_the_counts_agree() {
    let stage = Stage::start(&Route::whiteboard()).await;
    let mut ann = stage.join("ann").await;
    let past_the_gateway = [
        ("handover-board", "b"),
        ("handover-generation", "1"),
        ("handover-session", "stranger"),
    ];
    let eve = User::connect_with(stage.source.traffic(), "b", "eve", &past_the_gateway).await;
    let eve = eve.expect("the source owns the board");
    listed_twice(&stage.before_source).await;
    assert_eq!(stage.move_board(DrainMode::Auto).await, "counts_drift");
    assert_eq!(stage.owner().await, "board-1");
    assert_eq!(stage.metric("handover_counts_drifts_total", &[]).await, 1.0);
    assert!(stage.before_source.seen_of(Call::Freeze).is_empty());
    draws(&mut ann).await;

    eve.leave().await;
    eventually_some("the board moves", SOON, || async {
        match stage.move_board(DrainMode::Auto).await {
            result if result == "moved" => Ok(()),
            result => Err(result),
        }
    })
    .await;
    draws(&mut ann).await;
}

/// Waits until the server has listed its boards twice more: between two lists lies more than what is on the way takes.
async fn listed_twice(meddler: &ControlMeddler) {
    let lists = || {
        let seen = meddler.seen_of(Call::Boards);
        seen.iter().filter(|seen| seen.status == Some(StatusCode::OK)).count()
    };
    let before = lists();
    eventually("two lists", SOON, || async { lists() >= before + 2 }).await;
}

#[tokio::test]
async fn a_board_counts_once_under_its_owner_at_every_step_of_its_move() {
    let stage = Stage::start(&Route::whiteboard()).await;
    let mut ann = stage.join("ann").await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let scrape = |step: &'static str| {
        let (admin, seen) = (stage.gateway.admin().clone(), Arc::clone(&seen));
        move || async move {
            let metrics = admin.metrics().await.expect("it has metrics");
            let counts = ["board-1", "board-2"].map(|server| {
                let boards = metrics.value("handover_boards", &[("server", server), ("role", "owner")]);
                let alias = metrics.value("rtb_spaces_count", &[("instance", server)]);
                assert_eq!(boards, alias);
                boards.expect("every server has a series")
            });
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((step, counts));
        }
    };
    let before = Trick::before;
    stage.before_target.lay(Call::Prepare, before(scrape("prepare")));
    stage.before_source.lay(Call::Freeze, before(scrape("freeze")));
    stage
        .before_target
        .lay_after(0, Call::Activate, before(scrape("activate")));
    stage.before_source.lay(Call::Forget, before(scrape("release")));
    assert_eq!(stage.move_board(DrainMode::Auto).await, "moved");
    draws(&mut ann).await;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let expected = [
        ("prepare", [1.0, 0.0]),
        ("freeze", [1.0, 0.0]),
        ("activate", [0.0, 1.0]),
        ("release", [0.0, 1.0]),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_target_that_says_nothing_to_a_session_that_used_to_be_answered_is_an_alarm() {
    // A server that is down is no silent one: its boards would be given to another.
    let patient = "[health]\ndown_after = \"5m\"\n";
    let stage = Stage::start_with(&Route::whiteboard(), patient).await;
    let mut ann = stage.join("ann").await;
    let mut bob = User::join(stage.gateway.traffic(), "c", "bob").await;
    let mut eve = User::join(stage.gateway.traffic(), "d", "eve").await;
    for _ in 0..4 {
        draws(&mut ann).await;
        draws(&mut bob).await;
    }
    // The first to cross is the first to be looked at.
    for board in ["d", "c", "b"] {
        let to = "board-2".parse().expect("a good name");
        let mode = DrainMode::Transparent;
        let moved = stage.gateway.admin().move_board(board, &MoveRequest { to, mode }).await;
        assert!(moved.expect("the gateway answers").is_moved(), "{board}");
    }
    draws(&mut bob).await;
    stage.target.process().stop();
    eve.draw().await;
    let seq = ann.draw().await;
    bob.draw().await;
    let alarms_of = |board: &str| {
        let log = stage.gateway.process().errors();
        let board = format!("\"board\":\"{board}\"");
        let is_alarm = |line: &&str| line.contains("the target says nothing") && line.contains(&board);
        log.lines().filter(is_alarm).count()
    };
    // Hers is due last.
    eventually("ann's alarm", SOON, || async { alarms_of("b") == 1 }).await;
    assert_eq!(alarms_of("c"), 0, "bob was answered before");
    assert_eq!(alarms_of("d"), 0, "eve had been told only a greeting");
    assert_eq!(stage.metric("handover_silent_targets_total", &[]).await, 1.0);
    stage.target.process().resume();
    ann.saved(seq).await;
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);
