//! Request targets as they may be logged: without what would let a reader of the log in.
//!
//! Clients that cannot set headers, browsers first of all, put their tokens into the query. Whoever logs a target writes
//! it through [`Redaction::of`]; nobody logs one as it came.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};
use std::sync::Arc;

use http::Uri;
use percent_encoding::percent_decode_str;

/// Which values of a query are nobody's business.
///
/// A parameter is meant where its name is or ends with a listed one, also before another word or a number: `key` means
/// `api_key`, `x-api-key-1` and `KEY2` as well. One of five letters or more is looked for anywhere: `token` means `tokenId`
/// and `myTokens`. Case and separators do not count, and names are read decoded. Values are looked into too: one that has
/// such a parameter itself, as the URL in `?next=`, is not shown, however often it was encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction {
    /// In lower case, letters and digits only.
    names: Arc<[Box<str>]>,
}

impl Redaction {
    /// Takes the names; one without any letter or digit means nothing.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names = names.into_iter().map(compact).filter(|name| !name.is_empty());
        Self {
            names: names.map(String::into_boxed_str).collect(),
        }
    }

    /// Shows path and query of a target, without the values that are meant, and what looks like a JSON Web Token nowhere.
    ///
    /// More than [`SHOWN_BYTES_MAX`] is cut. The authority of a target in absolute form is left out: it may hold a
    /// password.
    pub fn of<'t>(&'t self, target: &'t Uri) -> impl Display + use<'t> {
        Shown {
            redaction: self,
            target,
        }
    }

    fn means(&self, name: &str) -> bool {
        let name = percent_decode_str(name).decode_utf8_lossy();
        let whole = compact(&name);
        let is_anywhere = |listed: &str| listed.chars().count() >= LETTERS_OF_A_WORD && whole.contains(listed);
        if self.names.iter().any(|listed| is_anywhere(listed)) {
            return true;
        }
        let mut so_far = String::new();
        let mut heads = words(&name).map(|word| {
            so_far.push_str(&word);
            self.names.iter().any(|listed| so_far.ends_with(&**listed))
        });
        heads.any(|is_meant| is_meant) || self.names.iter().any(|listed| whole.ends_with(&**listed))
    }

    /// Reads whether a value, or what else may be a text of its own, holds what nobody is to see: a parameter that is
    /// meant, or a URL with a password.
    fn hides_in(&self, text: &str) -> bool {
        let mut text = Cow::Borrowed(text);
        for _ in 0..ENCODINGS_MAX {
            if names_in(&text).any(|name| self.means(name)) || has_user(&text) {
                return true;
            }
            let decoded = match percent_decode_str(&text).decode_utf8_lossy() {
                Cow::Borrowed(_) => return false,
                Cow::Owned(decoded) => decoded,
            };
            text = Cow::Owned(decoded);
        }
        // Nobody encodes a text so often who does not hide something.
        true
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self::new(REDACTED_NAMES.iter().copied())
    }
}

struct Shown<'t> {
    redaction: &'t Redaction,
    target: &'t Uri,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Bounded {
            out: f,
            bytes_left: SHOWN_BYTES_MAX,
        };
        match self.write(&mut out) {
            Err(_) if out.bytes_left == 0 => f.write_char('…'),
            outcome => outcome,
        }
    }
}

impl Shown<'_> {
    fn write(&self, out: &mut impl Write) -> fmt::Result {
        for (index, segment) in self.target.path().split('/').enumerate() {
            if index > 0 {
                out.write_char('/')?;
            }
            self.write_pairs(out, segment)?;
        }
        let Some(query) = self.target.query() else {
            return Ok(());
        };
        let mut separator = '?';
        for pair in query.split('&') {
            out.write_char(separator)?;
            self.write_pairs(out, pair)?;
            separator = '&';
        }
        Ok(())
    }

    /// Writes what stands between two `&`, or two `/` of a path; some servers part there at `;` as well, others take it for
    /// part of a value.
    fn write_pairs(&self, out: &mut impl Write, pairs: &str) -> fmt::Result {
        let redaction = self.redaction;
        for (index, part) in pairs.split(';').enumerate() {
            if index > 0 {
                out.write_char(';')?;
            }
            match part.split_once('=') {
                Some((name, _)) if redaction.hides_in(name) => return out.write_str(MARK),
                Some((name, value)) if redaction.means(name) || redaction.hides_in(value) => {
                    write_less_tokens(out, name)?;
                    out.write_char('=')?;
                    return out.write_str(MARK);
                }
                None if redaction.hides_in(part) => return out.write_str(MARK),
                Some(_) | None => write_less_tokens(out, part)?,
            }
        }
        Ok(())
    }
}

