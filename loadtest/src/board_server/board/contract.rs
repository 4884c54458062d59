//! The calls of the control contract, on one board.

use handover_protocol::contract::{
    ActivateRequest, Activated, ContractProblem, ContractProblemType, ForgetQuery, FreezeRequest, Frozen,
    PrepareRequest, Prepared, ThawRequest, Thawed,
};
use handover_protocol::generation::{Attempt, Generation};
use handover_protocol::id::BoardId;
use tokio::time::Instant;
use tracing::{info, warn};

use super::actor::{Actor, Phase};
use super::event::{Event, Order, Reply};
use super::freeze::Freeze;
use super::work::{Kind, Known, Work, read, read_fence, take_fence};
use crate::board_server::problem::refusal;

impl Actor {
    /// Loads the board as a standby, or brings one up to date.
    pub(super) fn prepare(&mut self, request: PrepareRequest, reply: Reply<Prepared>) {
        if let Some(waiters) = self.work.as_mut().and_then(Work::standby_waiters) {
            if request.generation < self.generation || request.attempt < self.attempt {
                let _ = reply.send(Err(self.stale(request.generation, request.attempt)));
                return;
            }
            waiters.push(reply);
            self.generation = request.generation;
            self.attempt = request.attempt;
            return;
        }
        if self.work.is_some() {
            self.deferred.push_back(Event::Prepare(request, reply));
            return;
        }
        let is_owner = matches!(self.phase, Phase::Owner | Phase::Frozen(_));
        let is_stale = request.generation < self.generation || (is_owner && request.generation == self.generation);
        if is_stale || self.is_past(request.attempt) {
            let _ = reply.send(Err(self.stale(request.generation, request.attempt)));
            return;
        }
        let known = match &self.phase {
            Phase::Owner => {
                let reading = read_fence(self.server.clone(), self.board.clone());
                self.work = Some(Work::new(Kind::OwnershipCheck(request, reply), reading));
                return;
            }
            Phase::Frozen(_) => {
                // It has moved away and is to come back: the copy is warm.
                self.retire_copy();
                Known::UpTo(self.canvas.revision())
            }
            Phase::Standby => Known::UpTo(self.canvas.revision()),
            Phase::Empty => match self.server.try_place_among_loads() {
                Some(place) => Known::Nothing(Some(place)),
                None => {
                    let detail = "too many boards are being loaded".to_owned();
                    let _ = reply.send(Err(refusal(ContractProblemType::Busy, detail)));
                    return;
                }
            },
        };
        self.generation = request.generation;
        self.attempt = request.attempt;
        let reading = read(self.server.clone(), self.board.clone(), known);
        self.work = Some(Work::new(Kind::Standby(vec![reply]), reading));
    }

    /// Begins to freeze the board.
    pub(super) fn freeze(&mut self, request: FreezeRequest, reply: Reply<Frozen>) {
        if let Err(problem) = self.admit_call(request.generation, request.attempt) {
            let _ = reply.send(Err(problem));
            return;
        }
        if self.is_past(request.attempt) {
            let _ = reply.send(Err(self.stale(request.generation, request.attempt)));
            return;
        }
        let now = Instant::now();
        self.attempt = request.attempt;
        if let Phase::Frozen(freeze) = &mut self.phase
            && freeze.attempt() == request.attempt
        {
            freeze.answer_again(&request, reply, now);
            return;
        }
        let mut freeze = Freeze::new(request, reply, now);
        let earlier = std::mem::replace(&mut self.phase, Phase::Empty);
        let attempt = freeze.attempt();
        if let Phase::Frozen(mut earlier) = earlier {
            earlier.refuse(|| overtaken(attempt));
            freeze.go_on_from(*earlier);
        }
        self.phase = Phase::Frozen(Box::new(freeze));
        self.enforce_freeze();
    }

