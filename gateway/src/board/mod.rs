//! A board as this gateway knows it: its placement, its sessions, and the gate that newcomers pass.
//!
//! Everything here is local memory behind short locks; nothing waits for a network. Who may own a board is decided by
//! [`crate::registry`], which this module only mirrors; how a board gets its first owner is in [`place`], what a move
//! does to it in [`crate::mover`].

mod attendance;
mod holdings;
mod memory;
mod moved;
mod orphans;
mod pass;
mod place;
mod promise;
mod table;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{HashMap, VecDeque};
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handover_protocol::admin::{BoardState, BoardView, SessionView};
use handover_protocol::{BoardId, Generation, Placement, ServerName, SessionId, Term};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub use holdings::Held;
pub use pass::{Admission, Entrant, Parked, Pass, Purpose};
pub use place::{Newcomers, PlaceError, Placer};
pub use table::{Boards, EntryError};
pub use told::Tellings;

use self::holdings::Holdings;
use self::memory::BoardMemory;
use crate::config::Route;
use crate::session::SessionHandle;

/// One board.
pub struct Board {
    id: BoardId,
    inner: Mutex<Inner>,
    gate: watch::Sender<Gate>,
    /// Where the board counts under its owner, until the record is dropped.
    holdings: Arc<Holdings>,
    sessions_tracker: TaskTracker,
}

struct Inner {
    placement: Placement,
    sessions: HashMap<SessionId, Present>,
    dials: usize,
    requests: usize,
    emptied_at: Instant,
    /// When the placement last changed.
    settled_at: Instant,
    /// The route that a session came by last; a plain request's where none has.
    route: Option<Arc<Route>>,
    is_gone: bool,
    /// What moves have to know of earlier ones.
    memory: BoardMemory,
    /// Why no server took the board, as it was told last, and when.
    complaint: Option<(Discriminant<PlaceError>, Instant)>,
    /// Sessions that ended lately, the oldest first.
    ended: VecDeque<Ended>,
}

struct Present {
    handle: Arc<SessionHandle>,
    since: Instant,
}

struct Ended {
    id: SessionId,
    since: Instant,
    passed: u64,
    generation: Generation,
    parted_at: Instant,
    at: Instant,
}

/// Whether newcomers may pass, and a counter that changes whenever somebody who waits should look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gate {
    state: GateState,
    turn: u64,
}

/// Whether newcomers may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// They go to the owner.
    Open,
    /// They wait: the board is being placed or held.
    Parked,
    /// They are refused: a commit's outcome is unknown beyond the hold's deadline.
    Shut,
}

/// What is on a board at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Upgrades on their way to the owner.
    pub dials: usize,
    /// Plain requests that have not been answered to the end.
    pub requests: usize,
}

impl Board {
    /// Makes the record of a board that enters the table.
    fn new(
        id: BoardId,
        placement: Placement,
        memory: BoardMemory,
        holdings: Arc<Holdings>,
        sessions_tracker: TaskTracker,
    ) -> Arc<Self> {
        holdings.shift(None, Some(&placement));
        let inner = Inner {
            placement,
            sessions: HashMap::new(),
            dials: 0,
            requests: 0,
            emptied_at: Instant::now(),
            settled_at: Instant::now(),
            route: None,
            is_gone: false,
            complaint: None,
            memory,
            ended: VecDeque::new(),
        };
        let gate = watch::Sender::new(Gate {
            state: GateState::Open,
            turn: 0,
        });
        Arc::new(Self {
            id,
            inner: Mutex::new(inner),
            gate,
            holdings,
            sessions_tracker,
        })
    }

    /// Reads whether the record was dropped; the board may have another.
    fn is_gone(&self) -> bool {
        self.lock().is_gone
    }

    /// Returns the board's id.
    pub fn id(&self) -> &BoardId {
        &self.id
    }

    /// Returns the placement as this gateway last read or wrote it.
    pub fn placement(&self) -> Placement {
        self.lock().placement.clone()
    }

    /// Mirrors what the registry holds, and lets those who wait look again.
    pub fn set_placement(&self, placement: Placement) {
        {
            let mut inner = self.lock();
            // A record that was dropped counts no more, whatever is still read into it.
            if !inner.is_gone {
                self.holdings.shift(Some(&inner.placement), Some(&placement));
            }
            inner.placement = placement;
            inner.settled_at = Instant::now();
        }
        self.look_again();
    }

    /// Returns the sessions on the board, those in the middle of their admission included.
    pub fn sessions(&self) -> Vec<Arc<SessionHandle>> {
        let inner = self.lock();
        inner
            .sessions
            .values()
            .map(|present| Arc::clone(&present.handle))
            .collect()
    }

    /// Tells the admin API who is on the board, the oldest first.
    pub fn session_views(&self) -> Vec<SessionView> {
        let mut views: Vec<_> = self.sessions().iter().map(|session| session.view(&self.id)).collect();
        views.sort_by(|a, b| (a.opened_at_ms, a.session.as_str()).cmp(&(b.opened_at_ms, b.session.as_str())));
        views
    }

    /// Returns where the tasks of the board's sessions are counted.
    pub fn sessions_tracker(&self) -> &TaskTracker {
        &self.sessions_tracker
    }

    /// Tells the sessions of an earlier term to reconnect: their server serves the board no more.
    pub fn cut_stale_sessions(&self) {
        let generation = self.placement().generation;
        for session in self.sessions() {
            if session.generation() < generation {
                session.cut();
            }
        }
    }

