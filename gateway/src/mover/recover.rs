//! What a restart, a silent registry or a lost answer left unfinished, and boards that are no longer open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use handover_protocol::contract::{BoardRole, ForgetQuery};
use handover_protocol::{BoardId, Owner, ServerName, Term};
use tracing::{Instrument, info, info_span, warn};

use super::{Mover, calls};
use crate::board::Board;
use crate::telemetry::EVENT;
use crate::upstream::{HeardListing, Server};

impl Mover {
    /// Takes up what the former process of this gateway left: moves are undone if they had not committed, else finished.
    ///
    /// Call it once every server has been asked, before newcomers are let in.
    pub async fn recover(&self) {
        self.adopt_listed().await;
        for board in self.boards.all() {
            // Also those that only their servers knew of.
            board.note_start();
            self.take_up(&board).await;
        }
    }

    /// Undoes a move or finishes an activation that nobody drives any more.
    async fn take_up(&self, board: &Arc<Board>) {
        match board.placement().term {
            Term::Moving { .. } => self.undo(board).await,
            Term::Activating { .. } => {
                info!(target: EVENT, event = "recover", board = %board.id(), "finishing an activation that was interrupted");
                let route = self.route_of(board);
                self.boards.finish_placement(board, &route).await;
            }
            Term::Vacant | Term::Settled { .. } => {}
        }
    }

    /// Undoes a move that did not commit: the attempt is raised first, so that no commit can match any more.
    async fn undo(&self, board: &Arc<Board>) {
        let claimed = board.placement();
        let Term::Moving { owner, target, .. } = &claimed.term else {
            return;
        };
        info!(target: EVENT, event = "recover", board = %board.id(), from = %owner.server, "undoing a move that was interrupted");
        let event = calls::raise_attempt(&self.boards, board, &claimed).await;
        if event != handover_protocol::machine::moving::Event::AbortRaised {
            warn!(board = %board.id(), ?event, "the registry does not confirm that the move is undone");
            return;
        }
        if let Some(source) = self.servers.get(&owner.server) {
            calls::thaw(board, &source, Vec::new(), RECOVER_TIMEOUT).await;
        }
        if let Some(target) = self.servers.get(&target.server) {
            let copy = ForgetQuery {
                generation: claimed.generation,
                attempt: claimed.attempt,
            };
            calls::forget(board, target, copy, RECOVER_TIMEOUT).await;
        }
    }

    /// Has servers drop the copies of boards that they have kept warm and do not own.
    pub async fn cool(&self, copies: Vec<(BoardId, ServerName)>) {
        let cool = |(board, server): (BoardId, ServerName)| async move {
            let (Some(board), Some(server)) = (self.boards.get(&board), self.servers.get(&server)) else {
                return;
            };
            let placement = board.placement();
            let owner = placement.owner().map(|owner| &owner.server);
            if placement.is_settled() && owner != Some(server.name()) {
                let copy = ForgetQuery {
                    generation: placement.generation,
                    attempt: placement.attempt,
                };
                calls::forget(&board, server, copy, RECOVER_TIMEOUT).await;
            }
        };
        stream::iter(copies).for_each_concurrent(COOLED_AT_ONCE, cool).await;
    }

    /// Takes in boards that servers own and the registry does not know of, or knows an older term of.
    pub async fn adopt_listed(&self) {
        for server in self.servers.all() {
            let Some(heard) = server.status().listing else { continue };
            for report in heard
                .listing
                .boards
                .iter()
                .filter(|report| report.role == BoardRole::Owner)
            {
                let Ok(board) = self.boards.find(&report.board).await else {
                    continue;
                };
                let owner = Owner {
                    server: server.name().clone(),
                    incarnation: Some(heard.listing.incarnation.clone()),
                };
                let known = board.placement();
                if let Ok(next) = known.adopt(owner, report.generation) {
                    info!(target: EVENT, event = "recover", board = %report.board, server = %server.name(), generation = %report.generation,
                        "taking in a board that its server owns");
                    if let Err(error) = self.boards.change(&board, next).await {
                        warn!(board = %report.board, %error, "the board could not be taken in");
                    }
                }
            }
        }
    }

