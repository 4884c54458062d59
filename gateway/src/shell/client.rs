//! Calls of the admin API: one connection each, over TCP or a Unix socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::AdminAddress;
use super::credentials::{CredentialFault, Credentials};
use super::refusal::Refusal;
use super::tls_fault::TlsFault;

/// Calls one gateway.
#[derive(Debug, Clone)]
pub struct Client {
    address: AdminAddress,
    token: Option<HeaderValue>,
    /// Missing where the address asks for none.
    tls: Option<Arc<ClientConfig>>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    /// Path and query, encoded.
    target: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// By when the whole answer has to be there; of a stream: its head.
    within: Duration,
}

impl Call {
    /// Reads something.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// Gives an order that says all by its path.
    pub fn post(target: impl Into<String>) -> Self {
        Self::new(Method::POST, target)
    }

    /// Makes a call without a body.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            within: CALL_TIMEOUT,
        }
    }

    /// Sends a body along.
    #[must_use]
    pub fn with(mut self, body: &impl Serialize) -> Self {
        let json = serde_json::to_vec(body).expect("the bodies of the admin API are JSON");
        self.body = json.into();
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Sends a header along.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Waits so long for the answer.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }
}

impl Client {
    /// Makes a client; what it has to show is shown with each call.
    ///
    /// # Errors
    /// When a file that the address needs cannot be used.
    pub fn new(address: AdminAddress, credentials: &Credentials) -> Result<Self, CredentialFault> {
        let token = credentials.token()?;
        let tls = match &address {
            AdminAddress::Tls { .. } => Some(credentials.tls()?),
            AdminAddress::Tcp { .. } | AdminAddress::Unix { .. } => None,
        };
        Ok(Self { address, token, tls })
    }

    /// Returns where the gateway is.
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Calls, and reads the answer's JSON.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let body = self.bytes(call).await?;
        serde_json::from_slice(&body).map_err(ClientError::NotUnderstood)
    }

    /// Calls where the answer has nothing to say but that it is done.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn order(&self, call: Call) -> Result<(), ClientError> {
        self.bytes(call).await.map(|_| ())
    }

    async fn bytes(&self, call: Call) -> Result<Bytes, ClientError> {
        let within = call.within;
        let answer = async { collect(self.open(call).await?).await };
        self.by(within, answer).await
    }

    /// Calls, and returns the answer with its body unread, whatever its status.
    ///
    /// # Errors
    /// When there is none.
    pub async fn respond(&self, call: Call) -> Result<(StatusCode, Bytes), ClientError> {
        let within = call.within;
        let answer = async {
            let response = self.send(call).await?;
            Ok((response.status(), read(response).await?))
        };
        self.by(within, answer).await
    }

    /// Calls for a stream, and returns its body.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn stream(&self, call: Call) -> Result<Incoming, ClientError> {
        let within = call.within;
        let call = call.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        Ok(self.by(within, self.open(call)).await?.into_body())
    }

    async fn by<T>(
        &self,
        within: Duration,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        timeout(within, answer).await.unwrap_or_else(|_| {
            Err(ClientError::Late {
                address: self.address.clone(),
                within,
            })
        })
    }

    async fn open(&self, call: Call) -> Result<Response<Incoming>, ClientError> {
        let response = self.send(call).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = read(response).await?;
        Err(ClientError::Refused(Box::new(Refusal::read(status, &body))))
    }

    async fn send(&self, call: Call) -> Result<Response<Incoming>, ClientError> {
        let request = self.request(call);
        let unreachable = |source| ClientError::Unreachable {
            address: self.address.clone(),
            source,
        };
        match &self.address {
            AdminAddress::Tcp { authority } => {
                let stream = TcpStream::connect(authority.as_str()).await.map_err(unreachable)?;
                self.exchange(TokioIo::new(stream), request).await
            }
            AdminAddress::Tls { authority } => {
                let stream = TcpStream::connect(authority.as_str()).await.map_err(unreachable)?;
                self.exchange(TokioIo::new(self.secure(stream).await?), request).await
            }
            AdminAddress::Unix { path } => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                self.exchange(TokioIo::new(stream), request).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let broken = |source| self.broken(source);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
        // Ends with the body, or when the response is dropped.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }

    async fn secure(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, ClientError> {
        let insecure = |source: io::Error| match TlsFault::in_error(&source) {
            Some(fault) => ClientError::Insecure {
                address: self.address.clone(),
                fault,
            },
            None => ClientError::Unreachable {
                address: self.address.clone(),
                source,
            },
        };
        let unnamed = || insecure(io::Error::other("the host is no name that a certificate can have"));
        let host = self.address.host();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| unnamed())?;
        let config = self.tls.as_ref().ok_or_else(unnamed)?;
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        connecting.await.map_err(insecure)
    }

    /// Says how a connection broke; what a gateway has against a client certificate comes only behind the handshake.
    fn broken(&self, source: hyper::Error) -> ClientError {
        let address = self.address.clone();
        if let Some(fault) = TlsFault::in_error(&source) {
            return ClientError::Insecure { address, fault };
        }
        let way_out = match &self.address {
            AdminAddress::Tcp { .. } if source.is_parse() => "\n  if it speaks TLS, write https:// in --admin",
            AdminAddress::Tcp { .. } | AdminAddress::Tls { .. } | AdminAddress::Unix { .. } => "",
        };
        ClientError::Broken {
            address,
            source,
            way_out,
        }
    }

    fn request(&self, call: Call) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = call
            .target
            .parse()
            .expect("targets are made of fixed paths and encoded segments");
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(self.address.host()).expect("an authority is visible ASCII");
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, AGENT);
        headers.extend(call.headers);
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        request
    }
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    read(response).await
}

