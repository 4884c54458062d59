//! Whose request it is: the peer's own, or that of a client whom a trusted proxy names.
//!
//! Each proxy adds the address that it was asked from. Read from the right, the first address that is no trusted proxy's
//! is the client's; what stands left of it anybody may have written.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderName, HeaderValue};
use tracing::debug;

use super::forwarded::{Element, read_elements};
use super::listener::Security;
use crate::config::{ForwardingHeaders, Listen};

/// Who asks, and what servers are told of that.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// Where the client is, as far as it is believed.
    pub(super) address: IpAddr,
    /// How the client speaks; none where an unknown proxy may have ended its TLS.
    pub(super) scheme: Option<Scheme>,
    /// The host that the client asked for.
    pub(super) host: Option<HeaderValue>,
    /// What the servers are told.
    told: Vec<(HeaderName, HeaderValue)>,
}

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// In the clear.
    Http,
    /// By TLS.
    Https,
}

impl Sender {
    /// Finds out whose request it is that `peer` brings.
    pub(super) fn of(headers: &HeaderMap, peer: IpAddr, security: Security, listen: &Listen) -> Self {
        let hop = Hop {
            peer: peer.to_canonical(),
            security,
            host: headers.get(HOST).cloned(),
        };
        let trusts = |address: IpAddr| listen.trusted_proxies.contains(address);
        if !trusts(hop.peer) {
            return hop.untrusted();
        }
        match listen.forwarding_headers {
            ForwardingHeaders::XForwarded => hop.by_x_forwarded(headers, trusts),
            ForwardingHeaders::Forwarded => hop.by_forwarded(headers, trusts),
        }
    }

    /// Writes down for the server who asks. What a client said of that itself must be gone already.
    pub(super) fn introduce(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.told {
            headers.insert(name, value.clone());
        }
    }
}

/// The last step of a request's way to us.
struct Hop {
    peer: IpAddr,
    security: Security,
    host: Option<HeaderValue>,
}

impl Hop {
    fn scheme(&self) -> Scheme {
        match self.security {
            Security::Plain => Scheme::Http,
            Security::Tls => Scheme::Https,
        }
    }

    fn untrusted(self) -> Sender {
        let scheme = self.scheme();
        let mut told = Told::default();
        told.add(FOR, Some(self.peer.to_string()));
        told.add(PROTO, Some(scheme.name().to_owned()));
        told.add_value(HOSTED, self.host.clone());
        Sender {
            address: self.peer,
            scheme: (self.security == Security::Tls).then_some(scheme),
            host: self.host,
            told: told.0,
        }
    }

