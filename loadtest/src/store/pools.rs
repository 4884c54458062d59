//! Connections to the database.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::time::{Instant, sleep};

use super::error::StoreError;

/// The database, opened.
#[derive(Debug, Clone)]
pub struct Store {
    /// For what only reads.
    pub(super) reads: Pool,
    /// For what writes; SQLite lets one connection write at a time anyway.
    pub(super) writes: Pool,
}

/// Connections to one kind of database.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Evaluates an expression on the pool, whichever it is; the statement must be one that both databases understand.
macro_rules! on_pool {
    ($which:expr, $pool:ident => $body:expr) => {
        match $which {
            $crate::store::pools::Pool::Sqlite($pool) => $body,
            $crate::store::pools::Pool::Postgres($pool) => $body,
        }
    };
}
pub(super) use on_pool;

/// Evaluates a write anew as long as another process holds SQLite's write lock, at most [`BUSY_TIMEOUT`].
macro_rules! patiently {
    ($write:expr) => {{
        let deadline = tokio::time::Instant::now() + $crate::store::pools::BUSY_TIMEOUT;
        loop {
            match $write {
                Err(error) if $crate::store::error::is_busy(&error) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep($crate::store::pools::BUSY_PAUSE).await;
                }
                result => break result,
            }
        }
    }};
}
pub(super) use patiently;

impl Store {
    /// Opens the database and creates the tables that are missing.
    ///
    /// # Errors
    /// When the URL is none, or the database cannot be reached within [`OPEN_TIMEOUT`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let deadline = Instant::now() + OPEN_TIMEOUT;
        loop {
            // Several processes turn a new SQLite file to WAL at once, and PostgreSQL may still be starting.
            match Self::try_open(url).await {
                Ok(store) => return Ok(store),
                Err(StoreError::Database(sqlx::Error::Configuration(fault))) => {
                    return Err(StoreError::Database(sqlx::Error::Configuration(fault)));
                }
                Err(fault @ (StoreError::Url | StoreError::NoFile(_))) => return Err(fault),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(StoreError::Database(_) | StoreError::Board(_)) => sleep(OPEN_PAUSE).await,
            }
        }
    }

    /// Opens a database that others have made: where there is no such file, none is made.
    ///
    /// # Errors
    /// As [`Self::open`], and when it is a file that is not there.
    pub async fn find(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?;
            let file = options.get_filename();
            if !file.exists() {
                return Err(StoreError::NoFile(file.to_path_buf()));
            }
        }
        Self::open(url).await
    }

    async fn try_open(url: &str) -> Result<Self, StoreError> {
        let store = match url.split(':').next() {
            Some("sqlite") => open_sqlite(url).await?,
            Some("postgres" | "postgresql") => open_postgres(url).await?,
            Some(_) | None => return Err(StoreError::Url),
        };
        for statement in TABLES {
            let created = on_pool!(&store.writes, pool => sqlx::query(statement).execute(pool).await.map(drop));
            match created {
                Ok(()) => {}
                // Two processes created the same table at once; then it is there.
                Err(sqlx::Error::Database(fault)) if is_there_already(fault.as_ref()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(store)
    }

    /// Moves SQLite's log into its database file, as far as no reader needs it. No commit waits for it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        match &self.reads {
            Pool::Sqlite(pool) => sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
                .execute(pool)
                .await
                .map(drop)?,
            Pool::Postgres(_) => {}
        }
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        on_pool!(&self.reads, pool => pool.close().await);
        on_pool!(&self.writes, pool => pool.close().await);
    }
}

async fn open_sqlite(url: &str) -> Result<Store, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        // A checkpoint syncs files; no commit should wait for that. Who serves calls `checkpoint` from time to time.
        .pragma("wal_autocheckpoint", "0");
    // sqlx 0.9 has a task look after connections that have a lifetime; where it meets one that is just being taken, its
    // count of idle connections wraps around and the task spins for good. Without a lifetime there is no such task.
    let pool = || SqlitePoolOptions::new().idle_timeout(None).max_lifetime(None);
    let reads = pool()
        .max_connections(READ_CONNECTIONS_MAX)
        .connect_with(options.clone().busy_timeout(SQLITE_READ_BUSY_TIMEOUT))
        .await?;
    let writes = pool()
        .max_connections(1)
        .test_before_acquire(false)
        .connect_with(options.busy_timeout(SQLITE_WRITE_BUSY_TIMEOUT))
        .await?;
    Ok(Store {
        reads: Pool::Sqlite(reads),
        writes: Pool::Sqlite(writes),
    })
}

async fn open_postgres(url: &str) -> Result<Store, StoreError> {
    let options = PgConnectOptions::from_str(url)?;
    let pool = |connections_max| {
        PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // As above.
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.clone())
    };
    Ok(Store {
        reads: Pool::Postgres(pool(READ_CONNECTIONS_MAX).await?),
        // One for the batches, and some so that no fence waits for them.
        writes: Pool::Postgres(pool(FENCE_CONNECTIONS_MAX + 1).await?),
    })
}

/// Reads whether PostgreSQL says in one of its ways that another process made the table at the same moment.
fn is_there_already(fault: &dyn sqlx::error::DatabaseError) -> bool {
    let code = fault.code();
    fault.is_unique_violation() || matches!(code.as_deref(), Some("42P07" | "42710"))
}

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS fences (board TEXT PRIMARY KEY, generation BIGINT NOT NULL, owner TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS changes (board TEXT NOT NULL, revision BIGINT NOT NULL, author TEXT NOT NULL, \
     seq BIGINT NOT NULL, generation BIGINT NOT NULL, owner TEXT NOT NULL, body TEXT NOT NULL, \
     PRIMARY KEY (board, revision), UNIQUE (board, author, seq))",
    "CREATE TABLE IF NOT EXISTS repeats (board TEXT NOT NULL, author TEXT NOT NULL, seq BIGINT NOT NULL, \
     owner TEXT NOT NULL, generation BIGINT NOT NULL)",
];

/// How long a database may take to come up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const OPEN_PAUSE: Duration = Duration::from_millis(20);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const READ_CONNECTIONS_MAX: u32 = 3;
const FENCE_CONNECTIONS_MAX: u32 = 2;
/// Another process' transaction is over within a millisecond; one that is stopped in it holds the lock for good.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Readers wait for a writer only while the log is being recovered.
const SQLITE_READ_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// SQLite sleeps ever longer between its tries: 1 ms, 2 ms, then 5 and more. Ours begin anew after the first two.
const SQLITE_WRITE_BUSY_TIMEOUT: Duration = Duration::from_millis(3);
