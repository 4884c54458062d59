//! The load test.

pub mod ledger;
pub mod lying_relay;
pub mod report;
pub mod user;
pub mod wire;
