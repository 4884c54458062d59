//! The numbers that fence: generation, attempt, revision.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The fencing token of one term of ownership: a counter per board, never reused, never decremented.
///
/// 0 stands for a board that nobody has owned yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u64")]
#[schema(value_type = u64, example = 7, maximum = 9_223_372_036_854_775_807u64)]
pub struct Generation(u64);

impl Generation {
    /// Before the first term.
    pub const NONE: Self = Self(0);

    /// Wraps a number that came from a registry, a server or a database.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the generation of the term that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a board is not moved 2^64 times"))
    }

    /// Returns the number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A counter of the board, raised by each try to move it and by each abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u64")]
#[schema(value_type = u64, example = 3, maximum = 9_223_372_036_854_775_807u64)]
pub struct Attempt(u64);

impl Attempt {
    /// Before the first try.
    pub const NONE: Self = Self(0);

    /// Wraps a number that came from a registry or a server.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the attempt that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a board is not tried 2^64 times"))
    }

    /// Returns the number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// How many changes a board has taken: the number of its last saved change. Only servers of one board compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u64")]
#[schema(value_type = u64, example = 1204, maximum = 9_223_372_036_854_775_807u64)]
pub struct Revision(u64);

impl Revision {
    /// Wraps a number that a server gave.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Says that a number from a peer is none that a database could keep; no honest counter ever gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is larger than {NUMBER_MAX}")]
pub struct NumberTooLarge;

macro_rules! from_a_peer {
    ($($number:ident),*) => {$(
        impl TryFrom<u64> for $number {
            type Error = NumberTooLarge;

            fn try_from(number: u64) -> Result<Self, NumberTooLarge> {
                if number > NUMBER_MAX { Err(NumberTooLarge) } else { Ok(Self(number)) }
            }
        }
    )*};
}

from_a_peer!(Generation, Attempt, Revision);

/// What a database's BIGINT holds, and far from where a counter would wrap.
const NUMBER_MAX: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_could_not_be_followed_is_refused() {
        let read = |text: &str| serde_json::from_str::<Generation>(text).map(Generation::number);
        assert_eq!(read("9223372036854775807").unwrap(), NUMBER_MAX);
        assert!(read("9223372036854775808").is_err());
        assert!(read("18446744073709551615").is_err());
    }
}
