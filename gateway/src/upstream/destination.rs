//! Where connections to a server go: its URL, and how it is checked there.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::connection::{ConnectError, ExchangeError, connect};
use crate::config::ServerUrl;
use crate::tls::{Connector, ServerTlsFault, Trust, Wire};

/// Where connections to a server go.
#[derive(Debug, Clone)]
pub struct Destination {
    url: ServerUrl,
    /// There where the URL is `https`.
    tls: Option<Arc<Connector>>,
}

impl Destination {
    /// Joins a URL and the server's way of TLS; an `http` URL needs none.
    pub fn new(url: ServerUrl, tls: Option<&Arc<Connector>>) -> Self {
        Self {
            tls: tls.filter(|_| url.is_tls()).cloned(),
            url,
        }
    }

    /// Returns the URL.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Returns by which files the server is checked now; nothing without TLS.
    pub(super) fn trust(&self) -> Option<Arc<Trust>> {
        self.tls.as_ref().map(|connector| connector.trust())
    }

    /// Opens a connection; with TLS its handshake is over then.
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    /// When there is none by the deadline; the server was sent nothing that it could act upon.
    pub async fn connect(&self, deadline: Instant) -> Result<Wire, ConnectError> {
        let stream = connect(&self.url, deadline).await?;
        match &self.tls {
            Some(connector) => Ok(connector.connect(self.url.host(), stream, deadline).await?),
            None if self.url.is_tls() => {
                let problem = "nobody has said how to check it".to_owned();
                Err(ServerTlsFault::Certificate(problem).into())
            }
            None => Ok(stream.into()),
        }
    }

    /// Tries whether the server takes connections, and says nothing on this one.
    ///
    /// With TLS 1.3 the server looks at the gateway's certificate when the handshake is over for the gateway, so its word
    /// on it is waited for: until it ends the connection, and no longer than to the deadline.
    ///
    /// # Errors
    /// As [`Destination::connect`].
    pub async fn knock(&self, deadline: Instant) -> Result<(), ConnectError> {
        let mut wire = self.connect(deadline).await?;
        let Some(connector) = &self.tls else { return Ok(()) };
        let farewell = async {
            // A server that has refused may have closed already; what it said is still to be read.
            let _ = wire.shutdown().await;
            read_to_end(&mut wire).await
        };
        match timeout_at(deadline, farewell).await {
            // Who takes the connection and keeps it open has not refused anything.
            Err(_) | Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => match ServerTlsFault::of_answer(&error) {
                Some(fault) => {
                    connector.note(&fault);
                    Err(fault.into())
                }
                None => Ok(()),
            },
        }
    }

    /// Says why there is no answer on a connection that was opened here.
    pub(super) fn broken(&self, error: hyper::Error) -> ExchangeError {
        match (&self.tls, ServerTlsFault::of_answer(&error)) {
            (Some(connector), Some(fault)) => {
                connector.note(&fault);
                ExchangeError::Tls(fault)
            }
            (Some(_), None) | (None, _) => ExchangeError::Broken(error),
        }
    }

    /// Finds the server's refusal of what it was shown among an error's causes, and counts it.
    pub(super) fn refusal(&self, error: &(dyn std::error::Error + 'static)) -> Option<ServerTlsFault> {
        let fault = self.tls.as_ref().and(ServerTlsFault::of_answer(error))?;
        if let Some(connector) = &self.tls {
            connector.note(&fault);
        }
        Some(fault)
    }
}

async fn read_to_end(wire: &mut Wire) -> std::io::Result<()> {
    let mut space = [0; 64];
    loop {
        let mut buffer = ReadBuf::new(&mut space);
        poll_fn(|context| Pin::new(&mut *wire).poll_read(context, &mut buffer)).await?;
        if buffer.filled().is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
