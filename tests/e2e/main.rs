//! End-to-end tests.

mod drain;
mod gateway;
mod harness;
mod house;
mod servers;
