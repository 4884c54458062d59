//! What a request may look like, before anybody asks where it goes.
//!
//! hyper has refused by now what is no HTTP (see [`super::head_guard`] for the rest of that); here stand the rules about
//! requests that are HTTP and could still be understood in two ways.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Uri, Version};

use super::problem::{Problem, ProblemType};
use crate::upstream::tokens_of;

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// One answer. An upgrade to anything but WebSocket is not heard (RFC 9110 section 7.8 leaves that to us).
    Answer,
    /// A WebSocket; the handshake is in order (RFC 6455 section 4.2.1).
    WebSocket,
}

/// Checks a request and reads what it wants; its target is in origin form afterwards.
///
/// # Errors
/// The answer that the client gets.
pub(super) fn check(parts: &mut Parts, target_bytes_max: usize) -> Result<Wish, Problem> {
    check_method(&parts.method)?;
    check_target(parts, target_bytes_max)?;
    check_coding(&parts.headers)?;
    if asks_for_websocket(&parts.headers) {
        check_handshake(parts)?;
        return Ok(Wish::WebSocket);
    }
    Ok(Wish::Answer)
}

/// Reads whether an upgrade is asked for, of whatever kind: the bytes behind such a request may be no HTTP.
pub(super) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

fn check_method(method: &Method) -> Result<(), Problem> {
    if *method == Method::CONNECT || *method == Method::TRACE {
        let detail = format!("{method} is not passed on");
        return Err(Problem::new(ProblemType::MethodNotAllowed, detail));
    }
    Ok(())
}

fn check_target(parts: &mut Parts, target_bytes_max: usize) -> Result<(), Problem> {
    let host = host_of(parts)?;
    let target = parts.uri.path_and_query();
    if target.map_or(0, |target| target.as_str().len()) > target_bytes_max {
        let detail = format!("the target has more than {target_bytes_max} bytes");
        return Err(Problem::new(ProblemType::TargetTooLong, detail));
    }
    if let Some(authority) = parts.uri.authority() {
        // RFC 9112 section 3.2.2 lets the URI win; what stands behind us might go by the Host.
        if host.is_none_or(|host| !is_same_authority(&host, authority)) {
            return Err(Problem::bad_request(
                "the target names another host than the Host header",
            ));
        }
        let Some(target) = target else {
            return Err(Problem::bad_request("the target has no path"));
        };
        parts.uri = Uri::from(target.clone());
    }
    if !parts.uri.path().starts_with('/') {
        return Err(Problem::bad_request("the target has no path"));
    }
    Ok(())
}

fn host_of(parts: &Parts) -> Result<Option<Authority>, Problem> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if parts.version == Version::HTTP_11 => Err(Problem::bad_request("the request has no Host header")),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::bad_request("the request has two Host headers")),
        (Some(host), None) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) if !authority.as_str().contains('@') => Ok(Some(authority)),
            Ok(_) | Err(_) => Err(Problem::bad_request("the Host header names no host")),
        },
    }
}

fn is_same_authority(host: &Authority, other: &Authority) -> bool {
    let port = |authority: &Authority| authority.port_u16().unwrap_or(80);
    host.host().eq_ignore_ascii_case(other.host()) && port(host) == port(other)
}

/// A coding that is not undone here would arrive at the server undeclared, for `Transfer-Encoding` ends at this hop.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Problem::bad_request(
            "the only transfer coding that is understood is chunked",
        )),
    }
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let has = |name: HeaderName, wanted: &str| tokens_of(headers, name).any(|token| token.eq_ignore_ascii_case(wanted));
    has(CONNECTION, "upgrade") && has(UPGRADE, "websocket")
}

fn check_handshake(parts: &Parts) -> Result<(), Problem> {
    let headers = &parts.headers;
    if parts.method != Method::GET || parts.version != Version::HTTP_11 {
        return Err(Problem::bad_handshake("a WebSocket handshake is a GET on HTTP/1.1"));
    }
    let has_length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Problem::bad_handshake("a WebSocket handshake has no body"));
    }
    match only(headers, SEC_WEBSOCKET_VERSION) {
        Ok(Some(version)) if version.as_bytes().trim_ascii() == b"13" => {}
        Ok(Some(_) | None) => {
            let detail = "the only version of the WebSocket protocol that is spoken is 13";
            return Err(Problem::new(ProblemType::UpgradeRequired, detail));
        }
        Err(Doubled) => return Err(Problem::bad_handshake("Sec-WebSocket-Version is there twice")),
    }
    match only(headers, SEC_WEBSOCKET_KEY) {
        Ok(Some(key)) if is_key(key) => Ok(()),
        Ok(Some(_) | None) => Err(Problem::bad_handshake("Sec-WebSocket-Key is not 16 bytes in base64")),
        Err(Doubled) => Err(Problem::bad_handshake("Sec-WebSocket-Key is there twice")),
    }
}

struct Doubled;

fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, Doubled> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Doubled),
    }
}

