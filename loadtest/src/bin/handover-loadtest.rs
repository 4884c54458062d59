//! The `handover-loadtest` binary.
fn main() {}
