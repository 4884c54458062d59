//! Changes and repeats: the rows, and the statements that write and read them.

use std::collections::HashSet;
use std::sync::Arc;

use handover_protocol::id::BoardId;
use serde::Serialize;

use super::error::StoreError;
use super::pools::{Pool, Store, on_pool, patiently};
use super::writer::Fencing;

/// A row of `changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// The board.
    pub board: BoardId,
    /// The board's number for it, from 1.
    pub revision: u64,
    /// Who drew it.
    pub author: String,
    /// The author's number for it.
    pub seq: u64,
    /// The term under which it was written; 0 without the contract.
    pub generation: u64,
    /// The process that wrote it, as `name/incarnation`.
    pub owner: String,
    /// The content, as [`Body`](crate::wire::Body).
    pub body: String,
}

/// A row of `repeats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatRow {
    /// The board.
    pub board: BoardId,
    /// Who drew the change that came again.
    pub author: String,
    /// The author's number for it.
    pub seq: u64,
    /// The process that it came to, as `name/incarnation`.
    pub owner: String,
    /// The term under which it came again; 0 without the contract.
    pub generation: u64,
}

/// A change to be written.
#[derive(Debug, Clone, Serialize)]
pub struct NewChange {
    /// The board.
    pub board: BoardId,
    /// The term that must hold the fence.
    pub generation: u64,
    /// The number that it gets.
    pub revision: u64,
    /// Who drew it.
    pub author: Arc<str>,
    /// The author's number for it.
    pub seq: u64,
    /// The content, as [`Body`](crate::wire::Body).
    pub body: String,
}

/// A repeat to be noted.
#[derive(Debug, Clone, Serialize)]
pub struct NewRepeat {
    /// The board.
    pub board: BoardId,
    /// The term that must hold the fence.
    pub generation: u64,
    /// Who drew the change.
    pub author: Arc<str>,
    /// The author's number for it.
    pub seq: u64,
}

/// The columns of `changes`, in the order of [`ChangeRow`].
type ChangeColumns = (String, i64, String, i64, i64, String, String);

impl Store {
    /// Writes changes in one statement and returns which of them it wrote: those whose fence holds, and whose revision
    /// and author's number were free.
    ///
    /// # Errors
    /// When the database does not answer; what was written is not known then.
    pub async fn insert_changes(
        &self,
        owner: &str,
        fencing: Fencing,
        changes: &[NewChange],
    ) -> Result<HashSet<(BoardId, u64)>, StoreError> {
        let batch = json_of(changes);
        let statement = match (&self.writes, fencing) {
            (Pool::Sqlite(_), Fencing::Fenced) => SQLITE_INSERT_FENCED,
            (Pool::Sqlite(_), Fencing::Unfenced) => SQLITE_INSERT,
            (Pool::Postgres(_), Fencing::Fenced) => POSTGRES_INSERT_FENCED,
            (Pool::Postgres(_), Fencing::Unfenced) => POSTGRES_INSERT,
        };
        let rows = patiently!(
            on_pool!(&self.writes, pool => sqlx::query_as::<_, (String, i64)>(statement)
            .bind(&batch).bind(owner).fetch_all(pool).await)
        )?;
        rows.into_iter()
            .map(|(board, revision)| Ok((board.parse()?, revision.cast_unsigned())))
            .collect()
    }

    /// Notes repeats in one statement and returns for which boards the fence held.
    ///
    /// # Errors
    /// When the database does not answer; what was written is not known then.
    pub async fn insert_repeats(
        &self,
        owner: &str,
        fencing: Fencing,
        repeats: &[NewRepeat],
    ) -> Result<HashSet<BoardId>, StoreError> {
        let batch = json_of(repeats);
        let statement = match (&self.writes, fencing) {
            (Pool::Sqlite(_), Fencing::Fenced) => SQLITE_REPEAT_FENCED,
            (Pool::Sqlite(_), Fencing::Unfenced) => SQLITE_REPEAT,
            (Pool::Postgres(_), Fencing::Fenced) => POSTGRES_REPEAT_FENCED,
            (Pool::Postgres(_), Fencing::Unfenced) => POSTGRES_REPEAT,
        };
        let rows = patiently!(on_pool!(&self.writes, pool => sqlx::query_as::<_, (String,)>(statement)
            .bind(&batch).bind(owner).fetch_all(pool).await))?;
        rows.into_iter().map(|(board,)| Ok(board.parse()?)).collect()
    }

