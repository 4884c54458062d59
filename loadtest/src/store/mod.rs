//! The database of the board servers: fences, changes and repeats, in SQLite or PostgreSQL.
//!
//! ```text
//! fences  (board PRIMARY KEY, generation, owner)                 who may write a board; owner is "name/incarnation"
//! changes (board, revision, author, seq, generation, owner, body, PRIMARY KEY (board, revision), UNIQUE (board, author, seq))
//! repeats (board, author, seq, owner, generation)                one row for each arrival of a change that was there
//! ```
//!
//! Every write is one statement, conditional on the fence, and is committed by itself: a writer that is stopped in the
//! middle of anything holds no lock in PostgreSQL, and one that was fenced out inserts nothing. The statements are the
//! same for both databases but for the one that reads a batch out of a JSON array.

mod error;
mod fence;
mod pools;
mod rows;
mod writer;

pub use error::StoreError;
pub use fence::{Fence, FenceTaken};
pub use pools::Store;
pub use rows::{ChangeRow, NewChange, NewRepeat, RepeatRow};
pub use writer::{BoardWrites, Fencing, Write, Writer, WriterGone, Written};
