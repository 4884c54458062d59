//! The sessions of a board during its move: they are asked together, and who cannot follow leaves without holding up
//! the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use handover_protocol::contract::Frozen;
use handover_protocol::{Generation, ServerName, SessionId};
use tokio::time::Instant;

use crate::board::Board;
use crate::session::{Answer, HoldKind, Question, QuietSign, SessionHandle};
use crate::telemetry::Metrics;
use crate::upstream::Server;

/// The board's sessions that still take part in its move.
#[derive(Debug, Clone, Default)]
pub(super) struct Barrier {
    sessions: Vec<Arc<SessionHandle>>,
    /// n of every session that was asked, whether it still takes part or not.
    counts: BTreeMap<SessionId, u64>,
    unconfirmed: BTreeSet<SessionId>,
    /// How many sessions there were when the hold began.
    found: u64,
    switched: u64,
    fallen_back: u64,
    /// Sessions that were to go on and were told to reconnect instead.
    cut: u64,
}

impl Barrier {
    /// Tells every client by a message to reconnect; ends once each has left or declined.
    pub(super) async fn tell(board: &Board, text: &str) {
        let asked = board
            .sessions()
            .into_iter()
            .map(|session| session.ask(Question::Tell { text: text.to_owned() }));
        join_all(asked).await;
    }

    /// Stops every session of a parked board at a message boundary.
    pub(super) async fn hold(board: &Board, kind_of: impl Fn(&SessionHandle) -> HoldKind, metrics: &Metrics) -> Self {
        let all = board.sessions();
        let mut barrier = Self {
            found: all.len() as u64,
            ..Self::default()
        };
        let answers = ask(&all, |session| Question::Hold(kind_of(session))).await;
        for (session, answer) in answers {
            let passed = answer.map_or_else(|| session.passed(), |answer| answer.passed);
            barrier.counts.insert(session.id().clone(), passed);
            barrier.keep(session, answer, metrics);
        }
        for (session, passed) in board.ended_sessions() {
            barrier.counts.entry(session).or_insert(passed);
        }
        barrier
    }

    /// Returns n of every session, for the freeze.
    pub(super) fn counts(&self) -> BTreeMap<SessionId, u64> {
        self.counts.clone()
    }