/// RFC 6455 section 4.1: a nonce of 16 bytes, in the base64 of RFC 4648 section 4.
fn is_key(value: &HeaderValue) -> bool {
    let mut nonce = [0; 18];
    let decoded = STANDARD.decode_slice(value.as_bytes().trim_ascii(), &mut nonce);
    decoded.is_ok_and(|length| length == 16)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const HANDSHAKE: &str = "GET /b/7 HTTP/1.1\nhost: h\nconnection: keep-alive, Upgrade\nupgrade: WebSocket\n\
                             sec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

    fn parts(head: &str) -> Parts {
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let mut request = Request::builder()
            .method(first.next().unwrap())
            .uri(first.next().unwrap());
        request = request.version(match first.next() {
            Some("HTTP/1.0") => Version::HTTP_10,
            _ => Version::HTTP_11,
        });
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            request = request.header(name, value.trim_start());
        }
        request.body(()).unwrap().into_parts().0
    }

    fn outcome(head: &str) -> String {
        match check(&mut parts(head), 100) {
            Ok(wish) => format!("{wish:?}"),
            Err(problem) => format!("{} {}", problem.kind().status().as_u16(), problem.kind().slug()),
        }
    }

    #[test]
    fn a_handshake_is_that_of_rfc_6455_or_refused() {
        let check = |from: &str, to: &str, expected: &str| {
            assert!(HANDSHAKE.contains(from), "{from}");
            assert_eq!(outcome(&HANDSHAKE.replace(from, to)), expected, "{from:?} -> {to:?}");
        };
        check("GET", "GET", "WebSocket");
        check("upgrade: WebSocket", "upgrade: h2c, websocket", "WebSocket");
        check("upgrade: WebSocket", "upgrade: h2c", "Answer");
        check("upgrade: WebSocket", "upgrade: websocket/13", "Answer");
        check("keep-alive, Upgrade", "keep-alive", "Answer");
        check("GET", "POST", "400 bad-handshake");
        check("HTTP/1.1", "HTTP/1.0", "400 bad-handshake");
        check("version: 13", "version: 8", "426 upgrade-required");
        check("version: 13", "version: 13, 8", "426 upgrade-required");
        check("sec-websocket-version: 13\n", "", "426 upgrade-required");
        check(
            "version: 13",
            "version: 13\nsec-websocket-version: 13",
            "400 bad-handshake",
        );
        check("\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "", "400 bad-handshake");
        check(
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ",
            "400 bad-handshake",
        );
        check("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", "400 bad-handshake");
        check(
            "dGhlIHNhbXBsZSBub25jZQ==",
            "!GhlIHNhbXBsZSBub25jZQ==",
            "400 bad-handshake",
        );
        check(
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            "400 bad-handshake",
        );
        check("host: h", "host: h\ncontent-length: 5", "400 bad-handshake");
        check("host: h", "host: h\ncontent-length: 0", "WebSocket");
        check("host: h", "host: h\ntransfer-encoding: chunked", "400 bad-handshake");
    }

    #[test]
    fn a_request_that_two_readers_could_take_differently_is_refused() {
        let check = |head: &str, expected: &str| assert_eq!(outcome(head), expected, "{head}");
        check("GET /a?b HTTP/1.1\nhost: h:80", "Answer");
        check("GET /a HTTP/1.1", "400 bad-request");
        check("GET /a HTTP/1.0", "Answer");
        check("GET /a HTTP/1.1\nhost: h\nhost: h", "400 bad-request");
        check("GET /a HTTP/1.1\nhost: u@h", "400 bad-request");
        check("GET /a HTTP/1.1\nhost: h/x", "400 bad-request");
        check("GET /a HTTP/1.1\nhost: ", "400 bad-request");
        check("GET http://h/a HTTP/1.1\nhost: H:80", "Answer");
        check("GET http://h/a HTTP/1.1\nhost: other", "400 bad-request");
        check("GET http://h/a HTTP/1.0", "400 bad-request");
        check("OPTIONS * HTTP/1.1\nhost: h", "400 bad-request");
        check("CONNECT h:80 HTTP/1.1\nhost: h:80", "405 method-not-allowed");
        check("TRACE /a HTTP/1.1\nhost: h", "405 method-not-allowed");
        check("POST /a HTTP/1.1\nhost: h\ntransfer-encoding: Chunked", "Answer");
        check(
            "POST /a HTTP/1.1\nhost: h\ntransfer-encoding: gzip, chunked",
            "400 bad-request",
        );
        check(
            "POST /a HTTP/1.1\nhost: h\ntransfer-encoding: xchunked",
            "400 bad-request",
        );
        check(
            "POST /a HTTP/1.1\nhost: h\ntransfer-encoding: chunked\ntransfer-encoding: chunked",
            "400 bad-request",
        );
        check(
            &format!("GET /{} HTTP/1.1\nhost: h", "a".repeat(100)),
            "414 target-too-long",
        );
    }

    #[test]
    fn an_absolute_target_is_passed_on_in_origin_form() {
        let mut parts = parts("GET http://h/a?b=c HTTP/1.1\nhost: h");
        check(&mut parts, 100).unwrap();
        assert_eq!(parts.uri, "/a?b=c");
        assert!(parts.uri.authority().is_none());
    }
}
