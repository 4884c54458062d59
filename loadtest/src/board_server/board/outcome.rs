//! What follows once a board is loaded, has its fence, or has not.

use std::time::Duration;

use handover_protocol::contract::{
    ActivateRequest, Activated, ContractProblem, ContractProblemType, PrepareRequest, Prepared, ThawRequest, Thawed,
};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::actor::{Actor, Phase, fenced_problem};
use super::event::{Event, Reply};
use super::freeze::Checkpoint;
use super::work::{Kind, Outcome};
use crate::board_server::problem::refusal;
use crate::store::{ChangeRow, Fence, FenceTaken, StoreError};

impl Actor {
    /// Goes on where work under way has come to its end.
    pub(super) fn note_done(&mut self, (kind, outcome): (Kind, Outcome)) {
        match (kind, outcome) {
            (Kind::Standby(waiters), Outcome::Read(rows)) => self.note_standby(waiters, rows),
            (Kind::Activation(request, reply), Outcome::Fence(taken)) => self.note_activation(request, reply, taken),
            (Kind::Opening, Outcome::Read(rows)) => self.note_opened(rows),
            (Kind::SelfThaw, Outcome::FenceRead(fence)) => self.note_self_thaw(fence),
            (Kind::Thaw(request, reply), Outcome::FenceRead(fence)) => self.note_thaw(&request, reply, fence),
            (Kind::FenceCheck, Outcome::FenceRead(fence)) => self.note_fence(fence),
            (Kind::OwnershipCheck(request, reply), Outcome::FenceRead(fence)) => {
                self.note_ownership(request, reply, fence);
            }
            (Kind::Rereading, Outcome::Read(Ok(rows))) => self.note_reread(rows),
            (Kind::Rereading, Outcome::Read(Err(fault))) => {
                warn!(board = %self.board, %fault, "cannot read the board anew");
                self.drop_board(|_| unavailable(&fault));
            }
            (Kind::Standby(_) | Kind::Opening | Kind::Rereading, Outcome::Fence(_) | Outcome::FenceRead(_))
            | (Kind::Activation(..), Outcome::Read(_) | Outcome::FenceRead(_))
            | (
                Kind::SelfThaw | Kind::Thaw(..) | Kind::FenceCheck | Kind::OwnershipCheck(..),
                Outcome::Read(_) | Outcome::Fence(_),
            ) => {
                unreachable!("each kind of work is begun with a future of its own outcome")
            }
        }
    }

    fn note_standby(&mut self, waiters: Vec<Reply<Prepared>>, rows: Result<Vec<ChangeRow>, StoreError>) {
        let answer = match rows {
            Ok(rows) => {
                self.canvas.take_in(rows);
                self.phase = Phase::Standby;
                let revision = self.revision();
                info!(board = %self.board, generation = %self.generation, %revision, "standby");
                Ok(Prepared { revision })
            }
            Err(fault) => {
                warn!(board = %self.board, %fault, "cannot load the board");
                Err(unavailable(&fault))
            }
        };
        for waiter in waiters {
            let _ = waiter.send(answer.clone());
        }
    }

    fn note_activation(
        &mut self,
        request: ActivateRequest,
        reply: Reply<Activated>,
        taken: Result<(FenceTaken, Vec<ChangeRow>), StoreError>,
    ) {
        let answer = match taken {
            Ok((FenceTaken::Taken, rows)) => self.own(request, rows),
            Ok((FenceTaken::Refused(fence), _)) => {
                let problem = fenced_problem(request.generation, Some(&fence));
                let is_ours = fence.owner == *self.server.owner && fence.generation == self.generation;
                if matches!(self.phase, Phase::Owner | Phase::Frozen(_)) && !is_ours {
                    self.fenced_out(Some(&fence));
                }
                Err(problem)
            }
            Err(fault) => {
                warn!(board = %self.board, %fault, "cannot take the fence");
                Err(unavailable(&fault))
            }
        };
        let _ = reply.send(answer);
    }

