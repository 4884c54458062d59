//! Micro benches of the hot path.
