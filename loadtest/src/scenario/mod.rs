//! Runs of virtual users against a gateway: how busy they are, what happens meanwhile, and what the ledger says.

mod admin;
mod database;
mod load;
mod run;

pub use admin::{AdminClient, AdminError};
pub use database::{Written, read_database};
pub use load::Load;
pub use run::{Run, RunError, Stand};
