//! Servers that keep the control contract, under users who go on drawing.

mod boundaries;
mod compressed;
mod crowds;
mod fragments;
mod held;
mod loading;
mod meddled;
mod queued;
mod sizes;

use handover_protocol::admin::{DrainMode, MoveReport, MoveRequest};
use handover_tests::{BoardServer, Database, Gateway, Program, Route};

struct Stage {
    database: Database,
    _servers: (BoardServer, BoardServer),
    gateway: Gateway,
}

/// Two reference servers of two releases, and a gateway whose newcomers go to the first.
async fn stage(route: &Route) -> Stage {
    stage_of(Program::Reference, Program::Reference, route).await
}

async fn stage_of(source: Program, target: Program, route: &Route) -> Stage {
    let database = Database::fresh().await;
    let servers = tokio::join!(
        BoardServer::builder(source, "board-1", "r1", &database).start(),
        BoardServer::builder(target, "board-2", "r2", &database).start(),
    );
    let gateway = Gateway::builder("r1").server(&servers.0).server(&servers.1);
    let gateway = gateway.route(route).start().await;
    Stage {
        database,
        _servers: servers,
        gateway,
    }
}

async fn move_to_target(gateway: &Gateway, mode: DrainMode) -> MoveReport {
    let to = "board-2".parse().expect("a good name");
    let moved = gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
    let report = moved.expect("the gateway answers");
    assert!(report.is_moved(), "{report:?}");
    report
}
