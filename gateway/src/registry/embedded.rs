//! The embedded store: a durable local file, for one gateway.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use handover_protocol::{BoardId, DrainId, Placement, ServerName};
use tokio::sync::{mpsc, oneshot};

#[cfg(test)]
pub(crate) use sim_disk::SimDisk;

use super::file::{Backing, OpenError, file_backing};
use super::operation::{
    Answer, CompareAndSet, DrainParts, Drains, ForgetDrain, Load, Operation, PutDrain, PutDrainPart, PutServer, Read,
    Servers,
};
use super::writer::{SyncTold, Writer};
use super::{CasError, DrainRecord, Registry, RegistryError, RegistryFuture, ServerRecord};

/// A registry in a local file. Callers wait in order while its queue is full.
pub struct EmbeddedRegistry {
    path: PathBuf,
    queue: Option<mpsc::Sender<Box<dyn Operation>>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedRegistry {
    /// Opens the registry at `path`, or makes it. Blocks while it checks the file.
    ///
    /// # Errors
    /// When another gateway has it open, it is damaged or some other file, or the operating system refuses.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_on(path, file_backing())
    }

    /// The same, with somebody who is told how long each transaction took to be on the disk.
    ///
    /// # Errors
    /// As [`EmbeddedRegistry::open`].
    pub fn open_watched(path: &Path, told: SyncTold) -> Result<Self, OpenError> {
        Self::open_told(path, file_backing(), told)
    }

    /// Opens it on a disk that fails.
    #[cfg(test)]
    pub(crate) fn open_on_disk(path: &Path, disk: &SimDisk) -> Result<Self, OpenError> {
        Self::open_on(path, disk.backing())
    }

    pub(super) fn open_on(path: &Path, backing: Backing) -> Result<Self, OpenError> {
        Self::open_told(path, backing, Box::new(|_| {}))
    }

    fn open_told(path: &Path, backing: Backing, told: SyncTold) -> Result<Self, OpenError> {
        let writer = Writer::open(path.to_owned(), backing, told)?;
        let (sender, receiver) = mpsc::channel(QUEUE_OPERATIONS_MAX);
        let thread = thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|source| OpenError::Io {
                file: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: path.to_owned(),
            queue: Some(sender),
            thread: Some(thread),
        })
    }

    async fn send(&self, operation: impl Operation + 'static) -> Result<(), RegistryError> {
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Box::new(operation)).await.map_err(|_| stopped())
    }

    /// Sends an operation that is safe to repeat and waits for its answer.
    async fn ask<O, T>(&self, operation: impl FnOnce(Answer<T>) -> O) -> Result<T, RegistryError>
    where
        O: Operation + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.send(operation(answer)).await?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Registry for EmbeddedRegistry {
    fn load(&self) -> RegistryFuture<'_, Result<Vec<(BoardId, Placement)>, RegistryError>> {
        Box::pin(self.ask(Load::new))
    }

    fn read(&self, board: &BoardId) -> RegistryFuture<'_, Result<Option<Placement>, RegistryError>> {
        let board = board.clone();
        Box::pin(self.ask(|answer| Read::new(board, answer)))
    }

    fn compare_and_set(
        &self,
        board: &BoardId,
        expected: Option<Placement>,
        next: Placement,
    ) -> RegistryFuture<'_, Result<(), CasError>> {
        let board = board.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.send(CompareAndSet::new(board, expected, next, answer))
                .await
                .map_err(|source| CasError::Unavailable { source })?;
            answered
                .await
                .unwrap_or_else(|_| Err(CasError::Unknown { source: stopped() }))
        })
    }

    fn put_drain(&self, drain: &DrainId, record: Vec<u8>) -> RegistryFuture<'_, Result<(), RegistryError>> {
        let drain = drain.clone();
        Box::pin(self.ask(|answer| PutDrain::new(drain, record, answer)))
    }

    fn drains(&self) -> RegistryFuture<'_, Result<Vec<DrainRecord>, RegistryError>> {
        Box::pin(self.ask(Drains::new))
    }

    fn put_drain_part(
        &self,
        drain: &DrainId,
        part: u32,
        record: Vec<u8>,
    ) -> RegistryFuture<'_, Result<(), RegistryError>> {
        let drain = drain.clone();
        Box::pin(self.ask(move |answer| PutDrainPart::new(&drain, part, record, answer)))
    }

    fn drain_parts(&self, drain: &DrainId) -> RegistryFuture<'_, Result<Vec<Vec<u8>>, RegistryError>> {
        let drain = drain.clone();
        Box::pin(self.ask(move |answer| DrainParts::new(&drain, answer)))
    }

    fn forget_drain(&self, drain: &DrainId) -> RegistryFuture<'_, Result<(), RegistryError>> {
        let drain = drain.clone();
        Box::pin(self.ask(|answer| ForgetDrain::new(drain, answer)))
    }

    fn put_server(
        &self,
        server: &ServerName,
        record: Option<Vec<u8>>,
    ) -> RegistryFuture<'_, Result<(), RegistryError>> {
        let server = server.clone();
        Box::pin(self.ask(|answer| PutServer::new(server, record, answer)))
    }

    fn servers(&self) -> RegistryFuture<'_, Result<Vec<ServerRecord>, RegistryError>> {
        Box::pin(self.ask(Servers::new))
    }
}

impl Drop for EmbeddedRegistry {
    /// Waits until what was queued is synced and the file is closed, so that it can be opened again.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(file = %self.path.display(), "the registry's thread had panicked");
        }
    }
}

impl fmt::Debug for EmbeddedRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EmbeddedRegistry")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn stopped() -> RegistryError {
    RegistryError::Unavailable {
        source: Arc::new(io::Error::other("the registry's thread has stopped")),
    }
}

/// Most operations that wait for the thread.
const QUEUE_OPERATIONS_MAX: usize = 1024;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod sim_disk;
#[cfg(test)]
mod tests;
