//! The header `Forwarded` (RFC 7239): a list of the steps of a request's way.

use std::fmt;

/// One step, as the proxy wrote it that took the request over there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Who asked the proxy (`for`).
    pub(super) sender: Option<String>,
    /// By which protocol (`proto`).
    pub(super) proto: Option<String>,
    /// For which host (`host`).
    pub(super) host: Option<String>,
}

/// Reads the header; none where it breaks the syntax anywhere (section 4). Parameters of no meaning here are left out.
pub(super) fn read_elements(text: &str) -> Option<Vec<Element>> {
    let mut rest = text;
    let mut elements = Vec::new();
    let mut element = Element::default();
    let mut is_begun = false;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let Some(first) = rest.chars().next() else { break };
        if first == ',' || first == ';' {
            // Empty elements are allowed in a list (RFC 9110 section 5.6.1), empty pairs within one as well.
            if first == ',' && std::mem::take(&mut is_begun) {
                elements.push(std::mem::take(&mut element));
            }
            rest = &rest[1..];
            continue;
        }
        let (name, value, behind) = read_pair(rest)?;
        rest = behind.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            return None;
        }
        is_begun = true;
        let place = match name.to_ascii_lowercase().as_str() {
            "for" => &mut element.sender,
            "proto" => &mut element.proto,
            "host" => &mut element.host,
            _ => continue,
        };
        // Each parameter stands once in an element.
        if place.replace(value).is_some() {
            return None;
        }
    }
    if is_begun {
        elements.push(element);
    }
    Some(elements)
}

/// Reads `name=value` with a token or a quoted string; returns both and what stands behind.
fn read_pair(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    if !is_token(name) {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ';', ' ', '\t']).unwrap_or(rest.len());
        let (value, behind) = rest.split_at(end);
        // Many write an address with its port without the quotes that it needs.
        let is_value = !value.is_empty() && value.bytes().all(|byte| is_token_byte(byte) || b":[]".contains(&byte));
        return is_value.then(|| (name, value.to_owned(), behind));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((name, value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = [("for", &self.sender), ("proto", &self.proto), ("host", &self.host)];
        let mut separator = "";
        for (name, value) in pairs {
            let Some(value) = value else { continue };
            write!(formatter, "{separator}{name}=")?;
            if is_token(value) {
                formatter.write_str(value)?;
            } else {
                write!(formatter, "\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
            }
            separator = ";";
        }
        Ok(())
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_is_written_or_not_at_all() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let read = read_elements(text);
            let read = read.map(|elements| elements.iter().map(Element::to_string).collect::<Vec<_>>());
            let expected = expected.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect());
            assert_eq!(read, expected, "{text}");
        };
        check("", Some(&[]));
        check("for=192.0.2.7", Some(&["for=192.0.2.7"]));
        check(
            "For=\"[2001:db8::7]:4711\" ; Proto=https;by=203.0.113.43, for=10.0.0.1",
            Some(&["for=\"[2001:db8::7]:4711\";proto=https", "for=10.0.0.1"]),
        );
        check(
            "for=192.0.2.7:80, , for=unknown,",
            Some(&["for=\"192.0.2.7:80\"", "for=unknown"]),
        );
        check("secret=1, for=10.0.0.1", Some(&["", "for=10.0.0.1"]));
        check(
            r#"for=a;host="x, for=\"evil\"";proto=http"#,
            Some(&[r#"for=a;proto=http;host="x, for=\"evil\"""#]),
        );
        check("for=1.2.3.4;for=5.6.7.8", None);
        check("for=\"1.2.3.4", None);
        check("for=", None);
        check("for = 1.2.3.4", None);
        check("1.2.3.4", None);
        check("for=\"a\"b", None);
        check("for=a b", None);
    }
}
