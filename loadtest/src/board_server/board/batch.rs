//! Changes on their way into the database, one batch of a board at a time.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tracing::error;

use super::actor::{Actor, Phase};
use super::canvas::{Canvas, Numbering};
use super::event::{Flavor, SessionKey};
use super::work::{Kind, Known, Work, read};
use crate::store::{BoardWrites, ChangeRow, Write, WriterGone, Written};
use crate::wire::{Body, Saved, ServerMessage};

/// A change that is to be saved and then acknowledged.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) key: SessionKey,
    pub(super) flavor: Flavor,
    pub(super) author: Arc<str>,
    pub(super) seq: u64,
    pub(super) body: Body,
    pub(super) numbering: Numbering,
}

/// A batch that is being saved.
pub(super) struct Saving {
    batch: Vec<Pending>,
    future: Pin<Box<dyn Future<Output = Result<Vec<Written>, WriterGone>> + Send>>,
}

impl Saving {
    /// Waits for the batch that is being saved, if one is, and takes it away.
    pub(super) async fn finished(saving: &mut Option<Self>) -> (Vec<Pending>, Result<Vec<Written>, WriterGone>) {
        let Some(under_way) = saving else {
            return pending().await;
        };
        let written = under_way.future.as_mut().await;
        let batch = saving.take().map(|done| done.batch);
        (batch.expect("it is the one that was waited for"), written)
    }
}

impl Actor {
    /// Numbers a change and has it saved.
    pub(super) fn enqueue(&mut self, key: SessionKey, flavor: Flavor, author: Arc<str>, seq: u64, body: Body) {
        let numbering = self.canvas.number(&author, seq);
        self.waiting_since.get_or_insert_with(Instant::now);
        self.waiting.push(Pending {
            key,
            flavor,
            author,
            seq,
            body,
            numbering,
        });
    }

    /// Returns when the changes that wait are to be saved.
    pub(super) fn save_due(&self) -> Option<Instant> {
        if self.saving.is_some() || self.is_rereading() {
            return None;
        }
        self.waiting_since.map(|since| since + self.server.settings.save_delay)
    }

    /// Saves what waits once its time has come: at once where the board is to be frozen or the server ends.
    pub(super) fn save_waiting(&mut self, now: Instant) {
        let hurries = matches!(self.phase, Phase::Frozen(_)) || self.is_stopping();
        if !self.save_due().is_some_and(|due| now >= due || hurries) {
            return;
        }
        self.waiting_since = None;
        let batch = std::mem::take(&mut self.waiting);
        let writes = BoardWrites {
            board: self.board.clone(),
            generation: self.generation,
            writes: batch.iter().map(Pending::write).collect(),
        };
        let server = self.server.clone();
        let future = Box::pin(async move {
            sleep(server.settings.save_time).await;
            server.writer.write(writes).await
        });
        self.saving = Some(Saving { batch, future });
    }

    /// Acknowledges what was saved and passes it on.
    pub(super) fn note_written(&mut self, (batch, written): (Vec<Pending>, Result<Vec<Written>, WriterGone>)) {
        let Ok(written) = written else {
            self.fenced_out(None);
            return;
        };
        let mut again = Vec::new();
        let mut is_foreign = false;
        for (pending, written) in batch.into_iter().zip(written) {
            match (written, pending.numbering) {
                (Written::Saved, Numbering::New { revision }) => self.note_saved(pending, revision),
                (Written::Repeated { revision }, numbering) => {
                    is_foreign |= numbering != Numbering::Known;
                    self.acknowledge(&pending, revision);
                }
                (Written::FencedOut(fence), Numbering::New { .. } | Numbering::Known) => {
                    self.fenced_out(fence.as_ref());
                    return;
                }
                (Written::Collided, Numbering::New { .. } | Numbering::Known) | (Written::Saved, Numbering::Known) => {
                    is_foreign = true;
                    again.push(pending);
                }
            }
        }
        if is_foreign {
            if self.server.is_contract() {
                error!(board = %self.board, generation = %self.generation, "somebody else writes under our fence");
                self.server.note_alarm();
            }
            again.append(&mut self.waiting);
            self.waiting = again;
            self.waiting_since.get_or_insert_with(Instant::now);
            let reading = read(self.server.clone(), self.board.clone(), Known::UpTo(0));
            self.work = Some(Work::new(Kind::Rereading, reading));
        }
    }

    /// Takes in a board that somebody else wrote to, and numbers anew what waits.
    pub(super) fn note_reread(&mut self, rows: Vec<ChangeRow>) {
        let seen = self.canvas.revision();
        let mut canvas = Canvas::default();
        let all = canvas.take_in(rows);
        self.canvas = canvas;
        for drawn in all.into_iter().filter(|drawn| drawn.revision > seen) {
            self.roster.broadcast(&ServerMessage::Drawn(drawn), None);
        }
        for pending in &mut self.waiting {
            pending.numbering = self.canvas.number(&pending.author, pending.seq);
        }
    }

    fn note_saved(&mut self, pending: Pending, revision: u64) {
        self.acknowledge(&pending, revision);
        let mut drawn = self.canvas.saved(&pending.author, pending.seq, revision, pending.body);
        drawn.pad.clone_from(&self.server.settings.shown_pad);
        self.roster.broadcast(&ServerMessage::Drawn(drawn), Some(pending.key));
    }

    fn acknowledge(&mut self, pending: &Pending, revision: u64) {
        self.note_handled(pending.key);
        let saved = Saved {
            seq: pending.seq,
            revision,
        };
        self.roster
            .send(pending.key, &ServerMessage::Saved(saved), pending.flavor);
    }

    fn is_rereading(&self) -> bool {
        self.work.as_ref().is_some_and(Work::is_rereading)
    }
}

impl Pending {
    fn write(&self) -> Write {
        match self.numbering {
            Numbering::New { revision } => Write::Change {
                revision,
                author: self.author.clone(),
                seq: self.seq,
                body: serde_json::to_string(&self.body).expect("numbers and text always serialize"),
            },
            Numbering::Known => Write::Repeat {
                author: self.author.clone(),
                seq: self.seq,
            },
        }
    }
}
