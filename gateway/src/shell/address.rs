//! Where the gateway's admin API is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An address that a shell command talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// `http://host:port`.
    Tcp {
        /// `host:port`, with brackets around an IPv6 address.
        authority: String,
    },
    /// `https://host:port`.
    Tls {
        /// `host:port`, with brackets around an IPv6 address.
        authority: String,
    },
    /// `unix:/path`.
    Unix {
        /// The socket's file.
        path: PathBuf,
    },
}

impl AdminAddress {
    /// Returns the `Host` that a request names.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Tcp { authority } | Self::Tls { authority } => authority,
            Self::Unix { .. } => "localhost",
        }
    }
}

impl FromStr for AdminAddress {
    type Err = AddressFault;

    fn from_str(text: &str) -> Result<Self, AddressFault> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self::Unix { path: path.into() })
            } else {
                Err(AddressFault::SocketPath)
            };
        }
        let (rest, is_tls) = match text.split_once("://") {
            Some(("http", rest)) => (rest, false),
            Some(("https", rest)) => (rest, true),
            Some(_) | None => return Err(AddressFault::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let parsed: http::uri::Authority = authority.parse().map_err(|_| AddressFault::Host)?;
        if authority.contains('@') || parsed.host().is_empty() {
            return Err(AddressFault::Host);
        }
        let authority = match parsed.port_u16() {
            Some(_) => authority.to_owned(),
            None if authority.ends_with(parsed.host()) => format!("{authority}:{}", if is_tls { 443 } else { 80 }),
            None => return Err(AddressFault::Host),
        };
        Ok(match is_tls {
            true => Self::Tls { authority },
            false => Self::Tcp { authority },
        })
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { authority } => write!(formatter, "http://{authority}"),
            Self::Tls { authority } => write!(formatter, "https://{authority}"),
            Self::Unix { path } => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// Says why a text is no address of an admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// It begins with none of the known schemes.
    #[error("has to begin with http://, https:// or unix:/, as http://127.0.0.1:8081 or unix:/run/handover/admin.sock")]
    Scheme,
    /// What stands behind `http://` or `https://` is no host and port.
    #[error("has to be http://HOST:PORT or https://HOST:PORT without user, path or query")]
    Host,
    /// What stands behind `unix:` is no absolute path.
    #[error("has to name the socket by its whole path, as unix:/run/handover/admin.sock")]
    SocketPath,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_a_socket_or_of_a_port_with_tls_or_without() {
        let check = |text: &str, expected: Result<&str, AddressFault>| {
            let read = text.parse::<AdminAddress>().map(|address| address.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{text}");
        };
        check("http://127.0.0.1:8081", Ok("http://127.0.0.1:8081"));
        check("http://localhost:8081/", Ok("http://localhost:8081"));
        check("http://[::1]:8081", Ok("http://[::1]:8081"));
        check("http://gateway", Ok("http://gateway:80"));
        check("unix:/run/a.sock", Ok("unix:/run/a.sock"));
        check("unix:///run/a.sock", Ok("unix:/run/a.sock"));
        check("unix:a.sock", Err(AddressFault::SocketPath));
        check("https://gateway:1", Ok("https://gateway:1"));
        check("https://[::1]", Ok("https://[::1]:443"));
        check("https://gateway:1/v1", Err(AddressFault::Host));
        check("127.0.0.1:8081", Err(AddressFault::Scheme));
        check("http://gateway:1/v1", Err(AddressFault::Host));
        check("http://ann@gateway:1", Err(AddressFault::Host));
        check("http://", Err(AddressFault::Host));
    }
}
