//! What a session does when its server dies and its route says that it outlives that: it keeps the client's frames back,
//! until the board has another server.
//!
//! What was passed on and not answered is nobody's to know; the client is trusted to say it again. The new server's
//! greeting is passed on, for by that the client can tell.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_protocol::machine::health::Verdict;
use handover_protocol::machine::session::Phase;

use super::task::Task;
use crate::board::Board;
use crate::config::OnServerDeath;
use crate::relay::Valve;
use crate::upstream::Server;

/// Tells whether the server whose connection broke is there all the same, and serves the board.
pub(super) type Judging = Pin<Box<dyn Future<Output = bool> + Send>>;

impl Task {
    /// Reads whether the session may stay where its server does not.
    pub(super) fn outlives_server(&self) -> bool {
        let has_agreed = self.server.has_contract() || self.route.opaque_transparent;
        let is_staying = !self.up.has_seen_close() && !self.down.has_seen_close();
        self.route.on_server_death == OnServerDeath::Transparent && has_agreed && is_staying && self.handle.may_cross()
    }

    /// Reads whether no message is under way between client and server, in either direction.
    pub(super) fn is_whole(&self) -> bool {
        self.up.has_passed_whole() && self.down.has_arrived_at_boundary()
    }

    /// Keeps the client's frames back, and counts the session where an answer is missing.
    pub(super) fn keep_up(&mut self) {
        let read_max = self.route.hold_bytes;
        self.up.set_valve(Valve::Shut { read_max });
        // Of an opaque server's sessions whoever declares it dead counts each.
        if self.server.has_contract() && self.is_unanswered() {
            self.metrics.unconfirmed_sessions.inc();
        }
        let arrived = self.down.messages_arrived();
        let moving = self.moving.get_or_insert_default();
        moving.held_at.get_or_insert_with(Instant::now);
        moving.sent = arrived;
        moving.heard = arrived;
        if self.machine.phase() == Phase::Orphaned {
            let board = Arc::clone(self.admission.board());
            moving.judging = Some(Box::pin(judge(
                Arc::clone(&self.server),
                board,
                self.route.hold_timeout,
            )));
        }
    }
}

/// Waits until it is known whether the server lives on.
async fn judge(server: Arc<Server>, board: Arc<Board>, patience: Duration) -> bool {
    // An answer that was under way as the connection broke proves nothing; the second was asked for behind it.
    for _ in 0..2 {
        if server.judged(patience).await != Verdict::Up {
            return false;
        }
    }
    let placement = board.placement();
    placement.owner().is_some_and(|owner| server.may_serve(owner))
}
