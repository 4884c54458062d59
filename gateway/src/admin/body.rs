//! Request bodies: bounded, JSON, and every fault blamed on its field.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use handover_protocol::admin::{Problem, ProblemType};
use handover_protocol::json;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::timeout;

use super::refusal::Refusal;

/// A JSON body that was read whole.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T, S> FromRequest<S> for JsonBody<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            let detail = "send `Content-Type: application/json`";
            return Err(Problem::new(ProblemType::UnsupportedMediaType, detail).into());
        }
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
        match timeout(BODY_TIMEOUT, body.collect()).await {
            Ok(Ok(body)) => Ok(Self(parse(&body.to_bytes())?)),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let detail = format!("at most {BODY_BYTES_MAX} bytes are taken");
                Err(Problem::new(ProblemType::BodyTooLarge, detail).into())
            }
            Ok(Err(_)) => Err(Problem::new(ProblemType::BadJson, "the body broke off").into()),
            Err(_) => Err(Problem::new(ProblemType::BadJson, "the body did not end in time").into()),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let Ok(text) = value.to_str() else { return false };
    let media_type = text.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // First whether it is JSON at all: serde reports some wrong shapes as wrong syntax.
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
        return Err(Problem::new(ProblemType::BadJson, error.to_string()));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader);
    if read.is_err()
        && let Some(whole) = json::whole(bytes)
        && let Ok(read) = serde_json::from_value(whole)
    {
        return Ok(read);
    }
    read.map_err(|error| {
        let path = error.path().to_string();
        let text = error.into_inner().to_string();
        // The place in the text says nothing beside the field.
        let detail = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(detail, _)| detail);
        let problem = Problem::new(ProblemType::InvalidField, detail);
        match field(&path, detail) {
            Some(field) => problem.at(field),
            None => problem,
        }
    })
}

/// Names the field at fault; where one is missing or unknown, serde knows only the object around it.
fn field(path: &str, detail: &str) -> Option<String> {
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| detail.strip_prefix(start)?.split('`').next());
    let around = (path != "." && path != "?").then_some(path);
    match (around, named) {
        (Some(around), Some(name)) if around == name || around.ends_with(&format!(".{name}")) => {
            Some(around.to_owned())
        }
        (Some(around), Some(name)) => Some(format!("{around}.{name}")),
        (Some(around), None) => Some(around.to_owned()),
        (None, Some(name)) => Some(name.to_owned()),
        (None, None) => None,
    }
}

/// A drain that names a thousand servers on either side fits.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// The listener is local; whoever needs longer is not sending.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use handover_protocol::admin::DrainRequest;

    use super::*;

    #[test]
    fn a_fault_names_its_field() {
        let check = |body: &str, kind: ProblemType, field: Option<&str>| {
            let problem = parse::<DrainRequest>(body.as_bytes()).unwrap_err();
            assert_eq!(
                (problem.kind, problem.field.as_deref()),
                (kind, field),
                "{body}: {}",
                problem.detail
            );
        };
        let (bad, invalid) = (ProblemType::BadJson, ProblemType::InvalidField);
        check("", bad, None);
        check("{", bad, None);
        check("{} x", bad, None);
        check("\u{1}", bad, None);
        check("[]", invalid, None);
        check("{}", invalid, Some("from"));
        check(r#"{"from": {"release": "r1"}}"#, invalid, Some("to"));
        check(
            r#"{"from": {"release": "r 1"}, "to": {"release": "r2"}}"#,
            invalid,
            Some("from.release"),
        );
        check(
            r#"{"from": {"servers": ["a", 7]}, "to": {"release": "r2"}}"#,
            invalid,
            Some("from.servers[1]"),
        );
        check(
            r#"{"from": {"servers": "a"}, "to": {"release": "r2"}}"#,
            invalid,
            Some("from.servers"),
        );
        check(
            r#"{"from": {"fleet": "a"}, "to": {"release": "r2"}}"#,
            invalid,
            Some("from.fleet"),
        );
        check(
            r#"{"from": {"release": "a", "servers": []}, "to": {"release": "r2"}}"#,
            invalid,
            Some("from"),
        );
        let with = |more: &str| format!(r#"{{"from": {{"release": "r1"}}, "to": {{"release": "r2"}}, {more}}}"#);
        check(&with(r#""speed": 1"#), invalid, Some("speed"));
        check(&with(r#""mode": "fast""#), invalid, Some("mode"));
        check(&with(r#""pace": {"boards": 1}"#), invalid, Some("pace.boards"));
        check(
            &with(r#""pace": {"boards_at_once": -1}"#),
            invalid,
            Some("pace.boards_at_once"),
        );
        check(
            &with(r#""pace": {"boards_at_once": 1.5}"#),
            invalid,
            Some("pace.boards_at_once"),
        );
        check(&with(r#""id": "a/b""#), invalid, Some("id"));
        check(&with(r#""to": {"release": "r3"}"#), invalid, Some("to"));
    }
}
