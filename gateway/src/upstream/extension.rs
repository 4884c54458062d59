//! The `Sec-WebSocket-Extensions` header (RFC 6455 section 9.1) and the parameters of permessage-deflate (RFC 7692
//! section 7.1), read strictly: what cannot be read is never agreed on.

use std::fmt;

/// One element of the header: an extension's name and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The registered token, as it was sent.
    pub name: String,
    /// The parameters in their order; a quoted value without its quotes.
    pub parameters: Vec<(String, Option<String>)>,
}

impl Extension {
    /// Reads all elements of one header value.
    ///
    /// # Errors
    /// When the value is not the list of RFC 6455 section 9.1.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ExtensionFault> {
        let mut rest = Cursor { text };
        let mut extensions = Vec::new();
        loop {
            rest.skip_spaces();
            let mut extension = Self {
                name: rest.token()?.to_owned(),
                parameters: Vec::new(),
            };
            while rest.take(';') {
                extension.parameters.push(rest.parameter()?);
            }
            extensions.push(extension);
            if rest.text.is_empty() {
                return Ok(extensions);
            }
            if !rest.take(',') {
                return Err(ExtensionFault::Grammar);
            }
        }
    }

    /// Reads whether this is permessage-deflate.
    pub fn is_deflate(&self) -> bool {
        self.name.eq_ignore_ascii_case(DEFLATE)
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        for (name, value) in &self.parameters {
            write!(formatter, "; {name}")?;
            if let Some(value) = value {
                // RFC 6455 section 9.1: unescaped, a quoted value is a token, so it needs no quotes.
                write!(formatter, "={value}")?;
            }
        }
        Ok(())
    }
}

/// The parameters of permessage-deflate in an offer or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deflate {
    /// The server's compressor starts each message afresh.
    pub server_no_context_takeover: bool,
    /// The client's compressor starts each message afresh.
    pub client_no_context_takeover: bool,
    /// The server's window, in bits.
    pub server_window: Window,
    /// The client's window, in bits.
    pub client_window: Window,
}

/// What is said of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    /// Nothing: 15 bits.
    #[default]
    Unsaid,
    /// The parameter without a value, in an offer: the client would obey a limit.
    Negotiable,
    /// 8 to 15 bits.
    Bits(u8),
}

impl Window {
    /// Returns the size that the peer must reckon with, in bits.
    pub fn bits(self) -> u8 {
        match self {
            Self::Unsaid | Self::Negotiable => WINDOW_BITS_MAX,
            Self::Bits(bits) => bits,
        }
    }
}

impl Deflate {
    /// Reads the parameters that a client offers.
    ///
    /// # Errors
    /// When one is unknown, doubled, or has a value it may not have: such an offer must be declined (RFC 7692
    /// section 7.1).
    pub fn parse_offer(extension: &Extension) -> Result<Self, ExtensionFault> {
        Self::parse(extension, Side::Offer)
    }

    /// Reads the parameters that a server answers with.
    ///
    /// # Errors
    /// As for an offer; a client would have to fail the connection.
    pub fn parse_answer(extension: &Extension) -> Result<Self, ExtensionFault> {
        Self::parse(extension, Side::Answer)
    }

    /// Reads whether a server may answer an offer so (RFC 7692 sections 7.1.1 and 7.1.2).
    pub fn answers(&self, offer: &Self) -> bool {
        let keeps_takeover = self.server_no_context_takeover || !offer.server_no_context_takeover;
        let server_window_fits = match (offer.server_window, self.server_window) {
            (Window::Bits(limit), Window::Bits(bits)) => bits <= limit,
            (Window::Bits(_), Window::Unsaid | Window::Negotiable) => false,
            (Window::Unsaid | Window::Negotiable, _) => true,
        };
        let client_window_fits = match (offer.client_window, self.client_window) {
            (_, Window::Unsaid | Window::Negotiable) | (Window::Negotiable, Window::Bits(_)) => true,
            (Window::Bits(limit), Window::Bits(bits)) => bits <= limit,
            (Window::Unsaid, Window::Bits(_)) => false,
        };
        keeps_takeover && server_window_fits && client_window_fits
    }

    fn parse(extension: &Extension, side: Side) -> Result<Self, ExtensionFault> {
        let mut deflate = Self::default();
        for (name, value) in &extension.parameters {
            match (name.as_str(), value.as_deref(), side) {
                ("server_no_context_takeover", None, _) => once(&mut deflate.server_no_context_takeover, true, false)?,
                ("client_no_context_takeover", None, _) => once(&mut deflate.client_no_context_takeover, true, false)?,
                ("server_max_window_bits", Some(bits), _) => {
                    once(&mut deflate.server_window, window_of(bits)?, Window::Unsaid)?;
                }
                ("client_max_window_bits", Some(bits), _) => {
                    once(&mut deflate.client_window, window_of(bits)?, Window::Unsaid)?;
                }
                ("client_max_window_bits", None, Side::Offer) => {
                    once(&mut deflate.client_window, Window::Negotiable, Window::Unsaid)?;
                }
                _ => return Err(ExtensionFault::Parameter),
            }
        }
        Ok(deflate)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Offer,
    Answer,
}

/// Says why an extension header is not to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionFault {
    /// It is not the list that RFC 6455 section 9.1 describes.
    #[error("is no list of extensions")]
    Grammar,
    /// A parameter of permessage-deflate is unknown, doubled or out of bounds.
    #[error("has a permessage-deflate parameter that is unknown, doubled or out of bounds")]
    Parameter,
}

