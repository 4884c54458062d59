//! WebSocket close codes (RFC 6455 section 7.4) and the bodies of close frames.

use std::fmt;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

/// What a Close says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseBody<'a> {
    /// Why.
    pub code: CloseCode,
    /// For people who debug; may be empty.
    pub reason: &'a str,
}

/// Says why the payload of a Close is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseBodyError {
    /// One byte is no code (RFC 6455 section 5.5.1).
    #[error("a close payload of one byte")]
    HalfACode,
    /// The code must not stand in a frame (RFC 6455 section 7.4).
    #[error("close code {0}, which must not be sent")]
    Code(CloseCode),
    /// The reason is no UTF-8.
    #[error("a close reason that is not UTF-8")]
    Reason,
}

impl CloseCode {
    /// The purpose of the connection is fulfilled; many clients stay away.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of data that the endpoint does not take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// A message did not hold what its type says.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a policy, for which there is no code of its own.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message was too large.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// The server did not agree on an extension that the client needs.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// The endpoint failed; the peer did nothing wrong.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts: come back.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The service is overloaded: come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway got no good answer from the server behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Longest reason, in bytes of UTF-8: what a control frame holds behind the code.
    pub const REASON_BYTES_MAX: usize = 123;

    /// Takes a number as a code, whether or not it may be sent.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Reads whether the code may stand in a frame: registered (RFC 6455 section 7.4.1 and IANA), or in the ranges for
    /// libraries and applications (section 7.4.2). 1004 has no meaning; 1005, 1006 and 1015 only name what was *not* sent.
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl<'a> CloseBody<'a> {
    /// Reads the payload of a Close; an empty one says nothing.
    ///
    /// # Errors
    /// When the payload is none that may be sent.
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, CloseBodyError> {
        match payload {
            [] => Ok(None),
            [_] => Err(CloseBodyError::HalfACode),
            [high, low, reason @ ..] => {
                let code = CloseCode(u16::from_be_bytes([*high, *low]));
                if !code.may_be_sent() {
                    return Err(CloseBodyError::Code(code));
                }
                let reason = str::from_utf8(reason).map_err(|_| CloseBodyError::Reason)?;
                Ok(Some(Self { code, reason }))
            }
        }
    }
}

/// Says which known clients never come back after a close code, where it is such a trap for a reconnect.
///
/// 1001, 1012 and 1013 are none: all widely used clients retry them.
pub const fn trap(code: CloseCode) -> Option<&'static str> {
    match code.0 {
        1000 => Some("clients take it as a wanted end: graphql-ws stays away unless it has a subscription"),
        1002 | 1003 | 1007 | 1008 | 1010 | 1011 => Some("graphql-ws takes it as fatal"),
        1009 => Some("graphql-ws and centrifuge take it as fatal"),
        3500..=3999 => Some("centrifuge takes 3500-3999 as fatal"),
        4099 => Some("clients are known that never return after it"),
        4400..=4499 => Some("y-websocket takes 4400-4499 as fatal, graphql-ws several of them"),
        4500..=4999 => Some("centrifuge takes 4500-4999 as fatal, graphql-ws some of them"),
        _ => None,
    }
}

/// Says which older clients take a close code for a fault of the protocol, because it was registered after they were
/// written: they see a connection that broke, and some do not come back from that.
///
/// 1001 has no such clients.
pub const fn refused_as_unknown(code: CloseCode) -> Option<&'static str> {
    match code.0 {
        1012..=1014 => Some(".NET before 8, early OkHttp 3 and Starscream before 3"),
        _ => None,
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_with_a_meaning_may_be_sent() {
        let sendable: Vec<_> = (0..=u16::MAX)
            .filter(|code| CloseCode::new(*code).may_be_sent())
            .collect();
        let registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
        assert!(sendable.into_iter().eq(registered.into_iter().chain(3000..5000)));
    }

    #[test]
    fn the_payload_of_a_close_is_read() {
        let body = |payload| CloseBody::parse(payload).map(|body| body.map(|body| (body.code.get(), body.reason)));
        assert_eq!(body(&[]), Ok(None));
        assert_eq!(body(&[3, 244]), Ok(Some((1012, ""))));
        assert_eq!(body(&[3, 244, b'g', b'o']), Ok(Some((1012, "go"))));
        assert_eq!(body(&[3]), Err(CloseBodyError::HalfACode));
        assert_eq!(body(&[3, 237]), Err(CloseBodyError::Code(CloseCode::new(1005))));
        assert_eq!(body(&[3, 244, 0xFF]), Err(CloseBodyError::Reason));
    }

    #[test]
    fn codes_that_ask_to_come_back_are_no_traps() {
        let traps = |code| trap(CloseCode::new(code)).is_some();
        for code in [1001, 1012, 1013, 1014, 3000, 3499, 4000, 4098, 4100, 4399] {
            assert!(!traps(code), "{code}");
        }
        for code in [
            1000, 1002, 1003, 1007, 1009, 1011, 3500, 3999, 4099, 4400, 4401, 4499, 4500, 4999,
        ] {
            assert!(traps(code), "{code}");
        }
    }

    #[test]
    fn codes_that_are_younger_than_some_clients_are_known() {
        let young: Vec<_> = (0..=u16::MAX)
            .filter(|code| refused_as_unknown(CloseCode::new(*code)).is_some())
            .collect();
        assert_eq!(young, [1012, 1013, 1014]);
    }
}
