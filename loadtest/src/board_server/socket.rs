//! One WebSocket: the handshake, what comes in, what goes out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use handover_protocol::contract::ContractProblemType;
use handover_protocol::contract::wire::{BOARD_HEADER, FROM_HEADER, MODE_HEADER, REPLAY_HEADER, SESSION_HEADER};
use handover_protocol::id::{BoardId, SessionId};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::board::{Arrival, Attach, Attached, Event, Flavor, Order, Said, SessionKey};
use super::control::ask;
use super::problem::{PlainProblem, Refused, refusal};
use super::server::Server;
use super::traffic::generation_of;
use crate::wire::{ClientMessage, Fingerprint, MESSAGE_BYTES_MAX, SEQ_MAX, is_user_name};

/// The query of the handshake.
#[derive(Debug, Deserialize)]
pub(super) struct JoinQuery {
    user: Option<String>,
}

/// `GET /boards/{board}/ws`.
pub(super) async fn join(
    State(server): State<Arc<Server>>,
    Path(board): Path<String>,
    Query(query): Query<JoinQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(board) = board.parse::<BoardId>() else {
        return PlainProblem::new(StatusCode::BAD_REQUEST, None).into_response();
    };
    let headers = server.is_contract().then_some(&headers);
    if headers.is_some_and(|headers| !names_board(headers, &board)) {
        let detail = format!("{BOARD_HEADER} does not name this board; come through the gateway");
        return Refused(refusal(ContractProblemType::NotOwner, detail)).into_response();
    }
    let key = server.next_key();
    let attach = || Attach {
        key,
        id: headers.and_then(|headers| id_of(headers, SESSION_HEADER)),
        generation: headers.and_then(generation_of),
        arrival: headers.map_or(Arrival::Fresh, arrival_of),
        user: query.user.as_deref().filter(|user| is_user_name(user)).map(Into::into),
    };
    let handle = |board: &BoardId| match server.is_contract() {
        true => server.board(board),
        false => Some(server.board_or_new(board)),
    };
    let attached = match ask(&server, handle, &board, |reply| Event::Attach(attach(), reply)).await {
        Ok(attached) => attached,
        // Nobody ever told this server of the board: that is a refusal of a handshake like the others.
        Err(problem) if problem.kind == ContractProblemType::UnknownBoard => {
            let detail = problem.detail.unwrap_or_default();
            return Refused(refusal(ContractProblemType::NotOwner, detail)).into_response();
        }
        Err(problem) => return Refused(problem).into_response(),
    };
    let Some(handle) = server.board(&board) else {
        return PlainProblem::new(StatusCode::SERVICE_UNAVAILABLE, None).into_response();
    };
    let connection = Connection {
        key,
        board: handle.mailbox,
    };
    let task = server.tasks.token();
    let mut response = upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .on_upgrade(async move |socket| {
            serve(socket, attached, &connection).await;
            drop((connection, task));
        });
    if server.is_contract() && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let answered = response.headers_mut();
        answered.insert(MODE_HEADER, HeaderValue::from_static("transparent"));
        answered.insert(REPLAY_HEADER, HeaderValue::from_static("first=1;await"));
    }
    response
}

/// A connection that a board counts; the board learns of its end however it ends.
#[derive(Debug)]
struct Connection {
    key: SessionKey,
    board: mpsc::Sender<Event>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Behind everything that the connection has said, for that was sent first.
        let ended = Event::Ended(self.key);
        if let Err(mpsc::error::TrySendError::Full(ended)) = self.board.try_send(ended)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let board = self.board.clone();
            runtime.spawn(async move { board.send(ended).await });
        }
    }
}

async fn serve(socket: WebSocket, attached: Attached, connection: &Connection) {
    let (sink, stream) = socket.split();
    let mut reading = pin!(read(stream, attached.orders.clone(), connection));
    let writing = pin!(write(sink, attached.outgoing, attached.orders));
    tokio::select! {
        () = &mut reading => {}
        // We have said goodbye; the client's goodbye comes behind what it has sent.
        () = writing => {
            let _ = timeout(GOODBYE_TIMEOUT, reading).await;
        }
    }
}

