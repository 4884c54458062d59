//! What happens to a session: the mover's questions and orders, and what its two sockets bring.

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The mover: tell the client by a message to reconnect, and let it.
    Tell,
    /// The mover: stop at the end of the message under way.
    Hold,
    /// The mover: take what the source said, up to its count.
    Drain,
    /// The mover: have the source's WebSocket layer confirm that it read everything. `pinged` says whether a Ping of the
    /// client's has not been answered.
    Confirm {
        /// Whether the source owes the client a Pong.
        pinged: bool,
    },
    /// The mover: end the source's stream and take what it still says.
    CloseSource,
    /// The mover: attach to the target. `held` says whether whole messages of the client wait.
    Switch {
        /// Whether messages that the gateway took have not been passed on.
        held: bool,
    },
    /// Whoever placed the board anew: its server is gone, attach to the one that has it now.
    TakeOver {
        /// Whether no message is under way in either direction. Half a message was for the dead server alone, or of it.
        whole: bool,
        /// Whether messages that the gateway took have not been passed on.
        held: bool,
    },
    /// The mover: go on, with whoever the session is attached to.
    Resume,
    /// The mover or the gateway's end: tell the client by a close frame to reconnect.
    Cut,
    /// No message of the client is under way, and everything that was taken whole has been passed on.
    Boundary,
    /// The client's Close frame came.
    ClientClose,
    /// The client's stream ended; everything that it said has been passed on, but for half a message and what a hold
    /// keeps back.
    ClientEof,
    /// The stream of the upstream that the session is attached to ended; a released source's end is told to nobody.
    SourceEof,
    /// As [`Event::SourceEof`] while the session relays, without a goodbye and where the session outlives its server.
    SourceDied {
        /// Whether no message is under way in either direction.
        whole: bool,
    },
    /// As many messages as the source counted have arrived.
    DrainReached,
    /// The source has answered the client's Ping.
    PingAnswered,
    /// The Pong to our Ping came.
    Pong,
    /// The target accepted the handshake and answered what had to be answered.
    AttachDone,
    /// The target did not.
    AttachFailed,
    /// A peer broke the protocol.
    Violation,
    /// The phase lasted too long.
    Deadline,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 27] = [
        Self::Tell,
        Self::Hold,
        Self::Drain,
        Self::Confirm { pinged: true },
        Self::Confirm { pinged: false },
        Self::CloseSource,
        Self::Switch { held: true },
        Self::Switch { held: false },
        Self::TakeOver {
            whole: true,
            held: true,
        },
        Self::TakeOver {
            whole: true,
            held: false,
        },
        Self::TakeOver {
            whole: false,
            held: true,
        },
        Self::TakeOver {
            whole: false,
            held: false,
        },
        Self::Resume,
        Self::Cut,
        Self::Boundary,
        Self::ClientClose,
        Self::ClientEof,
        Self::SourceEof,
        Self::SourceDied { whole: true },
        Self::SourceDied { whole: false },
        Self::DrainReached,
        Self::PingAnswered,
        Self::Pong,
        Self::AttachDone,
        Self::AttachFailed,
        Self::Violation,
        Self::Deadline,
    ];
}
