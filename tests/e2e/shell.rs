//! The shell over real processes: every verb, every format and every exit code.

use std::time::Duration;

use handover_tests::{Route, Shell};

use crate::fleet::Fleet;

mod boards;
mod drains;
mod probe;
mod reach;
mod terminal;

/// A fleet, and a shell that talks to its gateway.
struct Stage {
    shell: Shell,
    fleet: Fleet,
}

/// Starts a stage whose boards take so long to load.
async fn stage(route: Route, load_time: Duration) -> Stage {
    let fleet = Fleet::start(route, load_time).await;
    Stage {
        shell: Shell::new(fleet.gateway.admin().url()),
        fleet,
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
