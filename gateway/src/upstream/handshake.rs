//! A client's request head, kept so that it can be sent again: to the owner now, to the target on a switch.
//!
//! An idle session carries one for hours, so it is one block of bytes and is taken apart only when it is sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Request, Uri};
use sha1::{Digest, Sha1};

use super::agreement::Agreement;
use super::dial::tokens_of;
use super::extension::{Deflate, Extension, Window};
use crate::config::ServerUrl;

/// The head of a WebSocket handshake after the edge has cleaned it, without what is between two hops only.
///
/// ```text
/// target CR LF (name ':' value CR LF)*        neither target, name nor value can hold CR or LF
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    head: Box<[u8]>,
}

/// Which extensions a dial asks for.
#[derive(Debug, Clone, Copy)]
pub enum Asking<'a> {
    /// What the client offered.
    AsOffered,
    /// No more and no less than what the client has been told, so that the target can serve the same client.
    AsTold {
        /// What it was told.
        told: &'a Agreement,
        /// Messages of the target will be kept from the client, whose inflater then misses them: the target's
        /// compressor must not refer back.
        is_swallowing: bool,
    },
}

impl Handshake {
    /// Keeps a request that has been validated; `Connection` and `Upgrade` are not kept, they are added when it is sent.
    pub fn new(parts: &Parts) -> Self {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut head = Vec::with_capacity(HEAD_BYTES_USUAL);
        head.extend_from_slice(target.as_bytes());
        head.extend_from_slice(b"\r\n");
        for (name, value) in &parts.headers {
            if name != CONNECTION && name != UPGRADE {
                head.extend_from_slice(name.as_str().as_bytes());
                head.push(b':');
                head.extend_from_slice(value.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
        }
        Self { head: head.into() }
    }

    /// Returns the only `Sec-WebSocket-Accept` that a server may answer with (RFC 6455 section 4.2.2).
    pub fn accept(&self) -> String {
        let key = self.values(SEC_WEBSOCKET_KEY).next().unwrap_or_default();
        let mut digest = Sha1::new();
        digest.update(key);
        digest.update(ACCEPT_GUID);
        STANDARD.encode(digest.finalize())
    }

    /// Makes the request anew; the body is to be added.
    ///
    /// The server's own name stands in where an old client named no host.
    pub(super) fn request(&self, url: &ServerUrl, asking: Asking<'_>) -> Request<()> {
        let mut request = Request::new(());
        if let Ok(target) = Uri::try_from(self.target()) {
            *request.uri_mut() = target;
        }
        let headers = request.headers_mut();
        for (name, value) in self.lines() {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        if !headers.contains_key(HOST)
            && let Ok(authority) = HeaderValue::from_str(url.authority())
        {
            headers.insert(HOST, authority);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        match asking {
            Asking::AsOffered => {}
            Asking::AsTold { told, is_swallowing } => ask_as_told(headers, told, is_swallowing),
        }
        request
    }

    fn target(&self) -> &[u8] {
        split_line(&self.head).0
    }

    fn values(&self, wanted: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.lines()
            .filter_map(move |(name, value)| (name == wanted.as_str().as_bytes()).then_some(value))
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = split_line(&self.head).1;
        std::iter::from_fn(move || {
            let (line, behind) = split_line(rest);
            rest = behind;
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], &line[colon + 1..]))
        })
    }
}

impl std::fmt::Debug for Handshake {
    /// Tells no contents: a target and its headers carry credentials.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Handshake({} bytes)", self.head.len())
    }
}

/// What a client asked for beyond the bare protocol; what cannot be read is no offer.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
}

impl Offer {
    /// Reads `Sec-WebSocket-Protocol` and `Sec-WebSocket-Extensions`.
    pub fn of(headers: &HeaderMap) -> Self {
        let extensions = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
        Self {
            subprotocols: tokens_of(headers, SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect(),
            extensions: extensions
                .filter_map(|value| Extension::parse_list(value.to_str().ok()?).ok())
                .flatten()
                .collect(),
        }
    }

    /// Reads whether a subprotocol was offered; compared to the letter (RFC 6455 section 1.9).
    pub fn has_subprotocol(&self, name: &str) -> bool {
        self.subprotocols.iter().any(|offered| offered == name)
    }

    /// Reads whether an extension was offered, on whatever terms.
    pub fn has_extension(&self, name: &str) -> bool {
        self.extensions
            .iter()
            .any(|offered| offered.name.eq_ignore_ascii_case(name))
    }

    /// Returns the terms on which permessage-deflate was offered, the preferred ones first.
    pub fn deflates(&self) -> impl Iterator<Item = Deflate> {
        let offered = self.extensions.iter().filter(|extension| extension.is_deflate());
        offered.filter_map(|extension| Deflate::parse_offer(extension).ok())
    }
}

/// Removes the elements of an extension header that a server could not accept anyway, so that it cannot choke on them.
pub fn clean_extension_offer(headers: &mut HeaderMap) {
    let mut kept = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let list = value.to_str().ok().and_then(|text| Extension::parse_list(text).ok());
        let sound = |extension: &Extension| !extension.is_deflate() || Deflate::parse_offer(extension).is_ok();
        kept.extend(
            list.into_iter()
                .flatten()
                .filter(sound)
                .map(|extension| extension.to_string()),
        );
    }
    set_extensions(headers, &kept.join(", "));
}

