//! Two servers, one a release, behind a gateway: what most tests of operations stand on.

use std::time::Duration;

use handover_tests::{BoardServer, Database, Gateway, Program, Route, User};

/// Two servers, one a release, behind a gateway.
pub(crate) struct Fleet {
    pub(crate) gateway: Gateway,
    pub(crate) servers: [BoardServer; 2],
    pub(crate) database: Database,
}

impl Fleet {
    /// Starts all of it; boards take so long to load.
    pub(crate) async fn start(route: Route, load_time: Duration) -> Self {
        let database = Database::fresh().await;
        let server = async |name: &str, release: &str| {
            let builder = BoardServer::builder(Program::Reference, name, release, &database);
            builder.load_time(load_time).start().await
        };
        let servers = [server("board-1", "r1").await, server("board-2", "r2").await];
        let gateway = Gateway::builder("r1")
            .server(&servers[0])
            .server(&servers[1])
            .route(&route)
            .start()
            .await;
        gateway.all_ready().await;
        Self {
            gateway,
            servers,
            database,
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
