//! WebSocket handshakes: from a client's request to a session, or to an answer that says why not.
//!
//! ```text
//!   route, seat ─▶ enter ─▶ dial ─▶ admit ─▶ 101 ─▶ session
//!                    ▲        │       │
//!                    └────────┴───────┘  the board was parked meanwhile: the dial is given up
//! ```

use std::sync::Arc;

use handover_protocol::machine::health::Verdict;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Edge;
use super::answer::{Answer, AnswerBody, Cause, Refusal, Tally, empty};
use super::connection::{Client, take_back};
use super::headers::{clean_request, clean_response};
use super::plain::{connect_refusal, exchange_refusal};
use super::problem::{Problem, ProblemType};
use super::sender::{Scheme, Sender};
use crate::board::Purpose;
use crate::config::{Route, RouteMode};
use crate::session::{self, Arrival, Journal, Seats, SessionHandle, Setup};
use crate::telemetry::label::{HandshakeStep, Limit, UpgradeOutcome};
use crate::upstream::{
    Agreement, Asking, DialDeadlines, DialError, DialIds, Dialled, ExchangeError, Handshake, Server, ServerBody, Terms,
    TermsMode, clean_extension_offer, dial,
};

/// Answers a handshake that is in order.
pub(super) async fn open(edge: &Edge, client: &Client, mut parts: Parts, mut tally: Tally) -> Answer {
    let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        let problem = Problem::bad_handshake("the connection cannot be upgraded");
        return Refusal::new(Cause::BadRequest, problem).into_answer(tally);
    };
    match attempt(edge, client, parts, upgrade, &mut tally).await {
        Ok(Outcome::Opened(headers)) => {
            tally.upgrade(UpgradeOutcome::Opened);
            let mut response = Response::new(empty(tally));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.headers_mut() = headers;
            response
        }
        Ok(Outcome::Refused(mut response)) => {
            tally.upgrade(UpgradeOutcome::Refused);
            clean_response(response.headers_mut());
            *response.version_mut() = Version::HTTP_11;
            response.map(|body| AnswerBody::of_server(body, None, tally))
        }
        Err(refusal) => refusal.into_answer(tally),
    }
}

enum Outcome {
    /// The session has begun; these are the headers of its 101.
    Opened(HeaderMap),
    /// The server answered with plain HTTP.
    Refused(Response<ServerBody>),
}

async fn attempt(
    edge: &Edge,
    client: &Client,
    mut parts: Parts,
    upgrade: OnUpgrade,
    tally: &mut Tally,
) -> Result<Outcome, Refusal> {
    let sender = edge.sender_of(client, &parts.headers);
    tally.note_client(sender.address);
    let (route, board) = edge.route_of(&parts)?;
    tally.note_board(&route, &board);
    check_origin(&route, &parts.headers, &sender)?;
    let seat = edge.session_seat()?;
    let peer = sender.address;
    clean_request(&mut parts.headers, &sender);
    drop(sender);
    clean_extension_offer(&mut parts.headers);
    parts.headers.remove(CONTENT_LENGTH);
    let handshake = Handshake::new(&parts);
    // A session may wait here for seconds; what it does not need any more is given back.
    drop(parts);
    let id = session::new_id();
    for _ in 0..TRIES {
        let entering = Instant::now();
        let pass = edge.enter(&route, &board, Purpose::Session, peer).await;
        edge.observe(HandshakeStep::Enter, entering);
        let pass = pass?;
        let server = Arc::clone(pass.server());
        tally.note_server(&server);
        let ids = DialIds {
            board: board.clone(),
            generation: pass.generation(),
            session: id.clone(),
            from: None,
        };
        let begun = Instant::now();
        let deadlines = DialDeadlines {
            connected: begun + route.dial_timeout,
            answered: begun + route.dial_timeout.max(edge.config.load().limits.upgrade_timeout),
        };
        // Cancel-safe: a dial that is given up closes its connection, and nobody has been told of it.
        let dialled = tokio::select! {
            dialled = dial(server.traffic(), &handshake, &ids, Asking::AsOffered, deadlines) => dialled,
            () = pass.parked() => {
                debug!("the board was parked during the dial");
                continue;
            }
        };
        edge.observe(HandshakeStep::Dial, begun);
        let dialled = match dialled {
            Ok(dialled) => dialled,
            Err(DialError::Refused(response)) if server.has_contract() && is_not_owner(&response) => {
                return Err(not_owner());
            }
            Err(DialError::Refused(response)) => return Ok(Outcome::Refused(*response)),
            Err(error) => {
                let may_be_dead = server.has_contract() && error.may_mean_a_death();
                drop(pass);
                // Whoever comes back from a server that has just died is better kept waiting for its heir than refused.
                if may_be_dead && server.judged(route.hold_timeout).await == Verdict::Down {
                    debug!(server = %server.name(), "the server is down; its board is given to another");
                    continue;
                }
                return Err(dial_refusal(edge, &server, &error));
            }
        };
        let Dialled {
            stream,
            early,
            headers: mut answer,
            mut agreement,
            terms,
        } = dialled;
        let may_cross = may_cross(&route, &terms, server.has_contract(), &agreement);
        if may_cross && agreement.ask_for_no_client_takeover() {
            say_agreed(&mut answer, &agreement);
        }
        let arrival = Arrival::now(Arc::clone(&route.name), peer);
        let handle = SessionHandle::new(id.clone(), arrival, server.name().clone());
        let Ok(admission) = pass.admit(handle) else {
            debug!("the board was parked behind the dial");
            continue;
        };
        // Looked at behind the admission: whoever is admitted before the shutdown is told of it with the other sessions.
        if edge.shutdown.is_cancelled() {
            return Err(super::shutting_down());
        }
        let limits = &edge.config.load().limits;
        session::start(Setup {
            admission,
            route,
            handshake: may_cross.then_some(handshake),
            agreement,
            upstream: (stream, early),
            client: take_back(upgrade),
            terms,
            seats: Seats {
                connection: client.take_seat(),
                session: seat,
            },
            journal: tally.take_target().map(Journal::new),
            metrics: Arc::clone(&edge.metrics),
            fragments_max: limits.message_fragments_max,
            stall_timeout: limits.stall_timeout,
            control_frames_max: limits.control_frames_per_second_max,
            message_timeout: limits.message_timeout,
        });
        return Ok(Outcome::Opened(answer_of(answer)));
    }
    let problem = Problem::new(ProblemType::BoardParked, "the board was parked again and again");
    Err(Refusal::new(Cause::Unavailable, problem))
}

