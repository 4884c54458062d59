//! End-to-end tests.

mod contract;
mod drain;
mod gateway;
mod harness;
mod house;
mod opaque;
mod refusals;
mod servers;