/// Returns what stands in a text where the name of a parameter, or of a member in JSON, would.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |letter: char| letter.is_alphanumeric() || "_-.~%[]+$".contains(letter);
    let ends = text.match_indices(['=', ':']);
    ends.filter_map(move |(end, sign)| {
        let before = text[..end].trim_end();
        let before = match sign {
            ":" => before.strip_suffix(['"', '\''])?,
            _ => before,
        };
        before.rsplit(|letter| !is_of_name(letter)).next()
    })
}

/// Reads whether a URL in a text has a user, and maybe a password, before its host.
fn has_user(text: &str) -> bool {
    let authorities = text.split("://").skip(1);
    let mut authorities = authorities.filter_map(|rest| rest.split(['/', '?', '#', '&']).next());
    authorities.any(|authority| authority.contains('@'))
}

/// Writes a text less what looks like a JSON Web Token (RFC 7519): base64url of `{"…`, a dot, and more of both.
fn write_less_tokens(out: &mut impl Write, text: &str) -> fmt::Result {
    let is_of_token = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    for run in text.split_inclusive(|letter| !is_of_token(letter)) {
        let word = run.trim_end_matches(|letter| !is_of_token(letter));
        // The digits of a percent-encoded letter, or the name of a scheme, may stand right before it.
        match word.find("eyJ").filter(|at| word[*at..].contains('.')) {
            Some(at) => {
                out.write_str(&word[..at])?;
                out.write_str(MARK)?;
                out.write_str(&run[word.len()..])?;
            }
            None => out.write_str(run)?,
        }
    }
    Ok(())
}

/// Lets so many bytes through; more is an error, for which `bytes_left` is 0.
struct Bounded<'w, W> {
    out: &'w mut W,
    bytes_left: usize,
}

impl<W: Write> Write for Bounded<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.bytes_left {
            self.bytes_left -= text.len();
            return self.out.write_str(text);
        }
        let fits = &text[..text.floor_char_boundary(self.bytes_left)];
        self.bytes_left = 0;
        self.out.write_str(fits)?;
        Err(fmt::Error)
    }
}

fn compact(name: &str) -> String {
    let kept = name.chars().filter(|letter| letter.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// Takes a name apart where separators stand, and where a capital follows a small letter.
fn words(name: &str) -> impl Iterator<Item = String> {
    let parts = name.split(|letter: char| !letter.is_alphabetic());
    let parts = parts.flat_map(|part| {
        let mut words = vec![String::new()];
        let mut is_after_small = false;
        for letter in part.chars() {
            if is_after_small && letter.is_uppercase() {
                words.push(String::new());
            }
            is_after_small = letter.is_lowercase();
            if let Some(word) = words.last_mut() {
                word.extend(letter.to_lowercase());
            }
        }
        words
    });
    parts.filter(|word| !word.is_empty())
}

/// What clients are known to call what lets them in: bearer tokens, signatures of signed URLs, one-time tickets and
/// codes, sessions, passwords.
pub const REDACTED_NAMES: [&str; 17] = [
    "token",
    "jwt",
    "auth",
    "authorization",
    "key",
    "apikey",
    "secret",
    "sig",
    "signature",
    "ticket",
    "code",
    "otp",
    "session",
    "sid",
    "password",
    "passwd",
    "pwd",
];

/// What a log line says of a target at most: enough to know it again, and no flood where the target is one.
const SHOWN_BYTES_MAX: usize = 1024;

/// A listed name of so many letters means something wherever it stands; shorter ones are within many words.
const LETTERS_OF_A_WORD: usize = 5;

/// A URL that is passed on by one that is passed on by one.
const ENCODINGS_MAX: usize = 4;

/// No target can hold it, for brackets are not of a query's letters.
const MARK: &str = "[redacted]";

#[cfg(test)]
mod tests;
