//! The machines in every world that their peers can make: each state that can be reached is reached and judged.

#![expect(clippy::unwrap_used, reason = "what a check calls may fail the test")]

mod agreement;
mod board;
mod moves;
mod paths;
mod walk;
mod world;
