//! The task that owns a board: its state, its loop, and its clock.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;

use handover_protocol::contract::{BoardReport, BoardRole, ContractProblem, ContractProblemType};
use handover_protocol::generation::{Attempt, Generation, Revision};
use handover_protocol::id::BoardId;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::batch::{Pending, Saving};
use super::canvas::Canvas;
use super::event::{Event, Order};
use super::freeze::Freeze;
use super::roster::Roster;
use super::work::Work;
use crate::board_server::problem::refusal;
use crate::board_server::server::Server;
use crate::store::Fence;

/// A board and everything that is under way with it.
pub(in crate::board_server) struct Actor {
    pub(super) server: Arc<Server>,
    pub(super) board: BoardId,
    pub(super) phase: Phase,
    /// Of a standby the source's.
    pub(super) generation: Generation,
    /// The highest that was seen.
    pub(super) attempt: Attempt,
    /// Everything up to here is over: no freeze and no standby of it comes any more.
    pub(super) closed: Option<Attempt>,
    pub(super) canvas: Canvas,
    pub(super) roster: Roster,
    /// Changes that wait for the batch before them.
    pub(super) waiting: Vec<Pending>,
    /// When the oldest of them came.
    pub(super) waiting_since: Option<Instant>,
    pub(super) saving: Option<Saving>,
    pub(super) work: Option<Work>,
    /// What has to wait for the work under way.
    pub(super) deferred: VecDeque<Event>,
    /// What sessions that were carried over have seen.
    pub(super) resumed_from: u64,
    /// When sessions that a move was to bring count as gone.
    pub(super) expected_until: Option<Instant>,
    is_stopping: bool,
    report: watch::Sender<Option<BoardReport>>,
}

/// What the server does with the board.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing: the board is not in memory.
    Empty,
    /// It waits to be activated.
    Standby,
    /// It serves the board.
    Owner,
    /// It takes no more changes.
    Frozen(Box<Freeze>),
}

impl Actor {
    /// Makes a board of which nothing is loaded.
    pub(in crate::board_server) fn new(
        server: Arc<Server>,
        board: BoardId,
        closed: Option<Attempt>,
        report: watch::Sender<Option<BoardReport>>,
    ) -> Self {
        Self {
            server,
            board,
            phase: Phase::Empty,
            generation: Generation::NONE,
            attempt: Attempt::NONE,
            closed,
            canvas: Canvas::default(),
            roster: Roster::default(),
            waiting: Vec::new(),
            waiting_since: None,
            saving: None,
            work: None,
            deferred: VecDeque::new(),
            resumed_from: 0,
            expected_until: None,
            is_stopping: false,
            report,
        }
    }

