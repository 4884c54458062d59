//! One visit of a server: a test board is opened, a session is dialled as the gateway would, and both are closed again.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use handover_protocol::contract::ContractProblemType;
use handover_protocol::{BoardId, ServerName, SessionId};
use http::Request;
use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use tokio::time::Instant;

use super::conversation::{Conversation, Ending, Form};
use super::report::ProbeReport;
use super::station::{GENERATION, Station};
use super::trial::Trial;
use crate::upstream::{Agreement, Asking, ControlError, DialDeadlines, DialIds, Dialled, Handshake, Terms, dial};

/// How a visit comes to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// As a client does that the gateway lets in.
    Fresh,
    /// As a session that the gateway carries over from another server.
    Carried,
}

/// What came of one visit.
pub(super) struct Visit {
    /// What the server said unasked.
    pub greeting: Vec<Form>,
    /// What each message was answered with.
    pub answers: Vec<Vec<Form>>,
    /// How the server ended it, where it did.
    pub cut: Option<Ending>,
    /// What the server said without being spoken to, or without end.
    pub unasked: Vec<Form>,
}

impl Visit {
    /// Returns the forms of the last answer, each once.
    pub(super) fn last(&self) -> Vec<&Form> {
        let mut forms: Vec<&Form> = self.answers.last().into_iter().flatten().collect();
        forms.sort();
        forms.dedup();
        forms
    }

    /// Counts what a client of this session has heard before its last message.
    pub(super) fn opening(&self) -> usize {
        let openers = &self.answers[..self.answers.len().saturating_sub(1)];
        self.greeting.len() + openers.iter().map(Vec::len).sum::<usize>()
    }
}

/// What a 101 said.
pub(super) struct Answered {
    pub agreement: Agreement,
    pub terms: Terms,
}

impl Trial<'_> {
    /// Opens a test board, says something at it, and closes it; nothing where no session could be opened.
    pub(super) async fn visit(
        &self,
        station: &Station,
        arrival: Arrival,
        script: impl Iterator<Item = &String>,
        report: &mut ProbeReport,
    ) -> Option<Visit> {
        let (board, dialled) = self.enter(station, arrival, None, Asking::AsOffered, report).await?;
        let mut conversation = Conversation::over(dialled, self.wait).await;
        let mut visit = Visit {
            greeting: conversation.hear().await,
            answers: Vec::new(),
            cut: None,
            unasked: Vec::new(),
        };
        for text in script {
            if conversation.ended().is_none() {
                visit.answers.push(conversation.say(text).await);
            }
        }
        visit.cut = conversation.ended().cloned();
        if arrival == Arrival::Fresh {
            conversation.overhear().await;
        }
        visit.unasked = conversation.unasked().to_vec();
        conversation.leave().await;
        close(station, &board, report).await;
        Some(visit)
    }

    /// Opens a test board for its handshake only.
    pub(super) async fn dial(
        &self,
        station: &Station,
        arrival: Arrival,
        extensions: Option<&'static str>,
        asking: Asking<'_>,
        report: &mut ProbeReport,
    ) -> Option<Answered> {
        let (board, dialled) = self.enter(station, arrival, extensions, asking, report).await?;
        let answered = Answered {
            agreement: dialled.agreement.clone(),
            terms: dialled.terms.clone(),
        };
        Conversation::over(dialled, self.wait).await.leave().await;
        close(station, &board, report).await;
        Some(answered)
    }

    async fn enter(
        &self,
        station: &Station,
        arrival: Arrival,
        extensions: Option<&'static str>,
        asking: Asking<'_>,
        report: &mut ProbeReport,
    ) -> Option<(BoardId, Dialled)> {
        let board = test_board();
        if let Err(error) = station.open(&board).await {
            report.fault(format!("{}: takes no test board: {}", station.url(), chain(&error)));
            return None;
        }
        let ids = DialIds {
            board: board.clone(),
            generation: GENERATION,
            session: session(),
            from: (arrival == Arrival::Carried).then(|| (source(), session())),
        };
        let deadlines = DialDeadlines::at(Instant::now() + DIAL_TIMEOUT);
        match dial(
            &station.to,
            &self.handshake(&board, extensions),
            &ids,
            asking,
            deadlines,
        )
        .await
        {
            Ok(dialled) => Some((board, dialled)),
            Err(error) => {
                report.fault(format!("{}: opens no session: {}", station.url(), chain(&error)));
                close(station, &board, report).await;
                None
            }
        }
    }

    fn handshake(&self, board: &BoardId, extensions: Option<&'static str>) -> Handshake {
        let mut key = [0; 16];
        getrandom::fill(&mut key).expect("the system has randomness once it runs commands");
        let key = STANDARD.encode(key);
        let mut request = Request::builder()
            .uri(self.url.target(board))
            .header(HOST, self.url.authority())
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, key);
        if let Some(extensions) = extensions {
            request = request.header(SEC_WEBSOCKET_EXTENSIONS, extensions);
        }
        if !self.subprotocols.is_empty() {
            request = request.header(SEC_WEBSOCKET_PROTOCOL, self.subprotocols.join(", "));
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(())
            .expect("URL and headers were checked as they were read");
        Handshake::new(&request.into_parts().0)
    }
}

async fn close(station: &Station, board: &BoardId, report: &mut ProbeReport) {
    if let Err(error) = station.close(board).await {
        // It has let go of the board by itself, once nobody was on it.
        if matches!(&error, ControlError::Refused(problem) if problem.kind == ContractProblemType::UnknownBoard) {
            return;
        }
        let url = station.url();
        report.note(format!(
            "{url}: does not drop the test board {board}: {}",
            chain(&error)
        ));
    }
}

fn test_board() -> BoardId {
    format!("handover-probe-{:016x}", number())
        .parse()
        .expect("letters and hexadecimal digits are a board's id")
}

fn session() -> SessionId {
    format!("probe-{:016x}", number())
        .parse()
        .expect("letters and hexadecimal digits are a session's id")
}

/// Names the server that a visit claims to be carried over from.
fn source() -> ServerName {
    "handover-probe".parse().expect("letters are a server's name")
}

fn number() -> u64 {
    getrandom::u64().expect("the system has randomness once it runs commands")
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What browsers offer.
pub(super) const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// As a route has it by default.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
