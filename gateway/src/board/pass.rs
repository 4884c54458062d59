//! What a newcomer holds between the gate and its session: a pass, then an admission. Both give back on drop.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use handover_protocol::{Generation, Owner, SessionId, Term};
use tokio::sync::watch;

use super::{Board, ENDED_KEPT, ENDED_MAX, Ended, Gate, GateState, Present, Tellings};
use crate::config::Route;
use crate::session::SessionHandle;
use crate::upstream::Server;

/// Who asks to come in.
#[derive(Debug, Clone, Copy)]
pub struct Entrant {
    /// What for.
    pub purpose: Purpose,
    /// From where; a board server's own requests are never parked, for a move may wait for them.
    pub peer: IpAddr,
}

/// What somebody comes in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To open a session: the dial is given up when the board is parked.
    Session,
    /// To have one plain request answered: it may finish when the board is parked.
    Request,
}

/// The right to talk to a board's owner, under the generation that was current at the gate.
pub struct Pass {
    board: Arc<Board>,
    server: Arc<Server>,
    generation: Generation,
    counts: Counts,
    gate: watch::Receiver<Gate>,
}

/// As what a pass is counted while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Dial,
    Request,
    /// A server's own request: a hold must not wait for it, for the server may send it in order to answer us.
    Nothing,
}

/// The board was parked before the session could be admitted: give the dial up and enter again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the board was parked")]
pub struct Parked;

/// A session's place on its board; leaving the scope takes it off.
pub struct Admission {
    board: Arc<Board>,
    handle: Arc<SessionHandle>,
    server: Arc<Server>,
    generation: Generation,
    since: Instant,
    /// When moves had told users of the board to reconnect as this one came, who may be one of them.
    told_before: Option<Box<Tellings>>,
}

/// The answer of the gate.
pub(super) enum Entry {
    /// Come in.
    Pass(Pass),
    /// Wait until the gate changes.
    Wait,
    /// The commit's outcome is unknown; come back later.
    Shut,
    /// Nobody owns the board, or nobody has confirmed that they do: see to that first.
    Unowned,
    /// This record has been dropped; look the board up again.
    Gone,
}

impl Pass {
    /// Returns the server to talk to.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Returns the generation under which the server owns the board.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Waits until the board is about to be held. Cancel-safe: it only watches.
    pub async fn parked(&self) {
        let mut gate = self.gate.clone();
        while gate.borrow_and_update().state == GateState::Open {
            if gate.changed().await.is_err() {
                return;
            }
        }
    }

    /// Turns a finished dial into a session on the board.
    ///
    /// # Errors
    /// When the board was parked or changed hands meanwhile: nothing that was dialled counts.
    pub fn admit(self, handle: Arc<SessionHandle>) -> Result<Admission, Parked> {
        let mut inner = self.board.lock();
        let is_open = self.board.gate.borrow().state == GateState::Open;
        if !is_open || inner.is_gone || inner.placement.generation != self.generation {
            return Err(Parked);
        }
        let since = Instant::now();
        let present = Present {
            handle: Arc::clone(&handle),
            since,
        };
        inner.sessions.insert(handle.id().clone(), present);
        let told_before = inner.memory.told.kept();
        drop(inner);
        Ok(Admission {
            board: Arc::clone(&self.board),
            handle,
            server: Arc::clone(&self.server),
            generation: self.generation,
            since,
            told_before,
        })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inner = self.board.lock();
        match self.counts {
            Counts::Dial => inner.dials -= 1,
            Counts::Request => inner.requests -= 1,
            Counts::Nothing => {}
        }
        inner.emptied_at = Instant::now();
        drop(inner);
        self.board.look_again();
    }
}

impl Admission {
    /// Returns the board that the session is on.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Returns the handle by which the mover reaches the session.
    pub fn handle(&self) -> &Arc<SessionHandle> {
        &self.handle
    }

    /// Returns the server that the session was admitted to; a switch changes it in the session, not here.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Returns the generation that the session was admitted under.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns, once, when moves had told users of the board to reconnect before this one came; nothing where none had.
    pub fn take_told_before(&mut self) -> Option<Box<Tellings>> {
        self.told_before.take()
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut inner = self.board.lock();
        inner.sessions.remove(self.handle.id());
        let now = Instant::now();
        inner.emptied_at = now;
        while inner.ended.front().is_some_and(|ended| now - ended.at > ENDED_KEPT) || inner.ended.len() >= ENDED_MAX {
            inner.ended.pop_front();
        }
        let ended = Ended {
            id: self.handle.id().clone(),
            since: self.since,
            passed: self.handle.passed(),
            generation: self.handle.generation(),
            parted_at: self.handle.parted_at().unwrap_or(now),
            at: now,
        };
        inner.ended.push_back(ended);
    }
}

impl Board {
    /// Asks for a pass; `server_of` finds the owner's record, nothing where it left the configuration.
    pub(super) fn try_enter(
        self: &Arc<Self>,
        purpose: Purpose,
        route: &Arc<Route>,
        is_servers_own: bool,
        server_of: impl FnOnce(&Owner) -> Option<Arc<Server>>,
    ) -> Entry {
        let mut inner = self.lock();
        if inner.is_gone {
            return Entry::Gone;
        }
        let gate = self.gate.borrow().state;
        match gate {
            GateState::Shut => return Entry::Shut,
            GateState::Parked if !is_servers_own => return Entry::Wait,
            GateState::Parked | GateState::Open => {}
        }
        let owner = match (&inner.placement.term, gate) {
            (Term::Settled { owner } | Term::Moving { owner, .. }, _) => owner,
            (Term::Vacant | Term::Activating { .. }, GateState::Parked) => return Entry::Wait,
            (Term::Vacant | Term::Activating { .. }, GateState::Open | GateState::Shut) => return Entry::Unowned,
        };
        let Some(server) = server_of(owner) else {
            return Entry::Unowned;
        };
        let counts = match (is_servers_own, purpose) {
            (true, Purpose::Session | Purpose::Request) => Counts::Nothing,
            (false, Purpose::Session) => Counts::Dial,
            (false, Purpose::Request) => Counts::Request,
        };
        // What a move must heed is how sessions come; a plain request may be another route's.
        if purpose == Purpose::Session || inner.route.is_none() {
            inner.route = Some(Arc::clone(route));
        }
        match counts {
            Counts::Dial => inner.dials += 1,
            Counts::Request => inner.requests += 1,
            Counts::Nothing => {}
        }
        let generation = inner.placement.generation;
        drop(inner);
        let gate = self.gate.subscribe();
        Entry::Pass(Pass {
            board: Arc::clone(self),
            server,
            generation,
            counts,
            gate,
        })
    }

    /// Marks the record as dropped, unless somebody is on the board or on the way.
    pub(super) fn try_drop(&self) -> bool {
        let mut inner = self.lock();
        let is_empty = inner.sessions.is_empty() && inner.dials == 0 && inner.requests == 0;
        if is_empty && inner.placement.term == Term::Vacant {
            inner.is_gone = true;
        }
        inner.is_gone
    }

    /// Returns one of the sessions.
    pub fn session(&self, id: &SessionId) -> Option<Arc<SessionHandle>> {
        let inner = self.lock();
        inner.sessions.get(id).map(|present| Arc::clone(&present.handle))
    }
}
