//! The demo's own page: boards per server, a button for the release, and a whiteboard to draw along on.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::status::Status;

/// What the page's server needs.
#[derive(Clone)]
struct Page {
    status: watch::Receiver<Status>,
    told: mpsc::Sender<()>,
}

/// Listens on a free port of the loopback.
pub(super) async fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves the page, for ever; each press of the button goes to `told`.
pub(super) async fn serve(listener: TcpListener, status: watch::Receiver<Status>, told: mpsc::Sender<()>) {
    let router = Router::new()
        .route("/", get(async || Html(include_str!("../page/demo.html"))))
        .route(
            "/status",
            get(async |State(page): State<Page>| Json(page.status.borrow().clone())),
        )
        .route("/release", post(release))
        .with_state(Page { status, told });
    if let Err(error) = axum::serve(listener, router).await {
        eprintln!("the demo's page is gone: {error}");
    }
}

/// Other sites' pages cannot set the header without being asked first, and nobody answers that question.
async fn release(State(page): State<Page>, headers: HeaderMap) -> StatusCode {
    if !headers.contains_key("demo") {
        return StatusCode::FORBIDDEN;
    }
    // Full means that it was pressed already.
    let _ = page.told.try_send(());
    StatusCode::ACCEPTED
}
