//! What a server says of carrying a session over, in the `Handover-*` headers of its 101.

use handover_protocol::contract::wire;
use http::HeaderMap;

use crate::config::Replay;

/// What a server says of carrying a session over. What it leaves unsaid is the route's to say.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// `Handover-Mode`.
    pub mode: Option<TermsMode>,
    /// `Handover-Replay`.
    pub replay: Option<Replay>,
}

/// How a session may cross, as its server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermsMode {
    /// Its socket may stay open.
    Transparent,
    /// Its client has to reconnect.
    Reconnect,
}

impl Terms {
    /// Reads the headers of a 101.
    ///
    /// # Errors
    /// When one is doubled or says what the contract does not know.
    pub fn parse(headers: &HeaderMap) -> Result<Self, TermsFault> {
        let mode = match only(headers, wire::MODE_HEADER)? {
            None => None,
            Some("transparent") => Some(TermsMode::Transparent),
            Some("reconnect") => Some(TermsMode::Reconnect),
            Some(_) => {
                return Err(TermsFault {
                    header: wire::MODE_HEADER,
                });
            }
        };
        let replay = only(headers, wire::REPLAY_HEADER)?.map(replay_of).transpose()?;
        Ok(Self { mode, replay })
    }

    /// What to go by where a server's headers cannot be read: the crossing that asks nothing of it.
    pub fn cautious() -> Self {
        Self {
            mode: Some(TermsMode::Reconnect),
            replay: None,
        }
    }
}

/// A `Handover-*` header of a server cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its {header} header is doubled or unknown to this version")]
pub struct TermsFault {
    header: &'static str,
}

fn only<'a>(headers: &'a HeaderMap, header: &'static str) -> Result<Option<&'a str>, TermsFault> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        (Ok(_), Some(_)) | (Err(_), _) => Err(TermsFault { header }),
    }
}

/// Reads `none` or `first=<n>[;await]`.
fn replay_of(text: &str) -> Result<Replay, TermsFault> {
    let fault = TermsFault {
        header: wire::REPLAY_HEADER,
    };
    if text == "none" {
        return Ok(Replay::None);
    }
    let (count, behind) = match text.strip_prefix("first=").ok_or(fault)?.split_once(';') {
        Some((count, behind)) => (count, Some(behind.trim())),
        None => (text.trim_start_matches("first="), None),
    };
    let await_answer = match behind {
        None => false,
        Some("await") => true,
        Some(_) => return Err(fault),
    };
    match count.trim().parse() {
        Ok(0) => Ok(Replay::None),
        Ok(count) => Ok(Replay::First { count, await_answer }),
        Err(_) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_to_the_letter() {
        let check = |mode: &[&str], replay: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for value in mode {
                headers.append(wire::MODE_HEADER, value.parse().unwrap());
            }
            for value in replay {
                headers.append(wire::REPLAY_HEADER, value.parse().unwrap());
            }
            let read = match Terms::parse(&headers) {
                Ok(Terms { mode, replay }) => format!("{mode:?} {replay:?}"),
                Err(fault) => fault.header.to_owned(),
            };
            assert_eq!(read, expected, "{mode:?} {replay:?}");
        };
        check(&[], &[], "None None");
        check(&["transparent"], &["none"], "Some(Transparent) Some(None)");
        check(
            &["reconnect"],
            &["first=2;await"],
            "Some(Reconnect) Some(First { count: 2, await_answer: true })",
        );
        check(&[], &["first=1"], "None Some(First { count: 1, await_answer: false })");
        check(&[], &["first=0;await"], "None Some(None)");
        check(&["later"], &[], "handover-mode");
        check(&["reconnect", "reconnect"], &[], "handover-mode");
        check(&[], &["first=x"], "handover-replay");
        check(&[], &["first=1;later"], "handover-replay");
        check(&[], &["all"], "handover-replay");
        check(&[], &["none", "none"], "handover-replay");
    }
}
