//! The meddler between the gateway and a server's control URL.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{Book, Call, Seen, Trick};

/// Stands for a server's control URL.
#[derive(Debug)]
pub struct ControlMeddler {
    address: SocketAddr,
    book: Book,
    accepting: JoinHandle<()>,
}

impl ControlMeddler {
    /// Passes calls on to `server`, on a port of its own.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let book = Book::default();
        let accepting = tokio::spawn(accept(listener, server, book.clone()));
        Self {
            address,
            book,
            accepting,
        }
    }

    /// Returns what the gateway is told as the control URL's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lays a trick on the next call of this kind.
    pub fn lay(&self, call: Call, trick: Trick) {
        self.book.lay(call, 0, trick);
    }

    /// Lays a trick that lets `passing` calls of its kind pass first.
    pub fn lay_after(&self, passing: usize, call: Call, trick: Trick) {
        self.book.lay(call, passing, trick);
    }

    /// Returns all calls that have come by, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.book.seen()
    }

    /// Returns the calls of one kind.
    pub fn seen_of(&self, call: Call) -> Vec<Seen> {
        self.book.seen().into_iter().filter(|seen| seen.call == call).collect()
    }

    /// Waits until every trick has met its call.
    ///
    /// # Panics
    /// When one has not within `deadline`.
    pub async fn all_sprung(&self, deadline: Duration) {
        self.book.all_sprung(deadline).await;
    }
}

impl Drop for ControlMeddler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, book: Book) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let book = book.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let book = book.clone();
                async move {
                    // A task of its own: a call that its caller has given up still arrives, as on a slow network.
                    let answered = tokio::spawn(meddle(request, server, book)).await;
                    answered.unwrap_or_else(|error| Err(io::Error::other(error)))
                }
            });
            // An error of the service is how a connection is dropped.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn meddle(request: Request<Incoming>, server: SocketAddr, book: Book) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let call = call_of(&head.method, head.uri.path());
    let text = String::from_utf8_lossy(&body).into_owned();
    let (number, trick) = book.note(call, head.uri.to_string(), text);
    let request = Request::from_parts(head, Full::new(body));
    let answer = match trick {
        None => pass_on(request, server).await,
        Some(Trick::Before(hook)) => {
            hook().await;
            pass_on(request, server).await
        }
        Some(Trick::After(hook)) => {
            let answer = pass_on(request, server).await;
            hook().await;
            answer
        }
        Some(Trick::Refuse(status)) => Ok(refusal(status)),
        Some(Trick::RefuseAfter(status)) => pass_on(request, server).await.map(|_| refusal(status)),
        Some(Trick::Nonsense(body)) => pass_on(request, server).await.map(|answer| {
            let mut nonsense = Response::new(Full::from(body));
            *nonsense.headers_mut() = answer.headers().clone();
            nonsense.headers_mut().remove(http::header::CONTENT_LENGTH);
            nonsense
        }),
        Some(Trick::Late(time)) => {
            tokio::time::sleep(time).await;
            pass_on(request, server).await
        }
        Some(Trick::AnswerLate(time)) => {
            let answer = pass_on(request, server).await;
            tokio::time::sleep(time).await;
            answer
        }
        Some(Trick::Drop) => Err(dropped()),
        Some(Trick::DropAfter) => pass_on(request, server).await.and(Err(dropped())),
    };
    if let Ok(answer) = &answer {
        book.note_status(number, answer.status());
    }
    answer
}

/// Sends a call to the server over a connection of its own, so that a server that was killed is met by no old one.
async fn pass_on(request: Request<Full<Bytes>>, server: SocketAddr) -> io::Result<Response<Full<Bytes>>> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    head.headers.remove(http::header::TRANSFER_ENCODING);
    head.headers.remove(http::header::CONNECTION);
    Ok(Response::from_parts(head, Full::new(body)))
}

fn call_of(method: &Method, path: &str) -> Call {
    let rest = path.strip_prefix("/handover/v1/").unwrap_or_default();
    let mut segments = rest.split('/');
    match (method.as_str(), segments.next(), segments.next(), segments.next()) {
        ("GET", Some("server"), None, None) => Call::Server,
        ("GET", Some("boards"), None, None) => Call::Boards,
        ("PUT", Some("boards"), Some(_), None) => Call::Prepare,
        ("DELETE", Some("boards"), Some(_), None) => Call::Forget,
        ("POST", Some("boards"), Some(_), Some("freeze")) => Call::Freeze,
        ("POST", Some("boards"), Some(_), Some("activate")) => Call::Activate,
        ("POST", Some("boards"), Some(_), Some("thaw")) => Call::Thaw,
        _ => Call::Plain,
    }
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"meddled\",\"status\":{}}}",
        status.as_u16()
    );
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/problem+json"),
    );
    answer
}

fn dropped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "dropped by a trick")
}
