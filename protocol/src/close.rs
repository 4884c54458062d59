//! WebSocket close codes (RFC 6455 section 7.4) and the bodies of close frames.
