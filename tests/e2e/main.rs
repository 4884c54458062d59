//! End-to-end tests.

mod harness;
mod house;
mod servers;
