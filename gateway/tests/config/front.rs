//! Who stands in front of the gateway.

use handover_gateway::config::ForwardingHeaders;

use crate::{check_one_fault, check_one_warning, edited, findings, parse};

fn listen(line: &str) -> String {
    edited(&[("admin = ", &format!("{line}\nadmin = "))])
}

#[test]
fn balancers_and_proxies_are_listed_by_address_or_network() {
    let text = listen("proxy_protocol = [\"10.0.0.0/8\"]\ntrusted_proxies = [\"10.1.2.3\", \"fd00::/8\"]");
    let (config, warnings) = parse(&text).expect("it is fine");
    assert!(warnings.is_empty(), "{warnings:?}");
    let is_in = |address: &str| {
        let address = address.parse().expect("it is an address");
        let listen = &config.listen;
        (
            listen.proxy_protocol.contains(address),
            listen.trusted_proxies.contains(address),
        )
    };
    assert_eq!(is_in("10.1.2.3"), (true, true));
    assert_eq!(is_in("10.1.2.4"), (true, false));
    assert_eq!(is_in("fd12::1"), (false, true));
    assert_eq!(config.listen.forwarding_headers, ForwardingHeaders::XForwarded);
    let (config, _) = parse(&listen("")).expect("it is fine");
    assert!(config.listen.proxy_protocol.is_empty() && config.listen.trusted_proxies.is_empty());
}

#[test]
fn a_list_that_cannot_be_meant_is_told_entry_by_entry() {
    let (faults, _) = findings(&listen(
        "trusted_proxies = [\"lb.example\", \"10.0.0.0/8\", \"10.1.2.3/8\", 7]",
    ));
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    assert!(faults.len() == 3, "{faults:?}");
    assert!(faults[0].starts_with("3 listen.trusted_proxies[0] is no address and no network"));
    assert!(faults[1].starts_with("3 listen.trusted_proxies[2] has bits behind its prefix"));
    assert!(faults[2].starts_with("3 listen.trusted_proxies[3] must be a string"));
    check_one_fault(
        &listen("proxy_protocol = \"10.0.0.0/8\""),
        "3 listen.proxy_protocol must be a list",
    );
}

#[test]
fn to_believe_everybody_is_warned_of() {
    check_one_warning(
        &listen("trusted_proxies = [\"0.0.0.0/0\"]"),
        "3 listen.trusted_proxies[0] is everybody",
    );
    check_one_warning(
        &listen("proxy_protocol = [\"::/0\"]"),
        "3 listen.proxy_protocol[0] is everybody",
    );
    check_one_warning(
        &listen("forwarding_headers = \"forwarded\""),
        "3 listen.forwarding_headers says what to believe, and nobody is believed",
    );
}
