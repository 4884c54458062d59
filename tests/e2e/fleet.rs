//! Two servers, one a release, behind a gateway: what most tests of operations stand on.

use std::time::Duration;

use handover_tests::{BoardServer, Database, Gateway, GatewayBuilder, Program, Route, User};

/// Two servers on one database.
pub(crate) struct Pair {
    pub(crate) servers: [BoardServer; 2],
    pub(crate) database: Database,
}

/// Two servers, one a release, behind a gateway.
pub(crate) struct Fleet {
    pub(crate) gateway: Gateway,
    pub(crate) servers: [BoardServer; 2],
    pub(crate) database: Database,
}

impl Pair {
    /// Starts one of each release; boards take so long to load.
    pub(crate) async fn start(load_time: Duration) -> Self {
        Self::of_releases(["r1", "r2"], load_time).await
    }

    /// The same of other releases.
    pub(crate) async fn of_releases(releases: [&str; 2], load_time: Duration) -> Self {
        let database = Database::fresh().await;
        let server = |name, release| {
            let builder = BoardServer::builder(Program::Reference, name, release, &database);
            builder.load_time(load_time).start()
        };
        let (first, second) = tokio::join!(server("board-1", releases[0]), server("board-2", releases[1]));
        Self {
            servers: [first, second],
            database,
        }
    }

    /// Begins a gateway before both, whose newcomers go to the first.
    pub(crate) fn gateway(&self, route: &Route) -> GatewayBuilder {
        let [first, second] = &self.servers;
        Gateway::builder("r1").server(first).server(second).route(route)
    }
}

impl Fleet {
    /// Starts all of it; boards take so long to load.
    pub(crate) async fn start(route: Route, load_time: Duration) -> Self {
        let pair = Pair::start(load_time).await;
        let gateway = pair.gateway(&route);
        Self::behind(gateway, pair).await
    }

    /// Starts the gateway of a pair, and waits until both are ready.
    pub(crate) async fn behind(gateway: GatewayBuilder, pair: Pair) -> Self {
        let gateway = gateway.start().await;
        gateway.all_ready().await;
        Self {
            gateway,
            servers: pair.servers,
            database: pair.database,
        }
    }

    /// Lets one user join each of so many boards.
    pub(crate) async fn users(&self, boards: usize) -> Vec<User> {
        let mut users = Vec::new();
        for number in 0..boards {
            users.push(User::join(self.gateway.traffic(), &board(number), "ann").await);
        }
        users
    }
}

/// Names a board.
pub(crate) fn board(number: usize) -> String {
    format!("board {number}")
}
