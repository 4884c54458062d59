//! The values that labels can take: closed lists, never boards or sessions.

use handover_protocol::admin::{DrainState, Level, PausedBy, ServerState};

/// A label whose values are known beforehand.
pub trait Label: Copy + Eq + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// Returns the value as it stands in a series.
    fn text(self) -> &'static str;

    /// Returns the value's place in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Declares a label as an enum, each value beside its text.
macro_rules! label {
    ($(#[$meta:meta])* $name:ident { $($(#[$value_meta:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$value_meta])* $value,)+
        }

        label_of!($name { $($value = $text,)+ });
    };
}

/// Makes an enum a label.
macro_rules! label_of {
    ($name:ident { $($value:ident = $text:literal,)+ }) => {
        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value,)+];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

mod limit;
mod outcome;

pub use limit::Limit;
pub use outcome::{ProxyHeaderOutcome, RequestOutcome, ServerTlsOutcome, TlsOutcome, UpgradeOutcome};

label_of!(Level {
    Opaque = "opaque",
    Contract = "contract",
});

label_of!(DrainState {
    Running = "running",
    Paused = "paused",
    Done = "done",
    Failed = "failed",
    Aborted = "aborted",
    Undoing = "undoing",
    Undone = "undone",
});

label_of!(PausedBy {
    Operator = "operator",
    Deadline = "deadline",
    TargetDown = "target_down",
});

label_of!(ServerState {
    Ready = "ready",
    Cordoned = "cordoned",
    Draining = "draining",
    Down = "down",
});

label! {
    /// What came of a health check.
    CheckResult {
        /// The server answered as it should.
        Answered = "answered",
        /// Nobody listens there.
        Refused = "refused",
        /// No answer came in time, or a wrong one.
        Unanswered = "unanswered",
        /// Somebody answered whose certificate is not believed; it proves nothing of the server.
        Disbelieved = "disbelieved",
        /// The gateway itself stood still; it proves nothing.
        Stalled = "stalled",
    }
}

label! {
    /// Where boards of running drains are.
    DrainBoards {
        /// Still on a source.
        Left = "left",
        /// Of those: their move is under way.
        Moving = "moving",
        /// Of those: they were moved, or their users told to reconnect, of late.
        PutOff = "put_off",
    }
}

label! {
    /// A part of a client's way to its session.
    HandshakeStep {
        /// TLS with the client.
        Tls = "tls",
        /// The board's gate: that it is known, placed and not held.
        Enter = "enter",
        /// The connection to its server, and its answer to the handshake.
        Dial = "dial",
    }
}

label! {
    /// Why a log line reached nobody.
    LogLoss {
        /// Too many lines waited to be written.
        QueueFull = "queue_full",
        /// It could not be written.
        WriteFailed = "write_failed",
    }
}

label! {
    /// What a server is to a board that counts under it.
    BoardRole {
        /// The server owns the board, also while it is being moved off it.
        Owner = "owner",
        /// The board is being moved to the server and still belongs to another.
        Standby = "standby",
    }
}

label! {
    /// What came of reading the configuration anew.
    ReloadResult {
        /// It holds from then on.
        Applied = "applied",
        /// It was wrong, and nothing has changed.
        Refused = "refused",
    }
}

label! {
    /// How a move ended.
    MoveResult {
        /// The target owns the board and serves it.
        Moved = "moved",
        /// The source owns the board as before.
        Undone = "undone",
        /// Ownership was transferred, and the target did not confirm it.
        Forced = "forced",
        /// Somebody else owns the board now.
        Lost = "lost",
    }
}

label! {
    /// What became of a board whose server was gone.
    TakeoverResult {
        /// Another server has it.
        Taken = "taken",
        /// Nobody took it, or a move had it in its hands; it is tried again.
        Failed = "failed",
    }
}

label! {
    /// A step of a move.
    MoveStep {
        /// The target loads the board while the source serves.
        Prepare = "prepare",
        /// Clients were told and leave.
        Tell = "tell",
        /// Client frames are stopped at message boundaries.
        Hold = "hold",
        /// The source handles what was passed on, and saves.
        Freeze = "freeze",
        /// The source's last answers are brought home.
        DrainDown = "drain_down",
        /// An opaque source is watched until it is quiet.
        Quiet = "quiet",
        /// An opaque source's connections are ended and read to their end.
        Close = "close",
        /// An opaque source is given time to save.
        Settle = "settle",
        /// Ownership is transferred in the registry.
        Commit = "commit",
        /// The target takes the fence.
        Activate = "activate",
        /// Sessions are attached to the target.
        Switch = "switch",
        /// The source drops the board.
        Release = "release",
    }
}

