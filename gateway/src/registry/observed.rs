//! Any registry, watched: how long it takes and how often a write's outcome is unknown.

use std::sync::Arc;
use std::time::Instant;

use handover_protocol::{BoardId, DrainId, Placement, ServerName};

use super::{CasError, DrainRecord, Registry, RegistryError, RegistryFuture, ServerRecord};
use crate::telemetry::Metrics;
use crate::telemetry::label::RegistryOperation;

/// Passes everything on and measures it.
#[derive(Debug)]
pub struct ObservedRegistry<R> {
    inner: R,
    metrics: Arc<Metrics>,
}

impl<R: Registry> ObservedRegistry<R> {
    /// Watches `inner`.
    pub fn new(inner: R, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    fn observe<'a, T: 'a>(
        &'a self,
        operation: RegistryOperation,
        future: RegistryFuture<'a, T>,
    ) -> RegistryFuture<'a, T> {
        Box::pin(async move {
            let begun = Instant::now();
            let result = future.await;
            let seconds = begun.elapsed().as_secs_f64();
            self.metrics.registry_seconds.of(operation).observe(seconds);
            result
        })
    }
}

impl<R: Registry> Registry for ObservedRegistry<R> {
    fn load(&self) -> RegistryFuture<'_, Result<Vec<(BoardId, Placement)>, RegistryError>> {
        self.observe(RegistryOperation::Load, self.inner.load())
    }

    fn read(&self, board: &BoardId) -> RegistryFuture<'_, Result<Option<Placement>, RegistryError>> {
        self.observe(RegistryOperation::Read, self.inner.read(board))
    }

    fn compare_and_set(
        &self,
        board: &BoardId,
        expected: Option<Placement>,
        next: Placement,
    ) -> RegistryFuture<'_, Result<(), CasError>> {
        let write = self.inner.compare_and_set(board, expected, next);
        let counted = Box::pin(async move {
            let result = write.await;
            if let Err(CasError::Unknown { .. }) = &result {
                self.metrics.registry_unknown.inc();
            }
            result
        });
        self.observe(RegistryOperation::CompareAndSet, counted)
    }

    fn put_drain(&self, drain: &DrainId, record: Vec<u8>) -> RegistryFuture<'_, Result<(), RegistryError>> {
        self.observe(RegistryOperation::PutDrain, self.inner.put_drain(drain, record))
    }

    fn drains(&self) -> RegistryFuture<'_, Result<Vec<DrainRecord>, RegistryError>> {
        self.observe(RegistryOperation::Drains, self.inner.drains())
    }

    fn put_drain_part(
        &self,
        drain: &DrainId,
        part: u32,
        record: Vec<u8>,
    ) -> RegistryFuture<'_, Result<(), RegistryError>> {
        self.observe(
            RegistryOperation::PutDrain,
            self.inner.put_drain_part(drain, part, record),
        )
    }

    fn drain_parts(&self, drain: &DrainId) -> RegistryFuture<'_, Result<Vec<Vec<u8>>, RegistryError>> {
        self.observe(RegistryOperation::Drains, self.inner.drain_parts(drain))
    }

    fn forget_drain(&self, drain: &DrainId) -> RegistryFuture<'_, Result<(), RegistryError>> {
        self.observe(RegistryOperation::PutDrain, self.inner.forget_drain(drain))
    }

    fn put_server(
        &self,
        server: &ServerName,
        record: Option<Vec<u8>>,
    ) -> RegistryFuture<'_, Result<(), RegistryError>> {
        self.observe(RegistryOperation::PutServer, self.inner.put_server(server, record))
    }

    fn servers(&self) -> RegistryFuture<'_, Result<Vec<ServerRecord>, RegistryError>> {
        self.observe(RegistryOperation::Servers, self.inner.servers())
    }
}
