//! What the access log says of one session: a line when it opens, one for each crossing, and one when it has ended.
//!
//! Sessions that are not logged have no journal and pay nothing.

use std::time::Instant;

use handover_protocol::admin::SessionView;
use handover_protocol::close::CloseCode;
use handover_protocol::{Generation, ServerName};
use tracing::info;

use crate::telemetry::ACCESS;

/// What is remembered of a session for its last line.
#[derive(Debug)]
pub struct Journal {
    target: Box<str>,
    opened: Instant,
    /// Those that it has left.
    servers: Vec<ServerName>,
    parting: Option<Parting>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parting {
    pub(super) by: ClosedBy,
    /// The code of the gateway's own Close.
    pub(super) told: Option<CloseCode>,
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClosedBy {
    /// The client.
    Client,
    /// Its server.
    Server,
    /// The gateway told the client to reconnect: its board moved or lost its server, or the gateway ended.
    Reconnect,
    /// The gateway, for a peer broke the protocol or a bound.
    Violation,
    /// An operator.
    Operator,
}

/// What passed through a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    pub(super) messages_up: u64,
    pub(super) messages_down: u64,
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
}

impl Journal {
    /// Begins for a session whose target is already fit to be shown.
    pub fn new(target: String) -> Box<Self> {
        Box::new(Self {
            target: target.into_boxed_str(),
            opened: Instant::now(),
            servers: Vec::new(),
            parting: None,
        })
    }

    /// Says that the session has opened.
    pub(super) fn open(&self, session: &SessionView, generation: Generation) {
        info!(
            target: ACCESS,
            event = "open",
            session = session.session.as_str(),
            board = session.board.as_str(),
            route = session.route,
            server = session.server.as_str(),
            generation = generation.number(),
            client = session.client,
            transparent = session.transparent,
            request = &*self.target,
            "session opened"
        );
    }

    /// Says that the session has crossed to another server with its socket open.
    pub(super) fn cross(&mut self, session: &SessionView, from: ServerName, generation: Generation) {
        info!(
            target: ACCESS,
            event = "switch",
            session = session.session.as_str(),
            board = session.board.as_str(),
            route = session.route,
            from = from.as_str(),
            server = session.server.as_str(),
            generation = generation.number(),
            switches = session.switches,
            "session switched"
        );
        if self.servers.len() < SERVERS_MAX {
            self.servers.push(from);
        }
    }

    /// Notes who ends the session, and the code of a Close of the gateway's own; what follows that is its echo.
    pub(super) fn part(&mut self, by: ClosedBy, told: Option<CloseCode>) {
        let parting = self.parting.get_or_insert(Parting { by, told });
        // A command comes before the Close that it announces.
        if parting.by == by {
            parting.told = parting.told.or(told);
        }
    }

    /// Returns who has ended the session; none while it goes on.
    pub(super) fn parting(&self) -> Option<Parting> {
        self.parting
    }

    /// Says that the session has ended. `code` is what it was closed with.
    pub(super) fn close(&self, session: &SessionView, code: Option<CloseCode>, traffic: Traffic) {
        let mut servers: Vec<&str> = self.servers.iter().map(ServerName::as_str).collect();
        servers.push(session.server.as_str());
        info!(
            target: ACCESS,
            event = "close",
            session = session.session.as_str(),
            board = session.board.as_str(),
            route = session.route,
            servers = servers.join(","),
            client = session.client,
            closed_by = self.parting.map(|parting| parting.by.text()),
            code = code.map(CloseCode::get),
            duration_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX),
            switches = session.switches,
            messages_up = traffic.messages_up,
            messages_down = traffic.messages_down,
            bytes_up = traffic.bytes_up,
            bytes_down = traffic.bytes_down,
            request = &*self.target,
            "session closed"
        );
    }
}

impl ClosedBy {
    fn text(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Reconnect => "reconnect",
            Self::Violation => "violation",
            Self::Operator => "operator",
        }
    }
}

/// A session that lives for months crosses often; its line names the first servers and the last.
const SERVERS_MAX: usize = 32;