    /// Returns the sessions that still take part.
    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.sessions.iter().map(|session| session.id().clone()).collect()
    }

    /// Returns the sessions that were held and do not take part any more, or have ended meanwhile.
    pub(super) fn gone(&self, board: &Board) -> Vec<SessionId> {
        let on_board: BTreeSet<SessionId> = board.sessions().iter().map(|session| session.id().clone()).collect();
        let here: BTreeSet<SessionId> = self.ids().into_iter().filter(|id| on_board.contains(id)).collect();
        self.counts.keys().filter(|id| !here.contains(id)).cloned().collect()
    }

    /// Takes in which sessions the source could not account for, and brings the answers of the others home.
    pub(super) async fn drain(&mut self, frozen: &Frozen, metrics: &Metrics) {
        let (short, whole): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sessions)
            .into_iter()
            .partition(|session| frozen.short.contains_key(session.id()) || !frozen.sent.contains_key(session.id()));
        for session in short {
            self.unconfirmed.insert(session.id().clone());
            metrics.fallbacks.of(crate::telemetry::label::Fallback::Short).inc();
            self.fallen_back += 1;
            session.cut();
        }
        self.unconfirmed.extend(frozen.short.keys().cloned());
        let sent = |session: &SessionHandle| frozen.sent.get(session.id()).copied().unwrap_or_default();
        for (session, answer) in ask(&whole, |session| Question::Drain { sent: sent(session) }).await {
            self.keep(session, answer, metrics);
        }
    }

    /// Has an opaque source's WebSocket layer confirm what it read, for every session, and has them look for a sign of its
    /// quiet behind that.
    pub(super) async fn confirm(&mut self, by: Instant, sign: Option<&Arc<QuietSign>>) {
        let question = |_: &SessionHandle| Question::Confirm {
            by,
            sign: sign.cloned(),
        };
        for (session, answer) in ask(&self.sessions, question).await {
            if answer.is_some_and(|answer| !answer.is_done) {
                self.unconfirmed.insert(session.id().clone());
            }
        }
    }

    /// Takes in that an opaque source was still speaking when time was up: an answer to one session may be to what
    /// another said, so of none is it known that everything was handled.
    pub(super) fn note_restless(&mut self) {
        self.unconfirmed
            .extend(self.sessions.iter().map(|session| session.id().clone()));
    }

    /// Ends every connection to an opaque source and takes what it still says.
    pub(super) async fn close_source(&mut self) {
        for (session, answer) in ask(&self.sessions, |_| Question::CloseSource).await {
            if answer.is_some_and(|answer| !answer.is_done) {
                self.unconfirmed.insert(session.id().clone());
            }
        }
    }

    /// Attaches every session that may cross to a server; the others stay held, to be told.
    pub(super) async fn switch(
        &mut self,
        target: &Arc<Server>,
        generation: Generation,
        from: &ServerName,
        metrics: &Metrics,
    ) {
        let (crossing, staying): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sessions)
            .into_iter()
            .partition(|session| session.may_cross());
        for session in staying {
            session.cut();
        }
        let question = |_: &SessionHandle| Question::Switch {
            target: Arc::clone(target),
            generation,
            from: from.clone(),
        };
        for (session, answer) in ask(&crossing, question).await {
            if answer.is_some_and(|answer| answer.is_done) {
                self.switched += 1;
            }
            self.keep(session, answer, metrics);
        }
    }

    /// Returns how long ago the source last said something to anybody, in milliseconds since `since_ms`.
    pub(super) fn last_heard_ms(&self, since_ms: u64) -> u64 {
        self.sessions
            .iter()
            .map(|session| session.heard_source_ms())
            .fold(since_ms, u64::max)
    }

    /// Reads whether the source has told everybody on the board that it is done, and said nothing since.
    pub(super) fn is_source_done(&self) -> bool {
        !self.sessions.is_empty() && self.sessions.iter().all(|session| session.source_is_done())
    }

    /// Lets every session of the board go on, also those of which no answer came: who was asked last in a step that was
    /// given up is not known here.
    pub(super) fn resume_all(board: &Board) {
        for session in board.sessions() {
            session.order(crate::session::Order::Resume);
        }
    }

    /// Tells every session of the board to reconnect, but for those that have crossed.
    pub(super) fn cut(&mut self, board: &Board) {
        for session in board.sessions() {
            session.cut();
        }
        self.cut += self.sessions.len() as u64;
        self.sessions.clear();
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            found: self.found,
            switched: self.switched,
            fallen_back: self.fallen_back,
            cut: self.cut,
            unconfirmed: self.unconfirmed.iter().cloned().collect(),
        }
    }

    fn keep(&mut self, session: Arc<SessionHandle>, answer: Option<Answer>, metrics: &Metrics) {
        match answer {
            Some(answer) if answer.is_done => self.sessions.push(session),
            Some(answer) => {
                self.fallen_back += 1;
                if let Some(reason) = answer.fallback {
                    metrics.fallbacks.of(reason).inc();
                }
            }
            // It has ended by itself.
            None => {}
        }
    }
}

/// What became of the sessions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub found: u64,
    pub switched: u64,
    pub fallen_back: u64,
    pub cut: u64,
    pub unconfirmed: Vec<SessionId>,
}

/// Asks sessions together; no answer stands for one that has ended.
async fn ask(
    sessions: &[Arc<SessionHandle>],
    question: impl Fn(&SessionHandle) -> Question,
) -> Vec<(Arc<SessionHandle>, Option<Answer>)> {
    let asked = sessions.iter().map(|session| {
        let answer = session.ask(question(session));
        let session = Arc::clone(session);
        async move { (session, answer.await.ok()) }
    });
    join_all(asked).await
}
