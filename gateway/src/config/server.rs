//! Board servers as the operator names them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use handover_protocol::admin::DEFAULT_WEIGHT;
use handover_protocol::{ReleaseName, ServerName};

use crate::tls::Trust;

/// One board server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The name that it also reports itself; the Prometheus `instance`.
    pub name: ServerName,
    /// Where sessions and requests go.
    pub url: ServerUrl,
    /// How it is told to move boards; absent: the server is opaque.
    pub control: Option<Control>,
    /// How it is checked over TLS; there wherever one of its URLs is `https`.
    pub tls: Option<Arc<Trust>>,
    /// The version that it runs.
    pub release: ReleaseName,
    /// What it is given.
    pub allotment: Allotment,
}

/// What a server is given of the boards that look for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allotment {
    /// Its share beside that of the others; 0: nothing.
    pub weight: u32,
    /// Boards that it may own and beyond which it is given none; absent: as many as come.
    pub capacity: Option<u64>,
    /// What its operator notes with it.
    pub labels: BTreeMap<String, String>,
}

impl Allotment {
    /// Largest weight.
    pub const WEIGHT_MAX: u32 = 10_000;

    /// Most boards that a capacity can name.
    pub const CAPACITY_MAX: u64 = 10_000_000;

    /// Most labels of a server.
    pub const LABELS_MAX: usize = 16;

    /// Longest name of a label, in bytes.
    pub const LABEL_NAME_BYTES_MAX: usize = 64;

    /// Longest value of a label, in bytes.
    pub const LABEL_BYTES_MAX: usize = 256;
}

impl Default for Allotment {
    fn default() -> Self {
        Self {
            weight: DEFAULT_WEIGHT,
            capacity: None,
            labels: BTreeMap::new(),
        }
    }
}

/// Where a server's control contract is called.
#[derive(Debug, Clone)]
pub struct Control {
    /// The contract's paths begin behind this.
    pub url: ServerUrl,
    /// Sent as `Authorization: Bearer` with each call.
    pub token: Option<ControlToken>,
}

/// An `http` or `https` URL that is nothing but a host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    is_tls: bool,
    /// A name or an address; IPv6 without brackets.
    host: Arc<str>,
    port: u16,
    authority: Arc<str>,
}

impl ServerUrl {
    /// Returns the name or address to connect to; IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Reads whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Returns the TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns `host:port`, as a `Host` header and a socket address are written.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Reads whether what is sent there stays on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlFault;

    fn from_str(text: &str) -> Result<Self, ServerUrlFault> {
        let (scheme, rest) = text.split_once("://").ok_or(ServerUrlFault::Scheme)?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            "ws" | "wss" => return Err(ServerUrlFault::WebSocketScheme),
            _ => return Err(ServerUrlFault::Scheme),
        };
        if rest.contains('@') {
            return Err(ServerUrlFault::UserInfo);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(ServerUrlFault::Path);
        }
        let parsed: http::uri::Authority = authority.parse().map_err(|_| ServerUrlFault::Host)?;
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
        let port_text = &authority[parsed.host().len()..];
        let port = match port_text.strip_prefix(':') {
            None if port_text.is_empty() => {
                if is_tls {
                    HTTPS_PORT
                } else {
                    HTTP_PORT
                }
            }
            None => return Err(ServerUrlFault::Host),
            Some(digits) => digits.parse().map_err(|_| ServerUrlFault::Port)?,
        };
        if port == 0 {
            return Err(ServerUrlFault::Port);
        }
        if host.is_empty() || (parsed.host().starts_with('[') && host.parse::<std::net::Ipv6Addr>().is_err()) {
            return Err(ServerUrlFault::Host);
        }
        // Checked here, so that no handshake can fail for a host that no certificate could name.
        if is_tls && rustls::pki_types::ServerName::try_from(host).is_err() {
            return Err(ServerUrlFault::Host);
        }
        Ok(Self {
            is_tls,
            host: host.to_ascii_lowercase().into(),
            port,
            authority: format!("{}:{port}", parsed.host().to_ascii_lowercase()).into(),
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.authority)
    }
}

/// What a server accepts control calls by. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ControlToken(Arc<str>);

impl ControlToken {
    /// Returns the token itself, for the header that carries it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for ControlToken {
    type Err = ControlTokenFault;