    fn by_x_forwarded(self, headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Sender {
        let mut addresses = list(headers, &FOR);
        let nodes: Vec<Option<IpAddr>> = addresses.iter().map(|text| address_of(text)).collect();
        let (place, address) = client_of(&nodes, self.peer, trusts);
        // Proxies that add to all three write one entry each; others write the one that holds.
        let at_client = |entries: Vec<String>| match (place, entries.len() == nodes.len()) {
            (Some(place), true) => entries.into_iter().nth(place),
            (Some(_) | None, _) => entries.into_iter().next_back(),
        };
        let scheme = at_client(list(headers, &PROTO)).and_then(|text| Scheme::read(&text));
        let host = at_client(list(headers, &HOSTED)).and_then(|text| HeaderValue::from_str(&text).ok());

        addresses.push(self.peer.to_string());
        let mut told = Told::default();
        told.add(FOR, Some(addresses.join(", ")));
        // What was believed, so that no server believes another entry of theirs.
        told.add(PROTO, Some(scheme.unwrap_or(self.scheme()).name().to_owned()));
        told.add_value(HOSTED, host.clone().or(self.host.clone()));
        Sender {
            address,
            scheme: Some(scheme.unwrap_or(self.scheme())),
            host: host.or(self.host),
            told: told.0,
        }
    }

    fn by_forwarded(self, headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Sender {
        let said = list_of_lines(headers, &FORWARDED);
        // A list that is broken anywhere may be broken on purpose.
        let elements = read_elements(&said).unwrap_or_else(|| {
            debug!(proxy = %self.peer, forwarded = said, "a listed proxy's Forwarded is broken; the proxy counts as the client");
            Vec::new()
        });
        let said = if elements.is_empty() { String::new() } else { said };
        let nodes: Vec<Option<IpAddr>> = elements
            .iter()
            .map(|element| element.sender.as_deref().and_then(address_of))
            .collect();
        let (place, address) = client_of(&nodes, self.peer, trusts);
        // Whoever wrote down the client has spoken with it.
        let met = place.map(|place| &elements[place]);
        let scheme = met.and_then(|element| Scheme::read(element.proto.as_deref()?));
        let host = met.and_then(|element| HeaderValue::from_str(element.host.as_deref()?).ok());

        let own = Element {
            sender: Some(node(self.peer)),
            proto: Some(self.scheme().name().to_owned()),
            host: self
                .host
                .as_ref()
                .and_then(|host| host.to_str().ok())
                .map(str::to_owned),
        };
        let separator = if said.is_empty() { "" } else { ", " };
        let addresses = nodes.iter().flatten().chain([&self.peer]).map(IpAddr::to_string);
        let mut told = Told::default();
        told.add(FORWARDED, Some(format!("{said}{separator}{own}")));
        told.add(FOR, Some(addresses.collect::<Vec<_>>().join(", ")));
        told.add(PROTO, Some(scheme.unwrap_or(self.scheme()).name().to_owned()));
        told.add_value(HOSTED, host.clone().or(self.host.clone()));
        Sender {
            address,
            scheme: Some(scheme.unwrap_or(self.scheme())),
            host: host.or(self.host),
            told: told.0,
        }
    }
}

impl Scheme {
    /// Returns its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn read(text: &str) -> Option<Self> {
        if ["https", "wss"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
            return Some(Self::Https);
        }
        let is_plain = ["http", "ws"].iter().any(|name| text.eq_ignore_ascii_case(name));
        is_plain.then_some(Self::Http)
    }
}

/// Headers for the server.
#[derive(Default)]
struct Told(Vec<(HeaderName, HeaderValue)>);

impl Told {
    fn add(&mut self, name: HeaderName, text: Option<String>) {
        self.add_value(name, text.and_then(|text| HeaderValue::try_from(text).ok()));
    }

    fn add_value(&mut self, name: HeaderName, value: Option<HeaderValue>) {
        self.0.extend(value.map(|value| (name, value)));
    }
}

/// Finds the client: the rightmost address that is no trusted proxy's, with its place; else the last that is believed.
///
/// An entry that is no address, as `unknown`, hides who stands there; then the proxy that wrote it is all that is known.
fn client_of(nodes: &[Option<IpAddr>], peer: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> (Option<usize>, IpAddr) {
    let mut last = peer;
    let mut last_place = None;
    for (place, node) in nodes.iter().enumerate().rev() {
        let Some(address) = node else {
            return (Some(place), last);
        };
        (last, last_place) = (*address, Some(place));
        if !trusts(*address) {
            break;
        }
    }
    (last_place, last)
}

/// Splits a header that lists its values by commas. A client may have begun the line, so what is no text makes its own
/// entry useless and none behind it.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = list_of_lines(headers, name);
    let entries = lines.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(str::to_owned).collect()
}

fn list_of_lines(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines = headers.get_all(name).iter();
    let letter = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '?' };
    let lines = lines.map(|value| {
        value
            .as_bytes()
            .iter()
            .map(letter)
            .collect::<String>()
            .trim()
            .to_owned()
    });
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Reads an address as proxies write it: alone or with a port, IPv6 with brackets or without.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = bare().or_else(with_port).or_else(in_brackets)?;
    Some(address.to_canonical())
}

/// Writes an address as a node (RFC 7239 section 6).
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOSTED: HeaderName = HeaderName::from_static("x-forwarded-host");

#[cfg(test)]
pub(super) mod tests;
