//! The ledger: judges what was lost, doubled or reordered. Pure: no clock, no socket, no database.
//!
//! Three witnesses are compared, each counted before any deduplication: what each user sent and was answered, what the
//! other users of its board were shown, and what the database holds.
//!
//! ```text
//! sent ──▶ database      missing, altered, invented; order and arrivals
//! acked ─▶ database      not saved
//! database ─▶ others     unseen, twice, out of order
//! ```

mod alone;
mod evidence;
mod judge;
mod runs;
mod verdict;

pub use alone::{Heeded, judge_alone};
pub use evidence::{Evidence, Repeat, SocketTestimony, Stored, Testimony, UserName};
pub use judge::judge;
pub use runs::Runs;
pub use verdict::{Finding, Offender, REMARKS_MAX, Totals, Verdict};
