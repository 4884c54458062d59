//! A virtual user: connects, draws by plan, remembers everything, and comes back when it is told to.
//!
//! ```text
//! connect ─▶ hello ─▶ welcomed ─▶ draw … ─▶ told or cut ─▶ connect
//! ```
//!
//! The plan is an open loop: a change is due at its time whether or not the last one was answered, or anybody listens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::ledger::{SocketTestimony, UserName};

use super::clock::{Clock, Micros};
use super::connection::Connection;
use super::heard::Heard;
use super::plan::{Plan, Reader, Resend, Stage, is_intact};
use super::progress::Progress;
use super::record::{Change, Record, SocketEnd, SocketRecord};

/// One user and its task.
pub(super) struct VirtualUser {
    plan: Plan,
    clock: Clock,
    stage: watch::Receiver<Stage>,
    /// Each change is a gust of a storm: everybody's network fails.
    gusts: watch::Receiver<u64>,
    progress: Arc<Progress>,
    record: Record,
    /// Numbers that are due and were not yet given to the present socket.
    waiting: VecDeque<u64>,
    /// Numbers that were given to a socket and not acknowledged, ascending.
    unanswered: VecDeque<u64>,
    next_due: Option<Micros>,
    rng: SmallRng,
}

/// How a conversation over one socket ended.
enum Departure {
    /// The user is to come back.
    Again,
    /// Everybody leaves.
    Home,
}

