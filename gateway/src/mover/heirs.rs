//! What happens to the boards of a server that is gone: they are given to others at once, without waiting for a comer.
//!
//! ```text
//!   a server counts as lost, or another process answers in its name
//!        └▶ its boards, those with most sessions first, some at once ─▶ Placer (seize, activate) ─▶ sessions reconnect
//! ```
//!
//! Who may judge a server is [`handover_protocol::machine::health`]'s to say, where a board goes the placer's. A board
//! that a move has in its hands is left to it, and looked at again.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use handover_protocol::Incarnation;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use super::Mover;
use crate::board::Board;
use crate::telemetry::EVENT;
use crate::telemetry::label::TakeoverResult;
use crate::upstream::Server;

impl Mover {
    /// Looks after every server of now until `shutdown`.
    pub fn watch_deaths(self: &Arc<Self>, shutdown: &CancellationToken) {
        for server in self.servers.all() {
            self.look_after(&server, shutdown);
        }
    }

    /// Looks after a server until `shutdown`, or until it is named no more.
    pub fn look_after(self: &Arc<Self>, server: &Arc<Server>, shutdown: &CancellationToken) {
        let span = info_span!("heirs", server = %server.name());
        let (mover, server, shutdown) = (Arc::clone(self), Arc::clone(server), shutdown.clone());
        self.tasks.spawn(
            async move {
                let left = server.left().clone();
                // A takeover that was begun is finished by the next start.
                shutdown
                    .run_until_cancelled(left.run_until_cancelled(mover.watch_death(&server)))
                    .await;
            }
            .instrument(span),
        );
    }

    async fn watch_death(&self, server: &Arc<Server>) {
        let mut watch = server.watch();
        let mut seen = None;
        loop {
            let now = Seen::of(server);
            // Also at the start: another process may have taken the name while the gateway was away.
            if now.is_lost || seen.as_ref() != Some(&now) {
                self.give_away(server).await;
            }
            seen = Some(now);
            if watch.changed().await.is_err() {
                return;
            }
        }
    }

    /// Gives every board away that the server cannot serve, until there is none, or it is back.
    async fn give_away(&self, server: &Arc<Server>) {
        let (mut is_told, mut failed_before) = (false, 0);
        loop {
            let mut orphans = self.orphans(server);
            if orphans.is_empty() {
                return;
            }
            if !is_told {
                info!(
                    target: EVENT,
                    event = "server",
                    server = server.name().as_str(),
                    change = "gone",
                    boards = orphans.len(),
                    "boards of a server that is gone are given to others"
                );
                is_told = true;
            }
            orphans.sort_by_cached_key(|board| Reverse(board.sessions().len()));
            let failed = stream::iter(orphans)
                .map(|board| async move { usize::from(!self.give_to_heir(&board).await) })
                .buffer_unordered(AT_ONCE)
                .fold(0, |sum, failed| async move { sum + failed })
                .await;
            if failed > 0 && failed != failed_before {
                warn!(boards = failed, "boards have no server yet; trying again");
            }
            failed_before = failed;
            sleep(if failed > 0 { RETRY_INTERVAL } else { LOOK_AGAIN }).await;
        }
    }

    /// Lists the boards that count as the server's and that it cannot serve.
    fn orphans(&self, server: &Server) -> Vec<Arc<Board>> {
        let is_orphan = |board: &Arc<Board>| {
            let placement = board.placement();
            let owner = placement.owner();
            owner.is_some_and(|owner| owner.server == *server.name() && !server.may_serve(owner))
        };
        self.boards.all().into_iter().filter(is_orphan).collect()
    }

    async fn give_to_heir(&self, board: &Arc<Board>) -> bool {
        let route = self.route_of(board);
        let is_placed = self.boards.give_to_heir(board, &route).await;
        let result = if is_placed {
            TakeoverResult::Taken
        } else {
            TakeoverResult::Failed
        };
        self.metrics.takeovers.of(result).inc();
        is_placed
    }
}

/// What a change of means that boards may have lost their server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    is_lost: bool,
    incarnation: Option<Incarnation>,
}

impl Seen {
    fn of(server: &Server) -> Self {
        Self {
            is_lost: server.is_lost(),
            incarnation: server.incarnation(),
        }
    }
}

/// Loads that the remaining servers get at once on top of their own work.
const AT_ONCE: usize = 32;

/// Boards that came to be orphans meanwhile are seen then.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where nobody took a board, or a move had it in its hands.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
