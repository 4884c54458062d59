//! What becomes of handshakes and requests.

use super::Label;

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
