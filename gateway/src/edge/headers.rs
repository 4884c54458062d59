//! Header hygiene: what belongs to one hop stays on it, and nobody speaks in another's name.
//!
//! The servers behind read some spellings as one (CGI makes `_` of `-` and of `.`), so a name that has one of those
//! marks is dropped whatever it says.

use http::HeaderMap;
use http::header::{
    CONNECTION, EXPECT, FORWARDED, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE,
};

use super::sender::Sender;

/// Cleans a client's request for the server, and says from whom it came.
///
/// Of `Connection` nothing is left: whoever sends the request on says what holds for the next hop.
pub(super) fn clean_request(headers: &mut HeaderMap, sender: &Sender) {
    drop_hop_by_hop(headers);
    drop_where(headers, speaks_for_others);
    for name in REQUEST_ONLY {
        headers.remove(name);
    }
    sender.introduce(headers);
}

/// Cleans what a client says behind its body: nobody speaks in another's name there either.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    drop_where(trailers, speaks_for_others);
}

/// Cleans a server's answer for the client.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    headers.remove(PROXY_AUTHENTICATE);
    drop_where(headers, is_ours);
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // RFC 9110 section 7.6.1: what `Connection` nominates goes with it. Matched without case, as names are.
    let nominated: Vec<HeaderName> = crate::upstream::tokens_of(headers, CONNECTION)
        .filter_map(|token| token.parse().ok())
        .collect();
    for name in nominated {
        // Whom a request is for is not a matter of one hop; a client that says so gets its answer from the checks.
        if name != HOST {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn drop_where(headers: &mut HeaderMap, is_dropped: impl Fn(&HeaderName) -> bool) {
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name)).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

fn speaks_for_others(name: &HeaderName) -> bool {
    is_folded_spelling(name) || is_ours(name) || is_forwarding(name)
}

fn is_folded_spelling(name: &HeaderName) -> bool {
    name.as_str().contains(['_', '.'])
}

fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("handover-")
}

/// What a trusted proxy says by these is in [`Sender`] already.
fn is_forwarding(name: &HeaderName) -> bool {
    name == FORWARDED || name.as_str().starts_with("x-forwarded-") || name.as_str() == "x-real-ip"
}

/// Of one hop, whether nominated or not (RFC 9110 section 7.6.1), and what else speaks of the hop only.
///
/// `Trailer` is none of them: it announces what stands behind the body, which is passed on with it.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    UPGRADE,
    TE,
    TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// What a client must not tell a server: credentials for a proxy; `Proxy`, which CGI makes an environment variable that
/// HTTP libraries obey; an expectation that this gateway has met already.
const REQUEST_ONLY: [HeaderName; 3] = [PROXY_AUTHORIZATION, HeaderName::from_static("proxy"), EXPECT];

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;
    use crate::config::ForwardingHeaders;
    use crate::edge::listener::Security;
    use crate::edge::sender::tests::listen;

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    fn of(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_request_keeps_what_is_the_clients_and_nothing_else() {
        let mut headers = of(&[
            ("host", "boards.example"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("connection", "upgrade, X-Auth"),
            ("connection", "keep-alive, x-forwarded-for, host"),
            ("x-auth", "admin"),
            ("upgrade", "websocket"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x-late"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy", "http://evil"),
            ("expect", "100-continue"),
            ("http2-settings", "AAMAAABk"),
            ("handover-generation", "9"),
            ("handover_board", "9"),
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-client-cert", "x"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x.forwarded.for", "10.0.0.1"),
            ("x_auth", "admin"),
            ("x.auth", "admin"),
            ("x-real-ip", "10.0.0.1"),
        ]);
        let peer = "::ffff:192.0.2.7".parse().unwrap();
        let listen = listen(ForwardingHeaders::XForwarded);
        let sender = Sender::of(&headers, peer, Security::Plain, &listen);
        clean_request(&mut headers, &sender);
        assert_eq!(
            lines(&headers),
            [
                "cookie: a=1",
                "cookie: b=2",
                "host: boards.example",
                "trailer: x-late",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: boards.example",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn an_answer_keeps_what_is_the_servers_and_nothing_else() {
        let mut headers = of(&[
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("x_trace", "1"),
            ("connection", "Upgrade, x-hop"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("proxy-authenticate", "Basic"),
            ("handover-mode", "transparent"),
            ("www-authenticate", "Bearer"),
        ]);
        clean_response(&mut headers);
        assert_eq!(
            lines(&headers),
            [
                "set-cookie: a=1",
                "set-cookie: b=2",
                "www-authenticate: Bearer",
                "x_trace: 1"
            ]
        );
    }
}
