//! What sessions do to a board: they come, say who they are, draw, and go.

use std::sync::Arc;

use handover_protocol::contract::{ContractProblem, ContractProblemType};
use handover_protocol::generation::Generation;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::debug;

use super::actor::{Actor, Phase};
use super::event::{Arrival, Attach, Attached, Event, Flavor, Order, Reply, Said, SessionKey};
use super::roster::Session;
use super::work::{Kind, Known, Work, read};
use crate::board_server::problem::refusal;
use crate::wire::{Body, Presence, ServerMessage, Welcome};

impl Actor {
    /// Lets somebody in, or says why not.
    pub(super) fn attach(&mut self, attach: Attach, reply: Reply<Attached>) {
        if matches!(self.phase, Phase::Empty) && !self.server.is_contract() && !self.is_stopping() {
            let reading = read(self.server.clone(), self.board.clone(), Known::Nothing(None));
            self.work = Some(Work::new(Kind::Opening, reading));
            self.deferred.push_back(Event::Attach(attach, reply));
            return;
        }
        if let Err(problem) = self.admit_session(attach.generation) {
            debug!(board = %self.board, ?attach, ?problem, "refused");
            let _ = reply.send(Err(problem));
            return;
        }
        self.roster.prune(Instant::now());
        let (outgoing, to_send) = mpsc::channel(OUTGOING_MAX);
        let (orders, ordered) = watch::channel(Order::Read);
        let session = Session::new(attach.id, attach.user, attach.arrival, outgoing, orders);
        self.roster.attach(attach.key, session);
        let attached = Attached {
            outgoing: to_send,
            orders: ordered,
        };
        if reply.send(Ok(attached)).is_err() {
            self.note_ended(attach.key);
        }
    }

    /// Checks that the board is served here, under that generation where one is given.
    pub(super) fn check(&self, generation: Option<Generation>) -> Result<(), ContractProblem> {
        match &self.phase {
            Phase::Owner | Phase::Frozen(_) if generation.is_none_or(|asked| asked == self.generation) => Ok(()),
            Phase::Owner | Phase::Frozen(_) | Phase::Standby | Phase::Empty => Err(self.not_owner(generation)),
        }
    }

    fn admit_session(&self, generation: Option<Generation>) -> Result<(), ContractProblem> {
        if self.is_stopping() {
            return Err(refusal(ContractProblemType::Busy, "the server is shutting down".into()));
        }
        let generation = generation.unwrap_or(self.generation);
        self.check(Some(generation))?;
        match &self.phase {
            Phase::Frozen(_) => Err(refusal(ContractProblemType::Busy, "the board is being moved".into())),
            Phase::Owner | Phase::Standby | Phase::Empty => Ok(()),
        }
    }

    pub(super) fn not_owner(&self, asked: Option<Generation>) -> ContractProblem {
        let role = match &self.phase {
            Phase::Empty => "does not have it",
            Phase::Standby => "has it as a standby",
            Phase::Owner => "owns it",
            Phase::Frozen(_) => "has it frozen",
        };
        let asked = asked.map_or_else(String::new, |asked| format!(", not {asked}"));
        let detail = format!("this server {role} at generation {}{asked}", self.generation);
        refusal(ContractProblemType::NotOwner, detail)
    }

    /// Takes a data message, or keeps it until the board is thawed.
    pub(super) fn note_said(&mut self, key: SessionKey, said: Said, flavor: Flavor) {
        let Some(session) = self.roster.session(key).filter(|session| session.is_here()) else {
            return;
        };
        match &mut self.phase {
            Phase::Owner => self.handle(key, said, flavor),
            Phase::Frozen(freeze) if freeze.wants_more(session) => {
                self.handle(key, said, flavor);
                self.read_what_was_counted(key);
            }
            Phase::Frozen(freeze) => {
                session.order(Order::Pause);
                freeze.keep(key, said, flavor);
            }
            Phase::Empty | Phase::Standby => {}
        }
    }

    /// Notes that a connection has ended; the others are told unless it has left by a move.
    pub(super) fn note_ended(&mut self, key: SessionKey) {
        self.roster.note_gone(key, Instant::now());
        match &mut self.phase {
            Phase::Owner => self.announce_left(key),
            Phase::Frozen(freeze) => freeze.note_departure(key),
            Phase::Empty | Phase::Standby => {}
        }
    }

    pub(super) fn announce_left(&mut self, key: SessionKey) {
        let user = self.roster.session(key).and_then(Session::user).cloned();
        if let Some(user) = user.filter(|user| !self.roster.has_other(user, key)) {
            let user = user.as_ref().to_owned();
            self.roster
                .broadcast(&ServerMessage::Left(Presence { user }), Some(key));
        }
    }

