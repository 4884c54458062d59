//! A WebSocket to a board server, opened with a client's own handshake.
//!
//! hyper speaks HTTP; once the handshake is answered with 101 the raw socket is taken back from it, with what the
//! server said in the same breath. A 101 is checked before anybody relies on it (RFC 6455 section 4.1).

use bytes::Bytes;
use handover_protocol::contract::wire;
use handover_protocol::{BoardId, Generation, ServerName, SessionId};
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Empty;
use tokio::time::{Instant, timeout_at};

use super::agreement::{Agreement, AgreementFault};
use super::connection::{ConnectError, ExchangeError, exchange};
use super::destination::Destination;
use super::handshake::{Asking, Handshake, Offer};
use super::pool::ServerBody;
use super::terms::Terms;
use crate::tls::Wire;

/// Whose dial it is, as the server is told.
#[derive(Debug, Clone)]
pub struct DialIds {
    /// The board.
    pub board: BoardId,
    /// The term under which the server owns it.
    pub generation: Generation,
    /// The session.
    pub session: SessionId,
    /// On a switch: the server and the session that it comes from.
    pub from: Option<(ServerName, SessionId)>,
}

/// By when a dial must have got how far.
#[derive(Debug, Clone, Copy)]
pub struct DialDeadlines {
    /// The TCP connection.
    pub connected: Instant,
    /// The head of the server's answer.
    pub answered: Instant,
}

impl DialDeadlines {
    /// Sets one deadline for all of it.
    pub fn at(deadline: Instant) -> Self {
        Self {
            connected: deadline,
            answered: deadline,
        }
    }
}

/// A connection to a server that has become a WebSocket.
#[derive(Debug)]
pub struct Dialled {
    /// The socket.
    pub stream: Wire,
    /// What the server sent behind its 101.
    pub early: Bytes,
    /// The headers of the 101, as they came.
    pub headers: HeaderMap,
    /// What was settled for the life of the socket.
    pub agreement: Agreement,
    /// What the server said of carrying the session over.
    pub terms: Terms,
}

/// Opens a WebSocket to a server with a client's handshake.
///
/// Dropping the future closes the connection.
///
/// # Errors
/// See [`DialError`]. After [`DialError::Refused`] the connection lives as long as the response's body.
pub async fn dial(
    to: &Destination,
    handshake: &Handshake,
    ids: &DialIds,
    asking: Asking<'_>,
    deadlines: DialDeadlines,
) -> Result<Dialled, DialError> {
    let mut request = handshake.request(to.url(), asking).map(|()| Empty::<Bytes>::new());
    introduce_session(request.headers_mut(), ids);
    let offer = Offer::of(request.headers());
    let stream = to.connect(deadlines.connected).await?;
    let (response, connection) = answer_by(to, deadlines.answered, exchange(stream, request)).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let response = response.map(|body| ServerBody::new(body, connection));
        return Err(DialError::Refused(Box::new(response)));
    }
    check_upgrade(response.headers(), &handshake.accept())?;
    let agreement = Agreement::of_answer(response.headers(), &offer).map_err(UpgradeFault::from)?;
    let terms = Terms::parse(response.headers()).unwrap_or_else(|fault| {
        tracing::warn!(server = to.url().authority(), %fault, "the session will not cross transparently");
        Terms::cautious()
    });
    let headers = response.headers().clone();
    let raw = connection.into_raw(hyper::upgrade::on(response));
    let (stream, early) = answer_by(to, deadlines.answered, raw).await?;
    Ok(Dialled {
        stream,
        early,
        headers,
        agreement,
        terms,
    })
}

async fn answer_by<T>(
    to: &Destination,
    deadline: Instant,
    answer: impl Future<Output = Result<T, hyper::Error>>,
) -> Result<T, ExchangeError> {
    let answer = timeout_at(deadline, answer).await.map_err(|_| ExchangeError::Timeout)?;
    answer.map_err(|error| to.broken(error))
}

/// Tells a server for which board and under which term it is talked to; of a client's headers none is left by now.
pub fn introduce(headers: &mut HeaderMap, board: &BoardId, generation: Generation) {
    set(headers, wire::BOARD_HEADER, &board.to_url_segment());
    set(headers, wire::GENERATION_HEADER, &generation.to_string());
}

fn introduce_session(headers: &mut HeaderMap, ids: &DialIds) {
    introduce(headers, &ids.board, ids.generation);
    set(headers, wire::SESSION_HEADER, ids.session.as_str());
    if let Some((server, session)) = &ids.from {
        set(headers, wire::FROM_HEADER, &format!("{server}/{session}"));
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("ids, numbers and URL segments are visible ASCII");
    headers.insert(name, value);
}

/// Checks what RFC 6455 section 4.1 has a client check, but for subprotocol and extensions.
fn check_upgrade(headers: &HeaderMap, accept: &str) -> Result<(), UpgradeFault> {
    let mut tokens = tokens_of(headers, UPGRADE);
    if !tokens
        .next()
        .is_some_and(|token| token.eq_ignore_ascii_case("websocket"))
        || tokens.next().is_some()
    {
        return Err(UpgradeFault::Token);
    }
    if !tokens_of(headers, CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err(UpgradeFault::Connection);
    }
    let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    let is_ours = accepts
        .next()
        .is_some_and(|value| value.as_bytes().trim_ascii() == accept.as_bytes());
    if !is_ours || accepts.next().is_some() {
        return Err(UpgradeFault::Accept);
    }
    Ok(())
}

/// Returns the elements of a header that is a list of tokens (RFC 9110 section 5.6.1).
pub(crate) fn tokens_of(headers: &HeaderMap, name: http::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Says why a dial came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection: the server did not see the request, another try is sound.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer: the server may have seen the request.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The server said 101, and what else it said was wrong: the connection is closed.
    #[error("the server's 101 is not to be trusted: {0}")]
    BadUpgrade(#[from] UpgradeFault),
    /// The server answered something else than 101; what it is, is for the client to see.
    #[error("the server answered the handshake with {}", .0.status())]
    Refused(Box<Response<ServerBody>>),
}

impl DialError {
    /// Reads whether a server that has just died would cause this.
    pub fn may_mean_a_death(&self) -> bool {
        match self {
            // Somebody is there who is not believed, or does not believe us.
            Self::Connect(ConnectError::Tls(fault)) | Self::Exchange(ExchangeError::Tls(fault)) => {
                !fault.proves_presence()
            }
            Self::Connect(error) => error.scarcity().is_none(),
            Self::Exchange(ExchangeError::Broken(_) | ExchangeError::Timeout) => true,
            Self::BadUpgrade(_) | Self::Refused(_) => false,
        }
    }
}

/// Says what is wrong with a server's 101 (RFC 6455 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeFault {
    /// `Upgrade` is absent or names something else.
    #[error("it does not upgrade to websocket, or not only")]
    Token,
    /// `Connection` is absent or does not name the upgrade.
    #[error("its Connection header does not name the upgrade")]
    Connection,
    /// `Sec-WebSocket-Accept` is absent, doubled or belongs to another key.
    #[error("its accept value does not belong to the key")]
    Accept,
    /// Subprotocol or extensions were not offered.
    #[error(transparent)]
    Agreement(#[from] AgreementFault),
}

#[cfg(test)]
mod tests;
