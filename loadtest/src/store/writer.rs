//! The group commit: what all boards of a process have to write at a time goes into one statement.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::generation::Generation;
use handover_protocol::id::BoardId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::warn;

use super::error::StoreError;
use super::fence::Fence;
use super::pools::Store;
use super::rows::{NewChange, NewRepeat};

/// Hands writes to the task that groups them. Each board has at most one call under way.
#[derive(Debug, Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
}

/// Whether writes must hold the board's fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// As the contract demands.
    Fenced,
    /// Without the contract.
    Unfenced,
}

/// What one board has to write.
#[derive(Debug, Clone)]
pub struct BoardWrites {
    /// The board.
    pub board: BoardId,
    /// The term that it is held under.
    pub generation: Generation,
    /// In the board's order, each change with a revision of its own.
    pub writes: Vec<Write>,
}

/// One write.
#[derive(Debug, Clone)]
pub enum Write {
    /// A new change.
    Change {
        /// The number that it gets.
        revision: u64,
        /// Who drew it.
        author: Arc<str>,
        /// The author's number for it.
        seq: u64,
        /// The content.
        body: String,
    },
    /// A change that was already there came again.
    Repeat {
        /// Who drew it.
        author: Arc<str>,
        /// The author's number for it.
        seq: u64,
    },
}

/// What came of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is in the database.
    Saved,
    /// The author's number was there already, at this revision, and the repeat has been noted.
    Repeated {
        /// The board's number for it.
        revision: u64,
    },
    /// Somebody else wrote that revision.
    Collided,
    /// The board's fence is not this process' under this generation; the fence as it is now.
    FencedOut(Option<Fence>),
}

/// Says that the process is ending and nothing is written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the writer has ended")]
pub struct WriterGone;

struct Job {
    writes: BoardWrites,
    answer: oneshot::Sender<Vec<Written>>,
}

impl Writer {
    /// Starts the task, which ends when the last handle is gone and everything is written.
    pub fn start(store: Store, owner: Arc<str>, fencing: Fencing) -> (Self, impl Future<Output = ()> + Send) {
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let task = Group { store, owner, fencing }.run(queue);
        (Self { jobs }, task)
    }

    /// Writes what a board has, and waits until it is in the database, however long the database is away.
    ///
    /// # Errors
    /// When the process is ending; whether it was written is not known then.
    pub async fn write(&self, writes: BoardWrites) -> Result<Vec<Written>, WriterGone> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { writes, answer }).await.map_err(|_| WriterGone)?;
        answered.await.map_err(|_| WriterGone)
    }
}

struct Group {
    store: Store,
    owner: Arc<str>,
    fencing: Fencing,
}

impl Group {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        while queue.recv_many(&mut jobs, JOBS_MAX).await > 0 {
            let outcomes = loop {
                match self.write(&jobs).await {
                    Ok(outcomes) => break outcomes,
                    Err(error) => warn!(%error, boards = jobs.len(), "cannot save, trying again"),
                }
                sleep(RETRY_PAUSE).await;
            };
            for (job, outcome) in jobs.drain(..).zip(outcomes) {
                // A board that was dropped meanwhile needs no answer.
                let _ = job.answer.send(outcome);
            }
        }
    }

    async fn write(&self, jobs: &[Job]) -> Result<Vec<Vec<Written>>, StoreError> {
        let changes: Vec<NewChange> = jobs.iter().flat_map(|job| new_changes(&job.writes)).collect();
        let repeats: Vec<NewRepeat> = jobs.iter().flat_map(|job| new_repeats(&job.writes)).collect();
        let saved = match changes.is_empty() {
            true => HashSet::new(),
            false => self.store.insert_changes(&self.owner, self.fencing, &changes).await?,
        };
        let noted = match repeats.is_empty() {
            true => HashSet::new(),
            false => self.store.insert_repeats(&self.owner, self.fencing, &repeats).await?,
        };
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            outcomes.push(self.outcomes(&job.writes, &saved, &noted).await?);
        }
        Ok(outcomes)
    }

    async fn outcomes(
        &self,
        job: &BoardWrites,
        saved: &HashSet<(BoardId, u64)>,
        noted: &HashSet<BoardId>,
    ) -> Result<Vec<Written>, StoreError> {
        let mut fences = HashMap::new();
        let mut outcomes = Vec::with_capacity(job.writes.len());
        for write in &job.writes {
            let outcome = match write {
                Write::Change { revision, .. } if saved.contains(&(job.board.clone(), *revision)) => Written::Saved,
                Write::Change {
                    revision, author, seq, ..
                } => self.why_not_written(job, *revision, author, *seq, &mut fences).await?,
                Write::Repeat { author, seq } if noted.contains(&job.board) => {
                    let row = self.store.change_of(&job.board, author, *seq).await?;
                    row.map_or(Written::Collided, |row| Written::Repeated { revision: row.revision })
                }
                Write::Repeat { .. } => Written::FencedOut(self.store.fence(&job.board).await?),
            };
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Finds out why a change was not written: a retry after a lost answer, a repeat, a lost fence or a taken revision.
    async fn why_not_written(
        &self,
        job: &BoardWrites,
        revision: u64,
        author: &Arc<str>,
        seq: u64,
        fences: &mut HashMap<BoardId, Option<Fence>>,
    ) -> Result<Written, StoreError> {
        if !fences.contains_key(&job.board) {
            fences.insert(job.board.clone(), self.store.fence(&job.board).await?);
        }
        let fence = fences[&job.board].clone();
        let row = self.store.change_of(&job.board, author, seq).await?;
        let is_ours = |row: &super::ChangeRow| {
            row.revision == revision && *row.owner == *self.owner && row.generation == job.generation.number()
        };
        if row.as_ref().is_some_and(is_ours) {
            return Ok(Written::Saved);
        }
        let holds = |fence: &Fence| fence.generation == job.generation && *fence.owner == *self.owner;
        if self.fencing == Fencing::Fenced && !fence.as_ref().is_some_and(holds) {
            return Ok(Written::FencedOut(fence));
        }
        let Some(row) = row else {
            return Ok(Written::Collided);
        };
        let repeat = NewRepeat {
            board: job.board.clone(),
            generation: job.generation.number(),
            author: author.clone(),
            seq,
        };
        self.store.insert_repeats(&self.owner, self.fencing, &[repeat]).await?;
        Ok(Written::Repeated { revision: row.revision })
    }
}

fn new_changes(job: &BoardWrites) -> impl Iterator<Item = NewChange> + '_ {
    job.writes.iter().filter_map(|write| match write {
        Write::Change {
            revision,
            author,
            seq,
            body,
        } => Some(NewChange {
            board: job.board.clone(),
            generation: job.generation.number(),
            revision: *revision,
            author: author.clone(),
            seq: *seq,
            body: body.clone(),
        }),
        Write::Repeat { .. } => None,
    })
}

fn new_repeats(job: &BoardWrites) -> impl Iterator<Item = NewRepeat> + '_ {
    job.writes.iter().filter_map(|write| match write {
        Write::Repeat { author, seq } => Some(NewRepeat {
            board: job.board.clone(),
            generation: job.generation.number(),
            author: author.clone(),
            seq: *seq,
        }),
        Write::Change { .. } => None,
    })
}

/// Boards that may wait for the task; more wait to get into its queue.
const JOBS_MAX: usize = 1024;
/// Between two tries while the database is away.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
