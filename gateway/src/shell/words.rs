//! Words of the command line that become values of a body.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use handover_protocol::BoardId;
use serde::de::DeserializeOwned;

/// One `key=value` of `--label`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    key: String,
    value: String,
}

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            Some(_) | None => Err("is no KEY=VALUE"),
        }
    }
}

/// Puts labels together; of two with one key the last counts.
pub(super) fn labels(given: &[Label]) -> BTreeMap<String, String> {
    let pairs = given.iter().map(|label| (label.key.clone(), label.value.clone()));
    pairs.collect()
}

/// Reads one of a closed list of words into the value that the API knows under it.
pub(super) fn word<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| serde_json::from_value(word.into()))
}

/// Writes a value of the API as the API writes it.
pub(super) fn spelled(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Returns a board's id as a segment of a path.
pub(super) fn segment(board: &BoardId) -> String {
    board.to_url_segment()
}

/// The words of [`handover_protocol::admin::DrainMode`].
pub(super) const MODES: &[&str] = &["auto", "reconnect", "transparent", "stay"];

/// The words of [`handover_protocol::admin::OnDeadline`].
pub(super) const ON_DEADLINE: &[&str] = &["stop", "pause", "hurry", "continue"];

/// The words of [`handover_protocol::admin::OnTargetDown`].
pub(super) const ON_TARGET_DOWN: &[&str] = &["pause", "continue"];

#[cfg(test)]
mod tests {
    use handover_protocol::admin::{DrainMode, OnDeadline, OnTargetDown};

    use super::*;

    #[test]
    fn every_word_is_one_that_the_api_knows() {
        for word in MODES {
            assert_eq!(
                spelled(&serde_json::from_value::<DrainMode>((*word).into()).unwrap()),
                *word
            );
        }
        for word in ON_DEADLINE {
            assert_eq!(
                spelled(&serde_json::from_value::<OnDeadline>((*word).into()).unwrap()),
                *word
            );
        }
        for word in ON_TARGET_DOWN {
            assert_eq!(
                spelled(&serde_json::from_value::<OnTargetDown>((*word).into()).unwrap()),
                *word
            );
        }
    }

    #[test]
    fn a_label_is_split_at_the_first_equals_sign() {
        let label: Label = "url=http://ci/?a=b".parse().unwrap();
        assert_eq!(labels(&[label])["url"], "http://ci/?a=b");
        assert!("=b".parse::<Label>().is_err());
        assert!("b".parse::<Label>().is_err());
    }
}