    /// Returns the counts of sessions that ended within [`ENDED_KEPT`], for a freeze: their messages may not have been
    /// handled yet.
    pub fn ended_sessions(&self) -> Vec<(SessionId, u64)> {
        let inner = self.lock();
        let generation = inner.placement.generation;
        inner
            .ended
            .iter()
            .filter(|ended| ended.generation == generation && ended.at.elapsed() < ENDED_KEPT)
            .map(|ended| (ended.id.clone(), ended.passed))
            .collect()
    }

    /// Parks newcomers from now on; dials in flight are asked to give up.
    pub fn park(&self) {
        self.set_gate(GateState::Parked);
    }

    /// Lets newcomers pass, to whoever owns the board now.
    pub fn unpark(&self) {
        self.set_gate(GateState::Open);
    }

    /// Reads whether newcomers pass.
    pub fn is_open(&self) -> bool {
        self.gate.borrow().state == GateState::Open
    }

    /// Refuses newcomers until [`Board::unpark`].
    pub fn shut(&self) {
        self.set_gate(GateState::Shut);
    }

    /// Counts what was let through the gate and has not ended.
    pub fn in_flight(&self) -> InFlight {
        let inner = self.lock();
        InFlight {
            dials: inner.dials,
            requests: inner.requests,
        }
    }

    /// Waits until nothing that was let through is in flight; call it only while the gate is parked.
    ///
    /// Cancel-safe: it only watches.
    pub async fn wait_until_still(&self) {
        let mut gate = self.gate.subscribe();
        loop {
            gate.borrow_and_update();
            if self.in_flight() == (InFlight { dials: 0, requests: 0 }) {
                return;
            }
            if gate.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells the admin API.
    pub fn view(&self) -> BoardView {
        let inner = self.lock();
        view_of(&self.id, &inner.placement, inner.sessions.len() as u64)
    }

    /// Tells of the board where that server owns it, or anybody where none is named.
    pub fn view_under(&self, server: Option<&ServerName>) -> Option<BoardView> {
        let inner = self.lock();
        let owner = owner_of(&inner.placement)?;
        server
            .is_none_or(|server| server == owner)
            .then(|| view_of(&self.id, &inner.placement, inner.sessions.len() as u64))
    }

    /// Reads whether it is worth telling once more that no server took the board: at first, for another cause, and then
    /// after a while.
    fn complains_anew(&self, error: &PlaceError, now: Instant) -> bool {
        let cause = discriminant(error);
        let mut inner = self.lock();
        let is_told =
            |(told, at): &(_, Instant)| *told == cause && now.saturating_duration_since(*at) < COMPLAINT_INTERVAL;
        let is_new = !inner.complaint.as_ref().is_some_and(is_told);
        if is_new {
            inner.complaint = Some((cause, now));
        }
        is_new
    }

    /// Notes that a server has taken the board.
    fn withdraw_complaint(&self) {
        self.lock().complaint = None;
    }

    /// Reads whether that server owns the board, or anybody where none is named.
    pub fn is_under(&self, server: Option<&ServerName>) -> bool {
        let inner = self.lock();
        owner_of(&inner.placement).is_some_and(|owner| server.is_none_or(|server| server == owner))
    }

    /// Returns the route that a session came by last, or a plain request where none has.
    pub fn route(&self) -> Option<Arc<Route>> {
        self.lock().route.clone()
    }

    /// Takes its route as it is configured now; one that has left the configuration stays.
    pub fn follow(&self, routes: &[Arc<Route>]) {
        let mut inner = self.lock();
        let Some(route) = &mut inner.route else { return };
        if let Some(current) = routes.iter().find(|current| current.name == route.name) {
            *route = Arc::clone(current);
        }
    }

    /// Returns when the placement last changed in this gateway's memory.
    pub fn settled_at(&self) -> Instant {
        self.lock().settled_at
    }

    /// Returns the owner's name, in whatever state.
    pub fn owner(&self) -> Option<ServerName> {
        owner_of(&self.lock().placement).cloned()
    }

    /// Returns since when nobody has been on the board; nothing while somebody is, or is coming.
    pub fn empty_since(&self) -> Option<Instant> {
        let inner = self.lock();
        let is_empty = inner.sessions.is_empty() && inner.dials == 0 && inner.requests == 0;
        is_empty.then_some(inner.emptied_at)
    }

    fn set_gate(&self, state: GateState) {
        self.gate.send_modify(|gate| {
            gate.state = state;
            gate.turn += 1;
        });
    }

    fn look_again(&self) {
        self.gate.send_modify(|gate| gate.turn += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No section under this lock can leave the record half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owner_of(placement: &Placement) -> Option<&ServerName> {
    placement.owner().map(|owner| &owner.server)
}

fn view_of(id: &BoardId, placement: &Placement, sessions: u64) -> BoardView {
    BoardView {
        board: id.clone(),
        server: owner_of(placement).cloned(),
        generation: placement.generation,
        state: match placement.term {
            Term::Vacant => BoardState::Vacant,
            Term::Settled { .. } => BoardState::Settled,
            Term::Moving { .. } => BoardState::Moving,
            Term::Activating { .. } => BoardState::Activating,
        },
        sessions,
    }
}

/// Who looks after a server that stays away has read it the first time.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(600);

/// A contract server remembers the final count of an ended session for as long.
const ENDED_KEPT: Duration = Duration::from_secs(30);

/// More ended sessions than this within [`ENDED_KEPT`] are not waited for by a freeze.
const ENDED_MAX: usize = 4096;