async fn read(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| ClientError::Cut(error.to_string()))
}

/// Says why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection; nothing was sent.
    #[error("no gateway answers at {address}: {source}; --admin or HANDOVER_ADMIN names another address")]
    Unreachable {
        /// Where it was looked for.
        address: AdminAddress,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke; the gateway may have done what was asked.
    #[error("the gateway at {address} broke off: {source}{way_out}")]
    Broken {
        /// Where it is.
        address: AdminAddress,
        /// How.
        source: hyper::Error,
        /// What may help, on a line of its own.
        way_out: &'static str,
    },
    /// Either side does not believe the other.
    #[error("no TLS with the gateway at {address}: {fault}")]
    Insecure {
        /// Where it is.
        address: AdminAddress,
        /// Why, and what may help.
        fault: TlsFault,
    },
    /// The answer broke off, or is larger than any answer should be.
    #[error("the gateway's answer broke off: {0}")]
    Cut(String),
    /// No answer in time; the gateway may have done what was asked.
    #[error("the gateway at {address} did not answer within {}", humantime::format_duration(*within))]
    Late {
        /// Where it is.
        address: AdminAddress,
        /// How long it was given.
        within: Duration,
    },
    /// The gateway says no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The answer is not what the API says it is: another program, or another version.
    #[error("the answer is none of a gateway's admin API of this version: {0}")]
    NotUnderstood(serde_json::Error),
}

impl ClientError {
    /// Reads whether a gateway that starts again may answer the same call.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Cut(_) | Self::Late { .. } => true,
            Self::Refused(refusal) => refusal.status == StatusCode::SERVICE_UNAVAILABLE,
            Self::NotUnderstood(_) | Self::Insecure { .. } => false,
        }
    }
}

/// What the gateway's log calls the shell.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("handover/", env!("CARGO_PKG_VERSION")));

/// How long a call may take unless `--timeout` says something else.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A thousand boards take a quarter of a megabyte; this is far more than any answer has.
const ANSWER_BYTES_MAX: usize = 64 << 20;