    /// Drops the ownership of boards that are no longer open, and has forgotten thaws made up for.
    ///
    /// Open is a board with a session, or one that its owner lists; at an opaque server one whose last session left
    /// less than its save delay and a minute ago.
    pub async fn tidy(self: &Arc<Self>) {
        self.boards.tidy_memories();
        let mut listings = HashMap::new();
        for server in self.servers.all() {
            if let Some(heard) = server.status().listing {
                listings.insert(server.name().clone(), heard);
            }
        }
        for board in self.boards.all() {
            let placement = board.placement();
            let owner = match &placement.term {
                Term::Settled { owner } => owner,
                Term::Vacant => {
                    self.boards.drop_vacant(&board);
                    continue;
                }
                Term::Moving { .. } | Term::Activating { .. } => {
                    self.finish_forgotten(&board);
                    continue;
                }
            };
            let Some(server) = self.servers.get(&owner.server) else {
                continue;
            };
            let Some(heard) = listings.get(&owner.server) else {
                if !server.has_contract() {
                    self.tidy_opaque(&board).await;
                }
                continue;
            };
            match heard.report(board.id()) {
                Some(report) if report.role == BoardRole::Frozen && report.generation == placement.generation => {
                    self.thaw_forgotten(&board, &server, heard).await;
                }
                Some(_) => {}
                None => self.tidy_unlisted(&board, &server, heard).await,
            }
        }
    }

    /// Takes up what nobody drives any more: a move whose end, or a placement whose confirmation, the registry would not
    /// take. Without that the board could not be moved before the gateway's next start. The registry is this process' alone,
    /// so whoever else began it is gone.
    fn finish_forgotten(self: &Arc<Self>, board: &Arc<Board>) {
        let Some(driving) = self.driven.begin_alone(board.id()) else {
            return;
        };
        // Behind a closed gate a placement is under way.
        if board.is_open() {
            let span = info_span!("take_up", board = %board.id());
            let (mover, board) = (Arc::clone(self), Arc::clone(board));
            let task = async move {
                mover.take_up(&board).await;
                drop(driving);
            };
            self.tasks.spawn(task.instrument(span));
        }
    }

    async fn tidy_opaque(&self, board: &Arc<Board>) {
        let settle = self.route_of(board).settle;
        if board
            .empty_since()
            .is_some_and(|since| since.elapsed() > settle + OPAQUE_OPEN)
        {
            self.boards.vacate(board).await;
        }
    }

    async fn tidy_unlisted(&self, board: &Arc<Board>, server: &Server, heard: &HeardListing) {
        let is_same_process = board.placement().owner().is_some_and(|owner| server.may_serve(owner));
        // A list that was asked for before the board was placed or left says nothing of it.
        let is_older =
            board.settled_at() < heard.asked_at && board.empty_since().is_some_and(|since| since < heard.asked_at);
        if is_same_process && is_older {
            self.boards.vacate(board).await;
        }
    }

    async fn thaw_forgotten(&self, board: &Arc<Board>, server: &Server, heard: &HeardListing) {
        if board.settled_at() > heard.asked_at || heard.asked_at.elapsed() > Duration::from_secs(30) {
            return;
        }
        warn!(board = %board.id(), server = %server.name(), "the owner still has the board frozen; thawing it");
        calls::thaw(board, server, Vec::new(), RECOVER_TIMEOUT).await;
    }

    /// Counts open boards under their owners, for the metrics.
    pub fn count_boards(&self) {
        let held = self.boards.held();
        for server in self.servers.all() {
            let held = held.get(server.name()).copied().unwrap_or_default();
            server.metrics().set_boards(held.owned, held.standby);
        }
    }
}

/// Copies that are dropped at once; nobody waits for them.
const COOLED_AT_ONCE: usize = 16;

/// What the recovery waits for one server's answer.
const RECOVER_TIMEOUT: Duration = Duration::from_secs(3);

/// An opaque server's board counts as open for so long beyond its save delay.
const OPAQUE_OPEN: Duration = Duration::from_secs(60);
