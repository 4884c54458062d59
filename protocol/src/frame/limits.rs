//! What a peer may send before it is cut off.

/// The bounds on one direction of a session; shared by all sessions of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most payload bytes of one data message on the wire (compressed, where it is), over all its frames.
    pub message_bytes_max: u64,
    /// Most frames of one data message; an unfragmented message is one frame and always allowed.
    pub fragments_max: u32,
    /// Which reserved bits the handshake gave a meaning to.
    pub extensions: Reserved,
}

/// Which of a frame's reserved bits may be set; RSV2 and RSV3 never are (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// No extension was agreed on: all three are zero.
    Zero,
    /// permessage-deflate was agreed on: RSV1 marks the first frame of a compressed message (RFC 7692 section 6).
    Deflate,
}

impl Limits {
    /// Default for the bytes of one message: what common libraries take, so that the endpoint's own limit decides.
    pub const MESSAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

    /// Default for the frames of one message: 16 MiB in fragments of 1 KiB pass, a million empty ones do not.
    pub const FRAGMENTS_MAX: u32 = 16 * 1024;

    /// Returns these limits with `extensions` as the handshake agreed on them.
    #[must_use]
    pub fn with_extensions(self, extensions: Reserved) -> Self {
        Self { extensions, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: Self::MESSAGE_BYTES_MAX,
            fragments_max: Self::FRAGMENTS_MAX,
            extensions: Reserved::Zero,
        }
    }
}
