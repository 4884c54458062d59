//! Measures the gateway beside what it replaces, in one run on one machine.
//!
//! Every proxy runs on one core, clients and backend on another, and they take turns: a round is one look at each, and
//! what counts is the median, over the rounds, of the ratio of two proxies in the same round. Absolute times say more
//! of the machine than of a proxy.

pub mod backend;
pub mod certificate;
pub mod cpu;
pub mod figure;
pub mod load;
pub mod peer;
pub mod report;
pub mod rounds;
pub mod statistics;
pub mod tcp_relay;
pub mod tracer;
mod wire;
