//! The open connections of the admin API. When all places are taken, the one that has been idle longest makes room, so
//! that nobody can lock operators and probes out by connections that ask nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Who is connected, and who of them is idle.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, State>,
    /// Numbers connections, and puts what has become idle in order.
    next: u64,
    /// Nobody was idle when room was asked for: who becomes it next goes.
    is_room_wanted: bool,
}

#[derive(Debug)]
struct State {
    calls: usize,
    has_called: bool,
    idle_since: u64,
    leave: CancellationToken,
}

/// One connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    leave: CancellationToken,
    connections: Arc<Connections>,
}

/// A call under way, from its head to the last byte of its answer; its connection is not idle meanwhile.
#[derive(Debug)]
pub(super) struct Call {
    number: u64,
    connections: Arc<Connections>,
}

impl Connections {
    /// Notes a connection; it is idle until a call comes.
    pub(super) fn open(self: &Arc<Self>) -> Connection {
        let mut open = self.lock();
        let number = open.tick();
        let leave = CancellationToken::new();
        let state = State {
            calls: 0,
            has_called: false,
            idle_since: number,
            leave: leave.clone(),
        };
        open.connections.insert(number, state);
        Connection {
            number,
            leave,
            connections: Arc::clone(self),
        }
    }

    /// Tells the connection that has been idle longest to go; where none is, the next that becomes idle.
    pub(super) fn make_room(&self) {
        let mut open = self.lock();
        let idle = open
            .connections
            .values()
            .filter(|state| state.calls == 0 && !state.leave.is_cancelled());
        match idle.min_by_key(|state| state.idle_since) {
            Some(state) => state.leave.cancel(),
            None => open.is_room_wanted = true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Whoever panicked left each field whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Connection {
    /// Waits until its place is needed for somebody else.
    pub(super) async fn told_to_leave(&self) {
        self.leave.cancelled().await;
    }

    /// Reads whether it has ever called; then the end of an answer may still be on its way.
    pub(super) fn has_called(&self) -> bool {
        let open = self.connections.lock();
        open.connections.get(&self.number).is_some_and(|state| state.has_called)
    }

    /// Reads whether a call is under way.
    pub(super) fn is_answering(&self) -> bool {
        let open = self.connections.lock();
        open.connections.get(&self.number).is_some_and(|state| state.calls > 0)
    }

    /// Returns what notes its calls.
    pub(super) fn calls(&self) -> impl Fn() -> Call + use<> {
        let (number, connections) = (self.number, Arc::clone(&self.connections));
        move || Call::begin(number, &connections)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.connections.remove(&self.number);
        // Its place is the room.
        open.is_room_wanted = false;
    }
}

impl Call {
    fn begin(number: u64, connections: &Arc<Connections>) -> Self {
        if let Some(state) = connections.lock().connections.get_mut(&number) {
            state.calls += 1;
            state.has_called = true;
        }
        Self {
            number,
            connections: Arc::clone(connections),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        let now = open.tick();
        // The connection may have broken off before its answer was written.
        let Some(state) = open.connections.get_mut(&self.number) else {
            return;
        };
        state.calls -= 1;
        state.idle_since = now;
        if state.calls == 0 {
            let leave = state.leave.clone();
            if std::mem::take(&mut open.is_room_wanted) {
                leave.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_idle_longest_makes_room_and_none_with_a_call_under_way() {
        let connections = Arc::new(Connections::default());
        let [first, second, third] = [connections.open(), connections.open(), connections.open()];
        let leaving = || [&first, &second, &third].map(|connection| connection.leave.is_cancelled());
        let answering = first.calls()();
        drop(second.calls()());
        connections.make_room();
        assert_eq!(
            leaving(),
            [false, false, true],
            "the second was idle for a shorter while"
        );
        connections.make_room();
        assert_eq!(leaving(), [false, true, true]);
        connections.make_room();
        assert_eq!(leaving(), [false, true, true], "an answer is under way");
        drop(answering);
        assert_eq!(leaving(), [true, true, true], "room was still wanted");
    }

    #[test]
    fn room_that_was_made_for_is_asked_for_once() {
        let connections = Arc::new(Connections::default());
        let (first, second) = (connections.open(), connections.open());
        let (one, other) = (first.calls()(), second.calls()());
        connections.make_room();
        drop(one);
        drop(other);
        assert!(first.leave.is_cancelled() && !second.leave.is_cancelled());
        let third = connections.open();
        let last = third.calls()();
        connections.make_room();
        drop((first, second));
        drop(last);
        assert!(!third.leave.is_cancelled(), "whoever left has made room");
        drop(third);
        assert!(connections.lock().connections.is_empty());
    }
}
