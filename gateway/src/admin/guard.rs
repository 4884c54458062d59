//! Who may ask: where nobody is asked who he is, nobody that came through a name of the outside world; else whoever has a
//! token or a client certificate; and never a web page of another origin. What was to change something leaves a line for
//! the audit, refused or not.
//!
//! Browsers show client certificates for whatever page asks, so those are no better against such pages than nothing.
//! A page in an operator's browser can send requests to the loopback interface. By DNS rebinding it can even read the
//! answers, but then its `Host` is a name of its own; a plain cross-site request carries its `Origin`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use handover_protocol::admin::{Problem, ProblemType};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info};

use super::access::{Access, Grant, Holder, Shown, is_look};
use super::listener::Caller;
use super::refusal::respond;

/// What stands in front of every call.
#[derive(Clone)]
pub(super) struct Guard {
    /// Who may ask.
    pub(super) access: Arc<Access>,
    /// What the gateway waits for at its end; changes are carried out among it,
    pub(super) tasks: TaskTracker,
    /// on the threads of sessions and moves, where what they start lives on.
    pub(super) home: Handle,
}

/// Lets a request through, or refuses it.
///
/// What changes something is carried out in a task of its own: a caller that gives up in the middle leaves nothing half
/// done, and a line for the audit.
pub(super) async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let access = &guard.access;
    let names = if access.asks_who() || is_from_this_machines_socket(&request) {
        Names::Any
    } else {
        Names::Loopback
    };
    let caller = request.extensions().get::<Caller>();
    let shown = Shown {
        headers: request.headers(),
        identity: caller.and_then(Caller::identity),
    };
    if let Err(problem) = check(&request, names) {
        let who = access.holder(shown).map_or(Who::Nobody, Who::Holder);
        audit(&request, &who, problem.status);
        return respond(&problem);
    }
    let grant = match access.check(request.method(), request.uri().path(), shown) {
        Ok(grant) => grant,
        Err(challenge) => {
            let who = challenge.holder.map_or(Who::Nobody, Who::Holder);
            audit(&request, &who, challenge.problem.status);
            let mut response = respond(&challenge.problem);
            if let Some(authenticate) = challenge.authenticate {
                let headers = response.headers_mut();
                headers.insert(header::WWW_AUTHENTICATE, authenticate);
            }
            return response;
        }
    };
    if is_look(request.method()) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let record = Request::from_parts(parts.clone(), axum::body::Body::empty());
    if let (Grant::Known(holder), Some(caller)) = (&grant, parts.extensions.get_mut::<Caller>()) {
        caller.known_as(holder.name());
    }
    let who = match grant {
        Grant::Known(holder) => Who::Holder(holder),
        Grant::Place | Grant::Open => Who::Place,
    };
    let change = async move {
        let response = next.run(Request::from_parts(parts, body)).await;
        audit(&record, &who, response.status().as_u16());
        response
    };
    let carried_out = guard.tasks.spawn_on(change.in_current_span(), &guard.home).await;
    carried_out.unwrap_or_else(|_| respond(&Problem::new(ProblemType::Internal, "the gateway's log says more")))
}

/// Which hosts may be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Loopback,
    Any,
}

fn is_from_this_machines_socket(request: &Request) -> bool {
    let caller = request.extensions().get::<Caller>();
    caller.is_some_and(Caller::is_local_user)
}

/// By whom a call is, for the audit.
enum Who {
    Holder(Holder),
    /// Known by where it comes from only.
    Place,
    Nobody,
}

/// Says who was to change what, from where, and what came of it.
fn audit(request: &Request, who: &Who, status: u16) {
    if is_look(request.method()) {
        return;
    }
    let caller = request.extensions().get::<Caller>();
    let from = caller.map_or_else(String::new, ToString::to_string);
    let (who, by) = match who {
        Who::Holder(holder) => (holder.name().to_owned(), holder.by()),
        Who::Place => (caller.map_or_else(String::new, Caller::place), "place"),
        Who::Nobody => ("nobody".to_owned(), "nothing"),
    };
    let (method, path) = (request.method(), request.uri().path());
    // Quoted where people read it: a certificate may name anything, as `ann by=token`.
    info!(target: "audit", who, by, %from, %method, path, status, "admin call");
}

