//! The PROXY protocol: the header by which a balancer says for whom it has connected, in both of its versions.
//!
//! Pure: bytes go in, and what they say comes out. Section numbers are those of HAProxy's `proxy-protocol.txt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the bytes of a connection begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A header so far, whose end has not come.
    Incomplete,
    /// A whole header.
    Header {
        /// What it says.
        said: Said,
        /// How long it is.
        bytes: usize,
    },
}

/// For whom a balancer has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// For itself, or it does not say: `LOCAL`, `UNKNOWN`, or what is no IP.
    Itself,
    /// For a client at this address.
    Client(SocketAddr),
}

/// Says why bytes begin with no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderFault {
    /// They are something else.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// They break the protocol.
    #[error("the PROXY header is malformed: {0}")]
    Malformed(&'static str),
    /// It says more than anybody needs.
    #[error("the PROXY header is longer than {HEADER_BYTES_MAX} bytes")]
    TooLong,
}

/// Reads what a connection begins with.
///
/// # Errors
/// When that is no header, whatever may follow.
pub(super) fn read(bytes: &[u8]) -> Result<Beginning, HeaderFault> {
    if begins(bytes, SIGNATURE) {
        read_binary(bytes)
    } else if begins(bytes, PREFIX) {
        read_line(bytes)
    } else {
        Err(HeaderFault::Missing)
    }
}

/// Reads whether bytes are those of `expected`, as far as both go.
fn begins(bytes: &[u8], expected: &[u8]) -> bool {
    let common = bytes.len().min(expected.len());
    bytes[..common] == expected[..common]
}

/// Version 1, a line of text (section 2.1).
fn read_line(bytes: &[u8]) -> Result<Beginning, HeaderFault> {
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < LINE_BYTES_MAX {
            true => Ok(Beginning::Incomplete),
            false => Err(HeaderFault::Malformed("its line has no end")),
        };
    };
    let text = line[..end].strip_suffix(b"\r");
    let text = text.ok_or(HeaderFault::Malformed("its line does not end with CR LF"))?;
    let text = std::str::from_utf8(text).map_err(|_| HeaderFault::Malformed("it is no text"))?;
    let mut words = text.split(' ').skip(1);
    let said = match words.next() {
        // The receiver ignores what else stands there.
        Some("UNKNOWN") => Said::Itself,
        Some("TCP4") => Said::Client(read_words::<Ipv4Addr>(&mut words)?),
        Some("TCP6") => Said::Client(read_words::<Ipv6Addr>(&mut words)?),
        Some(_) | None => return Err(HeaderFault::Malformed("its protocol is none of TCP4, TCP6 and UNKNOWN")),
    };
    Ok(Beginning::Header { said, bytes: end + 1 })
}

/// Reads source, destination and both ports; returns the source.
fn read_words<A>(words: &mut std::iter::Skip<std::str::Split<'_, char>>) -> Result<SocketAddr, HeaderFault>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let is_bad = HeaderFault::Malformed("it does not hold two addresses and two ports");
    let mut address = || words.next().and_then(|word| word.parse::<A>().ok()).ok_or(is_bad);
    let (source, _) = (address()?, address()?);
    let mut port = || words.next().and_then(read_port).ok_or(is_bad);
    let (source_port, _) = (port()?, port()?);
    match words.next() {
        None => Ok(SocketAddr::new(source.into(), source_port)),
        Some(_) => Err(is_bad),
    }
}

fn read_port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    is_plain.then(|| word.parse().ok())?
}

/// Version 2, binary (section 2.2).
fn read_binary(bytes: &[u8]) -> Result<Beginning, HeaderFault> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(Beginning::Incomplete);
    };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if HEAD_BYTES + length > HEADER_BYTES_MAX {
        return Err(HeaderFault::TooLong);
    }
    // Behind the addresses stand extensions (section 2.2.7), which nobody here asks for.
    let source_bytes = match (command, family) {
        (COMMAND_LOCAL, _) => None,
        (COMMAND_PROXY, FAMILY_TCP4) => Some(4),
        (COMMAND_PROXY, FAMILY_TCP6) => Some(16),
        (COMMAND_PROXY, FAMILY_UNSPECIFIED | FAMILY_UNIX_STREAM) => None,
        (COMMAND_PROXY, _) => return Err(HeaderFault::Malformed("its family and protocol are none of a stream")),
        (_, _) => {
            return Err(HeaderFault::Malformed(
                "its version is not 2, or its command neither LOCAL nor PROXY",
            ));
        }
    };
    if source_bytes.is_some_and(|bytes| length < 2 * bytes + 4) {
        return Err(HeaderFault::Malformed("it is too short for its addresses"));
    }
    let Some(body) = rest.get(..length) else {
        return Ok(Beginning::Incomplete);
    };
    let said = match source_bytes {
        None => Said::Itself,
        Some(bytes) => Said::Client(source_of(body, bytes).ok_or(HeaderFault::Malformed("it has no source"))?),
    };
    let bytes = HEAD_BYTES + length;
    Ok(Beginning::Header { said, bytes })
}

