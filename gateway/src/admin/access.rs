//! What a call needs, and whether the caller's token gives it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use handover_protocol::admin::{Problem, ProblemType};

use crate::config::{AdminConfig, Scope};

/// Who may use the admin API; it can change while the gateway runs.
#[derive(Debug)]
pub struct Access {
    config: ArcSwap<AdminConfig>,
}

/// Why a caller is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    /// By where it comes from: there are no tokens.
    Place,
    /// The call is open to everybody.
    Open,
    /// By the token of this name.
    Token(Arc<str>),
}

/// A refusal with the challenge that goes with it (RFC 6750 section 3).
#[derive(Debug)]
pub(super) struct Challenge {
    pub(super) problem: Problem,
    pub(super) authenticate: HeaderValue,
}

impl Access {
    /// Starts with what the configuration says.
    pub fn new(config: AdminConfig) -> Arc<Self> {
        Arc::new(Self {
            config: ArcSwap::from_pointee(config),
        })
    }

    /// Takes other tokens; calls under way are answered to their end.
    pub fn configure(&self, config: &AdminConfig) {
        self.config.store(Arc::new(config.clone()));
    }

    /// Reads whether a token is asked for.
    pub(super) fn needs_tokens(&self) -> bool {
        !self.config.load().tokens.is_empty()
    }

    /// Reads whether a call may go on.
    pub(super) fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Grant, Box<Challenge>> {
        let config = self.config.load();
        if config.tokens.is_empty() {
            return Ok(Grant::Place);
        }
        let Some(needed) = needed_scope(method, path, config.metrics_open) else {
            return Ok(Grant::Open);
        };
        let Some(presented) = bearer(headers) else {
            let detail = "send `Authorization: Bearer` with a token of [[admin.tokens]]";
            return Err(Box::new(Challenge {
                problem: Problem::new(ProblemType::Unauthorized, detail),
                authenticate: HeaderValue::from_static("Bearer realm=\"handover\""),
            }));
        };
        let Some(token) = config.token(presented) else {
            return Err(Box::new(Challenge {
                problem: Problem::new(ProblemType::Unauthorized, "the token is none of [[admin.tokens]]"),
                authenticate: HeaderValue::from_static("Bearer realm=\"handover\", error=\"invalid_token\""),
            }));
        };
        if token.scope >= needed {
            return Ok(Grant::Token(Arc::clone(&token.name)));
        }
        let detail = format!(
            "the token {:?} has the scope {}, and this needs {}",
            token.name,
            token.scope.name(),
            needed.name()
        );
        Err(Box::new(Challenge {
            problem: Problem::new(ProblemType::InsufficientScope, detail),
            authenticate: HeaderValue::from_static(match needed {
                Scope::Read => "Bearer realm=\"handover\", error=\"insufficient_scope\", scope=\"read\"",
                Scope::Operate => "Bearer realm=\"handover\", error=\"insufficient_scope\", scope=\"operate\"",
                Scope::Admin => "Bearer realm=\"handover\", error=\"insufficient_scope\", scope=\"admin\"",
            }),
        }))
    }
}

/// Returns what a call needs; none where it is open to everybody.
fn needed_scope(method: &Method, path: &str, metrics_open: bool) -> Option<Scope> {
    if ["/livez", "/readyz", "/healthz"].contains(&path) || (path == "/metrics" && metrics_open) {
        return None;
    }
    if is_look(method) {
        return Some(Scope::Read);
    }
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    let changes_what_there_is = matches!(
        steps.as_slice(),
        ["v1", "config" | "sessions", ..] | ["v1", "servers"] | ["v1", "servers", _] | ["v1", "servers", _, "dead"]
    );
    Some(if changes_what_there_is {
        Scope::Admin
    } else {
        Scope::Operate
    })
}

/// Reads whether a method changes nothing.
pub(super) fn is_look(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii())
}

const BEARER: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_needs_its_scope() {
        let check = |method: Method, path: &str, expected: Option<Scope>| {
            assert_eq!(needed_scope(&method, path, false), expected, "{method} {path}");
        };
        check(Method::GET, "/livez", None);
        check(Method::GET, "/readyz", None);
        check(Method::GET, "/healthz", None);
        check(Method::GET, "/metrics", Some(Scope::Read));
        check(Method::GET, "/v1/servers", Some(Scope::Read));
        check(Method::HEAD, "/nowhere", Some(Scope::Read));
        check(Method::POST, "/v1/drains", Some(Scope::Operate));
        check(Method::POST, "/v1/drains/d/abort", Some(Scope::Operate));
        check(Method::POST, "/v1/boards/b/move", Some(Scope::Operate));
        check(Method::POST, "/v1/servers/a/cordon", Some(Scope::Operate));
        check(Method::PUT, "/v1/servers/a", Some(Scope::Admin));
        check(Method::DELETE, "/v1/servers/a", Some(Scope::Admin));
        check(Method::POST, "/v1/servers/a/dead", Some(Scope::Admin));
        check(Method::POST, "/v1/config/reload", Some(Scope::Admin));
        check(Method::DELETE, "/v1/sessions/s", Some(Scope::Admin));
        assert_eq!(needed_scope(&Method::GET, "/metrics", true), None);
    }

    #[test]
    fn a_bearer_token_is_read_once_or_not_at_all() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            headers
        };
        let check = |values: &[&'static str], expected: Option<&str>| {
            assert_eq!(bearer(&headers(values)), expected.map(str::as_bytes), "{values:?}");
        };
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer  abc "], Some("abc"));
        check(&["Basic abc"], None);
        check(&["Bearer"], None);
        check(&["Bearer a", "Bearer b"], None);
        check(&[], None);
    }
}
