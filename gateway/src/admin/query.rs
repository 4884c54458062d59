//! Query strings and path segments: every key known, every value parsed, every fault named.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use axum::extract::Query;
use axum::http::Uri;
use handover_protocol::admin::{Problem, ProblemType};
use percent_encoding::percent_decode_str;

/// Returns the value of the only key that a path knows.
pub(super) fn only(uri: &Uri, key: &str) -> Result<Option<String>, Problem> {
    let [value] = some_of(uri, [key])?;
    Ok(value)
}

/// Returns the values of the keys that a path knows.
pub(super) fn some_of<const N: usize>(uri: &Uri, keys: [&str; N]) -> Result<[Option<String>; N], Problem> {
    let fault = |detail: String, field: &str| Err(Problem::new(ProblemType::InvalidField, detail).at(field));
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return fault(
            "the query cannot be read".to_owned(),
            keys.first().copied().unwrap_or("query"),
        );
    };
    let mut values = [const { None }; N];
    for (name, text) in pairs {
        let Some(place) = keys.iter().position(|key| *key == name) else {
            let detail = match keys.as_slice() {
                [key] => format!("the only query parameter here is {key}"),
                _ => format!("the query parameters here are {}", keys.join(", ")),
            };
            return fault(detail, &name);
        };
        if values[place].replace(text).is_some() {
            return fault("is given twice".to_owned(), &name);
        }
    }
    Ok(values)
}

/// Reads a number within bounds.
pub(super) fn number(text: &str, key: &str, bounds: RangeInclusive<usize>) -> Result<usize, Problem> {
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| {
        let detail = format!(
            "{text:?} is not a whole number from {} to {}",
            bounds.start(),
            bounds.end()
        );
        Problem::new(ProblemType::InvalidField, detail).at(key)
    })
}

/// Returns every pair of a query, where a path knows several keys and each may be given more than once.
pub(super) fn each(uri: &Uri, keys: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let fault = |detail: String, field: &str| Err(Problem::new(ProblemType::InvalidField, detail).at(field));
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return fault("the query cannot be read".to_owned(), "query");
    };
    match pairs.iter().find(|(name, _)| !keys.contains(&name.as_str())) {
        Some((name, _)) => fault(format!("the query parameters here are {}", keys.join(", ")), name),
        None => Ok(pairs),
    }
}

/// Refuses any query, where a path knows no key.
pub(super) fn none(uri: &Uri) -> Result<(), Problem> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => {
            let detail = "there are no query parameters here";
            Err(Problem::new(ProblemType::InvalidField, detail).at("query"))
        }
    }
}

/// Returns the id in `/v1/<things>/<id>…`, decoded once: many clients encode a colon, and may encode any letter.
pub(super) fn id_text(uri: &Uri) -> Cow<'_, str> {
    percent_decode_str(id_segment(uri)).decode_utf8_lossy()
}

/// Returns the id in `/v1/<things>/<id>…`, as it was sent.
pub(super) fn id_segment(uri: &Uri) -> &str {
    uri.path().split('/').nth(3).unwrap_or_default()
}
