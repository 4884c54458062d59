//! One HTTP/1.1 connection to a board server.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::scarcity::scarcity;
use crate::config::ServerUrl;
use crate::telemetry::label::Limit;
use crate::tls::{ServerTlsFault, Wire};

/// Opens a TCP connection to a server.
///
/// # Errors
/// When there is none by the deadline; nothing was sent then.
pub(super) async fn connect(url: &ServerUrl, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let stream = timeout_at(deadline, TcpStream::connect((url.host(), url.port())))
        .await
        .map_err(|_| ConnectError::Timeout)?
        .map_err(ConnectError::Io)?;
    tune(&stream).map_err(ConnectError::Io)?;
    Ok(stream)
}

/// Has small frames leave at once and a dead peer noticed, on a socket of either side.
///
/// # Errors
/// When the kernel refuses an option: the socket is closed already.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Sends one request over a connection of its own and waits for the head of the answer.
///
/// Dropping the future closes the connection; whoever waits sets the deadline.
///
/// # Errors
/// When the connection breaks; the server may have seen the request.
pub async fn exchange<B>(stream: Wire, request: Request<B>) -> Result<(Response<Incoming>, Connection), hyper::Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut link = Link::over(stream).await?;
    let response = link.send(request).await?;
    Ok((response, link.connection))
}

/// An HTTP connection that can carry requests, one after the other.
pub(super) struct Link<B> {
    sender: SendRequest<B>,
    connection: Connection,
}

impl<B> Link<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Speaks HTTP over a connection; nothing is sent yet.
    pub(super) async fn over(stream: Wire) -> Result<Self, hyper::Error> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = Connection {
            driver: Some(Box::pin(connection.with_upgrades())),
        };
        Ok(Self { sender, connection })
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, hyper::Error> {
        let connection = &mut self.connection;
        let mut answer = pin!(self.sender.send_request(request));
        std::future::poll_fn(|context| {
            // Without the connection being driven nothing is sent or read. Where it ends, the answer tells how.
            let _ = connection.poll_drive(context);
            answer.as_mut().poll(context)
        })
        .await
    }

    /// Reads whether another request can be sent, as far as the kernel has heard of the other side.
    pub(super) fn is_ready(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.connection.poll_drive(&mut context).is_pending() && self.sender.is_ready()
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// The half of an HTTP connection that moves bytes; it stands still unless it is driven, and closes on drop.
pub struct Connection {
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
}

impl Connection {
    /// Takes the raw socket back after a 101, with what the server sent behind it.
    ///
    /// # Errors
    /// When the connection broke meanwhile.
    pub async fn into_raw(mut self, upgrade: OnUpgrade) -> Result<(Wire, Bytes), hyper::Error> {
        // A 101 is the last that HTTP says, so the driver ends by itself.
        std::future::poll_fn(|context| self.poll_drive(context)).await;
        let parts = upgrade
            .await?
            .downcast::<TokioIo<Wire>>()
            .expect("`Link` speaks HTTP over this very type");
        Ok((parts.io.into_inner(), parts.read_buf))
    }

    /// Moves bytes; ready once the connection has ended.
    pub(super) fn poll_drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(driver) = &mut self.driver {
            // An error reaches whoever waits for the answer or its body.
            let _ = ready!(driver.as_mut().poll(context));
            self.driver = None;
        }
        Poll::Ready(())
    }
}

/// Says why there is no connection; nothing was sent, so another try is sound.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server, or the way to it, refused.
    #[error("no connection to the server: {0}")]
    Io(#[source] io::Error),
    /// Nobody answered.
    #[error("no connection to the server in time")]
    Timeout,
    /// It, or we, are not believed.
    #[error(transparent)]
    Tls(#[from] ServerTlsFault),
}

impl ConnectError {
    /// Returns what is wrong with TLS, where that is what is wrong.
    pub fn tls(&self) -> Option<&ServerTlsFault> {
        match self {
            Self::Tls(fault) => Some(fault),
            Self::Io(_) | Self::Timeout => None,
        }
    }

    /// Reads whether nobody listens there.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            Self::Timeout | Self::Tls(_) => false,
        }
    }

    /// Returns the bound of our own that is to blame, where one is.
    pub fn scarcity(&self) -> Option<Limit> {
        match self {
            Self::Io(error) => scarcity(error),
            Self::Timeout | Self::Tls(_) => None,
        }
    }
}

/// Says why there is no answer; the server may have seen the request.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection ended, or what came was no HTTP.
    #[error("the connection broke before the server's answer: {0}")]
    Broken(#[source] hyper::Error),
    /// The server kept silent.
    #[error("the server did not answer in time")]
    Timeout,
    /// It does not believe us, and has not read what we sent.
    #[error(transparent)]
    Tls(ServerTlsFault),
}

/// Idle for so long, a peer is asked whether it is there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
/// Then again after this.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Given up after so many; a dead peer is noticed within two minutes.
const KEEPALIVE_RETRIES: u32 = 4;

/// Servers set cookies freely; a head beyond this is no head.
const READ_BYTES_MAX: usize = 64 * 1024;
