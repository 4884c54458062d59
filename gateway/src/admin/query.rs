//! Query strings and path segments: every key known, every value parsed, every fault named.

use axum::extract::Query;
use axum::http::Uri;
use handover_protocol::admin::{Problem, ProblemType};

/// Returns the value of the only key that a path knows.
pub(super) fn only(uri: &Uri, key: &str) -> Result<Option<String>, Problem> {
    let fault = |detail: String, field: &str| Err(Problem::new(ProblemType::InvalidField, detail).at(field));
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return fault("the query cannot be read".to_owned(), key);
    };
    let mut value = None;
    for (name, text) in pairs {
        if name != key {
            return fault(format!("the only query parameter here is {key}"), &name);
        }
        if value.replace(text).is_some() {
            return fault("is given twice".to_owned(), key);
        }
    }
    Ok(value)
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

/// Returns the id in `/v1/<things>/<id>…`, as it was sent.
pub(super) fn id_segment(uri: &Uri) -> &str {
    uri.path().split('/').nth(3).unwrap_or_default()
}
