//! End-to-end tests.

mod drain;
mod contract;
mod gateway;
mod harness;
mod house;
mod opaque;
mod servers;
