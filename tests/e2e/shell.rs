//! The shell over real processes: every verb, every format and every exit code.

use std::time::Duration;

use handover_tests::{BoardServer, Database, Gateway, Program, Route, Shell, User};

mod boards;
mod drains;
mod probe;
mod reach;
mod terminal;

/// Two servers, one a release, behind a gateway, and a shell that talks to it.
struct Stage {
    shell: Shell,
    gateway: Gateway,
    servers: [BoardServer; 2],
    _database: Database,
}

/// Starts a stage whose boards take so long to load.
async fn stage(route: Route, load_time: Duration) -> Stage {
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
    Stage {
        shell: Shell::new(gateway.admin().url()),
        gateway,
        servers,
        _database: database,
    }
}

impl Stage {
    async fn users(&self, boards: usize) -> Vec<User> {
        let mut users = Vec::new();
        for number in 0..boards {
            users.push(User::join(self.gateway.traffic(), &format!("board {number}"), "ann").await);
        }
        users
    }
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);

/// A drain of the old release, named `d`.
const START: [&str; 8] = [
    "drain",
    "start",
    "--from-release",
    "r1",
    "--to-release",
    "r2",
    "--id",
    "d",
];