/// Checks before anybody is asked to do anything from which page a browser comes (RFC 6455 section 10.2).
fn check_origin(route: &Route, headers: &HeaderMap, sender: &Sender) -> Result<(), Refusal> {
    let Some(origins) = &route.origins else { return Ok(()) };
    let mut named = headers.get_all(ORIGIN).iter().map(HeaderValue::as_bytes);
    let origin = named.next();
    let is_one = named.next().is_none();
    let host = sender.host.as_ref().map(HeaderValue::as_bytes);
    if is_one && origins.allow(origin, host, sender.scheme.map(Scheme::name)) {
        return Ok(());
    }
    let problem = Problem::new(ProblemType::OriginRefused, "the Origin is not on the route's list");
    Err(Refusal::new(Cause::BadRequest, problem))
}

/// Reads whether the session's socket may stay open when its board moves, so that its handshake is worth keeping.
fn may_cross(route: &Route, terms: &Terms, has_contract: bool, agreement: &Agreement) -> bool {
    let is_allowed = match (route.mode, terms.mode) {
        (RouteMode::Reconnect | RouteMode::Stay, _) => false,
        (RouteMode::Auto | RouteMode::Transparent, Some(TermsMode::Reconnect)) => false,
        (RouteMode::Auto | RouteMode::Transparent, Some(TermsMode::Transparent)) => true,
        (RouteMode::Auto, None) => !has_contract && route.opaque_transparent,
        (RouteMode::Transparent, None) => has_contract || route.opaque_transparent,
    };
    is_allowed && !agreement.has_unknown_extensions()
}

/// Makes the client's 101 of the server's.
fn answer_of(mut headers: HeaderMap) -> HeaderMap {
    clean_response(&mut headers);
    // A 101 has no body (RFC 9110 section 8.6).
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers
}

fn say_agreed(headers: &mut HeaderMap, agreement: &Agreement) {
    if let Some(deflate) = agreement.deflate()
        && let Ok(value) = HeaderValue::from_str(&deflate.to_string())
    {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
    }
}

/// Reads whether a contract server refuses a board as not its own: that is between it and us.
fn is_not_owner(response: &Response<ServerBody>) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    response.status() == StatusCode::CONFLICT
        && content_type.is_some_and(|value| value.starts_with(b"application/problem+json"))
}

fn not_owner() -> Refusal {
    let problem = Problem::new(ProblemType::BoardUnavailable, "its server does not own it any more");
    Refusal::new(Cause::Unavailable, problem)
}

fn dial_refusal(edge: &Edge, server: &Server, error: &DialError) -> Refusal {
    match error {
        DialError::Connect(error) => connect_refusal(edge, error),
        DialError::Exchange(error) => {
            if let ExchangeError::Timeout = error {
                edge.metrics.limit_hits.of(Limit::UpgradeTimeout).inc();
            }
            exchange_refusal(error)
        }
        DialError::BadUpgrade(fault) => {
            warn!(server = %server.name(), %fault, "a handshake was answered with a 101 that is not to be trusted");
            let problem = Problem::new(ProblemType::BadAnswer, fault.to_string());
            Refusal::new(Cause::BadAnswer, problem)
        }
        DialError::Refused(response) => {
            let problem = Problem::new(ProblemType::BadAnswer, format!("it answered {}", response.status()));
            Refusal::new(Cause::BadAnswer, problem)
        }
    }
}

/// How often a handshake goes back to the gate; each time it has been parked for up to a hold.
const TRIES: u32 = 3;