impl VirtualUser {
    pub(super) fn new(
        plan: Plan,
        clock: Clock,
        stage: watch::Receiver<Stage>,
        gusts: watch::Receiver<u64>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            record: Record {
                reader: plan.reader,
                ..Record::new(plan.board.clone(), plan.user())
            },
            rng: SmallRng::seed_from_u64(plan.number),
            plan,
            clock,
            stage,
            gusts,
            progress,
            waiting: VecDeque::new(),
            unanswered: VecDeque::new(),
            next_due: None,
        }
    }

    /// Lives until everybody is told to leave, and gives back what it remembers.
    pub(super) async fn run(mut self) -> Record {
        while let Some(connection) = self.connect().await {
            let departure = self.converse(connection).await;
            match departure {
                Departure::Again => {
                    self.progress.reconnects.fetch_add(1, Relaxed);
                }
                Departure::Home => break,
            }
        }
        self.record
    }

    /// Connects, at once and then with growing pauses; `None` when everybody leaves.
    async fn connect(&mut self) -> Option<Connection> {
        let path = self.plan.path();
        let mut pause = BACKOFF_MIN;
        loop {
            if *self.stage.borrow() == Stage::Leave {
                return None;
            }
            let begun = self.clock.now();
            let attempt = timeout(
                CONNECT_TIMEOUT,
                Connection::open(&self.plan.endpoint, &path, self.plan.reader),
            );
            match attempt.await {
                Ok(Ok(connection)) => {
                    self.record.sockets.push(SocketRecord {
                        begun,
                        ..SocketRecord::default()
                    });
                    return Some(connection);
                }
                Ok(Err(error)) => self.progress.note_refusal(&error),
                Err(_elapsed) => {}
            }
            self.record.refusals += 1;
            self.plan_until(self.clock.now());
            sleep(pause.mul_f64(self.rng.random_range(0.5..1.0))).await;
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }

    /// Says hello, and then draws and listens until the socket ends.
    async fn converse(&mut self, mut connection: Connection) -> Departure {
        connection.queue(self.plan.hello());
        let welcome_deadline = Instant::now() + WELCOME_TIMEOUT;
        let mut is_welcomed = false;
        loop {
            let wake = self.wake_time(is_welcomed, welcome_deadline);
            let reads = !is_welcomed || !self.is_stuck();
            // Cancel-safe: a connection gives whole messages, and the watches keep what they have not told.
            tokio::select! {
                message = connection.next(), if reads => match self.take(message) {
                    Heed::Go(end) => {
                        self.end_socket(&mut connection, end).await;
                        return Departure::Again;
                    }
                    Heed::Welcomed => {
                        is_welcomed = true;
                        self.requeue();
                    }
                    Heed::Stay => {}
                },
                () = sleep_until(wake) => {
                    if !is_welcomed && Instant::now() >= welcome_deadline {
                        self.end_socket(&mut connection, SocketEnd::Broken).await;
                        return Departure::Again;
                    }
                }
                gust = self.gusts.changed(), if is_welcomed => if gust.is_ok() {
                    self.end_socket(&mut connection, SocketEnd::Dropped).await;
                    return Departure::Again;
                },
                changed = self.stage.changed() => {
                    if changed.is_err() || *self.stage.borrow() == Stage::Leave {
                        self.record.is_served = is_welcomed;
                        self.end_socket(&mut connection, SocketEnd::Left).await;
                        return Departure::Home;
                    }
                }
            }
            self.plan_until(self.clock.now());
            if is_welcomed {
                self.send_waiting(&mut connection);
            }
        }
    }

    /// When to look up: at the next change, or while the welcome is missing at its deadline.
    fn wake_time(&self, is_welcomed: bool, welcome_deadline: Instant) -> Instant {
        let due = self.next_due.map(|due| self.clock.moment(due));
        match (is_welcomed, due) {
            (true, Some(due)) => due,
            (true, None) => Instant::now() + IDLE_TICK,
            (false, _) => welcome_deadline,
        }
    }

    /// Reads whether the user lets everything lie.
    fn is_stuck(&self) -> bool {
        match self.plan.reader {
            Reader::Prompt => false,
            Reader::Stuck => matches!(*self.stage.borrow(), Stage::Jam { .. }),
        }
    }

    /// Puts every change that is due by now among those that wait.
    fn plan_until(&mut self, now: Micros) {
        let Some(since) = self.stage.borrow().drawing_since() else {
            self.next_due = None;
            return;
        };
        if self.plan.reader == Reader::Stuck {
            return;
        }
        let interval = self.plan.interval.as_micros() as f64;
        // A phase of its own for each user, and uneven steps, so that no two stay in time with each other or the moves.
        let mut due = match self.next_due {
            Some(due) => due,
            None => since + (interval * self.rng.random_range(0.0..1.0)) as Micros,
        };
        while due <= now {
            self.record.changes.push(Change::due(due));
            self.waiting.push_back(self.record.changes.len() as u64);
            due += (interval * self.rng.random_range(0.5..1.5)).max(1.0) as Micros;
        }
        self.next_due = Some(due);
    }

    /// On a new socket what was not acknowledged comes first, where the user sends again at all.
    fn requeue(&mut self) {
        // A gust that blew while the user was on its way back has nothing to cut.
        self.gusts.borrow_and_update();
        match self.plan.resend {
            Resend::Never => {}
            Resend::Unacknowledged | Resend::InTurn => {
                while let Some(seq) = self.unanswered.pop_back() {
                    self.waiting.push_front(seq);
                }
            }
        }
    }

    fn send_waiting(&mut self, connection: &mut Connection) {
        while self.may_send()
            && let Some(seq) = self.waiting.pop_front()
        {
            connection.queue(self.plan.draw(seq));
            let change = &mut self.record.changes[seq as usize - 1];
            if change.sent().is_none() {
                change.note_sent(self.clock.now());
                self.progress.sent.fetch_add(1, Relaxed);
            } else {
                *self.record.resent.entry(seq).or_default() += 1;
                self.progress.resent.fetch_add(1, Relaxed);
            }
            self.unanswered.push_back(seq);
        }
    }

    fn may_send(&self) -> bool {
        match self.plan.resend {
            Resend::Never | Resend::Unacknowledged => true,
            Resend::InTurn => self.unanswered.is_empty(),
        }
    }

    fn take(&mut self, message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Heed {
        match message {
            Some(Ok(Message::Text(text))) => {
                if matches!(*self.stage.borrow(), Stage::Jam { .. }) {
                    self.record.jam_bytes += text.len() as u64;
                }
                self.hear(&text)
            }
            Some(Ok(Message::Close(frame))) => {
                // 1005: the frame carried no code (RFC 6455 section 7.4.1).
                Heed::Go(SocketEnd::Closed(frame.map_or(1005, |frame| frame.code.into())))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heed::Stay,
            Some(Ok(Message::Binary(_))) => self.note_garbled(),
            Some(Err(_)) | None => Heed::Go(SocketEnd::Broken),
        }
    }

    fn hear(&mut self, text: &str) -> Heed {
        let Ok(heard) = serde_json::from_str::<Heard<'_>>(text) else {
            return self.note_garbled();
        };
        match (heard.kind.as_ref(), heard.seq, &heard.user) {
            ("drawn", Some(seq), Some(author)) => {
                self.note_drawn(author, seq, &heard);
                Heed::Stay
            }
            ("saved", Some(seq), _) => {
                self.note_acked(seq, heard.revision);
                Heed::Stay
            }
            ("welcome", _, _) => self.note_welcome(&heard),
            ("joined" | "left", _, Some(_)) => Heed::Stay,
            ("reconnect", _, _) => Heed::Go(SocketEnd::Commanded),
            _ => self.note_garbled(),
        }
    }

    fn note_garbled(&mut self) -> Heed {
        self.socket().seen.garbled += 1;
        self.progress.garbled.fetch_add(1, Relaxed);
        Heed::Stay
    }

    fn note_welcome(&mut self, heard: &Heard<'_>) -> Heed {
        let now = self.clock.now();
        let server = heard.server.as_deref().map(Box::from);
        let revision = heard.revision.unwrap_or(0);
        let resend = self.plan.resend;
        let socket = self.socket();
        if socket.welcomed.is_some() {
            if resend != Resend::InTurn {
                socket.seen.welcomes_again += 1;
                return Heed::Stay;
            }
            self.part_with_server(now);
        }
        let socket = self.socket();
        socket.welcomed = Some(now);
        socket.server = server;
        socket.seen.welcomed_at = Some(revision);
        for change in heard.changes.iter().flatten() {
            SocketTestimony::of_author(&mut socket.seen.listed, &change.user).push(change.seq);
        }
        // One that comes while the user says goodbye serves nobody.
        if socket.told.is_none() {
            self.progress.served.fetch_add(1, Relaxed);
        }
        Heed::Welcomed
    }

    /// Begins anew on the socket that it has.
    fn part_with_server(&mut self, now: Micros) {
        let socket = self.socket();
        socket.told = Some(now);
        socket.end = Some(SocketEnd::GreetedAnew);
        self.progress.served.fetch_sub(1, Relaxed);
        self.record.sockets.push(SocketRecord {
            begun: now,
            ..SocketRecord::default()
        });
    }

    fn note_drawn(&mut self, author: &str, seq: u64, heard: &Heard<'_>) {
        let color = heard.color.as_deref().unwrap_or_default();
        let points = heard.points.as_deref().unwrap_or_default();
        let is_intact = is_intact(&self.plan.prefix, author, seq, color, points);
        let seen = &mut self.socket().seen;
        SocketTestimony::of_author(&mut seen.drawn, author).push(seq);
        seen.latest_revision = seen.latest_revision.max(heard.revision.unwrap_or(0));
        if !is_intact {
            seen.altered.push((UserName::new(author), seq));
        }
        self.progress.seen.fetch_add(1, Relaxed);
    }

    fn note_acked(&mut self, seq: u64, revision: Option<u64>) {
        let now = self.clock.now();
        let socket = self.socket();
        socket.seen.acked.push(seq);
        socket.seen.latest_revision = socket.seen.latest_revision.max(revision.unwrap_or(0));
        socket.first_ack = socket.first_ack.or(Some(now));
        socket.last_ack = Some(now);
        let change = seq
            .checked_sub(1)
            .and_then(|place| self.record.changes.get_mut(place as usize));
        if let Some(change) = change {
            if change.acked().is_none() {
                self.progress.acked.fetch_add(1, Relaxed);
            }
            change.note_acked(now);
        }
        if let Ok(place) = self.unanswered.binary_search(&seq) {
            self.unanswered.remove(place);
        }
    }

    /// Ends the socket as its end asks for, and listens to the last answers where there may be some.
    async fn end_socket(&mut self, connection: &mut Connection, end: SocketEnd) {
        let now = self.clock.now();
        let socket = self.socket();
        socket.told = Some(now);
        socket.end = Some(end);
        let was_served = socket.welcomed.is_some();
        if was_served {
            self.progress.served.fetch_sub(1, Relaxed);
        }
        match end {
            SocketEnd::Closed(_) => {
                let _ = timeout(FLUSH_TIMEOUT, connection.flush()).await;
            }
            SocketEnd::Broken | SocketEnd::Dropped | SocketEnd::GreetedAnew => {}
            SocketEnd::Commanded | SocketEnd::Left => {
                let goodbye = async {
                    connection.close().await;
                    while let Some(Ok(message)) = connection.next().await {
                        self.take(Some(Ok(message)));
                    }
                };
                let _ = timeout(GOODBYE_TIMEOUT, goodbye).await;
            }
        }
    }

    fn socket(&mut self) -> &mut SocketRecord {
        self.record
            .sockets
            .last_mut()
            .expect("a socket is recorded before anything is read from it")
    }
}

/// What a message asks of the user.
enum Heed {
    Stay,
    Welcomed,
    Go(SocketEnd),
}

/// The first pause after a refusal; a user comes back at once where it is let in.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_millis(250);
/// A first placement may wait for a board that loads for many seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);
/// How long answers are waited for after the user's own Close.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
const IDLE_TICK: Duration = Duration::from_secs(3600);
