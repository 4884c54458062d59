//! The processes and the users of one case.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use handover_loadtest::user::{Clock, Crowd, Endpoint, Plan, Progress, Reader, Resend};
use handover_protocol::admin::{BoardState, BoardView};
use handover_tests::{
    BoardServer, ControlMeddler, Database, Gateway, Program, Route, TrafficMeddler, User, eventually, eventually_some,
};

use super::case::{Case, Crossing, Side};

/// Everything that a case needs.
pub(super) struct Stage {
    pub(super) database: Database,
    pub(super) source: Station,
    pub(super) target: Station,
    pub(super) gateway: Gateway,
    pub(super) crowd: Crowd,
    pub(super) clock: Clock,
    /// Connected to a source that stands still, so that it has something to write when it wakes.
    pub(super) straggler: Option<User>,
}

/// A server and the meddlers before it.
pub(super) struct Station {
    pub(super) server: BoardServer,
    pub(super) calls: ControlMeddler,
    pub(super) traffic: TrafficMeddler,
}

impl Station {
    async fn start(name: &str, release: &str, database: &Database) -> Self {
        let server = BoardServer::builder(Program::Reference, name, release, database)
            .start()
            .await;
        Self {
            calls: ControlMeddler::before(server.control().expect("it has the contract")).await,
            traffic: TrafficMeddler::before(server.traffic()).await,
            server,
        }
    }
}

impl Stage {
    /// Starts everything; users draw on one board at the source when it returns.
    pub(super) async fn set(case: Case) -> Self {
        let database = Database::fresh().await;
        let (source, target) = tokio::join!(
            Station::start("board-1", "r1", &database),
            Station::start("board-2", "r2", &database),
        );
        let mut gateway = Gateway::builder("r1").route(&route(case.crossing)).toml(LIMITS);
        for station in [&source, &target] {
            gateway = gateway.server_behind(
                &station.server,
                station.traffic.address(),
                Some(station.calls.address()),
            );
        }
        let gateway = gateway.start().await;
        gateway.all_ready().await;
        let clock = Clock::start();
        let plans = (1..=USERS).map(|number| Plan {
            endpoint: Endpoint::plain(&gateway.traffic().to_string()),
            board: BOARD.parse().expect("a good board id"),
            number,
            interval: Duration::from_millis(30),
            resend: Resend::Unacknowledged,
            pad_bytes: 0,
            prefix: PREFIX.to_owned(),
            reader: Reader::Prompt,
        });
        let crowd = Crowd::gather(plans.collect(), clock, SOON).await;
        let crowd = crowd.unwrap_or_else(|error| panic!("{case}: {error}"));
        crowd.draw();
        let stage = Self {
            database,
            source,
            target,
            gateway,
            crowd,
            clock,
            straggler: None,
        };
        stage.drawn(10, &format!("{case}: users draw")).await;
        stage
    }

    /// Waits until users have been acknowledged so many changes more.
    pub(super) async fn drawn(&self, more: u64, what: &str) {
        let progress = self.progress();
        let before = progress.acked.load(Ordering::Relaxed);
        eventually(what, SOON, || async {
            progress.acked.load(Ordering::Relaxed) >= before + more
        })
        .await;
    }

    /// Has somebody connect to the source itself. Only a move that has begun allows that: its plan would count one session
    /// more at the source than the gateway carries.
    pub(super) async fn add_straggler(&mut self) {
        self.straggler = Some(join_directly(&self.source.server, "straggler").await);
    }

    /// Waits until the board is settled on a side, and returns what the gateway says of it.
    pub(super) async fn settled(&self, side: Side, case: Case) -> BoardView {
        let name = self.station(side).server.name().to_owned();
        let what = format!("{case}: the board is settled on {name}");
        eventually_some(&what, SOON, || async {
            let view = self
                .gateway
                .admin()
                .board(BOARD)
                .await
                .map_err(|error| format!("{error:?}"))?;
            let is_there = view.server.as_ref().is_some_and(|server| server.as_str() == name);
            match is_there && view.state == BoardState::Settled {
                true => Ok(view),
                false => Err(format!("{view:?}")),
            }
        })
        .await
    }

    pub(super) fn station(&self, side: Side) -> &Station {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        self.crowd.progress()
    }

    /// Returns how often the gateway has gone through a step, by its metrics.
    pub(super) async fn steps(&self, step: &str) -> f64 {
        let metrics = self.gateway.admin().metrics().await.expect("it has metrics");
        let count = metrics.value("handover_move_step_seconds_count", &[("step", step)]);
        count.expect("every step has a series")
    }
}

/// Joins at a server as if by its gateway, which knows nothing of it.
async fn join_directly(server: &BoardServer, name: &str) -> User {
    let headers = [
        ("handover-board", BOARD),
        ("handover-generation", "1"),
        ("handover-session", name),
    ];
    let user = User::connect_with(server.traffic(), BOARD, name, &headers).await;
    let mut user = user.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    user.hello().await;
    user
}

fn route(crossing: Crossing) -> Route {
    let route = Route::whiteboard()
        .with("greeting", "{ messages = 1 }")
        .with("prepare_timeout", &format!("\"{}s\"", PREPARE_TIMEOUT.as_secs()))
        .with("freeze_timeout", &format!("\"{}s\"", FREEZE_TIMEOUT.as_secs()));
    match crossing {
        Crossing::Transparent | Crossing::ByClose => route,
        Crossing::ByMessage => route.with("command", "'{\"type\":\"reconnect\"}'"),
    }
}

/// A server that is silent is noticed soon.
const LIMITS: &str = "[limits]\ncontrol_call_timeout = \"1s\"\nboards_interval = \"1s\"\nupgrade_timeout = \"2s\"\n";
pub(super) const PREPARE_TIMEOUT: Duration = Duration::from_secs(4);
pub(super) const FREEZE_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const BOARD: &str = "b";
pub(super) const PREFIX: &str = "u";
pub(super) const USERS: u64 = 2;
/// Far more than it takes.
pub(super) const SOON: Duration = Duration::from_secs(60);