label! {
    /// How a session crossed, or was to cross.
    Crossing {
        /// Its socket stays open.
        Transparent = "transparent",
        /// It is told to reconnect.
        Reconnect = "reconnect",
    }
}

label! {
    /// Why a session that was to cross transparently was told to reconnect.
    Fallback {
        /// No message boundary came in time.
        Boundary = "boundary",
        /// The client does not read.
        Stalled = "stalled",
        /// The source's counted messages did not all arrive.
        Short = "short",
        /// The source closed, or its connection broke.
        SourceGone = "source_gone",
        /// The target could not be dialled.
        DialFailed = "dial_failed",
        /// The target refused the handshake.
        DialRefused = "dial_refused",
        /// The target's 101 differs from the source's.
        Disagreement = "disagreement",
        /// What has to be said again was not kept whole.
        ReplayIncomplete = "replay_incomplete",
        /// The target did not answer what was said again.
        ReplayUnanswered = "replay_unanswered",
        /// The session was not attached in time.
        SwitchTimeout = "switch_timeout",
        /// The board has more sessions than can be dialled within a hold.
        TooManySessions = "too_many_sessions",
        /// The hold may last no longer.
        HoldTimeout = "hold_timeout",
    }
}

label! {
    /// Where a message goes.
    Direction {
        /// From the client.
        ToServer = "to_server",
        /// From the server.
        ToClient = "to_client",
    }
}

label! {
    /// A peer of the gateway.
    Side {
        /// The client.
        Client = "client",
        /// The board server.
        Server = "server",
    }
}

label! {
    /// An operation of the registry.
    RegistryOperation {
        /// Every placement is read.
        Load = "load",
        /// One placement is read.
        Read = "read",
        /// One placement is written.
        CompareAndSet = "compare_and_set",
        /// A drain's record is written.
        PutDrain = "put_drain",
        /// Every drain's record is read.
        Drains = "drains",
        /// What is remembered of a server is written.
        PutServer = "put_server",
        /// What is remembered of servers is read.
        Servers = "servers",
    }
}

label! {
    /// A call of the control contract.
    ControlCall {
        /// Who answers.
        Server = "server",
        /// Which boards are open.
        Boards = "boards",
        /// Load a standby.
        Prepare = "prepare",
        /// Save and take no more.
        Freeze = "freeze",
        /// Take the fence.
        Activate = "activate",
        /// Take the board back.
        Thaw = "thaw",
        /// Drop a copy.
        Forget = "forget",
    }
}

label! {
    /// Why a control call failed.
    ControlFailure {
        /// The server refused as the contract says.
        Refused = "refused",
        /// The server did not accept our token.
        Unauthorized = "unauthorized",
        /// No answer came; the call may have been carried out.
        Unanswered = "unanswered",
        /// The call was never sent.
        Unreachable = "unreachable",
        /// The answer was none of the contract's.
        Nonsense = "nonsense",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_finds_its_own_place_and_has_a_text_of_its_own() {
        fn check<L: Label + std::fmt::Debug>() {
            for (place, value) in L::ALL.iter().enumerate() {
                assert_eq!(value.index(), place, "{value:?}");
                let same = L::ALL.iter().filter(|other| other.text() == value.text()).count();
                assert_eq!(same, 1, "{value:?}");
            }
        }
        check::<Level>();
        check::<DrainState>();
        check::<PausedBy>();
        check::<ServerState>();
        check::<CheckResult>();
        check::<DrainBoards>();
        check::<HandshakeStep>();
        check::<LogLoss>();
        check::<BoardRole>();
        check::<MoveResult>();
        check::<MoveStep>();
        check::<TakeoverResult>();
        check::<Crossing>();
        check::<Fallback>();
        check::<Direction>();
        check::<Side>();
        check::<Limit>();
        check::<UpgradeOutcome>();
        check::<TlsOutcome>();
        check::<ProxyHeaderOutcome>();
        check::<ServerTlsOutcome>();
        check::<RequestOutcome>();
        check::<RegistryOperation>();
        check::<ControlCall>();
        check::<ControlFailure>();
    }
}