struct Cursor<'a> {
    text: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_spaces(&mut self) {
        self.text = self.text.trim_start_matches([' ', '\t']);
    }

    /// Takes a mark and the blanks around it.
    fn take(&mut self, mark: char) -> bool {
        self.skip_spaces();
        let Some(rest) = self.text.strip_prefix(mark) else {
            return false;
        };
        self.text = rest;
        self.skip_spaces();
        true
    }

    fn token(&mut self) -> Result<&'a str, ExtensionFault> {
        let end = self.text.bytes().position(|byte| !is_token_byte(byte));
        let (token, rest) = self.text.split_at(end.unwrap_or(self.text.len()));
        if token.is_empty() {
            return Err(ExtensionFault::Grammar);
        }
        self.text = rest;
        self.skip_spaces();
        Ok(token)
    }

    fn parameter(&mut self) -> Result<(String, Option<String>), ExtensionFault> {
        let name = self.token()?.to_owned();
        if !self.take('=') {
            return Ok((name, None));
        }
        if let Some(quoted) = self.text.strip_prefix('"') {
            let (value, rest) = quoted.split_once('"').ok_or(ExtensionFault::Grammar)?;
            if value.is_empty() || !value.bytes().all(is_token_byte) {
                return Err(ExtensionFault::Grammar);
            }
            self.text = rest;
            self.skip_spaces();
            return Ok((name, Some(value.to_owned())));
        }
        Ok((name, Some(self.token()?.to_owned())))
    }
}

fn once<T: PartialEq>(place: &mut T, value: T, unsaid: T) -> Result<(), ExtensionFault> {
    if *place != unsaid {
        return Err(ExtensionFault::Parameter);
    }
    *place = value;
    Ok(())
}

/// Reads 8 to 15 without leading zeros (RFC 7692 section 7.1.2.1).
fn window_of(text: &str) -> Result<Window, ExtensionFault> {
    match text.parse::<u8>() {
        Ok(bits @ WINDOW_BITS_MIN..=WINDOW_BITS_MAX) if !text.starts_with(['0', '+']) => Ok(Window::Bits(bits)),
        Ok(_) | Err(_) => Err(ExtensionFault::Parameter),
    }
}

/// Reads whether a byte may stand in a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The extension's registered name.
pub(super) const DEFLATE: &str = "permessage-deflate";

const WINDOW_BITS_MIN: u8 = 8;
const WINDOW_BITS_MAX: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_meant_or_refused() {
        let check = |text: &str, expected: Option<&str>| {
            let read = Extension::parse_list(text).ok().map(|list| {
                let shown: Vec<_> = list.iter().map(ToString::to_string).collect();
                shown.join(", ")
            });
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("permessage-deflate", Some("permessage-deflate"));
        check(
            " permessage-deflate ;client_max_window_bits,x-a; b = \"c\" ",
            Some("permessage-deflate; client_max_window_bits, x-a; b=c"),
        );
        check("", None);
        check(",", None);
        check("a,", None);
        check("a;", None);
        check("a; b=", None);
        check("a; b=\"", None);
        check("a; b=\"\"", None);
        check("a; b=\"c,d\"", None);
        check("a b", None);
        check("a; =c", None);
    }

    #[test]
    fn parameters_out_of_bounds_are_refused() {
        let check = |text: &str, offer: bool, answer: bool| {
            let list = Extension::parse_list(text).unwrap();
            assert_eq!(Deflate::parse_offer(&list[0]).is_ok(), offer, "offer {text}");
            assert_eq!(Deflate::parse_answer(&list[0]).is_ok(), answer, "answer {text}");
        };
        check("permessage-deflate", true, true);
        check("permessage-deflate; client_max_window_bits", true, false);
        check("permessage-deflate; client_max_window_bits=15", true, true);
        check("permessage-deflate; server_max_window_bits", false, false);
        check("permessage-deflate; server_max_window_bits=99", false, false);
        check("permessage-deflate; server_max_window_bits=7", false, false);
        check("permessage-deflate; server_max_window_bits=08", false, false);
        check(
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11",
            false,
            false,
        );
        check("permessage-deflate; server_no_context_takeover=1", false, false);
        check("permessage-deflate; mux", false, false);
    }

    #[test]
    fn an_answer_stays_within_its_offer() {
        let check = |offer: &str, answer: &str, expected: bool| {
            let read = |text: &str| {
                Extension::parse_list(&format!("permessage-deflate{text}"))
                    .unwrap()
                    .remove(0)
            };
            let offer_read = Deflate::parse_offer(&read(offer)).unwrap();
            let answer_read = Deflate::parse_answer(&read(answer)).unwrap();
            assert_eq!(
                answer_read.answers(&offer_read),
                expected,
                "{offer:?} answered {answer:?}"
            );
        };
        check("", "", true);
        check("", "; client_no_context_takeover; server_no_context_takeover", true);
        check("", "; server_max_window_bits=12", true);
        check("", "; client_max_window_bits=12", false);
        check("; client_max_window_bits", "; client_max_window_bits=12", true);
        check("; client_max_window_bits=10", "; client_max_window_bits=12", false);
        check("; server_max_window_bits=10", "", false);
        check("; server_max_window_bits=10", "; server_max_window_bits=11", false);
        check("; server_max_window_bits=10", "; server_max_window_bits=10", true);
        check("; server_no_context_takeover", "", false);
    }
}