fn check(request: &Request, names: Names) -> Result<(), Box<Problem>> {
    let headers = request.headers();
    let host = host_of(request, names)?;
    let origins: Vec<_> = headers.get_all(header::ORIGIN).iter().collect();
    let is_secure = request.extensions().get::<Caller>().is_some_and(Caller::is_secure);
    let scheme = if is_secure { "https" } else { "http" };
    let own_origin = host.map(|host| format!("{scheme}://{host}"));
    let is_own = |origin: &HeaderValue| {
        own_origin
            .as_ref()
            .is_some_and(|own| origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()))
    };
    if origins.iter().all(|origin| is_own(origin)) {
        Ok(())
    } else {
        let detail = "the Origin header names another origin than the one that was asked";
        Err(Box::new(Problem::new(ProblemType::ForbiddenOrigin, detail)))
    }
}

/// Returns the host that was asked, as the client wrote it.
fn host_of(request: &Request, names: Names) -> Result<Option<String>, Box<Problem>> {
    let refuse = |detail: &str| Err(Box::new(Problem::new(ProblemType::ForbiddenHost, detail)));
    let hosts = hosts(request.headers());
    let host = match (hosts.as_slice(), request.version()) {
        // Browsers never speak HTTP/1.0; some probes do, and need no Host.
        ([], Version::HTTP_09 | Version::HTTP_10) => return Ok(None),
        ([Some(host)], _) => host.clone(),
        _ => return refuse("the request needs exactly one Host header that names a host"),
    };
    let absolute = request.uri().authority();
    if names == Names::Any || is_loopback(&host) && absolute.is_none_or(is_loopback) {
        Ok(Some(host.to_string()))
    } else {
        refuse("ask under localhost, 127.0.0.1 or [::1]")
    }
}

fn hosts(headers: &HeaderMap) -> Vec<Option<Authority>> {
    let parse = |host: &HeaderValue| host.to_str().ok()?.parse().ok();
    headers.get_all(header::HOST).iter().map(parse).collect()
}

fn is_loopback(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let v4 = host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    let v6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|host| host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()));
    v4 || v6 || host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn verdict(headers: &[(&str, &str)]) -> Result<(), ProblemType> {
        let mut request = Request::builder().uri("/v1/drains");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(Body::empty()).unwrap(), Names::Loopback).map_err(|problem| problem.kind)
    }

    #[test]
    fn only_loopback_names_are_answered() {
        let check = |host: &str, fine: bool| assert_eq!(verdict(&[("host", host)]).is_ok(), fine, "{host}");
        check("localhost", true);
        check("LOCALHOST:8081", true);
        check("127.0.0.1:8081", true);
        check("127.9.9.9", true);
        check("[::1]:8081", true);
        check("evil.example", false);
        check("localhost.evil.example", false);
        check("127.0.0.1.evil.example", false);
        check("user@localhost", false);
        check("192.168.0.1", false);
        check("0.0.0.0", false);
        check("[::]", false);
        check("", false);
        assert!(verdict(&[]).is_err());
        assert!(verdict(&[("host", "localhost"), ("host", "evil.example")]).is_err());
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let check = |origin: &str, fine: bool| {
            let verdict = verdict(&[("host", "localhost:8081"), ("origin", origin)]);
            assert_eq!(
                verdict,
                if fine {
                    Ok(())
                } else {
                    Err(ProblemType::ForbiddenOrigin)
                },
                "{origin}"
            );
        };
        check("http://localhost:8081", true);
        check("http://localhost:3000", false);
        check("https://localhost:8081", false);
        check("http://evil.example", false);
        check("null", false);
    }
}
