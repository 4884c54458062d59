//! The bounds that can be reached.

use super::Label;

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
