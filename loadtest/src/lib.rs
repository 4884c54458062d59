//! The load test.

pub mod board_server;
pub mod demo;
pub mod ending;
pub mod ledger;
pub mod lying_relay;
pub mod report;
pub mod scenario;
pub mod screen;
pub mod store;
pub mod target;
pub mod user;
pub mod wire;
