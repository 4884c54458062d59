//! A server dies, and the sockets of those who send again by themselves stay open: their sessions go on with the server
//! that takes the board.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use handover_loadtest::report::in_words;
use handover_loadtest::scenario::{AdminClient, Load, Run, Stand};
use handover_loadtest::user::{Endpoint, Resend};
use handover_tests::{
    BoardServer, Database, Gateway, Heard, Program, Route, TrafficMeddler, User, eventually, eventually_some, matrix,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use crate::deaths::End;
use crate::fleet::{Fleet, Pair};

/// Two contract servers of one release.
struct Stage(Fleet);

impl Stage {
    async fn start(route: &Route) -> Self {
        let pair = Pair::of_releases(["r1", "r1"], Duration::ZERO).await;
        let gateway = pair.gateway(route);
        Self(Fleet::behind(gateway, pair).await)
    }

    async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metric(&self.0.gateway, name, labels).await
    }

    /// Returns the server that has board `b`, and the other's name.
    async fn owner(&self) -> (&BoardServer, &str) {
        let view = self.0.gateway.admin().board("b").await.expect("it is known");
        let owner = view.server.expect("it is owned");
        let [first, second] = &self.0.servers;
        match owner.as_str() == first.name() {
            true => (first, second.name()),
            false => (second, first.name()),
        }
    }
}

async fn metric(gateway: &Gateway, name: &str, labels: &[(&str, &str)]) -> f64 {
    let metrics = gateway.admin().metrics().await.expect("it has metrics");
    metrics.value(name, labels).expect("every series is there")
}

/// Swallows the greeting in a move; behind a death it comes through.
fn outliving() -> Route {
    let route = Route::whiteboard().with("on_server_death", "\"transparent\"");
    route.with("greeting", "{ messages = 1 }")
}

async fn draws(user: &mut User) {
    let seq = user.draw().await;
    user.saved(seq).await;
}

