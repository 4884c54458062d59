//! What the ledger judges: what every user did and saw, and what the database holds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use handover_protocol::id::BoardId;
use serde::{Serialize, Serializer};

use super::runs::Runs;

/// Who draws: the author's name on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Arc<str>);

/// Everything there is to judge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// One for each virtual user.
    pub testimonies: Vec<Testimony>,
    /// The rows of `changes`, in any order.
    pub stored: Vec<Stored>,
    /// The rows of `repeats`: one for each arrival of a change that was already there.
    pub repeats: Vec<Repeat>,
    /// Boards that a source still owns after a release.
    pub left_on_sources: Vec<BoardId>,
}

/// What one user did and saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Testimony {
    /// Where the user draws.
    pub board: BoardId,
    /// Who it is.
    pub user: UserName,
    /// The highest number sent; the user numbers its changes 1, 2, 3 and so on.
    pub sent: u64,
    /// How often a number was sent again.
    pub resent: BTreeMap<u64, u64>,
    /// The connections of the user, in order.
    pub sockets: Vec<SocketTestimony>,
    /// Whether the user was connected and welcomed at the end.
    pub is_served: bool,
    /// Whether the user stayed until nobody drew any more; of one who left before, what came later is not expected.
    pub stayed: bool,
}

/// What one connection brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SocketTestimony {
    /// The board's revision in the first welcome; absent where none came.
    pub welcomed_at: Option<u64>,
    /// How many more welcomes came: a greeting that should have been swallowed.
    pub welcomes_again: u64,
    /// The highest revision that any message on it told.
    pub latest_revision: u64,
    /// What the welcome listed, by author, in its order: the board's last changes, not always all of them.
    pub listed: Vec<(UserName, Runs)>,
    /// What came as `drawn`, by author, in order of arrival.
    pub drawn: Vec<(UserName, Runs)>,
    /// The user's own changes that were acknowledged, in order of arrival.
    pub acked: Runs,
    /// Changes that came with another content than was sent.
    pub altered: Vec<(UserName, u64)>,
    /// Messages that could not be understood.
    pub garbled: u64,
}

/// A row of `changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The board.
    pub board: BoardId,
    /// Its place in the board's order.
    pub revision: u64,
    /// Who drew it.
    pub author: UserName,
    /// The author's number for it.
    pub seq: u64,
    /// Whether its content is what the author sent.
    pub is_intact: bool,
}

/// A row of `repeats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The board.
    pub board: BoardId,
    /// Who drew it.
    pub author: UserName,
    /// The author's number for it.
    pub seq: u64,
}

impl UserName {
    /// Wraps a name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for UserName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl SocketTestimony {
    /// Returns the author's list in `lists`, made where there is none; boards have few users, so it is searched in turn.
    pub fn of_author<'a>(lists: &'a mut Vec<(UserName, Runs)>, author: &str) -> &'a mut Runs {
        let place = match lists.iter().position(|(name, _)| name.as_str() == author) {
            Some(place) => place,
            None => {
                lists.push((UserName::new(author), Runs::default()));
                lists.len() - 1
            }
        };
        &mut lists[place].1
    }
}
