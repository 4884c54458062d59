//! Reads lists of networks, and what their hosts are believed.

use super::tree::Section;
use crate::config::ForwardingHeaders;
use crate::config::networks::{Network, NetworkFault, Networks};

/// Reads a list of networks that need not be there; `risk` is what everybody may do who is on it.
pub(super) fn read_networks(section: &mut Section<'_>, name: &'static str, risk: &str) -> Networks {
    let mut networks = Networks::default();
    section.read(name, &mut networks, |item| {
        let mut list = Vec::new();
        for item in item.list()? {
            let Some(text) = item.text() else { continue };
            match text.parse::<Network>() {
                Ok(network) => {
                    if network.is_everybody() {
                        let problem = format!("is everybody, and whoever is on this list {risk}");
                        let fix = "name the addresses of your balancers, such as \"10.0.0.7\" or \"10.0.0.0/8\"";
                        item.spot.warning(problem, fix);
                    }
                    list.push(network);
                }
                Err(fault @ NetworkFault::NoNetwork) => {
                    let fix = "write an address or a network, such as \"10.0.0.7\", \"10.0.0.0/8\" or \"fd00::/8\"";
                    item.spot.fault(fault.to_string(), fix);
                }
                Err(NetworkFault::HostBits { meant }) => {
                    let fix = format!("write {:?}", meant.to_string());
                    item.spot.fault("has bits behind its prefix", fix);
                }
            }
        }
        Some(Networks::new(list))
    });
    networks
}

/// Reads which headers trusted proxies write.
pub(super) fn read_forwarding_headers(section: &mut Section<'_>, trusted: &Networks) -> ForwardingHeaders {
    let mut headers = ForwardingHeaders::default();
    section.default("forwarding_headers", "\"x-forwarded\"".to_owned());
    section.read("forwarding_headers", &mut headers, |item| {
        let read = match item.choice(&["x-forwarded", "forwarded"])? {
            "forwarded" => ForwardingHeaders::Forwarded,
            _ => ForwardingHeaders::XForwarded,
        };
        if trusted.is_empty() && read != ForwardingHeaders::default() {
            let fix = "add trusted_proxies = [\"10.0.0.0/8\"] with your proxies' addresses, or remove it";
            item.spot.warning("says what to believe, and nobody is believed", fix);
        }
        Some(read)
    });
    headers
}
