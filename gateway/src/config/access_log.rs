//! What the access log has.

/// Whose coming and going is logged, with client addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// Nobody's.
    Off,
    /// Sessions': as they open, cross and end, and handshakes that were refused.
    #[default]
    Sessions,
    /// Plain requests' too.
    All,
}

impl AccessLog {
    /// Reads whether sessions and refused handshakes are logged.
    pub fn has_sessions(self) -> bool {
        match self {
            Self::Off => false,
            Self::Sessions | Self::All => true,
        }
    }

    /// Reads whether plain requests are logged.
    pub fn has_requests(self) -> bool {
        match self {
            Self::Off | Self::Sessions => false,
            Self::All => true,
        }
    }
}
