//! The sessions of a board: who is there, how much of each was handled, and what each was sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes};
use handover_protocol::id::SessionId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::event::{Arrival, Flavor, Order, SessionKey};
use crate::wire::ServerMessage;

/// Everybody on the board, and for a while who has gone.
#[derive(Debug, Default)]
pub(super) struct Roster {
    sessions: BTreeMap<SessionKey, Session>,
    /// The newest connection of each session that a gateway named.
    by_id: HashMap<SessionId, SessionKey>,
    /// Sessions that a move brings and that have not come, with their users where the source told them.
    expected: BTreeMap<SessionId, Option<Arc<str>>>,
    here: usize,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    id: Option<SessionId>,
    /// Known from the first message on; the session is sent what happens from then on.
    user: Option<Arc<str>>,
    /// What the handshake said, in place of a hello.
    asked_for: Option<Arc<str>>,
    flavor: Flavor,
    arrival: Arrival,
    outgoing: mpsc::Sender<Message>,
    orders: watch::Sender<Order>,
    /// Data messages that were handled to the end.
    handled: u64,
    /// Data messages that are being saved.
    under_way: u64,
    /// Data messages that were handed over to be sent.
    sent: u64,
    gone_at: Option<Instant>,
}

impl Roster {
    /// Adds a connection. An earlier one of the same session is closed.
    pub(super) fn attach(&mut self, key: SessionKey, session: Session) {
        if let Some(id) = &session.id {
            if let Some(earlier) = self.by_id.insert(id.clone(), key) {
                self.close(earlier, Order::superseded());
            }
            self.expected.remove(id);
            if let Arrival::Moved { from } = &session.arrival {
                self.expected.remove(from);
            }
        }
        self.here += 1;
        self.sessions.insert(key, session);
    }

    /// Notes that a connection has ended, and returns whether it was there.
    pub(super) fn note_gone(&mut self, key: SessionKey, now: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else {
            return false;
        };
        let was_here = session.gone_at.is_none();
        if was_here {
            session.gone_at = Some(now);
            self.here -= 1;
        }
        was_here
    }

    /// Closes a connection and counts it as gone.
    pub(super) fn close(&mut self, key: SessionKey, order: Order) {
        if let Some(session) = self.sessions.get(&key) {
            session.orders.send_replace(order);
            self.note_gone(key, Instant::now());
        }
    }

    /// Closes every connection.
    pub(super) fn close_all(&mut self, order: &Order) {
        for key in self.keys_here() {
            self.close(key, order.clone());
        }
        self.expected.clear();
    }

    /// Forgets the counts of connections that ended long ago.
    pub(super) fn prune(&mut self, now: Instant) {
        let is_over =
            |session: &Session| session.gone_at.is_some_and(|at| now >= at + REMEMBERED) && session.under_way == 0;
        self.sessions.retain(|_, session| !is_over(session));
        self.by_id.retain(|_, key| self.sessions.contains_key(key));
    }

    /// Returns how many connections there are.
    pub(super) fn here(&self) -> usize {
        self.here
    }

    /// Lists the connections that there are.
    pub(super) fn keys_here(&self) -> Vec<SessionKey> {
        let here = self.sessions.iter().filter(|(_, session)| session.is_here());
        here.map(|(key, _)| *key).collect()
    }

    /// Returns a connection, also one that has ended a little while ago.
    pub(super) fn session(&self, key: SessionKey) -> Option<&Session> {
        self.sessions.get(&key)
    }

