//! What a call needs, and whether the caller's token or client certificate gives it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use handover_protocol::admin::{Problem, ProblemType};

use crate::config::{AdminConfig, Scope};
use crate::tls::Identity;

/// Who may use the admin API; it can change while the gateway runs.
#[derive(Debug)]
pub struct Access {
    config: ArcSwap<AdminConfig>,
}

/// Why a caller is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    /// By where it comes from: there are neither tokens nor client certificates.
    Place,
    /// The call is open to everybody.
    Open,
    /// By what it has shown.
    Known(Holder),
}

/// Who has shown a token or a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// Whoever has the token of this name.
    Token(Arc<str>),
    /// Whoever has the certificate that this entry names.
    Certificate(Arc<str>),
    /// Whoever has a certificate of the right authority that no entry names.
    UnknownCertificate(Arc<str>),
}

/// A refusal, with the challenge that goes with it (RFC 6750 section 3) and who is refused, as far as that is known.
#[derive(Debug)]
pub(super) struct Challenge {
    pub(super) problem: Problem,
    pub(super) authenticate: Option<HeaderValue>,
    pub(super) holder: Option<Holder>,
}

/// What a caller has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'r> {
    pub(super) headers: &'r HeaderMap,
    pub(super) identity: Option<&'r Identity>,
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

    /// Reads whether callers are asked who they are.
    pub(super) fn asks_who(&self) -> bool {
        self.config.load().asks_who()
    }

    /// Returns who calls, as far as that is known.
    pub(super) fn holder(&self, shown: Shown<'_>) -> Option<Holder> {
        let known = find(&self.config.load(), shown).ok()??;
        Some(known.0)
    }

    /// Reads whether a call may go on.
    pub(super) fn check(&self, method: &Method, path: &str, shown: Shown<'_>) -> Result<Grant, Box<Challenge>> {
        let config = self.config.load();
        if !config.asks_who() {
            return Ok(Grant::Place);
        }
        let Some(needed) = needed_scope(method, path, config.metrics_open) else {
            return Ok(Grant::Open);
        };
        let (holder, scope) = match find(&config, shown) {
            Ok(Some((holder, scope))) => (holder, scope),
            Ok(None) => return Err(unauthorized(way_in(&config), "")),
            Err(UnknownToken) => {
                return Err(unauthorized(
                    "the token is none of [[admin.tokens]]",
                    ", error=\"invalid_token\"",
                ));
            }
        };
        match scope {
            Some(scope) if scope >= needed => Ok(Grant::Known(holder)),
            Some(scope) => Err(Box::new(Challenge {
                problem: Problem::new(
                    ProblemType::InsufficientScope,
                    format!(
                        "{holder} has the scope {}, and this needs {}",
                        scope.name(),
                        needed.name()
                    ),
                ),
                authenticate: Some(HeaderValue::from_static(match needed {
                    Scope::Read => "Bearer realm=\"handover\", error=\"insufficient_scope\", scope=\"read\"",
                    Scope::Operate => "Bearer realm=\"handover\", error=\"insufficient_scope\", scope=\"operate\"",
                    Scope::Admin => "Bearer realm=\"handover\", error=\"insufficient_scope\", scope=\"admin\"",
                })),
                holder: Some(holder),
            })),
            None => Err(Box::new(Challenge {
                problem: Problem::new(
                    ProblemType::UnknownCertificate,
                    format!("{holder} is none of [[admin.client_certificates]]; add one of its names there"),
                ),
                authenticate: None,
                holder: Some(holder),
            })),
        }
    }
}

/// The token is nobody's.
struct UnknownToken;

/// Finds who has shown what, and what that may be used for; a token goes before a certificate.
fn find(config: &AdminConfig, shown: Shown<'_>) -> Result<Option<(Holder, Option<Scope>)>, UnknownToken> {
    if let Some(presented) = bearer(shown.headers) {
        let token = config.token(presented).ok_or(UnknownToken)?;
        return Ok(Some((Holder::Token(Arc::clone(&token.name)), Some(token.scope))));
    }
    let Some(identity) = shown.identity else {
        return Ok(None);
    };
    Ok(Some(match config.certificate(&identity.names) {
        Some(entry) => (Holder::Certificate(Arc::clone(&entry.name)), Some(entry.scope)),
        None => (Holder::UnknownCertificate(identity.to_string().into()), None),
    }))
}

fn unauthorized(detail: &str, error: &str) -> Box<Challenge> {
    let authenticate = HeaderValue::try_from(format!("Bearer realm=\"handover\"{error}"));
    Box::new(Challenge {
        problem: Problem::new(ProblemType::Unauthorized, detail),
        authenticate: authenticate.ok(),
        holder: None,
    })
}

/// Says what would let a caller in that has shown nothing.
fn way_in(config: &AdminConfig) -> &'static str {
    match (config.tokens.is_empty(), config.client_certificates.is_empty()) {
        (false, true) => "send `Authorization: Bearer` with a token of [[admin.tokens]]",
        (false, false) => {
            "send `Authorization: Bearer` with a token of [[admin.tokens]], or show a client certificate of \
             [[admin.client_certificates]]"
        }
        (true, _) => "show a client certificate of [[admin.client_certificates]]",
    }
}

impl Holder {
    /// Returns its name, for the audit.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Token(name) | Self::Certificate(name) | Self::UnknownCertificate(name) => name,
        }
    }

    /// Returns what it has shown, for the audit.
    pub(super) const fn by(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Certificate(_) => "certificate",
            Self::UnknownCertificate(_) => "unknown_certificate",
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(name) => write!(formatter, "the token {name:?}"),
            Self::Certificate(name) | Self::UnknownCertificate(name) => {
                write!(formatter, "the client certificate {name:?}")
            }
        }
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
