//! The harness itself: what it promises to the other tests.

mod meddler;
mod processes;