    /// Returns a connection to be changed.
    pub(super) fn session_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.sessions.get_mut(&key)
    }

    /// Returns the newest connection of a session, also one that has ended a little while ago.
    pub(super) fn by_id(&self, id: &SessionId) -> Option<(SessionKey, &Session)> {
        let key = *self.by_id.get(id)?;
        self.sessions.get(&key).map(|session| (key, session))
    }

    /// Sends to one connection; one that does not keep up is closed.
    pub(super) fn send(&mut self, key: SessionKey, message: &ServerMessage, flavor: Flavor) {
        let Some(session) = self.sessions.get_mut(&key).filter(|session| session.is_here()) else {
            return;
        };
        if session
            .outgoing
            .try_send(Serialized::new(message).message(flavor))
            .is_ok()
        {
            session.sent += 1;
        } else {
            self.close(key, Order::too_slow());
        }
    }

    /// Sends to every connection whose user is known but one; those that do not keep up are closed.
    pub(super) fn broadcast(&mut self, message: &ServerMessage, but: Option<SessionKey>) {
        let serialized = Serialized::new(message);
        let mut slow = Vec::new();
        for (key, session) in &mut self.sessions {
            if Some(*key) == but || !session.is_here() || session.user.is_none() {
                continue;
            }
            match session.outgoing.try_send(serialized.message(session.flavor)) {
                Ok(()) => session.sent += 1,
                Err(_) => slow.push(*key),
            }
        }
        for key in slow {
            self.close(key, Order::too_slow());
        }
    }

    /// Lists everybody on the board by name, those included who are still expected.
    pub(super) fn users(&self) -> BTreeSet<Arc<str>> {
        let here = self.sessions.values().filter(|session| session.is_here());
        let here = here.filter_map(|session| session.user.clone());
        here.chain(self.expected.values().flatten().cloned()).collect()
    }

    /// Reads whether a user is on the board by another connection than this one.
    pub(super) fn has_other(&self, user: &str, key: SessionKey) -> bool {
        let mut others = self
            .sessions
            .iter()
            .filter(|(other, session)| **other != key && session.is_here());
        others.any(|(_, session)| session.user.as_deref() == Some(user))
            || self.expected.values().flatten().any(|expected| **expected == *user)
    }

    /// Lists the users of the named sessions that are there, for the target of a move.
    pub(super) fn users_by_session(&self) -> BTreeMap<SessionId, Arc<str>> {
        let here = self.sessions.values().filter(|session| session.is_here());
        here.filter_map(|session| Some((session.id.clone()?, session.user.clone()?)))
            .collect()
    }

    /// Expects the sessions that a move brings.
    pub(super) fn expect(&mut self, sessions: impl IntoIterator<Item = (SessionId, Option<Arc<str>>)>) {
        self.expected.extend(sessions);
    }

    /// Gives up on sessions that did not come, and lists the users who are not on the board otherwise.
    pub(super) fn give_up_expected(&mut self) -> BTreeSet<Arc<str>> {
        let missed: BTreeSet<Arc<str>> = std::mem::take(&mut self.expected).into_values().flatten().collect();
        let users = self.users();
        missed.difference(&users).cloned().collect()
    }
}

impl Session {
    /// Describes a connection that has just been accepted.
    pub(super) fn new(
        id: Option<SessionId>,
        asked_for: Option<Arc<str>>,
        arrival: Arrival,
        outgoing: mpsc::Sender<Message>,
        orders: watch::Sender<Order>,
    ) -> Self {
        Self {
            id,
            user: None,
            asked_for,
            flavor: Flavor::Text,
            arrival,
            outgoing,
            orders,
            handled: 0,
            under_way: 0,
            sent: 0,
            gone_at: None,
        }
    }

    /// Returns the gateway's name for it.
    pub(super) fn id(&self) -> Option<&SessionId> {
        self.id.as_ref()
    }

    /// Returns who it is, once known.
    pub(super) fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Returns who the handshake said it is.
    pub(super) fn asked_for(&self) -> Option<&Arc<str>> {
        self.asked_for.as_ref()
    }

    /// Returns how it came.
    pub(super) fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Reads whether this very session was carried over from another server with its socket open.
    pub(super) fn is_resumed(&self) -> bool {
        matches!((&self.arrival, &self.id), (Arrival::Moved { from }, Some(id)) if from == id)
    }

    /// Reads whether the connection is open.
    pub(super) fn is_here(&self) -> bool {
        self.gone_at.is_none()
    }

    /// Notes who it is, and in which kind of message it is told what others do.
    pub(super) fn introduce(&mut self, user: Arc<str>, flavor: Flavor) {
        self.user = Some(user);
        self.flavor = flavor;
    }

    /// Returns how many data messages were handled to the end.
    pub(super) fn handled(&self) -> u64 {
        self.handled
    }

    /// Returns how many data messages were taken on, those included that are still being saved.
    pub(super) fn taken(&self) -> u64 {
        self.handled + self.under_way
    }

    /// Returns how many data messages it was sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Notes a data message that is to be saved.
    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    /// Notes a data message that was begun and is handled now.
    pub(super) fn finish(&mut self) {
        self.under_way -= 1;
        self.handled += 1;
    }

    /// Has no more read from it, or goes on reading; a connection that is being closed stays so.
    pub(super) fn order(&self, order: Order) {
        self.orders.send_if_modified(|current| match current {
            Order::Read | Order::Pause if *current != order => {
                *current = order;
                true
            }
            Order::Read | Order::Pause | Order::Close { .. } => false,
        });
    }
}

/// A message serialized once for many.
struct Serialized {
    text: Utf8Bytes,
    bytes: Bytes,
}

impl Serialized {
    fn new(message: &ServerMessage) -> Self {
        let json = serde_json::to_string(message).expect("names, numbers and text always serialize");
        let bytes = Bytes::from(json);
        let text = Utf8Bytes::try_from(bytes.clone()).expect("JSON is UTF-8");
        Self { text, bytes }
    }

    fn message(&self, flavor: Flavor) -> Message {
        match flavor {
            Flavor::Text => Message::Text(self.text.clone()),
            Flavor::Binary => Message::Binary(self.bytes.clone()),
        }
    }
}

/// How long the counts of an ended connection are kept for a freeze that names it.
pub(super) const REMEMBERED: Duration = Duration::from_secs(30);
