//! The gateway.

pub mod cli;
pub mod config;
pub mod registry;
pub mod telemetry;
pub mod upstream;
