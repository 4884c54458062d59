//! Whose request it is, by who brings it and what the headers say.

use super::*;
use crate::config::{AdminAddress, Networks};

pub(in crate::edge) fn listen(headers: ForwardingHeaders) -> Listen {
    Listen {
        traffic: Vec::new(),
        traffic_tls: Vec::new(),
        admin: AdminAddress::Unix("a".into()),
        proxy_protocol: Networks::default(),
        trusted_proxies: Networks::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]),
        forwarding_headers: headers,
    }
}

fn sender(headers: ForwardingHeaders, peer: &str, lines: &[(&'static str, &'static str)]) -> (Sender, Vec<String>) {
    let mut map = HeaderMap::new();
    map.insert(HOST, HeaderValue::from_static("gateway.internal"));
    for (name, value) in lines {
        map.append(*name, HeaderValue::from_static(value));
    }
    let sender = Sender::of(&map, peer.parse().unwrap(), Security::Plain, &listen(headers));
    let mut told = HeaderMap::new();
    sender.introduce(&mut told);
    let mut told: Vec<String> = told
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    told.sort();
    (sender, told)
}

#[track_caller]
fn check_address(headers: ForwardingHeaders, peer: &str, lines: &[(&'static str, &'static str)], expected: &str) {
    let (sender, _) = sender(headers, peer, lines);
    assert_eq!(sender.address.to_string(), expected, "{peer}: {lines:?}");
}

#[test]
fn the_client_is_the_rightmost_whom_no_trusted_proxy_is() {
    let check = |peer: &str, value: &'static str, expected: &str| {
        check_address(
            ForwardingHeaders::XForwarded,
            peer,
            &[("x-forwarded-for", value)],
            expected,
        );
    };
    check("192.0.2.7", "198.51.100.1", "192.0.2.7");
    check("10.0.0.1", "198.51.100.1", "198.51.100.1");
    check("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1");
    check("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1");
    check("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2, fd00::3", "198.51.100.1");
    check("10.0.0.1", "198.51.100.1:4711, [fd00::3]:80", "198.51.100.1");
    check("10.0.0.1", "[2001:db8::7]", "2001:db8::7");
    check("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1");
    check("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
    check("10.0.0.1", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2");
    check("10.0.0.1", "198.51.100.1, evil", "10.0.0.1");
    check("10.0.0.1", " , ", "10.0.0.1");
    check_address(ForwardingHeaders::XForwarded, "10.0.0.1", &[], "10.0.0.1");
    let two_lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.1")];
    check_address(ForwardingHeaders::XForwarded, "10.0.0.1", &two_lines, "198.51.100.1");
}

#[test]
fn a_client_that_begins_the_list_with_what_is_no_text_hides_nobody() {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes(b"\xE9vil, 198.51.100.1").unwrap();
    headers.insert("x-forwarded-for", value);
    let listen = listen(ForwardingHeaders::XForwarded);
    let read = Sender::of(&headers, "10.0.0.1".parse().unwrap(), Security::Plain, &listen);
    assert_eq!(read.address.to_string(), "198.51.100.1");
}

#[test]
fn only_the_headers_that_the_proxies_write_are_believed() {
    let both = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2;proto=https")];
    check_address(ForwardingHeaders::XForwarded, "10.0.0.1", &both, "1.1.1.1");
    check_address(ForwardingHeaders::Forwarded, "10.0.0.1", &both, "2.2.2.2");
    let (_, told) = sender(ForwardingHeaders::XForwarded, "10.0.0.1", &both);
    assert!(!told.iter().any(|line| line.starts_with("forwarded:")), "{told:?}");
}

#[test]
fn servers_are_told_what_is_believed_and_who_said_it() {
    let lines = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.example"),
    ];
    let (sender, told) = sender(ForwardingHeaders::XForwarded, "10.0.0.1", &lines);
    let expected = [
        "x-forwarded-for: 1.1.1.1, 198.51.100.1, 10.0.0.1",
        "x-forwarded-host: app.example",
        "x-forwarded-proto: https",
    ];
    assert_eq!(told, expected);
    assert_eq!(sender.scheme, Some(Scheme::Https));
    assert_eq!(sender.host.unwrap(), "app.example");
}

