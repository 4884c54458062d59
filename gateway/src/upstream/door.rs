//! The connections under the control client: opened as all others to the server are.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tower_service::Service;

use super::connection::ConnectError;
use super::destination::Destination;
use crate::tls::Wire;

/// Opens connections to one server for hyper's client.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) destination: Destination,
    /// How long one may take.
    pub(super) patience: Duration,
}

impl Service<Uri> for Door {
    type Response = TokioIo<Wire>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Wire>, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    /// Opens a connection; whatever the request's URI is, it goes to the one server.
    fn call(&mut self, _: Uri) -> Self::Future {
        let destination = self.destination.clone();
        let deadline = Instant::now() + self.patience;
        Box::pin(async move { destination.connect(deadline).await.map(TokioIo::new) })
    }
}