    /// Serves the board until it is in memory no more, and returns up to which attempt everything is over.
    ///
    /// What is left in the mailbox then is dropped; who waits for an answer asks a new task.
    pub(in crate::board_server) async fn run(mut self, mut mailbox: mpsc::Receiver<Event>) -> Option<Attempt> {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        let server = self.server.clone();
        loop {
            let wake = self.next_wake();
            // Every arm is cancel-safe: nothing is received unless its arm is taken, and the futures of the work under
            // way stay where they are.
            tokio::select! {
                count = mailbox.recv_many(&mut events, EVENTS_AT_ONCE) => match count {
                    // Nobody is left who could ask for anything.
                    0 => break,
                    _ => events.drain(..).for_each(|event| self.take(event)),
                },
                written = Saving::finished(&mut self.saving) => self.note_written(written),
                done = Work::finished(&mut self.work) => self.note_done(done),
                () = sleep_until_some(wake) => self.tick(Instant::now()),
                () = server.stopping.cancelled(), if !self.is_stopping => self.stop(),
            }
            self.settle();
            if self.is_over() {
                break;
            }
        }
        self.report.send_replace(None);
        self.closed
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Said(key, said, flavor) => self.note_said(key, said, flavor),
            Event::Ended(key) => self.note_ended(key),
            // Who waits for an answer learns that the server ends.
            Event::Attach(..)
            | Event::Check(..)
            | Event::Freeze(..)
            | Event::Activate(..)
            | Event::Thaw(..)
            | Event::Prepare(..)
            | Event::Forget(..)
                if self.is_stopping => {}
            // These need to know what comes of the work under way.
            Event::Attach(..) | Event::Check(..) | Event::Freeze(..) | Event::Activate(..) | Event::Thaw(..)
                if self.work.is_some() =>
            {
                self.deferred.push_back(event);
            }
            Event::Prepare(request, reply) => self.prepare(request, reply),
            Event::Forget(query, reply) => self.forget(query, reply),
            Event::Attach(attach, reply) => self.attach(attach, reply),
            Event::Check(generation, reply) => {
                let _ = reply.send(self.check(generation));
            }
            Event::Freeze(request, reply) => self.freeze(request, reply),
            Event::Activate(request, reply) => self.activate(request, reply),
            Event::Thaw(request, reply) => self.thaw(request, reply),
            Event::FenceDoubted => self.check_fence(),
        }
    }

    /// Does what follows from whatever has just happened.
    fn settle(&mut self) {
        if self.work.is_none() {
            for event in std::mem::take(&mut self.deferred) {
                self.take(event);
            }
        }
        self.save_waiting(Instant::now());
        self.answer_freeze(Instant::now());
        if self.is_stopping && self.is_saved() {
            self.roster.close_all(&Order::going_away());
        }
        self.publish();
    }

    fn publish(&self) {
        let role = match &self.phase {
            Phase::Empty => None,
            Phase::Standby => Some(BoardRole::Standby),
            Phase::Owner => Some(BoardRole::Owner),
            Phase::Frozen(_) => Some(BoardRole::Frozen),
        };
        let report = role.map(|role| BoardReport {
            board: self.board.clone(),
            generation: self.generation,
            role,
            revision: self.revision(),
            sessions: self.roster.here() as u64,
        });
        self.report.send_if_modified(|current| {
            let is_news = *current != report;
            *current = report;
            is_news
        });
    }

    fn next_wake(&self) -> Option<Instant> {
        let freeze = match &self.phase {
            Phase::Frozen(freeze) if self.work.is_none() => Some(freeze.next_wake()),
            Phase::Empty | Phase::Standby | Phase::Owner | Phase::Frozen(_) => None,
        };
        [freeze, self.expected_due(), self.save_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns when sessions that did not come are announced as gone; nobody is told anything while frozen.
    fn expected_due(&self) -> Option<Instant> {
        self.expected_until.filter(|_| matches!(self.phase, Phase::Owner))
    }

    fn tick(&mut self, now: Instant) {
        if self.expected_due().is_some_and(|at| now >= at) {
            self.give_up_expected();
        }
        if let Phase::Frozen(freeze) = &self.phase
            && freeze.is_expired(now)
            && self.work.is_none()
        {
            self.read_own_fence();
        }
    }

    /// Reads whether there is nothing more to do for the board.
    fn is_over(&self) -> bool {
        let is_empty = match &self.phase {
            Phase::Empty => true,
            Phase::Owner if !self.server.is_contract() => self.roster.here() == 0,
            Phase::Owner | Phase::Standby | Phase::Frozen(_) => self.is_stopping && self.roster.here() == 0,
        };
        is_empty && self.is_saved() && self.work.is_none() && self.deferred.is_empty()
    }

    fn stop(&mut self) {
        self.is_stopping = true;
        // What the answers say is on its way to nobody.
        self.work = None;
        self.deferred.clear();
        self.pause_all();
    }

    /// Reads whether every change that was taken is in the database.
    pub(super) fn is_saved(&self) -> bool {
        self.waiting.is_empty() && self.saving.is_none()
    }

    /// Reads whether the server is on its way out.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    pub(super) fn revision(&self) -> Revision {
        Revision::new(self.canvas.revision())
    }

    /// Drops the board: somebody else has its fence. Whatever was not saved is not acknowledged.
    pub(super) fn fenced_out(&mut self, fence: Option<&Fence>) {
        warn!(board = %self.board, generation = %self.generation, fence = ?fence, "fenced out");
        self.drop_board(|generation| fenced_problem(generation, fence));
    }

    /// Drops everything of the board; who waits for a freeze is told why.
    pub(super) fn drop_board(&mut self, problem: impl Fn(Generation) -> ContractProblem) {
        match std::mem::replace(&mut self.phase, Phase::Empty) {
            Phase::Empty => return,
            Phase::Standby | Phase::Owner => {}
            Phase::Frozen(mut freeze) => freeze.refuse(|| problem(self.generation)),
        }
        self.roster.close_all(&Order::moved());
        self.waiting.clear();
        self.waiting_since = None;
        self.saving = None;
        self.canvas = Canvas::default();
        self.expected_until = None;
        info!(board = %self.board, "dropped");
    }
}

/// Says that somebody else has the fence.
pub(super) fn fenced_problem(generation: Generation, fence: Option<&Fence>) -> ContractProblem {
    let detail = match fence {
        Some(fence) => format!(
            "generation {generation}, but the fence is {}'s at {}",
            fence.owner, fence.generation
        ),
        None => format!("generation {generation}, but the board has no fence"),
    };
    ContractProblem {
        fence: fence.map(|fence| fence.generation),
        fence_owner: fence.and_then(Fence::owner_of_contract),
        ..refusal(ContractProblemType::StaleGeneration, detail)
    }
}

async fn sleep_until_some(wake: Option<Instant>) {
    match wake {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// Handled before the next batch is saved, so that it takes many at once.
const EVENTS_AT_ONCE: usize = 64;
