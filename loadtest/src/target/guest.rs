//! One user at somebody else's server: it follows the script, and remembers what it sent and what came.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handover_protocol::id::BoardId;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::ledger::{SocketTestimony, UserName};
use crate::user::{Change, Clock, Endpoint, Micros, Progress, Reader, Record, SocketEnd, SocketRecord, Stage, Wire};

use super::script::{Script, fill};

/// One user and its task.
pub(super) struct Guest {
    pub(super) script: Arc<Script>,
    pub(super) endpoint: Endpoint,
    pub(super) board: BoardId,
    pub(super) name: String,
    pub(super) interval: Duration,
    pub(super) clock: Clock,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) progress: Arc<Progress>,
}

/// What it holds while it lives.
struct Memory {
    record: Record,
    waiting: VecDeque<u64>,
    unanswered: BTreeSet<u64>,
    next_due: Option<Micros>,
}

type Socket = WebSocketStream<Wire>;

impl Guest {
    /// Lives until everybody is told to leave, and gives back what it remembers.
    pub(super) async fn run(mut self) -> Record {
        let mut memory = Memory {
            record: Record::new(self.board.clone(), UserName::new(&self.name)),
            waiting: VecDeque::new(),
            unanswered: BTreeSet::new(),
            next_due: None,
        };
        while *self.stage.borrow() != Stage::Leave {
            let begun = self.clock.now();
            match timeout(CONNECT_TIMEOUT, self.connect()).await {
                Ok(Ok(socket)) => {
                    if !memory.record.sockets.is_empty() {
                        self.progress.reconnects.fetch_add(1, Relaxed);
                    }
                    memory.record.sockets.push(SocketRecord {
                        begun,
                        ..SocketRecord::default()
                    });
                    self.converse(socket, &mut memory).await;
                }
                Ok(Err(error)) => {
                    self.progress.note_refusal_text(error.to_string());
                    memory.record.refusals += 1;
                }
                Err(_elapsed) => memory.record.refusals += 1,
            }
            sleep(PAUSE).await;
        }
        memory.record
    }

    async fn connect(&self) -> Result<Socket, Error> {
        let path = fill(&self.script.path, &self.name, self.board.as_str(), 0);
        let mut request = self.endpoint.url(&path).into_client_request()?;
        for (name, value) in &self.script.headers {
            let value = fill(value, &self.name, self.board.as_str(), 0);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(http::Error::from)?;
            let value = HeaderValue::from_str(&value).map_err(http::Error::from)?;
            request.headers_mut().insert(name, value);
        }
        let wire = Box::pin(self.endpoint.connect(Reader::Prompt)).await?;
        let (socket, _) = Box::pin(tokio_tungstenite::client_async(request, wire)).await?;
        Ok(socket)
    }

    /// Talks over one socket until it ends or everybody leaves.
    async fn converse(&mut self, mut socket: Socket, memory: &mut Memory) {
        if let Some(hello) = &self.script.hello {
            let hello = fill(hello, &self.name, self.board.as_str(), 0);
            if !send(&mut socket, hello).await {
                return;
            }
        }
        let mut is_ready = false;
        if self.script.ready.is_none() {
            is_ready = true;
            self.welcome(memory);
        }
        let end = loop {
            let wake = self.clock.moment(memory.next_due.unwrap_or(self.clock.now() + TICK));
            // Cancel-safe: the stream gives whole messages, and the watch keeps what it has not told.
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if !is_ready && self.script.ready.as_ref().is_some_and(|ready| ready.is_match(&text)) {
                            is_ready = true;
                            self.welcome(memory);
                        }
                        self.hear(&text, memory);
                    }
                    Some(Ok(Message::Close(frame))) => {
                        break SocketEnd::Closed(frame.map_or(1005, |frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break SocketEnd::Broken,
                },
                () = sleep_until(wake) => {}
                _ = self.stage.changed() => {}
            }
            if *self.stage.borrow() == Stage::Leave {
                break SocketEnd::Left;
            }
            self.plan(memory);
            while is_ready && let Some(n) = memory.waiting.pop_front() {
                if !self.say(&mut socket, n, memory).await {
                    break;
                }
            }
        };
        if is_ready {
            self.progress.served.fetch_sub(1, Relaxed);
        }
        let now = self.clock.now();
        if let Some(record) = memory.record.sockets.last_mut() {
            record.told = Some(now);
            record.end = Some(end);
        }
        memory.record.is_served = end == SocketEnd::Left && is_ready;
        let _ = timeout(CLOSE_TIMEOUT, socket.close(None)).await;
    }

