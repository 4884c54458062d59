//! What can be wrong with the database.

use std::path::PathBuf;

use handover_protocol::id::IdError;
use sqlx::sqlite::SqliteError;

/// Says why the database did not answer. Whether a write happened is not known.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database that is spoken here.
    #[error("the database URL must start with sqlite: or postgres:")]
    Url,
    /// There is no such database.
    #[error("there is no database file {}; name the one that the board servers write", .0.display())]
    NoFile(PathBuf),
    /// The database refused or could not be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A row holds what no board server writes.
    #[error("the database holds a board whose id {0}")]
    Board(#[from] IdError),
}

/// Reads whether another process held SQLite's write lock: nothing was written.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let Some(fault) = error.as_database_error() else {
        return false;
    };
    let code = fault.code().and_then(|code| code.parse::<u32>().ok());
    // The low byte is the primary result code: SQLITE_BUSY or SQLITE_LOCKED.
    fault.try_downcast_ref::<SqliteError>().is_some() && code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}
