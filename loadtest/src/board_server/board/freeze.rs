//! A freeze: what the source waits for, what it answers, and what it keeps for a thaw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::contract::{ContractProblem, FreezeRequest, Frozen};
use handover_protocol::generation::Attempt;
use handover_protocol::id::SessionId;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::actor::{Actor, Phase};
use super::event::{Flavor, Order, Reply, Said, SessionKey};
use super::roster::{Roster, Session};

/// A board that takes no more changes, or takes the last of them.
#[derive(Debug)]
pub(super) struct Freeze {
    attempt: Attempt,
    /// n for each session.
    wanted: BTreeMap<SessionId, u64>,
    /// When what has not come by then counts as short.
    answer_by: Instant,
    /// When the board is thawed without word from the gateway.
    deadline: Instant,
    waiters: Vec<Reply<Frozen>>,
    answer: Option<Frozen>,
    /// Messages beyond n, in the order in which they came; a thaw handles them.
    kept: Vec<(SessionKey, Said, Flavor)>,
    /// Connections that have ended; their users are announced as gone if the board is thawed.
    departures: Vec<SessionKey>,
}

/// What the target needs and the database does not have.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Who each session is, so that those that do not come can be announced as gone.
    #[serde(default)]
    pub(super) users: BTreeMap<SessionId, Arc<str>>,
}

impl Freeze {
    /// Begins a freeze at `now`.
    pub(super) fn new(request: FreezeRequest, reply: Reply<Frozen>, now: Instant) -> Self {
        let deadline = Duration::from_millis(request.deadline_ms).min(DEADLINE_MAX);
        Self {
            attempt: request.attempt,
            wanted: request.sessions,
            answer_by: now + deadline / 2,
            deadline: now + deadline,
            waiters: vec![reply],
            answer: None,
            kept: Vec::new(),
            departures: Vec::new(),
        }
    }

    /// Takes over from an earlier freeze of the same board what a thaw must handle.
    pub(super) fn go_on_from(&mut self, earlier: Self) {
        self.kept = earlier.kept;
        self.departures = earlier.departures;
    }

    /// Returns which try it belongs to.
    pub(super) fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Reads whether a session is to say more before the answer.
    pub(super) fn wants_more(&self, session: &Session) -> bool {
        let wanted = session.id().and_then(|id| self.wanted.get(id));
        self.answer.is_none()
            && Instant::now() < self.answer_by
            && wanted.is_some_and(|wanted| session.taken() < *wanted)
    }

    /// Reads whether a session was named.
    pub(super) fn names(&self, session: &Session) -> bool {
        session.id().is_some_and(|id| self.wanted.contains_key(id))
    }

    /// Keeps a message for a thaw.
    pub(super) fn keep(&mut self, key: SessionKey, said: Said, flavor: Flavor) {
        self.kept.push((key, said, flavor));
    }

    /// Keeps in mind that a connection has ended.
    pub(super) fn note_departure(&mut self, key: SessionKey) {
        self.departures.push(key);
    }

    /// Answers a repeated call, which counts as word from the gateway.
    pub(super) fn answer_again(&mut self, request: &FreezeRequest, reply: Reply<Frozen>, now: Instant) {
        self.deadline = now + Duration::from_millis(request.deadline_ms).min(DEADLINE_MAX);
        match &self.answer {
            Some(answer) => {
                let _ = reply.send(Ok(answer.clone()));
            }
            None => self.waiters.push(reply),
        }
    }

    /// Reads whether the gateway has been silent for too long.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Returns when something is due.
    pub(super) fn next_wake(&self) -> Instant {
        match &self.answer {
            Some(_) => self.deadline,
            None if Instant::now() < self.answer_by => self.answer_by,
            None => self.deadline,
        }
    }

    /// Tells who waits why there will be no answer.
    pub(super) fn refuse(&mut self, problem: impl Fn() -> ContractProblem) {
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(Err(problem()));
        }
    }

    /// Takes the messages that were kept.
    pub(super) fn take_kept(&mut self) -> Vec<(SessionKey, Said, Flavor)> {
        std::mem::take(&mut self.kept)
    }

    /// Takes the connections that have ended.
    pub(super) fn take_departures(&mut self) -> Vec<SessionKey> {
        std::mem::take(&mut self.departures)
    }

    /// Reads whether everything that was counted has been handled, or will not be.
    fn is_complete(&self, roster: &Roster, now: Instant) -> bool {
        let is_settled = |(id, wanted): (&SessionId, &u64)| match roster.by_id(id) {
            Some((_, session)) => session.handled() >= *wanted || !session.is_here(),
            None => true,
        };
        now >= self.answer_by || self.wanted.iter().all(is_settled)
    }

    fn answer(&self, roster: &Roster) -> (BTreeMap<SessionId, u64>, BTreeMap<SessionId, u64>) {
        let mut sent = BTreeMap::new();
        let mut short = BTreeMap::new();
        for (id, wanted) in &self.wanted {
            let session = roster.by_id(id).map(|(_, session)| session);
            sent.insert(id.clone(), session.map_or(0, Session::sent));
            let handled = session.map_or(0, Session::handled);
            if handled < *wanted {
                short.insert(id.clone(), handled);
            }
        }
        (sent, short)
    }
}

impl Actor {
    /// Reads from a session until it has said what a freeze counted, and no further.
    pub(super) fn read_what_was_counted(&self, key: SessionKey) {
        if let (Phase::Frozen(freeze), Some(session)) = (&self.phase, self.roster.session(key)) {
            session.order(match freeze.wants_more(session) {
                true => Order::Read,
                false => Order::Pause,
            });
        }
    }

    /// Answers a freeze once everything that was counted has been handled and saved.
    pub(super) fn answer_freeze(&mut self, now: Instant) {
        let is_saved = self.is_saved() && self.work.is_none();
        let revision = self.revision();
        let Phase::Frozen(freeze) = &mut self.phase else {
            return;
        };
        if freeze.answer.is_some() || !is_saved || !freeze.is_complete(&self.roster, now) {
            return;
        }
        let (sent, short) = freeze.answer(&self.roster);
        let checkpoint = Checkpoint {
            users: self.roster.users_by_session(),
        };
        let checkpoint = serde_json::to_value(checkpoint).ok();
        let answer = Frozen {
            revision,
            sent,
            short,
            checkpoint: checkpoint.filter(|value| value.to_string().len() <= CHECKPOINT_BYTES_MAX),
        };
        for waiter in freeze.waiters.drain(..) {
            let _ = waiter.send(Ok(answer.clone()));
        }
        freeze.answer = Some(answer);
        self.pause_all();
    }
}

/// Longest time that a gateway may ask a board to stay frozen without word from it.
const DEADLINE_MAX: Duration = Duration::from_secs(60);
/// The contract's bound.
const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
