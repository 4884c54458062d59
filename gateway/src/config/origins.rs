//! From which pages browsers may open a route's WebSockets.
//!
//! Browsers send cookies along with a handshake from any page, and say in `Origin` which page it is (RFC 6455
//! section 10.2). Other clients send no `Origin`, or whatever they like: they are not what this guards against.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;

/// The pages of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    listed: Box<[Origin]>,
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `same`: pages of the very host and port that the handshake is sent to.
    Same,
    /// An origin (RFC 6454 section 6.2): scheme, host, and the port where it is not the scheme's own; in lower case.
    Exact(Box<str>),
}

impl Origins {
    /// Makes a list.
    pub fn new(listed: Vec<Origin>) -> Self {
        Self { listed: listed.into() }
    }

    /// Reads whether a handshake may go on: its `Origin` if it has one, and the host that it is sent to, by `http` or
    /// `https` where that is known for certain.
    pub fn allow(&self, origin: Option<&[u8]>, host: Option<&[u8]>, scheme: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        // What cannot be read, like the `null` of a sandboxed page, is nobody's page.
        let Some(origin) = std::str::from_utf8(origin).ok().and_then(|text| Page::parse(text).ok()) else {
            return false;
        };
        self.listed.iter().any(|listed| match listed {
            Origin::Same => host
                .and_then(|host| Authority::try_from(host).ok())
                .is_some_and(|host| origin.is_on(&host, scheme)),
            Origin::Exact(listed) => origin.to_string() == **listed,
        })
    }
}

impl FromStr for Origin {
    type Err = OriginFault;

    fn from_str(text: &str) -> Result<Self, OriginFault> {
        match text {
            "same" => Ok(Self::Same),
            text => Ok(Self::Exact(Page::parse(text)?.to_string().into())),
        }
    }
}

/// An origin taken apart.
struct Page {
    scheme: String,
    host: String,
    /// The scheme's own where none was named.
    port: Option<u16>,
}

impl Page {
    fn parse(text: &str) -> Result<Self, OriginFault> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or(OriginFault)?;
        let is_scheme = !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme || rest.contains(['/', '?', '#', '@', '*']) {
            return Err(OriginFault);
        }
        let authority: Authority = rest.parse().map_err(|_| OriginFault)?;
        let named = match rest.strip_prefix(authority.host()) {
            Some("") => None,
            Some(_) => Some(authority.port_u16().ok_or(OriginFault)?),
            None => return Err(OriginFault),
        };
        Ok(Self {
            port: named.or(default_port(scheme)),
            scheme: scheme.to_owned(),
            host: authority.host().to_owned(),
        })
    }

    /// Reads whether the page was served by a host; a `Host` without a port means the port of the page's scheme.
    fn is_on(&self, host: &Authority, scheme: Option<&str>) -> bool {
        scheme.is_none_or(|scheme| scheme == self.scheme)
            && host.host().eq_ignore_ascii_case(&self.host)
            && host.port_u16().or(default_port(&self.scheme)) == self.port
    }
}

impl fmt::Display for Page {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if Some(port) != default_port(&self.scheme) => write!(formatter, ":{port}"),
            Some(_) | None => Ok(()),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// A text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is neither \"same\" nor a scheme, a host and perhaps a port")]
pub struct OriginFault;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_pages_may_open_a_websocket() {
        let check = |listed: &[&str], origin: Option<&str>, host: &str, expected: bool| {
            let origins = Origins::new(listed.iter().map(|text| text.parse().unwrap()).collect());
            let allowed = origins.allow(origin.map(str::as_bytes), Some(host.as_bytes()), None);
            assert_eq!(allowed, expected, "{origin:?} to {host} of {listed:?}");
        };
        let app = &["https://app.example"];
        check(app, Some("https://app.example"), "ws.example", true);
        check(app, Some("HTTPS://App.Example:443"), "ws.example", true);
        check(app, Some("https://app.example:8443"), "ws.example", false);
        check(app, Some("http://app.example"), "ws.example", false);
        check(app, Some("https://evil.app.example"), "ws.example", false);
        check(app, Some("https://app.example.evil"), "ws.example", false);
        check(app, Some("https://app.example/"), "ws.example", false);
        check(app, Some("null"), "ws.example", false);
        check(app, Some(""), "ws.example", false);
        check(app, None, "ws.example", true);
        check(&["same"], Some("https://ws.example"), "ws.example", true);
        check(&["same"], Some("http://WS.example:8080"), "ws.example:8080", true);
        check(&["same"], Some("http://ws.example"), "ws.example:8080", false);
        check(&["same"], Some("http://app.example"), "ws.example", false);
        check(&["same", "app://board"], Some("app://board"), "ws.example", true);
        check(&[], Some("https://ws.example"), "ws.example", false);
        check(&["http://[::1]:3000"], Some("http://[::1]:3000"), "ws.example", true);
    }

    #[test]
    fn where_the_scheme_is_known_pages_of_another_are_none_of_the_same() {
        let same = Origins::new(vec![Origin::Same]);
        let check = |origin: &str, scheme: &str, expected: bool| {
            let allowed = same.allow(Some(origin.as_bytes()), Some(b"ws.example"), Some(scheme));
            assert_eq!(allowed, expected, "{origin} by {scheme}");
        };
        check("https://ws.example", "https", true);
        check("http://ws.example", "https", false);
        check("http://ws.example", "http", true);
        check("https://ws.example", "http", false);
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        let check = |text: &str| assert_eq!(text.parse::<Origin>(), Err(OriginFault), "{text}");
        check("");
        check("*");
        check("app.example");
        check("https://*.app.example");
        check("https://app.example/");
        check("https://u@app.example");
        check("https://app.example:99999");
        check("https://");
        check("://app.example");
    }
}
