//! The `board-server` binary.
fn main() {}
