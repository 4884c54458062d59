//! The sessions of a board whose server is gone, once another has taken it: those that outlive it are attached together.

use std::sync::Arc;

use futures_util::future::join_all;
use tracing::info;

use super::{Board, Boards};
use crate::session::{Order, Question, SessionHandle};

impl Boards {
    /// Attaches the sessions of an earlier term to the board's owner, where their route says that they outlive their
    /// server; the others are told to reconnect. Returns how many crossed, once each has or has left.
    ///
    /// Call it while newcomers are parked. It ends within the routes' `switch_timeout`.
    pub async fn bring_orphans(&self, board: &Board) -> u64 {
        let placement = board.placement();
        let owner = placement.owner().filter(|_| placement.is_settled());
        let Some(target) = owner.and_then(|owner| self.servers.get(&owner.server)) else {
            return 0;
        };
        let is_orphan =
            |session: &Arc<SessionHandle>| session.generation() < placement.generation && session.may_cross();
        let orphans: Vec<_> = board.sessions().into_iter().filter(is_orphan).collect();
        let found = orphans.len();
        let asked = orphans.into_iter().map(|session| {
            let answer = session.ask(Question::TakeOver {
                target: Arc::clone(&target),
                generation: placement.generation,
            });
            async move { (session, answer.await.ok()) }
        });
        let mut crossed = 0;
        // They go on together, as in a move.
        for (session, answer) in join_all(asked).await {
            let Some(answer) = answer else { continue };
            if answer.is_done {
                crossed += 1;
                session.order(Order::Resume);
            } else if let Some(reason) = answer.fallback {
                self.metrics.fallbacks.of(reason).inc();
            }
        }
        if crossed > 0 {
            info!(board = %board.id(), server = %target.name(), found, crossed, "sessions have outlived their server");
        }
        crossed
    }
}
