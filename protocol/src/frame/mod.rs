//! WebSocket frames on the wire (RFC 6455 section 5): where they begin and end, and how ours are written.
//!
//! [`Scanner`] follows the boundaries of frames and messages in bytes that pass verbatim; it never changes or keeps a
//! payload. [`encode`] writes the few frames that the gateway says itself. [`MessageReader`] takes whole messages out
//! of a stream, only for as long as a route's pattern looks into them.

mod encode;
mod header;
mod judge;
mod limits;
mod mask;
mod reader;
mod scanner;
mod violation;

pub use encode::{encode, encode_binary, encode_close, encode_ping, encode_pong, encode_text};
pub use header::{FrameHeader, Opcode, Sender};
pub use limits::{Limits, Reserved};
pub use mask::{MaskKey, unmask};
pub use reader::{MessageReader, Received};
pub use scanner::{Advance, Event, Scanner};
pub use violation::{Violation, ViolationKind};