    /// Takes the fence and owns the board.
    pub(super) fn activate(&mut self, request: ActivateRequest, reply: Reply<Activated>) {
        let owns = matches!(self.phase, Phase::Owner | Phase::Frozen(_));
        if request.generation < self.generation || request.attempt < self.attempt {
            let _ = reply.send(Err(self.stale(request.generation, request.attempt)));
            return;
        }
        if matches!(self.phase, Phase::Owner) && request.generation == self.generation {
            self.attempt = request.attempt;
            let revision = self.revision();
            let _ = reply.send(Ok(Activated { revision }));
            return;
        }
        if owns && request.generation > self.generation {
            // Their connections belong to a term that is over.
            self.roster.close_all(&Order::moved());
        }
        if !self.is_saved() {
            self.deferred.push_back(Event::Activate(request, reply));
            return;
        }
        self.attempt = request.attempt;
        let known = match &self.phase {
            Phase::Empty => Known::Nothing(None),
            Phase::Standby | Phase::Owner | Phase::Frozen(_) => Known::UpTo(self.canvas.revision()),
        };
        let taking = take_fence(self.server.clone(), self.board.clone(), known, request.generation);
        self.work = Some(Work::new(Kind::Activation(request, reply), taking));
    }

    /// Begins to take the board back after an abort: nothing is given back before the fence is read.
    pub(super) fn thaw(&mut self, request: ThawRequest, reply: Reply<Thawed>) {
        if let Err(problem) = self.admit_call(request.generation, request.attempt) {
            let _ = reply.send(Err(problem));
            return;
        }
        let reading = read_fence(self.server.clone(), self.board.clone());
        self.work = Some(Work::new(Kind::Thaw(request, reply), reading));
    }

    /// Serves the board after a thaw, and closes the attempt.
    pub(super) fn serve_again(&mut self, request: &ThawRequest) -> Thawed {
        self.attempt = request.attempt;
        self.take_back(request.attempt);
        for id in &request.gone {
            let gone = self.roster.by_id(id).filter(|(_, session)| session.is_here());
            if let Some((key, _)) = gone {
                // Its connection ends, and with that the others are told.
                self.roster.close(key, Order::moved());
            }
        }
        Thawed {
            revision: self.revision(),
        }
    }

    /// Drops the standby or the frozen copy.
    pub(super) fn forget(&mut self, query: ForgetQuery, reply: Reply<()>) {
        let is_loading = self.work.as_mut().is_some_and(|work| work.standby_waiters().is_some());
        if self.work.is_some() && !is_loading {
            self.deferred.push_back(Event::Forget(query, reply));
            return;
        }
        let answer = match &self.phase {
            Phase::Owner => {
                let detail = format!("this server owns the board at generation {}", self.generation);
                Err(refusal(ContractProblemType::NotFrozen, detail))
            }
            Phase::Empty | Phase::Standby | Phase::Frozen(_)
                if query.generation < self.generation || query.attempt < self.attempt =>
            {
                Err(self.stale(query.generation, query.attempt))
            }
            Phase::Empty | Phase::Standby | Phase::Frozen(_) => Ok(()),
        };
        if answer.is_ok() {
            self.closed = self.closed.max(Some(query.attempt));
            self.attempt = query.attempt;
            let attempt = query.attempt;
            if let Some(waiters) = self.work.as_mut().and_then(Work::standby_waiters) {
                for waiter in waiters.drain(..) {
                    let _ = waiter.send(Err(overtaken(attempt)));
                }
            }
            self.work = None;
            self.drop_board(|_| overtaken(attempt));
        }
        let _ = reply.send(answer);
    }

    /// Reads whether the fence is still this server's, before a board thaws itself.
    pub(super) fn read_own_fence(&mut self) {
        let reading = read_fence(self.server.clone(), self.board.clone());
        self.work = Some(Work::new(Kind::SelfThaw, reading));
    }

    /// Looks whether somebody else has taken the fence of a board that is served here.
    pub(super) fn check_fence(&mut self) {
        // What is under way reads the fence itself, or the next look does.
        if matches!(self.phase, Phase::Owner) && self.work.is_none() {
            let reading = read_fence(self.server.clone(), self.board.clone());
            self.work = Some(Work::new(Kind::FenceCheck, reading));
        }
    }

