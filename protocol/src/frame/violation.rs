//! What a peer did that ends its connection.

use crate::close::CloseCode;

/// Says that a peer broke the protocol or a limit, and how much of the input stands before the offence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Violation {
    /// The rule that was broken.
    pub kind: ViolationKind,
    /// Bytes of this call's input that belong to frames before the offending one: they may still be passed on. Zero
    /// where the offending header began in an earlier call, and in every call after the one that found it.
    pub passed: usize,
}

impl Violation {
    /// Returns the close code owed to the peer that sent the frame.
    pub fn close_code(&self) -> CloseCode {
        self.kind.close_code()
    }
}

/// Names the rule that a frame's header broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ViolationKind {
    /// A client must mask each frame (RFC 6455 section 5.1).
    #[error("an unmasked frame from a client")]
    Unmasked,
    /// A server must not mask any frame (RFC 6455 section 5.1).
    #[error("a masked frame from a server")]
    Masked,
    /// Opcodes 3-7 and 11-15 have no meaning (RFC 6455 section 5.2).
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// A reserved bit without an extension that gives it a meaning (RFC 6455 section 5.2).
    #[error("a reserved bit without an extension")]
    ReservedBit,
    /// RSV1 on a frame that begins no data message (RFC 7692 section 6.1).
    #[error("a compression mark on a control frame or a continuation")]
    MisplacedRsv1,
    /// A control frame has at most 125 bytes of payload (RFC 6455 section 5.5).
    #[error("a control frame of more than 125 bytes")]
    ControlTooLong,
    /// A control frame is never fragmented (RFC 6455 section 5.5).
    #[error("a fragmented control frame")]
    ControlFragmented,
    /// A continuation where no message is open (RFC 6455 section 5.4).
    #[error("a continuation of no message")]
    StrayContinuation,
    /// A new message inside an unfinished one (RFC 6455 section 5.4).
    #[error("a new message inside an unfinished one")]
    MissingContinuation,
    /// A 64-bit length has its most significant bit clear (RFC 6455 section 5.2).
    #[error("a length with its top bit set")]
    LengthTopBit,
    /// A length is written in as few bytes as it takes (RFC 6455 section 5.2).
    #[error("a length in more bytes than it takes")]
    LengthNotMinimal,
    /// The message announces more than `message_bytes_max`.
    #[error("a message over the size limit")]
    MessageTooLarge,
    /// The message has more than `fragments_max` frames.
    #[error("a message of too many fragments")]
    TooManyFragments,
}

impl ViolationKind {
    /// Returns the close code owed to the peer that sent the frame.
    ///
    /// Where that peer is a server, the client is owed [`CloseCode::INTERNAL_ERROR`]: it did nothing wrong.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Unmasked
            | Self::Masked
            | Self::ReservedOpcode
            | Self::ReservedBit
            | Self::MisplacedRsv1
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::StrayContinuation
            | Self::MissingContinuation
            | Self::LengthTopBit
            | Self::LengthNotMinimal => CloseCode::PROTOCOL_ERROR,
            Self::MessageTooLarge => CloseCode::MESSAGE_TOO_BIG,
            Self::TooManyFragments => CloseCode::POLICY_VIOLATION,
        }
    }

    /// Returns a short name in snake case, for a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unmasked => "unmasked",
            Self::Masked => "masked",
            Self::ReservedOpcode => "reserved_opcode",
            Self::ReservedBit => "reserved_bit",
            Self::MisplacedRsv1 => "misplaced_rsv1",
            Self::ControlTooLong => "control_too_long",
            Self::ControlFragmented => "control_fragmented",
            Self::StrayContinuation => "stray_continuation",
            Self::MissingContinuation => "missing_continuation",
            Self::LengthTopBit => "length_top_bit",
            Self::LengthNotMinimal => "length_not_minimal",
            Self::MessageTooLarge => "message_too_large",
            Self::TooManyFragments => "too_many_fragments",
        }
    }
}