    /// Tells the others of expected sessions that did not come.
    pub(super) fn give_up_expected(&mut self) {
        self.expected_until = None;
        for user in self.roster.give_up_expected() {
            let user = user.as_ref().to_owned();
            self.roster.broadcast(&ServerMessage::Left(Presence { user }), None);
        }
    }

    /// Notes that a change of a connection was handled to the end.
    pub(super) fn note_handled(&mut self, key: SessionKey) {
        let may_read = matches!(self.phase, Phase::Owner) && !self.is_stopping();
        if let Some(session) = self.roster.session_mut(key) {
            session.finish();
            if may_read && session.taken() - session.handled() == UNDER_WAY_MAX / 2 {
                session.order(Order::Read);
            }
        }
    }

    pub(super) fn pause_all(&mut self) {
        for key in self.roster.keys_here() {
            if let Some(session) = self.roster.session(key) {
                session.order(Order::Pause);
            }
        }
    }

    fn handle(&mut self, key: SessionKey, said: Said, flavor: Flavor) {
        match said {
            Said::Hello { user } => self.welcome(key, user.into(), flavor),
            Said::Draw(draw) => self.begin_change(key, flavor, Some(draw.seq), Body::of_draw(draw)),
            Said::Opaque(fingerprint) => self.begin_change(key, flavor, None, Body::Opaque(fingerprint)),
            Said::BadName => self.roster.close(key, Order::nameless()),
        }
    }

    fn begin_change(&mut self, key: SessionKey, flavor: Flavor, seq: Option<u64>, body: Body) {
        let Some(author) = self.author(key, flavor) else {
            self.roster.close(key, Order::nameless());
            return;
        };
        let seq = seq.unwrap_or_else(|| self.canvas.next_seq(&author));
        if let Some(session) = self.roster.session_mut(key) {
            session.begin();
            if session.taken() - session.handled() >= UNDER_WAY_MAX {
                session.order(Order::Pause);
            }
        }
        self.enqueue(key, flavor, author, seq, body);
    }

    /// Returns who draws: who said hello, or else whom the handshake named.
    fn author(&mut self, key: SessionKey, flavor: Flavor) -> Option<Arc<str>> {
        let session = self.roster.session(key)?;
        if let Some(user) = session.user() {
            return Some(user.clone());
        }
        let user = session.asked_for()?.clone();
        self.introduce(key, user.clone(), flavor);
        Some(user)
    }

    fn welcome(&mut self, key: SessionKey, user: Arc<str>, flavor: Flavor) {
        let Some(session) = self.roster.session_mut(key) else {
            return;
        };
        session.begin();
        session.finish();
        let resumed = session.is_resumed();
        self.introduce(key, user, flavor);
        let missed = match resumed {
            true => self.canvas.changes_after(self.resumed_from),
            false => Some(Vec::new()),
        };
        let Some(missed) = missed else {
            // It comes back and is told everything.
            self.roster.close(key, Order::too_slow());
            return;
        };
        let welcome = Welcome {
            board: self.board.as_str().to_owned(),
            revision: self.canvas.revision(),
            users: self.roster.users().len() as u64,
            changes: (!resumed).then(|| self.canvas.last_changes()),
            server: self.server.settings.name.as_str().to_owned(),
            release: self.server.settings.release.as_str().to_owned(),
            resumed,
        };
        self.roster.send(key, &ServerMessage::Welcome(welcome), flavor);
        for drawn in missed {
            self.roster.send(key, &ServerMessage::Drawn(drawn), flavor);
        }
    }

    /// Notes who a connection is; the others are told unless it came by a move.
    fn introduce(&mut self, key: SessionKey, user: Arc<str>, flavor: Flavor) {
        let Some(session) = self.roster.session_mut(key) else {
            return;
        };
        if session.user().is_some() {
            return;
        }
        let is_news = *session.arrival() == Arrival::Fresh;
        session.introduce(user.clone(), flavor);
        if is_news && !self.roster.has_other(&user, key) {
            let user = user.as_ref().to_owned();
            self.roster
                .broadcast(&ServerMessage::Joined(Presence { user }), Some(key));
        }
    }
}

/// Messages that may wait for a client that does not read; one that falls further behind is closed.
const OUTGOING_MAX: usize = 8192;
/// Changes of one session that may wait to be saved; more of it is read only then.
const UNDER_WAY_MAX: u64 = 64;
