//! Ports for processes that must be told theirs.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Finds a port of the loopback interface that nobody listens on and no outgoing connection will take.
///
/// Outgoing connections take theirs from 32768 on; below that, each test process counts up from a place of its own,
/// so that two fixtures never get the same one.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    for _ in 0..LAST - FIRST {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = (std::process::id() as u16).wrapping_mul(61);
        let port = FIRST + start.wrapping_add(step) % (LAST - FIRST);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

static NEXT: AtomicU16 = AtomicU16::new(0);
const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;
