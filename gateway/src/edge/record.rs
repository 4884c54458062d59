//! What the access log says of one request, or of a handshake that became no session.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use handover_protocol::{BoardId, ServerName};
use http::request::Parts;
use http::{Method, StatusCode};
use tracing::info;

use crate::telemetry::{ACCESS, Redaction};

/// A request under way.
#[derive(Debug)]
pub(super) struct Record {
    method: Method,
    target: String,
    client: IpAddr,
    begun: Instant,
    route: Option<Arc<str>>,
    board: Option<BoardId>,
    server: Option<ServerName>,
    status: Option<StatusCode>,
    bytes: u64,
}

impl Record {
    /// Begins with the head of a request.
    pub(super) fn new(parts: &Parts, client: IpAddr, redaction: &Redaction) -> Box<Self> {
        Box::new(Self {
            method: parts.method.clone(),
            target: redaction.of(&parts.uri).to_string(),
            client,
            begun: Instant::now(),
            route: None,
            board: None,
            server: None,
            status: None,
            bytes: 0,
        })
    }

    /// Returns the target as it is shown.
    pub(super) fn into_target(self) -> String {
        self.target
    }

    /// Notes where it goes.
    pub(super) fn note_board(&mut self, route: &Arc<str>, board: &BoardId) {
        self.route = Some(Arc::clone(route));
        self.board = Some(board.clone());
    }

    /// Notes where it comes from, as far as proxies are believed.
    pub(super) fn note_client(&mut self, client: IpAddr) {
        self.client = client;
    }

    /// Notes who is asked.
    pub(super) fn note_server(&mut self, server: &ServerName) {
        self.server = Some(server.clone());
    }

    /// Notes the answer's status.
    pub(super) fn note_status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Notes a part of the answer's body.
    pub(super) fn note_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Says what became of it.
    pub(super) fn tell(&self, event: &'static str, outcome: &'static str) {
        info!(
            target: ACCESS,
            event,
            method = self.method.as_str(),
            request = self.target,
            route = self.route.as_deref(),
            board = self.board.as_ref().map(BoardId::as_str),
            server = self.server.as_ref().map(ServerName::as_str),
            client = %self.client,
            status = self.status.map(|status| status.as_u16()),
            outcome,
            bytes_down = self.bytes,
            duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request ended"
        );
    }
}
