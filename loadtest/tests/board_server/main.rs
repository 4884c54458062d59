//! The reference board server over real sockets: SQLite always, PostgreSQL where `HANDOVER_TEST_POSTGRES` names one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod calls;
mod fences;
mod harness;
mod moves;
mod whiteboard;
