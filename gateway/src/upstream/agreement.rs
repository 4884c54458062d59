//! What a handshake settled for the life of a socket: subprotocol and extensions.
//!
//! A client is told once. Whoever serves it later must keep within what it was told, or it has to reconnect.

use http::HeaderMap;
use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};

use super::extension::{Deflate, Extension, ExtensionFault};
use super::handshake::Offer;

/// Subprotocol and extensions of one WebSocket connection, as its client was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agreement {
    subprotocol: Option<Box<str>>,
    deflate: Option<Deflate>,
    /// Extensions that this gateway does not know, as the server wrote them.
    others: Box<[Box<str>]>,
}

impl Agreement {
    /// Reads a server's 101 and checks it against what was offered (RFC 6455 section 4.1, RFC 7692 section 7).
    ///
    /// # Errors
    /// When the server picked what was not offered, more than once, or in terms that cannot be read.
    pub fn of_answer(headers: &HeaderMap, offer: &Offer) -> Result<Self, AgreementFault> {
        let mut agreement = Self {
            subprotocol: subprotocol_of(headers, offer)?,
            ..Self::default()
        };
        let mut others = Vec::new();
        for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
            let text = value.to_str().map_err(|_| ExtensionFault::Grammar)?;
            for extension in Extension::parse_list(text)? {
                if extension.is_deflate() {
                    let answered = Deflate::parse_answer(&extension)?;
                    let was_offered = offer.deflates().any(|offered| answered.answers(&offered));
                    if !was_offered || agreement.deflate.replace(answered).is_some() {
                        return Err(AgreementFault::ExtensionNotOffered);
                    }
                } else if offer.has_extension(&extension.name) {
                    others.push(extension.to_string().into_boxed_str());
                } else {
                    return Err(AgreementFault::ExtensionNotOffered);
                }
            }
        }
        agreement.others = others.into_boxed_slice();
        Ok(agreement)
    }

    /// Returns the subprotocol that was picked.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Returns the terms of permessage-deflate, if it was agreed on.
    pub fn deflate(&self) -> Option<&Deflate> {
        self.deflate.as_ref()
    }

    /// Reads whether a session with this agreement could be carried to another server without its client noticing: its
    /// messages must be readable for a server that has not seen the earlier ones.
    pub fn can_cross(&self) -> bool {
        self.others.is_empty() && self.deflate.is_none_or(|deflate| deflate.client_no_context_takeover)
    }

    /// Reads whether something was agreed on that this gateway cannot compare.
    pub fn has_unknown_extensions(&self) -> bool {
        !self.others.is_empty()
    }

    /// Has the client compress each message by itself, which a server may ask for unasked (RFC 7692 section 7.1.1.2),
    /// and returns whether that had to be added to what the server said.
    pub fn ask_for_no_client_takeover(&mut self) -> bool {
        match &mut self.deflate {
            Some(deflate) if !deflate.client_no_context_takeover => {
                deflate.client_no_context_takeover = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Checks whether a target that answered with `target` can serve a client that was told `self`.
    ///
    /// # Errors
    /// When the client could not read what the target sends, or the reverse: that session has to reconnect.
    pub fn compare(&self, target: &Self) -> Result<(), Disagreement> {
        if self.subprotocol != target.subprotocol {
            return Err(Disagreement::Subprotocol);
        }
        if self.others != target.others {
            return Err(Disagreement::Extensions);
        }
        match (&self.deflate, &target.deflate) {
            (None, None) => Ok(()),
            // The target is never sent a compressed message by a client that had no compression agreed; the reverse
            // fails at the first frame.
            (Some(_), None) | (None, Some(_)) => Err(Disagreement::Extensions),
            (Some(told), Some(target)) => compare_deflate(told, target),
        }
    }
}

fn compare_deflate(told: &Deflate, target: &Deflate) -> Result<(), Disagreement> {
    if !told.client_no_context_takeover {
        return Err(Disagreement::ClientContext);
    }
    // A client that was told so may have thrown its window away after each message.
    if told.server_no_context_takeover && !target.server_no_context_takeover {
        return Err(Disagreement::ServerContext);
    }
    // The client inflates with the window it was told; the target inflates with the window it believes to have set.
    let readable_by_client = target.server_window.bits() <= told.server_window.bits();
    let readable_by_target = told.client_window.bits() <= target.client_window.bits();
    if readable_by_client && readable_by_target {
        Ok(())
    } else {
        Err(Disagreement::Window)
    }
}

fn subprotocol_of(headers: &HeaderMap, offer: &Offer) -> Result<Option<Box<str>>, AgreementFault> {
    let mut values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| AgreementFault::SubprotocolNotOffered)?
        .trim();
    if values.next().is_some() || !offer.has_subprotocol(text) {
        return Err(AgreementFault::SubprotocolNotOffered);
    }
    Ok(Some(text.into()))
}

/// Says why a server's 101 settles nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgreementFault {
    /// The server picked a subprotocol that the client did not offer, or several.
    #[error("it picked a subprotocol that was not offered")]
    SubprotocolNotOffered,
    /// The server picked an extension, or terms of one, that the client did not offer.
    #[error("it picked an extension that was not offered, or on terms that were not")]
    ExtensionNotOffered,
    /// The extension header cannot be read.
    #[error("its extension header {0}")]
    Extension(#[from] ExtensionFault),
}

/// Says why a target cannot serve a client that another server had told its terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// Another subprotocol was picked.
    #[error("the target picked another subprotocol")]
    Subprotocol,
    /// Other extensions were picked.
    #[error("the target picked other extensions")]
    Extensions,
    /// The client's compressor goes on from message to message, and the target has not seen the earlier ones.
    #[error("the client compresses with context takeover")]
    ClientContext,
    /// The target would refer to earlier messages where the client was told that nobody will.
    #[error("the target would compress with context takeover, which the client was told not to expect")]
    ServerContext,
    /// A window is larger than the other side was told.
    #[error("the target set another compression window")]
    Window,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(offer: &str, answer: &[(&'static str, &str)]) -> Result<Agreement, AgreementFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in answer {
            headers.append(*name, value.parse().unwrap());
        }
        let mut offered = HeaderMap::new();
        offered.insert(SEC_WEBSOCKET_PROTOCOL, "chat, v2".parse().unwrap());
        offered.insert(SEC_WEBSOCKET_EXTENSIONS, offer.parse().unwrap());
        Agreement::of_answer(&headers, &Offer::of(&offered))
    }

    fn deflate(parameters: &str) -> Agreement {
        let offer = "permessage-deflate; client_max_window_bits";
        answer(
            offer,
            &[("sec-websocket-extensions", &format!("permessage-deflate{parameters}"))],
        )
        .unwrap()
    }

    #[test]
    fn only_what_was_offered_can_be_picked() {
        let check = |offered: &str, headers: &[(&'static str, &str)], expected: bool| {
            assert_eq!(
                answer(offered, headers).is_ok(),
                expected,
                "{offered:?} answered {headers:?}"
            );
        };
        check("permessage-deflate", &[], true);
        check("permessage-deflate", &[("sec-websocket-protocol", "v2")], true);
        check("permessage-deflate", &[("sec-websocket-protocol", "v3")], false);
        check("permessage-deflate", &[("sec-websocket-protocol", "Chat")], false);
        check(
            "permessage-deflate",
            &[("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "v2")],
            false,
        );
        check("x-other", &[("sec-websocket-extensions", "permessage-deflate")], false);
        check("x-other", &[("sec-websocket-extensions", "x-other; a=1")], true);
        check(
            "permessage-deflate",
            &[("sec-websocket-extensions", "permessage-deflate, permessage-deflate")],
            false,
        );
        check("permessage-deflate", &[("sec-websocket-extensions", "")], false);
        check(
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            &[("sec-websocket-extensions", "permessage-deflate")],
            true,
        );
    }

    #[test]
    fn a_target_must_keep_within_what_the_client_was_told() {
        let check = |told: &str, target: &str, expected: Result<(), Disagreement>| {
            let mut told_read = deflate(told);
            told_read.ask_for_no_client_takeover();
            assert_eq!(
                told_read.compare(&deflate(target)),
                expected,
                "told {told:?}, target {target:?}"
            );
        };
        check("", "", Ok(()));
        check("", "; server_no_context_takeover", Ok(()));
        check("; server_no_context_takeover", "", Err(Disagreement::ServerContext));
        check("", "; server_max_window_bits=12", Ok(()));
        check("; server_max_window_bits=12", "", Err(Disagreement::Window));
        check("; server_max_window_bits=12", "; server_max_window_bits=12", Ok(()));
        check("", "; client_max_window_bits=12", Err(Disagreement::Window));
        check("; client_max_window_bits=12", "", Ok(()));
    }

    #[test]
    fn compression_on_one_side_only_does_not_cross() {
        let plain = answer("permessage-deflate", &[]).unwrap();
        let mut compressed = deflate("");
        assert!(!compressed.can_cross());
        assert!(compressed.ask_for_no_client_takeover());
        assert!(!compressed.ask_for_no_client_takeover());
        assert!(compressed.can_cross() && plain.can_cross());
        assert_eq!(compressed.compare(&plain), Err(Disagreement::Extensions));
        assert_eq!(plain.compare(&compressed), Err(Disagreement::Extensions));
        assert_eq!(deflate("").compare(&deflate("")), Err(Disagreement::ClientContext));
    }
}
