//! End-to-end tests.

mod gateway;
mod harness;
mod house;
mod servers;