    fn from_str(text: &str) -> Result<Self, ControlTokenFault> {
        let token = text.trim_end_matches(['\r', '\n']);
        if token.is_empty() {
            return Err(ControlTokenFault::Empty);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ControlTokenFault::Letter);
        }
        Ok(Self(token.into()))
    }
}

impl fmt::Debug for ControlToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ControlToken(..)")
    }
}

/// Says why a text is no server's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlFault {
    /// Only HTTP is spoken.
    #[error("does not start with http:// or https://")]
    Scheme,
    /// WebSockets begin as HTTP.
    #[error("names a scheme of WebSockets, but requests other than WebSockets go there too")]
    WebSocketScheme,
    /// TLS where it is not spoken.
    #[error("asks for TLS, which is not spoken there")]
    Tls,
    /// Credentials belong into a file.
    #[error("holds credentials")]
    UserInfo,
    /// Requests keep their own path.
    #[error("goes on behind the port")]
    Path,
    /// The host is missing or malformed.
    #[error("names no host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("names no port from 1 to 65535")]
    Port,
}

/// Says why a file holds no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlTokenFault {
    /// There is nothing but line ends.
    #[error("is empty")]
    Empty,
    /// A header could not carry it.
    #[error("holds a blank, a line end or another character that a header cannot carry")]
    Letter,
}

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_url_is_a_host_and_a_port() {
        let check = |text: &str, expected: Result<(&str, u16, &str), ServerUrlFault>| {
            let url = text.parse::<ServerUrl>();
            let read = url.as_ref().map(|url| (url.host(), url.port(), url.authority()));
            assert_eq!(read, expected.as_ref().map(|parts| *parts), "{text}");
        };
        check("http://127.0.0.1:9001", Ok(("127.0.0.1", 9001, "127.0.0.1:9001")));
        check("HTTP://Board-1/", Ok(("board-1", 80, "board-1:80")));
        check("http://[::1]:9001", Ok(("::1", 9001, "[::1]:9001")));
        check("http://[::1]", Ok(("::1", 80, "[::1]:80")));
        check("https://board-1", Ok(("board-1", 443, "board-1:443")));
        check("https://[::1]:9443/", Ok(("::1", 9443, "[::1]:9443")));
        check("https://board..1", Err(ServerUrlFault::Host));
        check("wss://board-1", Err(ServerUrlFault::WebSocketScheme));
        check("ws://board-1", Err(ServerUrlFault::WebSocketScheme));
        check("board-1:9001", Err(ServerUrlFault::Scheme));
        check("http://u:p@board-1", Err(ServerUrlFault::UserInfo));
        check("http://board-1/app", Err(ServerUrlFault::Path));
        check("http://board-1?x", Err(ServerUrlFault::Path));
        check("http://", Err(ServerUrlFault::Host));
        check("http://:80", Err(ServerUrlFault::Host));
        check("http://[::zz]:80", Err(ServerUrlFault::Host));
        check("http://::1:80", Err(ServerUrlFault::Host));
        check("http://board-1:0", Err(ServerUrlFault::Port));
        check("http://board-1:65536", Err(ServerUrlFault::Port));
        check("http://board-1:", Err(ServerUrlFault::Port));
    }

    #[test]
    fn the_scheme_says_whether_tls_is_spoken() {
        let plain: ServerUrl = "http://board-1:9001".parse().unwrap();
        let tls: ServerUrl = "HTTPS://board-1:9001".parse().unwrap();
        assert!(!plain.is_tls() && tls.is_tls());
        assert_eq!(
            (plain.to_string().as_str(), tls.to_string().as_str()),
            ("http://board-1:9001", "https://board-1:9001")
        );
        assert_ne!(plain, tls);
    }

    #[test]
    fn a_token_is_one_line_and_never_shown() {
        let check = |text: &str, expected: Result<&str, ControlTokenFault>| {
            let token = text.parse::<ControlToken>();
            assert_eq!(
                token.as_ref().map(ControlToken::reveal),
                expected.as_ref().map(|text| *text)
            );
        };
        check("s3cret\n", Ok("s3cret"));
        check("s3cret\r\n", Ok("s3cret"));
        check("\n", Err(ControlTokenFault::Empty));
        check("a b", Err(ControlTokenFault::Letter));
        check("a\nb", Err(ControlTokenFault::Letter));
        let token: ControlToken = "s3cret".parse().unwrap();
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