/// Hears the greeting of another server on the open socket.
async fn greeted(user: &mut User) {
    loop {
        match user.hear(SOON).await {
            Heard::Welcome { .. } => return,
            Heard::Closed(code) => panic!("the socket was closed ({code:?})"),
            Heard::Saved { .. } | Heard::Drawn { .. } | Heard::Text(_) | Heard::Binary(_) | Heard::Pong(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_under_load_closes_no_socket_and_nothing_acknowledged_is_lost() {
    for end in matrix("server that dies", vec![End::Killed, End::Stopped], |_| true) {
        check(end).await;
    }
}

async fn check(end: End) {
    let stage = &Stage::start(&outliving()).await;
    let gateway = &stage.0.gateway;
    let stand = Stand {
        endpoint: Endpoint::plain(&gateway.traffic().to_string()),
        admin: Some(AdminClient::new(gateway.admin().url())),
        database: stage.0.database.url(),
    };
    let load = Load {
        scenario: "crash",
        sessions: 60,
        boards: 12,
        idle_boards: 0,
        rate: 120.0,
        pad_bytes: 0,
        silent: 0,
        stuck: 0,
        resend: Resend::InTurn,
        prefix: String::new(),
    };
    let run = Run::begin(stand, load).await.expect("everybody is let in");
    let progress = run.progress();
    let more_is_saved = async |changes: u64| {
        let before = progress.acked.load(Relaxed);
        eventually("more is saved", SOON, || async {
            progress.acked.load(Relaxed) >= before + changes
        })
        .await;
    };
    more_is_saved(200).await;
    let dying = &stage.0.servers[0];
    let owned = gateway.admin().boards(Some("board-1")).await.expect("it lists").boards;
    let orphans: u64 = owned.iter().map(|board| board.sessions).sum();
    assert!(orphans >= 10, "{end}: the boards were spread: {owned:?}");
    match end {
        End::Killed => dying.process().kill(),
        End::Stopped => dying.process().stop(),
    }
    eventually("its boards are the other's", SOON, || async {
        let left = gateway.admin().boards(Some("board-1")).await.expect("it lists");
        left.boards.is_empty()
    })
    .await;
    more_is_saved(400).await;
    if end == End::Stopped {
        dying.process().resume();
        more_is_saved(200).await;
    }
    let report = run.finish().await.expect("the database can be read");
    assert!(report.is_ok(), "{end}: {}", in_words(&report));
    assert_eq!(
        (report.load.sessions_reconnected, report.load.refusals),
        (0, 0),
        "{end}: {}",
        in_words(&report)
    );
    let unconfirmed = stage.metric("handover_unconfirmed_sessions_total", &[]).await;
    assert!(unconfirmed <= orphans as f64, "{end}: {unconfirmed} of {orphans}");
    let crossed = stage
        .metric("handover_hold_seconds_count", &[("mode", "transparent")])
        .await;
    assert_eq!(crossed, orphans as f64, "{end}: each was held once");
}

#[tokio::test]
async fn what_was_said_while_nobody_had_the_board_reaches_its_next_server_and_what_was_not_answered_is_counted() {
    let stage = Stage::start(&outliving()).await;
    let mut ann = User::join(stage.0.gateway.traffic(), "b", "ann").await;
    draws(&mut ann).await;
    let (dying, heir) = stage.owner().await;
    assert_eq!(stage.metric("handover_unconfirmed_sessions_total", &[]).await, 0.0);
    // It takes what it is told into its socket and does nothing with it.
    dying.process().stop();
    let lost = ann.draw().await;
    let report = eventually_dead(&stage.0.gateway, dying.name()).await;
    assert_eq!(report["unconfirmed_sessions"], 1, "{report}");
    greeted(&mut ann).await;
    ann.draw_again(lost).await;
    ann.saved(lost).await;
    draws(&mut ann).await;
    assert_eq!(stage.metric("handover_unconfirmed_sessions_total", &[]).await, 1.0);
    let view = stage.0.gateway.admin().get("/v1/boards/b").await;
    assert_eq!(
        (&view["server"], &view["sessions"]),
        (&json!(heir), &json!(1)),
        "{view}"
    );
    let sessions = stage.0.gateway.admin().get("/v1/boards/b/sessions").await;
    assert_eq!(sessions["sessions"][0]["switches"], 1, "{sessions}");
}

/// Says that a server is dead as soon as that is believed.
async fn eventually_dead(gateway: &Gateway, server: &str) -> serde_json::Value {
    let path = format!("/v1/servers/{server}/dead");
    eventually_some("it counts as dead", SOON, || async {
        match gateway.admin().post(&path).await {
            (200, report) => Ok(report),
            (_, problem) => Err(problem),
        }
    })
    .await
}

#[tokio::test]
async fn who_is_in_the_middle_of_a_message_reconnects() {
    let stage = Stage::start(&outliving()).await;
    let mut ann = User::join(stage.0.gateway.traffic(), "b", "ann").await;
    let mut bob = User::join(stage.0.gateway.traffic(), "b", "bob").await;
    draws(&mut ann).await;
    draws(&mut bob).await;
    ann.send_fragment(Data::Text, "{\"type\":", false).await;
    let (dying, _) = stage.owner().await;
    // Its Pong comes behind the fragment, so that the server has that.
    ann.send(tokio_tungstenite::tungstenite::Message::Ping("p".into()))
        .await;
    loop {
        if let Heard::Pong(_) = ann.hear(SOON).await {
            break;
        }
    }
    dying.process().kill();
    assert_eq!(ann.closed(SOON).await, Some(1012));
    greeted(&mut bob).await;
    draws(&mut bob).await;
}

#[tokio::test]
async fn a_connection_that_breaks_while_its_server_lives_is_told_so() {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database)
        .start()
        .await;
    let on_the_way = TrafficMeddler::before(server.traffic()).await;
    let gateway = Gateway::builder("r1")
        .server_behind(&server, on_the_way.address(), server.control())
        .route(&outliving());
    let gateway = gateway.start().await;
    gateway.all_ready().await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    draws(&mut ann).await;
    on_the_way.cut_all();
    assert_eq!(ann.closed(SOON).await, Some(1012));
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    ann.continue_after(1);
    draws(&mut ann).await;
    assert_eq!(
        metric(&gateway, "handover_takeovers_total", &[("result", "taken")]).await,
        0.0
    );
}

#[tokio::test]
async fn sessions_of_an_opaque_server_outlive_it_once_somebody_says_that_it_is_dead() {
    let database = Database::fresh().await;
    let server = async |name: &str| {
        let builder = BoardServer::builder(Program::Reference, name, "r1", &database);
        builder.without_contract().start().await
    };
    let (first, second) = (server("opaque-1").await, server("opaque-2").await);
    let route = outliving().with("mode", "\"transparent\"");
    let route = route.with("replay", "{ first = 1, await_answer = true }");
    let route = route.with("settle", "\"1s\"");
    let gateway = Gateway::builder("r1").server(&first).server(&second).route(&route);
    let gateway = gateway.start().await;
    gateway.all_ready().await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    draws(&mut ann).await;
    let view = gateway.admin().board("b").await.expect("it is known");
    let owner = view.server.expect("it is owned").to_string();
    let dying = if owner == first.name() { &first } else { &second };
    // One that stands still takes connections all the same, so nobody could call it gone.
    dying.process().kill();
    let report = eventually_dead(&gateway, &owner).await;
    assert_eq!(
        (&report["sessions"], &report["unconfirmed_sessions"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    greeted(&mut ann).await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    assert_eq!(metric(&gateway, "handover_unconfirmed_sessions_total", &[]).await, 1.0);
    let view = gateway.admin().board("b").await.expect("it is known");
    assert_ne!(view.server.expect("it is owned").as_str(), owner);
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);