    /// Serves the board from now on: its fence was taken.
    fn own(&mut self, request: ActivateRequest, rows: Vec<ChangeRow>) -> Result<Activated, ContractProblem> {
        self.canvas.take_in(rows);
        let is_same_term = request.generation == self.generation;
        self.generation = request.generation;
        let revision = self.revision();
        let required = request.revision.unwrap_or(revision);
        if revision < required {
            error!(board = %self.board, %revision, %required, "the database ends before what the source had saved");
            self.server.note_alarm();
            self.retire_copy();
            let detail = format!("the database ends at revision {revision}, the source had saved {required}");
            return Err(refusal(ContractProblemType::RevisionMissing, detail));
        }
        if revision > required {
            error!(board = %self.board, %revision, %required, "the database holds more than the source had saved");
            self.server.note_alarm();
        }
        if is_same_term && matches!(self.phase, Phase::Frozen(_)) {
            self.take_back(request.attempt);
        } else {
            self.retire_copy();
        }
        self.phase = Phase::Owner;
        self.resumed_from = required.number();
        self.expect(&request);
        info!(board = %self.board, generation = %self.generation, %revision, "owner");
        Ok(Activated { revision })
    }

    fn expect(&mut self, request: &ActivateRequest) {
        let checkpoint = request.checkpoint.clone().map(serde_json::from_value::<Checkpoint>);
        let users = checkpoint.and_then(Result::ok).unwrap_or_default().users;
        let expected = request.sessions.iter().map(|id| (id.clone(), users.get(id).cloned()));
        self.roster.expect(expected);
        self.expected_until = (!request.sessions.is_empty()).then(|| Instant::now() + EXPECTED_TIMEOUT);
    }

    fn note_opened(&mut self, rows: Result<Vec<ChangeRow>, StoreError>) {
        match rows {
            Ok(rows) => {
                self.canvas.take_in(rows);
                self.phase = Phase::Owner;
            }
            Err(fault) => {
                warn!(board = %self.board, %fault, "cannot load the board");
                for event in std::mem::take(&mut self.deferred) {
                    if let Event::Attach(_, reply) = event {
                        let _ = reply.send(Err(unavailable(&fault)));
                    }
                }
            }
        }
    }

    fn note_self_thaw(&mut self, fence: Result<Option<Fence>, StoreError>) {
        let Phase::Frozen(freeze) = &self.phase else {
            return;
        };
        match fence {
            Ok(Some(fence)) if self.holds(&fence) => {
                warn!(board = %self.board, generation = %self.generation, "thawed without word from the gateway");
                let attempt = freeze.attempt();
                self.take_back(attempt);
            }
            Ok(fence) => self.fenced_out(fence.as_ref()),
            // Frozen it stays, and asks again.
            Err(fault) => warn!(board = %self.board, %fault, "cannot read the fence"),
        }
    }

    /// Takes the board back where the fence is still this server's: a thaw may have lain here while the process stood
    /// still and its board went elsewhere.
    fn note_thaw(&mut self, request: &ThawRequest, reply: Reply<Thawed>, fence: Result<Option<Fence>, StoreError>) {
        let answer = match fence {
            Ok(Some(fence)) if self.holds(&fence) => Ok(self.serve_again(request)),
            Ok(fence) => {
                let problem = fenced_problem(self.generation, fence.as_ref());
                self.fenced_out(fence.as_ref());
                Err(problem)
            }
            Err(fault) => Err(unavailable(&fault)),
        };
        let _ = reply.send(answer);
    }

    fn note_fence(&mut self, fence: Result<Option<Fence>, StoreError>) {
        match fence {
            Ok(Some(fence)) if self.holds(&fence) => {}
            Ok(fence) => self.fenced_out(fence.as_ref()),
            // The next look asks again; meanwhile the database lets nobody else's changes in.
            Err(fault) => warn!(board = %self.board, %fault, "cannot read the fence"),
        }
    }

    fn holds(&self, fence: &Fence) -> bool {
        fence.generation == self.generation && fence.owner == *self.server.owner
    }

    fn note_ownership(
        &mut self,
        request: PrepareRequest,
        reply: Reply<Prepared>,
        fence: Result<Option<Fence>, StoreError>,
    ) {
        match fence {
            Ok(Some(fence)) if self.holds(&fence) => {
                let detail = format!("this server still owns the board at generation {}", self.generation);
                let _ = reply.send(Err(refusal(ContractProblemType::Busy, detail)));
            }
            Ok(fence) => {
                self.fenced_out(fence.as_ref());
                self.prepare(request, reply);
            }
            Err(fault) => {
                let _ = reply.send(Err(unavailable(&fault)));
            }
        }
    }
}

fn unavailable(fault: &StoreError) -> ContractProblem {
    refusal(ContractProblemType::Busy, fault.to_string())
}

/// How long sessions that a move was to bring may take.
const EXPECTED_TIMEOUT: Duration = Duration::from_secs(5);