/// Reads the source of source, destination and both ports, whose addresses have so many bytes each.
fn source_of(body: &[u8], bytes: usize) -> Option<SocketAddr> {
    let address = match bytes {
        4 => IpAddr::from(*body.first_chunk::<4>()?),
        _ => IpAddr::from(*body.first_chunk::<16>()?),
    };
    let port = body.get(2 * bytes..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(address, u16::from_be_bytes(*port)))
}

/// More than a header with the extensions that balancers send; the protocol would allow 64 KiB.
pub(super) const HEADER_BYTES_MAX: usize = 4096;

/// With the longest addresses (section 2.1).
const LINE_BYTES_MAX: usize = 107;

const PREFIX: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and protocol, and the length of what follows.
const HEAD_BYTES: usize = 16;

const COMMAND_LOCAL: u8 = 0x20;
const COMMAND_PROXY: u8 = 0x21;
const FAMILY_UNSPECIFIED: u8 = 0x00;
const FAMILY_TCP4: u8 = 0x11;
const FAMILY_TCP6: u8 = 0x21;
const FAMILY_UNIX_STREAM: u8 = 0x31;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    fn addresses(source: SocketAddr) -> (u8, Vec<u8>) {
        let port = source.port().to_be_bytes();
        match source.ip() {
            IpAddr::V4(ip) => (
                FAMILY_TCP4,
                [&ip.octets()[..], &[10, 0, 0, 1], &port, &[1, 187]].concat(),
            ),
            IpAddr::V6(ip) => (FAMILY_TCP6, [&ip.octets()[..], &[0xfd; 16], &port, &[1, 187]].concat()),
        }
    }

    fn line(source: SocketAddr) -> String {
        let (ip, port) = (source.ip(), source.port());
        match source.is_ipv4() {
            true => format!("PROXY TCP4 {ip} 10.0.0.1 {port} 443\r\n"),
            false => format!("PROXY TCP6 {ip} fd00::1 {port} 443\r\n"),
        }
    }

    #[test]
    fn a_line_names_the_client_or_nobody() {
        let check = |text: &str, expected: Result<Said, HeaderFault>| {
            let read = read(text.as_bytes()).map(|beginning| match beginning {
                Beginning::Header { said, bytes } => {
                    assert_eq!(bytes, text.find('\n').unwrap() + 1, "{text:?}");
                    said
                }
                Beginning::Incomplete => panic!("{text:?} is whole"),
            });
            match expected {
                Err(HeaderFault::Malformed(_)) => {
                    assert!(matches!(read, Err(HeaderFault::Malformed(_))), "{text:?}: {read:?}");
                }
                expected => assert_eq!(read, expected, "{text:?}"),
            }
        };
        let malformed = Err(HeaderFault::Malformed(""));
        let client = |text: &str| Ok(Said::Client(text.parse().unwrap()));
        check(
            "PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\nGET /",
            client("192.0.2.7:5000"),
        );
        check(
            "PROXY TCP6 2001:db8::7 fd00::1 5000 443\r\n",
            client("[2001:db8::7]:5000"),
        );
        check("PROXY UNKNOWN\r\n", Ok(Said::Itself));
        check("PROXY UNKNOWN a b c d e f g h 1 2 3\r\n", Ok(Said::Itself));
        check("PROXY TCP4 192.0.2.7 10.0.0.1 5000\r\n", malformed);
        check("PROXY TCP4 192.0.2.7 10.0.0.1 5000 443 1\r\n", malformed);
        check("PROXY TCP4  192.0.2.7 10.0.0.1 5000 443\r\n", malformed);
        check("PROXY TCP4 2001:db8::7 fd00::1 5000 443\r\n", malformed);
        check("PROXY TCP4 192.0.2.07 10.0.0.1 5000 443\r\n", malformed);
        check("PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n", malformed);
        check("PROXY TCP4 192.0.2.7 10.0.0.1 +500 443\r\n", malformed);
        check("PROXY TCP4 192.0.2.7 10.0.0.1 0500 443\r\n", malformed);
        check("PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\n", malformed);
        check("PROXY UDP4 192.0.2.7 10.0.0.1 5000 443\r\n", malformed);
        check("PROXY \r\n", malformed);
        check("GET / HTTP/1.1\r\n", Err(HeaderFault::Missing));
        check("proxy TCP4 192.0.2.7 10.0.0.1 5000 443\r\n", Err(HeaderFault::Missing));
        check("\r\n\r\nPROXY\n", Err(HeaderFault::Missing));
    }

    #[test]
    fn a_line_without_an_end_is_not_waited_for() {
        let text = format!("PROXY UNKNOWN {}", "x".repeat(LINE_BYTES_MAX));
        assert_eq!(read(&text.as_bytes()[..LINE_BYTES_MAX - 1]), Ok(Beginning::Incomplete));
        assert!(matches!(read(text.as_bytes()), Err(HeaderFault::Malformed(_))));
    }

    #[test]
    fn a_binary_header_names_the_client_or_nobody() {
        let said = |bytes: &[u8]| match read(bytes) {
            Ok(Beginning::Header { said, bytes: length }) => {
                assert_eq!(length, bytes.len());
                Ok(said)
            }
            Ok(Beginning::Incomplete) => panic!("{bytes:?} is whole"),
            Err(fault) => Err(fault),
        };
        let (family, body) = addresses("192.0.2.7:5000".parse().unwrap());
        let client = Ok(Said::Client("192.0.2.7:5000".parse().unwrap()));
        assert_eq!(said(&binary(COMMAND_PROXY, family, &body)), client);
        let with_extensions = [&body[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(said(&binary(COMMAND_PROXY, family, &with_extensions)), client);
        assert_eq!(said(&binary(COMMAND_LOCAL, family, &body)), Ok(Said::Itself));
        assert_eq!(said(&binary(COMMAND_LOCAL, 0, &[])), Ok(Said::Itself));
        assert_eq!(said(&binary(COMMAND_PROXY, FAMILY_UNSPECIFIED, &[])), Ok(Said::Itself));
        assert_eq!(
            said(&binary(COMMAND_PROXY, FAMILY_UNIX_STREAM, &[0; 216])),
            Ok(Said::Itself)
        );
        let is_malformed = |bytes: &[u8]| assert!(matches!(said(bytes), Err(HeaderFault::Malformed(_))), "{bytes:?}");
        is_malformed(&binary(COMMAND_PROXY, family, &body[..11]));
        is_malformed(&binary(COMMAND_PROXY, FAMILY_TCP6, &body));
        is_malformed(&binary(COMMAND_PROXY, 0x12, &body));
        is_malformed(&binary(0x22, family, &body));
        is_malformed(&binary(0x11, family, &body));
        let announced = [SIGNATURE, &[COMMAND_PROXY, family, 0xff, 0xff]].concat();
        assert_eq!(said(&announced), Err(HeaderFault::TooLong));
    }

    proptest! {
        #[test]
        fn a_header_is_read_whole_or_waited_for_wherever_it_is_cut(
            ip in any::<IpAddr>(), port in any::<u16>(), extensions in proptest::collection::vec(any::<u8>(), 0..64),
            behind in proptest::collection::vec(any::<u8>(), 0..32), is_binary in any::<bool>(),
        ) {
            let source = SocketAddr::new(ip, port);
            let header = if is_binary {
                let (family, body) = addresses(source);
                binary(COMMAND_PROXY, family, &[body, extensions].concat())
            } else {
                line(source).into_bytes()
            };
            for cut in 0..header.len() {
                prop_assert_eq!(read(&header[..cut]), Ok(Beginning::Incomplete));
            }
            let whole = Ok(Beginning::Header { said: Said::Client(source), bytes: header.len() });
            prop_assert_eq!(read(&header), whole);
            prop_assert_eq!(read(&[header, behind].concat()), whole);
        }

        #[test]
        fn no_bytes_panic_and_none_are_waited_for_beyond_the_bound(
            start in prop_oneof![Just(PREFIX.to_vec()), Just(SIGNATURE.to_vec()), Just(Vec::new())],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, rest].concat();
            match read(&bytes) {
                Ok(Beginning::Header { bytes: length, .. }) => prop_assert!(length <= bytes.len()),
                Ok(Beginning::Incomplete) => {
                    let padded = [bytes, vec![0; HEADER_BYTES_MAX]].concat();
                    prop_assert_ne!(read(&padded), Ok(Beginning::Incomplete));
                }
                Err(_) => {}
            }
        }
    }
}
