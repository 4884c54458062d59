//! The control token.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use subtle::ConstantTimeEq;

/// What `Authorization` must say at the control listener.
#[derive(Clone)]
pub(super) struct ControlToken(Arc<[u8]>);

impl ControlToken {
    /// Reads a token from a file, without the white space around it.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token.
    pub(super) fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path).map_err(TokenError::Read)?;
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Text);
        }
        Ok(Self(token.as_bytes().into()))
    }

    /// Reads whether a header's value carries the token; how long that takes says nothing about its content.
    pub(super) fn admits(&self, authorization: &[u8]) -> bool {
        let Some((scheme, credentials)) = authorization.split_at_checked(SCHEME.len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(SCHEME) && bool::from(credentials.ct_eq(&self.0))
    }
}

impl fmt::Debug for ControlToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ControlToken(…)")
    }
}

/// Says why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[source] std::io::Error),
    /// It holds no token.
    #[error("it must hold one line of visible ASCII")]
    Text,
}

const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_admitted() {
        let token = ControlToken(Arc::from(*b"s3cret"));
        let check = |value: &str, expected: bool| assert_eq!(token.admits(value.as_bytes()), expected, "{value:?}");
        check("Bearer s3cret", true);
        check("bearer s3cret", true);
        check("Bearer s3cre", false);
        check("Bearer s3cret2", false);
        check("Bearer ", false);
        check("Bear", false);
        check("Basic s3cret", false);
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
