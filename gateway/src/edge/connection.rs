//! One client connection, from its first byte to its end as HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::client_io::{ClientIo, Pace, Watch};
use super::listener::Security;
use crate::config::Limits;
use crate::telemetry::Metrics;
use crate::telemetry::label::Limit;
use crate::tls::Wire;

/// A client connection, as those who answer its requests know it.
#[derive(Debug)]
pub(super) struct Client {
    peer: SocketAddr,
    security: Security,
    pace: Arc<Pace>,
    seat: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Client {
    /// Returns whether it speaks TLS.
    pub(super) fn security(&self) -> Security {
        self.security
    }

    /// Makes the record of an accepted connection; `seat` is its share of the connections that there may be.
    pub(super) fn new(peer: SocketAddr, security: Security, seat: OwnedSemaphorePermit, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            peer,
            security,
            pace: Pace::new(limits),
            seat: Mutex::new(Some(seat)),
        })
    }

    /// Returns where the client connects from.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Returns the measure of how the client gets on.
    pub(super) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Takes the connection's seat along into a session, which keeps it as long as the socket lives.
    pub(super) fn take_seat(&self) -> Option<OwnedSemaphorePermit> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Takes the raw socket back from hyper once the 101 has been written, with what the client sent behind its handshake.
///
/// # Errors
/// When the client left before.
pub(super) async fn take_back(upgrade: OnUpgrade) -> Result<(Wire, Bytes), hyper::Error> {
    let parts = upgrade
        .await?
        .downcast::<TokioIo<ClientIo>>()
        .expect("`serve` speaks HTTP over this very type");
    Ok((parts.io.into_inner().into_stream(), parts.read_buf))
}

/// Speaks HTTP with a client until it leaves, breaks a bound, or becomes a session; a cancelled `shutdown` lets the
/// request under way end.
pub(super) async fn serve<S, A, B>(
    stream: Wire,
    client: Arc<Client>,
    limits: &Limits,
    metrics: &Metrics,
    shutdown: CancellationToken,
    answer: S,
) where
    S: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let io = TokioIo::new(ClientIo::new(stream, Arc::clone(client.pace()), limits));
    let service = service_fn(async |request| {
        client.pace().request_begins();
        Ok::<_, Infallible>(answer(request).await)
    });
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(limits.head_bytes_max.max(HYPER_BUFFER_BYTES_MIN))
        .max_header_size(limits.head_bytes_max)
        // `Watch` sees to that, for hyper's own bound does not tell a head under way from an idle connection.
        .header_read_timeout(None);
    if limits.header_count_max != HYPER_HEADER_COUNT_MAX {
        builder.max_headers(limits.header_count_max);
    }
    let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
    let mut watch = Watch::new(Arc::clone(client.pace()));
    let mut is_ending = false;
    loop {
        // Cancel-safe: all three are polled on where they stood.
        tokio::select! {
            biased;
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    note(&error, &client, limits, metrics);
                }
                return;
            }
            limit = &mut watch => {
                debug!(?limit, "client was too slow");
                metrics.limit_hits.of(limit).inc();
                return;
            }
            () = shutdown.cancelled(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Counts how a connection broke; hyper has answered already where an answer was due.
fn note(error: &hyper::Error, client: &Client, limits: &Limits, metrics: &Metrics) {
    let limit = if error.is_parse_too_large() {
        let has_too_many = client.pace().header_count() > limits.header_count_max;
        Some(if has_too_many {
            Limit::HeaderCount
        } else {
            Limit::HeadBytes
        })
    } else {
        client.pace().broken()
    };
    if let Some(limit) = limit {
        metrics.limit_hits.of(limit).inc();
    }
    debug!(%error, ?limit, "client connection ended");
}

/// hyper takes no smaller buffer.
const HYPER_BUFFER_BYTES_MIN: usize = 8192;

/// For as many header lines hyper needs no memory from the heap.
const HYPER_HEADER_COUNT_MAX: usize = 100;

#[cfg(test)]
mod tests;
