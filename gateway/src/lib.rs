//! The gateway.

pub mod admin;
pub mod board;
pub mod cli;
pub mod config;
pub mod drain;
pub mod edge;
pub mod fleet;
pub mod mover;
pub mod probe;
pub mod registry;
pub mod relay;
pub mod serve;
pub mod session;
pub mod shell;
pub mod telemetry;
pub mod upstream;
