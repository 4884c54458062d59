//! What a virtual user remembers: when each change was due, sent and acknowledged, and what each socket brought.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use handover_protocol::id::BoardId;

use crate::ledger::{SocketTestimony, Testimony, UserName};

use super::clock::Micros;
use super::plan::Reader;

/// Everything one user did and saw, with times.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where the user draws.
    pub board: BoardId,
    /// Who it is.
    pub user: UserName,
    /// Change n stands at n - 1.
    pub changes: Vec<Change>,
    /// How often a number was sent again.
    pub resent: BTreeMap<u64, u64>,
    /// The connections, in order; one that was not let in is none.
    pub sockets: Vec<SocketRecord>,
    /// Connections that were refused or broke before the welcome.
    pub refusals: u64,
    /// Whether the user was connected and welcomed at the end.
    pub is_served: bool,
    /// How it read.
    pub reader: Reader,
    /// Bytes of the messages that came while readers had stopped.
    pub jam_bytes: u64,
    /// Whether the user stayed until nobody drew any more.
    pub stayed: bool,
}

/// The life of one change, in 16 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// When it was to be sent, by the plan: latency counts from here, however late the sending was.
    pub due: Micros,
    sent_after: Option<NonZeroU32>,
    acked_after: Option<NonZeroU32>,
}

/// The life of one connection.
#[derive(Debug, Clone, Default)]
pub struct SocketRecord {
    /// What came over it.
    pub seen: SocketTestimony,
    /// When the connection was begun.
    pub begun: Micros,
    /// When the welcome came.
    pub welcomed: Option<Micros>,
    /// When the first change was acknowledged on it.
    pub first_ack: Option<Micros>,
    /// When the last change was acknowledged on it.
    pub last_ack: Option<Micros>,
    /// When the user was told to go, or felt that it was cut.
    pub told: Option<Micros>,
    /// Why it ended.
    pub end: Option<SocketEnd>,
    /// Which server welcomed.
    pub server: Option<Box<str>>,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketEnd {
    /// A close frame came, with this code.
    Closed(u16),
    /// The text command to reconnect came.
    Commanded,
    /// It broke without a word.
    Broken,
    /// The user's own network failed, as by the order of a storm.
    Dropped,
    /// The socket stayed open, and another server greeted on it: what follows counts as another connection.
    GreetedAnew,
    /// The user left of its own will.
    Left,
}

impl Change {
    /// Plans a change.
    pub fn due(due: Micros) -> Self {
        Self {
            due,
            sent_after: None,
            acked_after: None,
        }
    }

    /// Notes that it was handed to a socket; only the first time counts.
    pub fn note_sent(&mut self, now: Micros) {
        self.sent_after = self.sent_after.or(Some(self.after(now)));
    }

    /// Notes that it was acknowledged; only the first time counts.
    pub fn note_acked(&mut self, now: Micros) {
        self.acked_after = self.acked_after.or(Some(self.after(now)));
    }

    /// Returns when it was sent.
    pub fn sent(&self) -> Option<Micros> {
        self.sent_after.map(|after| self.due + Micros::from(after.get()))
    }

    /// Returns when it was acknowledged.
    pub fn acked(&self) -> Option<Micros> {
        self.acked_after.map(|after| self.due + Micros::from(after.get()))
    }

    /// Returns the microseconds from when it was due to its acknowledgement.
    pub fn latency(&self) -> Option<u32> {
        self.acked_after.map(NonZeroU32::get)
    }

    fn after(&self, now: Micros) -> NonZeroU32 {
        let after = u32::try_from(now.saturating_sub(self.due)).unwrap_or(u32::MAX);
        NonZeroU32::new(after).unwrap_or(NonZeroU32::MIN)
    }
}

impl Record {
    /// Begins a record.
    pub fn new(board: BoardId, user: UserName) -> Self {
        Self {
            board,
            user,
            changes: Vec::new(),
            resent: BTreeMap::new(),
            sockets: Vec::new(),
            refusals: 0,
            is_served: false,
            reader: Reader::Prompt,
            jam_bytes: 0,
            stayed: true,
        }
    }

    /// Reads whether the user has connected more than once.
    pub fn has_come_back(&self) -> bool {
        let (_, earlier) = self.sockets.split_last().unzip();
        let is_another = |socket: &SocketRecord| socket.end != Some(SocketEnd::GreetedAnew);
        earlier.is_some_and(|earlier| earlier.iter().any(is_another))
    }

    /// Returns what the ledger wants to know. Changes that were due and never sent are no sends.
    pub fn testimony(&self) -> Testimony {
        let sent = self.changes.iter().rposition(|change| change.sent().is_some());
        Testimony {
            board: self.board.clone(),
            user: self.user.clone(),
            sent: sent.map_or(0, |place| place as u64 + 1),
            resent: self.resent.clone(),
            sockets: self.sockets.iter().map(|socket| socket.seen.clone()).collect(),
            is_served: self.is_served,
            stayed: self.stayed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_counts_from_when_a_change_was_due() {
        let mut change = Change::due(1_000);
        assert_eq!(change.latency(), None);
        change.note_sent(5_000);
        change.note_sent(9_000);
        change.note_acked(7_000);
        change.note_acked(11_000);
        assert_eq!(change.sent(), Some(5_000));
        assert_eq!(change.acked(), Some(7_000));
        assert_eq!(change.latency(), Some(6_000));
        assert_eq!(size_of::<Change>(), 16);
    }
}