#[test]
fn of_an_unknown_peer_nothing_is_believed() {
    let lines = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.example"),
        ("forwarded", "for=1.1.1.1"),
    ];
    for headers in [ForwardingHeaders::XForwarded, ForwardingHeaders::Forwarded] {
        let (sender, told) = sender(headers, "192.0.2.7", &lines);
        let expected = [
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: gateway.internal",
            "x-forwarded-proto: http",
        ];
        assert_eq!(told, expected);
        assert_eq!(
            (sender.scheme, sender.host.unwrap()),
            (None, "gateway.internal".parse().unwrap())
        );
    }
}

#[test]
fn lists_of_schemes_and_hosts_are_read_beside_the_addresses() {
    let lines = [
        ("x-forwarded-for", "evil, 198.51.100.1, 10.0.0.2"),
        ("x-forwarded-proto", "evil, https, http"),
        ("x-forwarded-host", "evil, app.example, inner.example"),
    ];
    let (read, _) = sender(ForwardingHeaders::XForwarded, "10.0.0.1", &lines);
    assert_eq!(
        (read.scheme, read.host.unwrap()),
        (Some(Scheme::Https), "app.example".parse().unwrap())
    );
    let shorter = [
        ("x-forwarded-for", "evil, 198.51.100.1, 10.0.0.2"),
        ("x-forwarded-proto", "evil, https"),
    ];
    let (read, _) = sender(ForwardingHeaders::XForwarded, "10.0.0.1", &shorter);
    assert_eq!(read.scheme, Some(Scheme::Https), "the peer itself wrote the last");
    let (_, told) = sender(ForwardingHeaders::XForwarded, "10.0.0.1", &lines);
    let expected = [
        "x-forwarded-for: evil, 198.51.100.1, 10.0.0.2, 10.0.0.1",
        "x-forwarded-host: app.example",
        "x-forwarded-proto: https",
    ];
    assert_eq!(told, expected, "no server can believe another entry");
    let nonsense = [("x-forwarded-proto", "gopher")];
    let (read, told) = sender(ForwardingHeaders::XForwarded, "10.0.0.1", &nonsense);
    assert_eq!(read.scheme, Some(Scheme::Http));
    assert!(told.contains(&"x-forwarded-proto: http".to_owned()), "{told:?}");
}

#[test]
fn forwarded_is_appended_to_and_said_again_for_older_servers() {
    let lines = [(
        "forwarded",
        "for=evil;proto=http, for=\"[2001:db8::7]:99\";proto=https;host=app.example, for=10.0.0.2;proto=http",
    )];
    let (read, told) = sender(ForwardingHeaders::Forwarded, "10.0.0.1", &lines);
    assert_eq!(read.address.to_string(), "2001:db8::7");
    assert_eq!(
        (read.scheme, read.host.unwrap()),
        (Some(Scheme::Https), "app.example".parse().unwrap())
    );
    let expected = [
        "forwarded: for=evil;proto=http, for=\"[2001:db8::7]:99\";proto=https;host=app.example, \
         for=10.0.0.2;proto=http, for=10.0.0.1;proto=http;host=gateway.internal",
        "x-forwarded-for: 2001:db8::7, 10.0.0.2, 10.0.0.1",
        "x-forwarded-host: app.example",
        "x-forwarded-proto: https",
    ];
    assert_eq!(told, expected);
    let broken = [("forwarded", "for=198.51.100.1, for=\"")];
    let (read, told) = sender(ForwardingHeaders::Forwarded, "fd00::1", &broken);
    assert_eq!(read.address.to_string(), "fd00::1");
    assert_eq!(told[0], "forwarded: for=\"[fd00::1]\";proto=http;host=gateway.internal");
}