    /// Serves again, and handles what came while the board was frozen.
    pub(super) fn take_back(&mut self, attempt: Attempt) {
        self.closed = self.closed.max(Some(attempt));
        if let Phase::Frozen(mut freeze) = std::mem::replace(&mut self.phase, Phase::Owner) {
            freeze.refuse(|| overtaken(attempt));
            for (key, said, flavor) in freeze.take_kept() {
                self.note_said(key, said, flavor);
            }
            for key in freeze.take_departures() {
                self.announce_left(key);
            }
            for key in self.roster.keys_here() {
                if let Some(session) = self.roster.session(key) {
                    session.order(Order::Read);
                }
            }
            info!(board = %self.board, generation = %self.generation, "thawed");
        }
    }

    /// Turns whatever copy there is into one without sessions.
    pub(super) fn retire_copy(&mut self) {
        let attempt = self.attempt;
        if let Phase::Frozen(mut freeze) = std::mem::replace(&mut self.phase, Phase::Standby) {
            freeze.refuse(|| overtaken(attempt));
        }
        self.roster.close_all(&Order::moved());
    }

    /// Closes who was not named, and stops reading from who has said enough.
    fn enforce_freeze(&mut self) {
        let Phase::Frozen(freeze) = &mut self.phase else {
            return;
        };
        // An earlier freeze may have kept what this one counts.
        for (key, said, flavor) in freeze.take_kept() {
            self.note_said(key, said, flavor);
        }
        for key in self.roster.keys_here() {
            let (Phase::Frozen(freeze), Some(session)) = (&self.phase, self.roster.session(key)) else {
                return;
            };
            if freeze.names(session) {
                self.read_what_was_counted(key);
            } else {
                warn!(board = %self.board, session = ?session.id(), "a freeze does not name a session");
                self.roster.close(key, Order::not_told_of());
            }
        }
    }

    /// Checks that a call on an owned board speaks of this term and of no earlier attempt.
    fn admit_call(&self, generation: Generation, attempt: Attempt) -> Result<(), ContractProblem> {
        match &self.phase {
            Phase::Empty => Err(unknown_board(&self.board)),
            Phase::Standby => Err(self.not_owner(Some(generation))),
            Phase::Owner | Phase::Frozen(_) if generation > self.generation => Err(self.not_owner(Some(generation))),
            Phase::Owner | Phase::Frozen(_) if generation < self.generation || attempt < self.attempt => {
                Err(self.stale(generation, attempt))
            }
            Phase::Owner | Phase::Frozen(_) => Ok(()),
        }
    }

    /// Reads whether an attempt is below one that was seen, or closed.
    fn is_past(&self, attempt: Attempt) -> bool {
        attempt < self.attempt || self.closed.is_some_and(|closed| attempt <= closed)
    }

    fn stale(&self, generation: Generation, attempt: Attempt) -> ContractProblem {
        if generation < self.generation || !self.is_past(attempt) {
            let detail = format!("generation {generation}, but this server has seen {}", self.generation);
            return ContractProblem {
                fence: Some(self.generation),
                ..refusal(ContractProblemType::StaleGeneration, detail)
            };
        }
        let detail = match self.closed {
            Some(closed) if attempt <= closed => format!("attempt {attempt} was closed"),
            Some(_) | None => format!("attempt {attempt}, but this server has seen {}", self.attempt),
        };
        refusal(ContractProblemType::StaleAttempt, detail)
    }
}

/// Says that the board is not in memory.
pub(in crate::board_server) fn unknown_board(board: &BoardId) -> ContractProblem {
    refusal(
        ContractProblemType::UnknownBoard,
        format!("board {board} is not in memory"),
    )
}

fn overtaken(attempt: Attempt) -> ContractProblem {
    refusal(
        ContractProblemType::StaleAttempt,
        format!("a call of attempt {attempt} has ended this one"),
    )
}
