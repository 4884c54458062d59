//! The gateway.

pub mod cli;
pub mod config;
pub mod drain;
pub mod registry;
pub mod telemetry;
pub mod upstream;