/// Hands what the client says to the board, unless it is told not to read.
async fn read(mut stream: SplitStream<WebSocket>, mut orders: watch::Receiver<Order>, connection: &Connection) {
    loop {
        let order = orders.borrow_and_update().clone();
        let message = match order {
            Order::Pause => match orders.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            },
            Order::Read => tokio::select! {
                message = stream.next() => message,
                // Cancel-safe: a message that was read in part stays in the stream.
                Ok(()) = orders.changed() => continue,
            },
            Order::Close { .. } => stream.next().await,
        };
        let Some(Ok(message)) = message else {
            return;
        };
        let (payload, flavor) = match message {
            Message::Text(text) => (Bytes::from(text), Flavor::Text),
            Message::Binary(bytes) => (bytes, Flavor::Binary),
            // The library answers both; a Close is followed by the end of the stream.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => continue,
        };
        if matches!(order, Order::Read) {
            let Some(said) = understand(payload).await else {
                return;
            };
            // A board that is gone has ordered the end.
            let _ = connection.board.send(Event::Said(connection.key, said, flavor)).await;
        }
    }
}

/// Sends what the board says, and a goodbye when it is told to.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut outgoing: mpsc::Receiver<Message>,
    mut orders: watch::Receiver<Order>,
) {
    let mut messages = Vec::new();
    loop {
        let is_closing = tokio::select! {
            biased;
            count = outgoing.recv_many(&mut messages, MESSAGES_AT_ONCE) => count == 0,
            () = ordered_to_close(&mut orders) => {
                while let Ok(message) = outgoing.try_recv() {
                    messages.push(message);
                }
                true
            }
        };
        if is_closing {
            let goodbye = orders.borrow().close_frame().unwrap_or(CloseFrame {
                code: close_code::AWAY,
                reason: Utf8Bytes::from_static(""),
            });
            messages.push(Message::Close(Some(goodbye)));
            let _ = timeout(GOODBYE_TIMEOUT, send_all(&mut sink, &mut messages)).await;
            return;
        }
        let mut sending = pin!(send_all(&mut sink, &mut messages));
        let sent = tokio::select! {
            sent = &mut sending => sent,
            // A client that does not read is waited for no longer than a goodbye takes.
            () = ordered_to_close(&mut orders) => {
                match timeout(GOODBYE_TIMEOUT, sending).await {
                    Ok(sent) => sent,
                    Err(_) => return,
                }
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn send_all(sink: &mut SplitSink<WebSocket, Message>, messages: &mut Vec<Message>) -> Result<(), axum::Error> {
    for message in messages.drain(..) {
        sink.feed(message).await?;
    }
    sink.flush().await
}

/// Waits for the order to say goodbye, or for the end of whoever gives orders.
async fn ordered_to_close(orders: &mut watch::Receiver<Order>) {
    let _ = orders.wait_for(|order| order.close_frame().is_some()).await;
}

/// Reads a data message; a large one away from the tasks that serve others.
async fn understand(payload: Bytes) -> Option<Said> {
    if payload.len() <= PARSE_BYTES_MAX {
        return Some(parse(&payload));
    }
    tokio::task::spawn_blocking(move || parse(&payload)).await.ok()
}

fn parse(payload: &[u8]) -> Said {
    match serde_json::from_slice(payload) {
        Ok(ClientMessage::Hello(hello)) if is_user_name(&hello.user) => Said::Hello { user: hello.user },
        Ok(ClientMessage::Hello(_)) => Said::BadName,
        Ok(ClientMessage::Draw(draw)) if (1..=SEQ_MAX).contains(&draw.seq) => Said::Draw(draw),
        Ok(ClientMessage::Draw(_)) | Err(_) => Said::Opaque(Fingerprint::of(payload)),
    }
}

fn names_board(headers: &HeaderMap, board: &BoardId) -> bool {
    let value = headers.get(BOARD_HEADER).and_then(|value| value.to_str().ok());
    value
        .and_then(|segment| BoardId::from_url_segment(segment).ok())
        .as_ref()
        == Some(board)
}

fn id_of(headers: &HeaderMap, name: &str) -> Option<SessionId> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Reads `Handover-From: server/session`.
fn arrival_of(headers: &HeaderMap) -> Arrival {
    let value = headers.get(FROM_HEADER).and_then(|value| value.to_str().ok());
    let session = value
        .and_then(|value| value.split_once('/'))
        .map(|(_, session)| session);
    match session.and_then(|session| session.parse().ok()) {
        Some(from) => Arrival::Moved { from },
        None => Arrival::Fresh,
    }
}

/// Of each connection, in each direction; larger messages get buffers of their own.
const BUFFER_BYTES: usize = 4 * 1024;
const MESSAGES_AT_ONCE: usize = 64;
/// Reading a larger message would keep others waiting.
const PARSE_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take for the goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
