//! The load test.

pub mod ledger;