    fn welcome(&self, memory: &mut Memory) {
        self.progress.served.fetch_add(1, Relaxed);
        if let Some(socket) = memory.record.sockets.last_mut() {
            socket.welcomed = Some(self.clock.now());
            socket.seen.welcomed_at = Some(0);
        }
        if self.script.resends {
            for n in std::mem::take(&mut memory.unanswered).into_iter().rev() {
                memory.waiting.push_front(n);
            }
        }
    }

    /// Puts what is due among what waits: by the rate, or a think time after the last answer.
    fn plan(&self, memory: &mut Memory) {
        let Some(since) = self.stage.borrow().drawing_since() else {
            memory.next_due = None;
            return;
        };
        let now = self.clock.now();
        let interval = self.script.think_time.unwrap_or(self.interval).as_micros() as f64;
        let mut due = memory
            .next_due
            .unwrap_or_else(|| since + (interval * rand::random_range(0.0..1.0)) as Micros);
        while due <= now {
            let waits_for_answer = self.script.think_time.is_some() && !memory.unanswered.is_empty();
            if waits_for_answer {
                due = now + THINK_LOOK;
                break;
            }
            memory.record.changes.push(Change::due(due));
            memory.waiting.push_back(memory.record.changes.len() as u64);
            if self.script.think_time.is_some() {
                due = now + interval as Micros;
                break;
            }
            due += (interval * rand::random_range(0.5..1.5)).max(1.0) as Micros;
        }
        memory.next_due = Some(due);
    }

    async fn say(&self, socket: &mut Socket, n: u64, memory: &mut Memory) -> bool {
        let change = &mut memory.record.changes[n as usize - 1];
        if change.sent().is_none() {
            change.note_sent(self.clock.now());
            self.progress.sent.fetch_add(1, Relaxed);
        } else {
            *memory.record.resent.entry(n).or_default() += 1;
            self.progress.resent.fetch_add(1, Relaxed);
        }
        memory.unanswered.insert(n);
        let text = fill(&self.script.message, &self.name, self.board.as_str(), n);
        send(socket, text).await
    }

    fn hear(&self, text: &str, memory: &mut Memory) {
        let number = |captures: &regex::Captures<'_>| captures.name("n")?.as_str().parse::<u64>().ok();
        let now = self.clock.now();
        let Some(socket) = memory.record.sockets.last_mut() else {
            return;
        };
        if let Some(n) = self.script.ack.captures(text).as_ref().and_then(number) {
            socket.seen.acked.push(n);
            socket.first_ack = socket.first_ack.or(Some(now));
            socket.last_ack = Some(now);
            memory.unanswered.remove(&n);
            let place = n.checked_sub(1).unwrap_or(u64::MAX) as usize;
            if let Some(change) = memory.record.changes.get_mut(place) {
                if change.acked().is_none() {
                    self.progress.acked.fetch_add(1, Relaxed);
                }
                change.note_acked(now);
            }
        } else if let Some(captures) = self
            .script
            .broadcast
            .as_ref()
            .and_then(|pattern| pattern.captures(text))
            && let Some(n) = number(&captures)
            && let Some(author) = captures.name("session")
            && author.as_str() != self.name
        {
            SocketTestimony::of_author(&mut socket.seen.drawn, author.as_str()).push(n);
            self.progress.seen.fetch_add(1, Relaxed);
        }
    }
}

/// Sends a message; a peer that takes nothing for long is given up.
async fn send(socket: &mut Socket, text: String) -> bool {
    matches!(
        timeout(SEND_TIMEOUT, socket.send(Message::text(text))).await,
        Ok(Ok(()))
    )
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Before the next try to connect.
const PAUSE: Duration = Duration::from_millis(50);
/// Microseconds; nothing is due while users gather and settle.
const TICK: Micros = 1_000_000;
/// Microseconds between two looks whether a thinking user was answered; its answer wakes it as well.
const THINK_LOOK: Micros = 20_000;
