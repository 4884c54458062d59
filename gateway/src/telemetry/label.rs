//! The values that labels can take: closed lists, never boards or sessions.

use handover_protocol::admin::{DrainState, Level, ServerState};

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

/// Makes an enum of the protocol a label.
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
    /// A bound that was reached; named as its setting is.
    Limit {
        /// Sessions at once.
        Sessions = "sessions_max",
        /// Boards of a server.
        Capacity = "capacity",
        /// Connections at once.
        Connections = "connections_max",
        /// File descriptors; the operating system's bound.
        OpenFiles = "open_files",
        /// Ports of this machine towards one server; the operating system's bound.
        LocalPorts = "local_ports",
        /// Connections and requests that wait for a board.
        Parked = "parked_max",
        /// Bytes of a head.
        HeadBytes = "head_bytes_max",
        /// Header lines of a head.
        HeaderCount = "header_count_max",
        /// Bytes of a target.
        TargetBytes = "target_bytes_max",
        /// Bytes sent before the 101.
        EarlyBytes = "early_bytes_max",
        /// A head did not end in time.
        HeadTimeout = "head_timeout",
        /// A TLS handshake did not end in time.
        TlsHandshakeTimeout = "tls_handshake_timeout",
        /// No request came in time.
        IdleTimeout = "idle_timeout",
        /// A server did not take a connection in time.
        DialTimeout = "dial_timeout",
        /// A server did not answer a handshake in time.
        UpgradeTimeout = "upgrade_timeout",
        /// A server did not answer a plain request in time.
        AnswerTimeout = "answer_timeout",
        /// A client took nothing for too long.
        StallTimeout = "stall_timeout",
        /// A control call was not answered in time.
        ControlCallTimeout = "control_call_timeout",
        /// A server did not load a board in time.
        PrepareTimeout = "prepare_timeout",
        /// A server did not freeze a board in time.
        FreezeTimeout = "freeze_timeout",
        /// A server did not say in time how it is.
        HealthTimeout = "health_timeout",
        /// Connections to the admin API at once; a bound of the code's.
        AdminConnections = "admin_connections_max",
        /// A control answer was too large.
        ControlBodyBytes = "control_body_bytes_max",
        /// A message was too large.
        MessageBytes = "message_bytes_max",
        /// A message had too many fragments.
        MessageFragments = "message_fragments_max",
        /// A client sent too many control frames.
        ControlFrames = "control_frames_per_second_max",
        /// A client did not end a message in time.
        MessageTimeout = "message_timeout",
        /// More came during a hold than is kept.
        HoldBytes = "hold_bytes",
        /// A session said more than is kept for saying it again.
        ReplayBytes = "replay_bytes_max",
        /// A session said more messages than are kept for saying them again.
        ReplayMessages = "replay_messages_max",
        /// A hold lasted too long.
        HoldTimeout = "hold_timeout",
        /// No message boundary came in time.
        BoundaryTimeout = "boundary_timeout",
        /// A plain request was not answered within a hold.
        RequestTimeout = "request_timeout",
        /// An opaque server was not quiet in time.
        QuietMax = "quiet_max",
        /// An opaque server's hook did not say in time that a board is saved.
        Settle = "settle",
        /// A session was not attached in time.
        SwitchTimeout = "switch_timeout",
        /// A peer did not answer a Close in time.
        CloseDeadline = "close_deadline",
        /// A board's users had been told to reconnect of late, so its move was put off.
        Bounce = "bounce_limit",
        /// A board had been moved of late, so its next move was put off.
        BoardMove = "board_move_interval",
    }
}

label! {
    /// What became of a WebSocket handshake.
    UpgradeOutcome {
        /// It is a session.
        Opened = "opened",
        /// The client's handshake was none that is let through.
        BadRequest = "bad_request",
        /// No route takes it, or it names no board.
        NoRoute = "no_route",
        /// The server answered with plain HTTP.
        Refused = "refused",
        /// The server's answer was wrong.
        BadAnswer = "bad_answer",
        /// The server could not be reached.
        Unreachable = "unreachable",
        /// The server did not answer in time.
        Timeout = "timeout",
        /// The board had no owner that could serve it, or was held for too long.
        Unavailable = "unavailable",
        /// A bound was reached.
        Limited = "limited",
        /// The client left first.
        ClientGone = "client_gone",
    }
}

label! {
    /// What became of a TLS handshake with a client.
    TlsOutcome {
        /// It succeeded, with a signature.
        Full = "full",
        /// It succeeded, by a ticket of an earlier one.
        Resumed = "resumed",
        /// What the client offered or asked for does not suit, or it refused us.
        Refused = "refused",
        /// It did not end in time.
        Timeout = "timeout",
        /// The client left first.
        ClientGone = "client_gone",
    }
}

label! {
    /// What became of the PROXY header that a listed peer was to begin with.
    ProxyHeaderOutcome {
        /// It named a client.
        Client = "client",
        /// The peer connected for itself, or did not say for whom.
        Itself = "itself",
        /// The connection began with something else.
        Missing = "missing",
        /// It was malformed, or too long.
        Malformed = "malformed",
        /// It was not whole in time.
        Timeout = "timeout",
        /// The peer left first.
        PeerGone = "peer_gone",
    }
}

label! {
    /// What became of a TLS handshake with a server.
    ServerTlsOutcome {
        /// It succeeded, with the server's signature.
        Full = "full",
        /// It succeeded, by a ticket of an earlier one.
        Resumed = "resumed",
        /// The server's certificate is for other names.
        Name = "name",
        /// Nobody who is believed has signed it.
        Authority = "authority",
        /// It has ended, or not begun.
        Expired = "expired",
        /// Something else is wrong with it.
        Certificate = "certificate",
        /// The server does not accept what it was shown, or wants to be shown something.
        Refused = "refused",
        /// What came back is no TLS that suits.
        Protocol = "protocol",
        /// It did not end in time.
        Timeout = "timeout",
        /// The connection broke.
        Broken = "broken",
    }
}

label! {
    /// What became of a plain request.
    RequestOutcome {
        /// The server's answer was passed on whole.
        Answered = "answered",
        /// The request was none that is let through.
        BadRequest = "bad_request",
        /// No route takes it, or it names no board.
        NoRoute = "no_route",
        /// The server's answer broke off or was wrong.
        BadAnswer = "bad_answer",
        /// The server could not be reached.
        Unreachable = "unreachable",
        /// The server did not answer in time.
        Timeout = "timeout",
        /// The board had no owner that could serve it, or was held for too long.
        Unavailable = "unavailable",
        /// A bound was reached.
        Limited = "limited",
        /// The answer was cut because the board moved.
        Cut = "cut",
        /// The client left first.
        ClientGone = "client_gone",
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