fn ask_as_told(headers: &mut HeaderMap, told: &Agreement, is_swallowing: bool) {
    let offer = told.deflate().map(|told| {
        let wanted = Deflate {
            server_no_context_takeover: told.server_no_context_takeover || is_swallowing,
            ..*told
        };
        wanted.to_string()
    });
    set_extensions(headers, offer.as_deref().unwrap_or_default());
}

fn set_extensions(headers: &mut HeaderMap, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) if !value.is_empty() => headers.insert(SEC_WEBSOCKET_EXTENSIONS, value),
        Ok(_) | Err(_) => headers.remove(SEC_WEBSOCKET_EXTENSIONS),
    };
}

impl std::fmt::Display for Deflate {
    /// Writes the element of a header, offer or answer.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(super::extension::DEFLATE)?;
        if self.server_no_context_takeover {
            formatter.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            formatter.write_str("; client_no_context_takeover")?;
        }
        for (name, window) in [("server", self.server_window), ("client", self.client_window)] {
            match window {
                Window::Unsaid => {}
                Window::Negotiable => write!(formatter, "; {name}_max_window_bits")?,
                Window::Bits(bits) => write!(formatter, "; {name}_max_window_bits={bits}")?,
            }
        }
        Ok(())
    }
}

/// Splits behind the first CR LF; a last line without one is all there is.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &[]),
    }
}

/// Of RFC 6455 section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a browser's handshake usually takes; longer ones grow.
const HEAD_BYTES_USUAL: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(headers: &[(&str, &str)]) -> Handshake {
        let mut request = Request::builder().uri("/boards/7/ws?token=a%20b");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Handshake::new(&request.body(()).unwrap().into_parts().0)
    }

    fn server() -> ServerUrl {
        "http://server:1".parse().unwrap()
    }

    #[test]
    fn a_handshake_is_sent_again_as_it_came() {
        let kept = handshake(&[
            ("host", "example.org"),
            ("cookie", "a=1"),
            ("cookie", "b=2: c"),
            ("connection", "upgrade"),
            ("x-empty", ""),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        let request = kept.request(&server(), Asking::AsOffered);
        assert_eq!(request.uri(), "/boards/7/ws?token=a%20b");
        let lines: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        assert_eq!(
            lines,
            [
                "host: \"example.org\"",
                "cookie: \"a=1\"",
                "cookie: \"b=2: c\"",
                "x-empty: \"\"",
                "sec-websocket-key: \"dGhlIHNhbXBsZSBub25jZQ==\"",
                "connection: \"Upgrade\"",
                "upgrade: \"websocket\"",
            ]
        );
        // RFC 6455 section 1.3.
        assert_eq!(kept.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(
            !format!("{kept:?}").contains("a=1"),
            "credentials do not belong into logs"
        );
    }

    #[test]
    fn a_switch_asks_for_what_the_client_was_told() {
        let check = |answered: &str, is_swallowing: bool, expected: Option<&str>| {
            let kept = handshake(&[("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")]);
            let mut headers = HeaderMap::new();
            set_extensions(&mut headers, answered);
            let offer = Offer::of(kept.request(&server(), Asking::AsOffered).headers());
            let mut told = Agreement::of_answer(&headers, &offer).unwrap();
            told.ask_for_no_client_takeover();
            let told = &told;
            let request = kept.request(&server(), Asking::AsTold { told, is_swallowing });
            let sent = request
                .headers()
                .get(SEC_WEBSOCKET_EXTENSIONS)
                .map(|value| value.to_str().unwrap());
            assert_eq!(sent, expected, "{answered}");
        };
        check("", false, None);
        check("", true, None);
        check(
            "permessage-deflate",
            false,
            Some("permessage-deflate; client_no_context_takeover"),
        );
        check(
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=11",
            true,
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=12; client_max_window_bits=11",
            ),
        );
    }

    #[test]
    fn an_offer_that_no_server_could_accept_is_dropped() {
        let check = |sent: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, sent.parse().unwrap());
            clean_extension_offer(&mut headers);
            let kept = headers
                .get(SEC_WEBSOCKET_EXTENSIONS)
                .map(|value| value.to_str().unwrap());
            assert_eq!(kept, expected, "{sent}");
        };
        check(
            "permessage-deflate; client_max_window_bits",
            Some("permessage-deflate; client_max_window_bits"),
        );
        check("permessage-deflate; server_max_window_bits=99", None);
        check(
            "permessage-deflate; server_max_window_bits=99, permessage-deflate, x-a",
            Some("permessage-deflate, x-a"),
        );
        check("permessage-deflate;;", None);
    }
}
