//! What the ledger finds.

use std::collections::BTreeSet;
use std::fmt;

use handover_protocol::id::BoardId;
use serde::Serialize;

use super::evidence::UserName;

/// The judgement. Every figure of faults counts distinct changes (boards, sessions), however many users felt each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Verdict {
    /// Changes that somebody misses: the union of `missing`, `altered`, `unseen` and `unanswered`.
    pub lost: Finding,
    /// Changes that were applied or arrived more often than they were sent, or came twice to a user.
    pub doubled: Finding,
    /// Changes that stand behind a later one of their author: in the database, at a user, or in the acknowledgements.
    pub reordered: Finding,
    /// Changes that were acknowledged and are not in the database.
    pub not_saved: Finding,
    /// Boards that a source still owns.
    pub not_moved: Finding,
    /// Sent, and not in the database.
    pub missing: Finding,
    /// In the database or at a user with another content than was sent.
    pub altered: Finding,
    /// In the database, and not shown to a user who was on the board.
    pub unseen: Finding,
    /// Sent, and never acknowledged.
    pub unanswered: Finding,
    /// In the database under the name of a user who never sent it.
    pub invented: Finding,
    /// Sessions that got a greeting in the middle, or a message that cannot be understood.
    pub disturbed: Finding,
    /// Sessions that were not served at the end.
    pub stranded: Finding,
    /// Sum of what was looked at.
    pub totals: Totals,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Virtual users.
    pub sessions: u64,
    /// Distinct changes sent.
    pub sent: u64,
    /// Sends of a change that had been sent before.
    pub resent: u64,
    /// Acknowledgements that came.
    pub acked: u64,
    /// Rows in the database that virtual users wrote.
    pub saved: u64,
    /// Changes of others that came live to a user.
    pub seen: u64,
    /// Connections beyond each user's first.
    pub reconnects: u64,
}

/// One kind of fault: how many, and the first few for people to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    offenders: BTreeSet<Offender>,
    remarks: Vec<String>,
}

/// What a fault happened to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Offender {
    /// The board.
    pub board: BoardId,
    /// The author, or the user who felt it; absent where the board is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// The author's number; absent where the session is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// How many offenders of a kind are told in words.
pub const REMARKS_MAX: usize = 5;

impl Verdict {
    /// Reads whether nothing at all was found.
    pub fn is_clean(&self) -> bool {
        self.kinds().iter().all(|(_, finding)| finding.count() == 0)
    }

    /// Returns every kind of fault with its name.
    pub fn kinds(&self) -> [(&'static str, &Finding); 12] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("reordered", &self.reordered),
            ("not_saved", &self.not_saved),
            ("not_moved", &self.not_moved),
            ("missing", &self.missing),
            ("altered", &self.altered),
            ("unseen", &self.unseen),
            ("unanswered", &self.unanswered),
            ("invented", &self.invented),
            ("disturbed", &self.disturbed),
            ("stranded", &self.stranded),
        ]
    }
}

impl Finding {
    /// Returns how many different offenders there are.
    pub fn count(&self) -> u64 {
        self.offenders.len() as u64
    }

    /// Iterates over the offenders by board, user and number.
    pub fn offenders(&self) -> impl Iterator<Item = &Offender> {
        self.offenders.iter()
    }

    /// Returns the first few in words: which change, and where it was noticed.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Notes an offender; `place` says where it was noticed and is kept for the first few.
    pub(super) fn note(&mut self, offender: Offender, place: fmt::Arguments<'_>) {
        if !self.offenders.contains(&offender) {
            if self.remarks.len() < REMARKS_MAX {
                self.remarks.push(format!("{offender} {place}"));
            }
            self.offenders.insert(offender);
        }
    }
}

impl fmt::Display for Offender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "board {}", self.board)?;
        if let Some(user) = &self.user {
            write!(formatter, " user {user}")?;
        }
        if let Some(seq) = self.seq {
            write!(formatter, " change {seq}")?;
        }
        Ok(())
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut finding = serializer.serialize_struct("Finding", 2)?;
        finding.serialize_field("count", &self.count())?;
        finding.serialize_field("first", &self.remarks)?;
        finding.end()
    }
}
