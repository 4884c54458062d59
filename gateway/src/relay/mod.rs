//! Bytes from one socket to the other, as they came, with their boundaries followed.
//!
//! A [`Direction`] reads into a buffer of the thread, writes at once, and keeps only what was not taken; while nothing
//! waits it holds no buffer. It never parses a payload and never decides: a [`Valve`] says how far it may go, and the
//! session that owns it says when.

mod buffer;
mod direction;
mod farewell;
mod heartbeat;
mod held;
mod linger;
mod ours;
mod quiet_watch;
mod recorder;
mod valve;

pub use buffer::BUFFER_BYTES;
pub use direction::{Direction, Fault};
pub use linger::linger;
pub use quiet_watch::QuietWatch;
pub use recorder::{Recorded, Recorder, RecorderState};
pub use valve::Valve;
