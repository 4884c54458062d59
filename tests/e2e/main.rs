//! End-to-end tests.

mod bounds;
mod config;
mod contract;
mod deaths;
mod documents;
mod drain;
mod edge;
mod faults;
mod front;
mod gateway;
mod harness;
mod house;
mod install;
mod lost;
mod monitoring;
mod naming;
mod opaque;
mod operators;
mod policies;
mod refusals;
mod roster;
mod servers;
mod sessions;
mod shell;
mod tls;
mod tls_servers;
