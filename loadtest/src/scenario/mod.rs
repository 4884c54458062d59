//! Runs of virtual users against a gateway: how busy they are, what happens meanwhile, and what the ledger says.

mod admin;
mod database;
mod gauges;
mod jam;
mod load;
mod own_stand;
mod release;
mod run;
mod scales;
mod tcp_table;
mod visit;
mod watch;

pub use admin::{AdminClient, AdminError};
pub use database::{Written, find_database, read_database};
pub use load::Load;
pub use own_stand::{OwnStand, OwnStandError};
pub use run::{Arrival, Run, RunError, Stand};
pub use scales::Scales;
pub use watch::{Sights, Watch};
