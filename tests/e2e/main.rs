//! End-to-end tests.

mod harness;
mod servers;
