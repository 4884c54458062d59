//! Networks whose hosts are told from all others, and what such hosts are believed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// A list of networks. IPv4 written as IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Box<[Network]>);

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// In which headers a trusted proxy says whose request it brings.
///
/// Only one of the two is believed: what a proxy does not write itself it mostly passes on as its client wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardingHeaders {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Says why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// It is something else.
    #[error("is no address and no network")]
    NoNetwork,
    /// Some of its bits mean nothing.
    #[error("has bits behind its prefix")]
    HostBits {
        /// The network that the address is in.
        meant: Network,
    },
}

impl Networks {
    /// Makes a list.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks.into())
    }

    /// Reads whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }

    /// Reads whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Network {
    /// Reads whether it holds every address of its family.
    pub fn is_everybody(&self) -> bool {
        self.0.prefix_len() == 0
    }
}

impl FromStr for Network {
    type Err = NetworkFault;

    fn from_str(text: &str) -> Result<Self, NetworkFault> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| NetworkFault::NoNetwork)?,
        };
        let network = canonical(network);
        if network.addr() == network.network() {
            return Ok(Self(network));
        }
        Err(NetworkFault::HostBits {
            meant: Self(network.trunc()),
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Takes IPv4 for what it is, however it is written.
fn canonical(network: IpNet) -> IpNet {
    let IpAddr::V4(address) = network.addr().to_canonical() else {
        return network;
    };
    let prefix = match network {
        IpNet::V4(_) => Some(network.prefix_len()),
        IpNet::V6(_) => network.prefix_len().checked_sub(MAPPED_PREFIX),
    };
    let mapped = prefix.and_then(|prefix| Ipv4Net::new(address, prefix).ok());
    mapped.map_or(network, IpNet::V4)
}

/// In front of an IPv4 address that is written as IPv6 (RFC 4291 section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_however_it_is_written() {
        let check = |networks: &[&str], address: &str, expected: bool| {
            let list = Networks::new(networks.iter().map(|text| text.parse().unwrap()).collect());
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(list.contains(address), expected, "{address} in {networks:?}");
        };
        check(&["10.0.0.0/8"], "10.9.8.7", true);
        check(&["10.0.0.0/8"], "::ffff:10.9.8.7", true);
        check(&["10.0.0.0/8"], "11.0.0.0", false);
        check(&["::ffff:10.0.0.0/104"], "10.9.8.7", true);
        check(&["192.0.2.7"], "192.0.2.7", true);
        check(&["192.0.2.7"], "192.0.2.8", false);
        check(&["fd00::/8", "192.0.2.7"], "fd12::1", true);
        check(&["fd00::/8"], "fe80::1", false);
        check(&["::/0"], "10.9.8.7", false);
        check(&[], "10.9.8.7", false);
    }

    #[test]
    fn what_is_no_network_is_refused_and_what_was_meant_is_named() {
        let fault = |text: &str| text.parse::<Network>().unwrap_err();
        for text in ["", "10.0.0.0/33", "10.0.0/8", "lb.example", "10.0.0.1:80", "*"] {
            assert_eq!(fault(text), NetworkFault::NoNetwork, "{text}");
        }
        let NetworkFault::HostBits { meant } = fault("10.1.2.3/8") else {
            panic!("its host bits are set");
        };
        assert_eq!(meant.to_string(), "10.0.0.0/8");
    }
}
