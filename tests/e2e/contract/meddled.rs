//! Two servers and their gateway with a meddler at every joint, so that a test can say where a byte or a call stands.
//!
//! ```text
//!   User ──▶ users ──▶ Gateway ──▶ traffic ──▶ BoardServer
//!                         └──────▶ control ──────▶┘
//! ```

use std::time::Duration;

use handover_protocol::admin::{DrainMode, MoveReport, MoveRequest};
use handover_tests::{
    BoardServer, BoardServerBuilder, Call, ControlMeddler, Database, Gateway, Program, Route, TrafficMeddler, User,
    eventually,
};

pub(super) struct Meddled {
    pub(super) database: Database,
    pub(super) source: Joint,
    pub(super) target: Joint,
    pub(super) gateway: Gateway,
    /// Between users and the gateway.
    pub(super) users: TrafficMeddler,
}

/// A server behind its meddlers.
pub(super) struct Joint {
    pub(super) server: BoardServer,
    pub(super) traffic: TrafficMeddler,
    pub(super) control: ControlMeddler,
}

impl Joint {
    async fn before(server: BoardServerBuilder) -> Self {
        let server = server.start().await;
        let control = server.control().expect("it has the contract");
        Self {
            traffic: TrafficMeddler::before(server.traffic()).await,
            control: ControlMeddler::before(control).await,
            server,
        }
    }

    /// Returns how many freezes have been answered.
    pub(super) fn freezes_answered(&self) -> usize {
        let calls = self.control.seen_of(Call::Freeze);
        calls.iter().filter(|call| call.status.is_some()).count()
    }
}

impl Meddled {
    /// Starts two servers of two releases as `shape` wants them; newcomers go to the first.
    pub(super) async fn start(
        program: Program,
        shape: impl Fn(BoardServerBuilder) -> BoardServerBuilder,
        route: &Route,
    ) -> Self {
        Self::start_unlike(program, &shape, &shape, route).await
    }

    /// The same with servers that differ.
    pub(super) async fn start_unlike(
        program: Program,
        of_source: impl Fn(BoardServerBuilder) -> BoardServerBuilder,
        of_target: impl Fn(BoardServerBuilder) -> BoardServerBuilder,
        route: &Route,
    ) -> Self {
        let database = Database::fresh().await;
        let (source, target) = tokio::join!(
            Joint::before(of_source(BoardServer::builder(program, "board-1", "r1", &database))),
            Joint::before(of_target(BoardServer::builder(program, "board-2", "r2", &database))),
        );
        let mut gateway = Gateway::builder("r1");
        for joint in [&source, &target] {
            let (traffic, control) = (joint.traffic.address(), joint.control.address());
            gateway = gateway.server_behind(&joint.server, traffic, Some(control));
        }
        let gateway = gateway.route(route).start().await;
        let users = TrafficMeddler::before(gateway.traffic()).await;
        Self {
            database,
            source,
            target,
            gateway,
            users,
        }
    }

    /// Lets a user in.
    pub(super) async fn join(&self, name: &str) -> User {
        User::join(self.users.address(), "b", name).await
    }

    /// Moves the board to the second server, with open sockets.
    pub(super) async fn switch(&self) -> MoveReport {
        self.switch_to(&self.target).await
    }

    /// Moves the board to either server, with open sockets.
    pub(super) async fn switch_to(&self, target: &Joint) -> MoveReport {
        let to = target.server.name().parse().expect("a good name");
        let mode = DrainMode::Transparent;
        let moved = self.gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
        let report = moved.expect("the gateway answers");
        assert!(report.is_moved(), "{report:?}");
        report
    }

    /// Counts the moves that have come to their hold.
    pub(super) async fn holds_begun(&self) -> f64 {
        self.metric("handover_move_step_seconds_count", &[("step", "prepare")])
            .await
    }

    /// Waits until one more move has come to its hold.
    pub(super) async fn holding(&self, holds_before: f64) {
        eventually("the sessions are to stop", SOON, || async {
            self.holds_begun().await > holds_before
        })
        .await;
    }

    pub(super) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let metrics = self.gateway.admin().metrics().await.expect("it has metrics");
        let value = metrics.value(name, labels);
        value.unwrap_or_else(|| panic!("no {name} {labels:?} in {}", metrics.text()))
    }
}

/// Far more than it takes.
pub(super) const SOON: Duration = Duration::from_secs(20);
