//! Where placements live: which server owns which board, under which generation.
//!
//! A [`Registry`] keeps whole records and compares whole records; what a legal change is, [`Placement`]'s own
//! functions know. It is asked at a board's first contact, by moves and at the start, never on the traffic path: that
//! path reads the gateway's own memory. A store counts a record as written only once it is synced.

mod allocated;
mod embedded;
mod file;
mod observed;
mod operation;
#[cfg(test)]
mod suite;
mod writer;

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use handover_protocol::{BoardId, DrainId, Placement, ServerName};

pub use embedded::EmbeddedRegistry;
#[cfg(test)]
pub(crate) use embedded::SimDisk;
pub use file::{Damage, OpenError};
pub use observed::ObservedRegistry;

/// A durable store of placements and drain records.
///
/// Operations of one caller take effect in the order in which their futures were first polled, so a read that follows
/// an unknown write sees what came of it.
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// Reads every placement, for the start of the gateway.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a record that is none.
    fn load(&self) -> RegistryFuture<'_, Result<Vec<(BoardId, Placement)>, RegistryError>>;

    /// Reads one board's placement; `None` for a board that never had one.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a record that is none.
    fn read(&self, board: &BoardId) -> RegistryFuture<'_, Result<Option<Placement>, RegistryError>>;

    /// Writes `next` where the stored record equals `expected` as a whole; `None` expects that there is no record.
    ///
    /// Dropping the future leaves the outcome unknown.
    ///
    /// # Errors
    /// [`CasError`] says what may be concluded.
    fn compare_and_set(
        &self,
        board: &BoardId,
        expected: Option<Placement>,
        next: Placement,
    ) -> RegistryFuture<'_, Result<(), CasError>>;

    /// Writes a drain's record over the one before; safe to repeat.
    ///
    /// # Errors
    /// When the record may not have been kept.
    fn put_drain(&self, drain: &DrainId, record: Vec<u8>) -> RegistryFuture<'_, Result<(), RegistryError>>;

    /// Reads every drain record.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a key that is no drain's.
    fn drains(&self) -> RegistryFuture<'_, Result<Vec<DrainRecord>, RegistryError>>;

    /// Writes a part of what a drain has moved over what that part was; safe to repeat.
    ///
    /// # Errors
    /// When it may not have been kept.
    fn put_drain_part(
        &self,
        drain: &DrainId,
        part: u32,
        record: Vec<u8>,
    ) -> RegistryFuture<'_, Result<(), RegistryError>>;

    /// Reads the parts of what a drain has moved, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn drain_parts(&self, drain: &DrainId) -> RegistryFuture<'_, Result<Vec<Vec<u8>>, RegistryError>>;

    /// Forgets a drain's record and what it has moved. Safe to repeat.
    ///
    /// # Errors
    /// When it may not have been forgotten.
    fn forget_drain(&self, drain: &DrainId) -> RegistryFuture<'_, Result<(), RegistryError>>;

    /// Writes what is to be remembered of a server over what was; nothing forgets it. Safe to repeat.
    ///
    /// # Errors
    /// When it may not have been kept.
    fn put_server(&self, server: &ServerName, record: Option<Vec<u8>>)
    -> RegistryFuture<'_, Result<(), RegistryError>>;

    /// Reads what is remembered of servers.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a key that is no server's.
    fn servers(&self) -> RegistryFuture<'_, Result<Vec<ServerRecord>, RegistryError>>;
}

/// A server and what is remembered of it, in its own form.
pub type ServerRecord = (ServerName, Vec<u8>);

/// A drain and what it has written down, in its own form.
pub type DrainRecord = (DrainId, Vec<u8>);

/// What a store's operations return.
pub type RegistryFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why the store failed, as the store tells it; shared by all operations that failed together.
pub type StoreFailure = Arc<dyn Error + Send + Sync>;

/// Says why a compare-and-set did not answer that the record is written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CasError {
    /// The stored record is another one; nothing was written. A retry is sound from `current` only.
    #[error("the registry holds another placement")]
    Refused {
        /// What is stored.
        current: Option<Placement>,
    },
    /// The change would lower the generation or the attempt: a fault of ours. Nothing was written.
    #[error("the registry refuses to lower a generation or an attempt")]
    Lowered {
        /// What is stored.
        current: Placement,
    },
    /// The store is not to be had, or its record is none; certainly nothing was written.
    #[error("the registry is unavailable, nothing was written")]
    Unavailable {
        /// What the store says.
        #[source]
        source: RegistryError,
    },
    /// The record may have been written. Read it back, never guess.
    #[error("the registry did not say whether the placement is written")]
    Unknown {
        /// What the store says.
        #[source]
        source: RegistryError,
    },
}

/// Says why the store could not be read, or a drain's record not be kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// The store is not to be had now; a retry is sound.
    #[error("the registry is unavailable")]
    Unavailable {
        /// What the store says.
        #[source]
        source: StoreFailure,
    },
    /// The store holds something that is no record of ours; no retry helps.
    #[error("the registry's record of {key:?} is none")]
    Damaged {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: StoreFailure,
    },
}
