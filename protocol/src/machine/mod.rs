//! The pure machines: events go in, commands come out; no clock, no sockets, no randomness.
//!
//! Drivers in the gateway carry the commands out and bring the answers back. Each machine lists its answer to every
//! (phase, event) pair in a table beside its source, which a test keeps true.

pub mod drain;
pub mod health;
pub mod moving;
pub mod session;

#[cfg(test)]
mod table;
