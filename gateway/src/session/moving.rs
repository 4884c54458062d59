//! What a session keeps of the move that it takes part in, and the questions that the move asks it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use handover_protocol::machine::session::Event;
use handover_protocol::{Generation, ServerName};
use tokio::sync::oneshot;

use super::attach::Attached;
use super::order::{Answer, HoldKind, Question};
use super::orphan::Judging;
use super::quiet_sign::QuietSign;
use super::task::Task;
use crate::telemetry::label::Fallback;
use crate::upstream::Server;

/// What only a move needs.
#[derive(Default)]
pub(super) struct Moving {
    pub(super) answer: Option<oneshot::Sender<Answer>>,
    pub(super) text: Option<String>,
    pub(super) kind: Option<HoldKind>,
    pub(super) held_at: Option<Instant>,
    pub(super) sent: u64,
    pub(super) heard: u64,
    pub(super) nonce: Option<[u8; 8]>,
    pub(super) confirm_by: Option<tokio::time::Instant>,
    pub(super) sign: Option<Arc<QuietSign>>,
    pub(super) to: Option<(Arc<Server>, Generation, ServerName)>,
    pub(super) attaching: Option<Attaching>,
    pub(super) fallback: Option<Fallback>,
    /// The session goes to the heir of its server, which is gone.
    pub(super) is_orphaned: bool,
    /// While it is not known whether the server is gone.
    pub(super) judging: Option<Judging>,
    pub(super) crossed: bool,
    /// As much waits as may, and it was counted.
    pub(super) is_full: bool,
}

/// A dialogue with a target that is under way.
type Attaching = Pin<Box<dyn Future<Output = Result<Attached, Fallback>> + Send>>;

impl Task {
    /// Takes in what a move asks; the answer follows once the machine says so.
    pub(super) fn take_question(&mut self, question: Question, answer: oneshot::Sender<Answer>) {
        if self.moving.is_none() {
            self.follow_configuration();
        }
        let (outlives, held) = (self.outlives_server() && self.is_whole(), self.up.holds_messages());
        let moving = self.moving.get_or_insert_default();
        moving.answer = Some(answer);
        moving.fallback = None;
        let event = match question {
            Question::Tell { text } => {
                moving.text = Some(text);
                Event::Tell
            }
            Question::Hold(kind) => {
                moving.kind = Some(kind);
                Event::Hold
            }
            Question::Drain { sent } => {
                moving.sent = (sent + self.base.heard_before).saturating_sub(self.base.swallowed);
                Event::Drain
            }
            Question::Confirm { by, sign } => {
                moving.confirm_by = Some(by);
                moving.sign = sign;
                self.handle.set_source_is_done(false);
                Event::Confirm {
                    pinged: self.is_pinged() && !self.machine.is_client_gone(),
                }
            }
            Question::CloseSource => Event::CloseSource,
            Question::Switch {
                target,
                generation,
                from,
            } => {
                moving.to = Some((target, generation, from));
                Event::Switch { held }
            }
            Question::TakeOver { target, generation } => {
                moving.to = Some((target, generation, self.server.name().clone()));
                moving.is_orphaned = true;
                Event::TakeOver { whole: outlives, held }
            }
        };
        self.event(event);
    }
}