    /// Reads a board's changes behind a revision, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn changes_after(&self, board: &BoardId, revision: u64) -> Result<Vec<ChangeRow>, StoreError> {
        let rows = on_pool!(&self.reads, pool => sqlx::query_as::<_, ChangeColumns>(READ_AFTER)
            .bind(board.as_str()).bind(revision.cast_signed()).fetch_all(pool).await)?;
        rows.into_iter().map(change_row).collect()
    }

    /// Reads the change of an author's number.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn change_of(&self, board: &BoardId, author: &str, seq: u64) -> Result<Option<ChangeRow>, StoreError> {
        let row = on_pool!(&self.reads, pool => sqlx::query_as::<_, ChangeColumns>(READ_ONE)
            .bind(board.as_str()).bind(author).bind(seq.cast_signed()).fetch_optional(pool).await)?;
        row.map(change_row).transpose()
    }

    /// Reads every change of every board, by board and revision.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn changes(&self) -> Result<Vec<ChangeRow>, StoreError> {
        let rows = on_pool!(&self.reads, pool => sqlx::query_as::<_, ChangeColumns>(READ_ALL)
            .fetch_all(pool).await)?;
        rows.into_iter().map(change_row).collect()
    }

    /// Reads every repeat.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn repeats(&self) -> Result<Vec<RepeatRow>, StoreError> {
        let rows = on_pool!(&self.reads, pool =>
            sqlx::query_as::<_, (String, String, i64, String, i64)>(READ_REPEATS).fetch_all(pool).await)?;
        rows.into_iter()
            .map(|(board, author, seq, owner, generation)| {
                Ok(RepeatRow {
                    board: board.parse()?,
                    author,
                    seq: seq.cast_unsigned(),
                    owner,
                    generation: generation.cast_unsigned(),
                })
            })
            .collect()
    }
}

fn change_row((board, revision, author, seq, generation, owner, body): ChangeColumns) -> Result<ChangeRow, StoreError> {
    Ok(ChangeRow {
        board: board.parse()?,
        revision: revision.cast_unsigned(),
        author,
        seq: seq.cast_unsigned(),
        generation: generation.cast_unsigned(),
        owner,
        body,
    })
}

fn json_of<T: Serialize>(batch: &[T]) -> String {
    serde_json::to_string(batch).expect("names, numbers and text always serialize")
}

/// The batch, `$1`, as a table in SQLite.
macro_rules! sqlite_batch {
    () => {
        "(SELECT value->>'board' AS board, value->>'generation' AS generation, value->>'revision' AS revision, \
         value->>'author' AS author, value->>'seq' AS seq, value->>'body' AS body FROM json_each($1)) n"
    };
}

/// The batch, `$1`, as a table in PostgreSQL.
macro_rules! postgres_batch {
    () => {
        "json_to_recordset($1::text::json) \
         AS n (board text, generation bigint, revision bigint, author text, seq bigint, body text)"
    };
}

/// The fence that must hold; `$2` is the owner.
macro_rules! fence {
    () => {
        " JOIN fences f ON f.board = n.board AND f.generation = n.generation AND f.owner = $2 WHERE true"
    };
}

macro_rules! insert_changes {
    ($batch:expr, $fence:expr) => {
        concat!(
            "INSERT INTO changes (board, revision, author, seq, generation, owner, body) \
             SELECT n.board, n.revision, n.author, n.seq, n.generation, $2, n.body FROM ",
            $batch,
            $fence,
            " ON CONFLICT DO NOTHING RETURNING board, revision"
        )
    };
}

macro_rules! insert_repeats {
    ($batch:expr, $fence:expr) => {
        concat!(
            "INSERT INTO repeats (board, author, seq, owner, generation) \
             SELECT n.board, n.author, n.seq, $2, n.generation FROM ",
            $batch,
            $fence,
            " RETURNING board"
        )
    };
}

const SQLITE_INSERT: &str = insert_changes!(sqlite_batch!(), " WHERE true");
const SQLITE_INSERT_FENCED: &str = insert_changes!(sqlite_batch!(), fence!());
const SQLITE_REPEAT: &str = insert_repeats!(sqlite_batch!(), " WHERE true");
const SQLITE_REPEAT_FENCED: &str = insert_repeats!(sqlite_batch!(), fence!());
// The share lock makes whoever raises the fence wait for this statement, and this statement see a fence that was raised
// while it waited: without it a write could be committed behind the new owner's last read.
const POSTGRES_INSERT_FENCED: &str = insert_changes!(postgres_batch!(), concat!(fence!(), " FOR SHARE OF f"));
const POSTGRES_INSERT: &str = insert_changes!(postgres_batch!(), " WHERE true");
const POSTGRES_REPEAT_FENCED: &str = insert_repeats!(postgres_batch!(), concat!(fence!(), " FOR SHARE OF f"));
const POSTGRES_REPEAT: &str = insert_repeats!(postgres_batch!(), " WHERE true");
const READ_AFTER: &str = "SELECT board, revision, author, seq, generation, owner, body FROM changes \
    WHERE board = $1 AND revision > $2 ORDER BY revision";
const READ_ONE: &str = "SELECT board, revision, author, seq, generation, owner, body FROM changes \
    WHERE board = $1 AND author = $2 AND seq = $3";
const READ_ALL: &str = "SELECT board, revision, author, seq, generation, owner, body FROM changes \
    ORDER BY board, revision";
const READ_REPEATS: &str = "SELECT board, author, seq, owner, generation FROM repeats ORDER BY board, author, seq";
