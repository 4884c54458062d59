//! WebSocket frame headers and message boundaries (RFC 6455 section 5).
