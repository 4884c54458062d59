//! All virtual users of a run: started together, led from stage to stage, and asked in the end what they saw.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::clock::Clock;
use super::plan::{Plan, Stage};
use super::progress::Progress;
use super::record::Record;
use super::virtual_user::VirtualUser;

/// The users, each a task.
pub struct Crowd {
    users: JoinSet<Record>,
    stage: watch::Sender<Stage>,
    gusts: watch::Sender<u64>,
    progress: Arc<Progress>,
    clock: Clock,
}

/// Says that not everybody was let in.
#[derive(Debug, thiserror::Error)]
#[error("{served} of {wanted} users were welcomed within {waited:?}; the last refusal: {refusal}")]
pub struct GatherError {
    served: u64,
    wanted: u64,
    waited: Duration,
    refusal: String,
}

impl Crowd {
    /// Starts the users, who connect at once: a few at a time, for every listener has a queue of some length.
    ///
    /// # Errors
    /// When not all of them are welcomed within `limit`.
    pub async fn gather(plans: Vec<Plan>, clock: Clock, limit: Duration) -> Result<Self, GatherError> {
        Self::gather_watched(plans, clock, limit, |_| {}).await
    }

    /// As [`Self::gather`]; `tell` is shown the counters again and again meanwhile.
    ///
    /// # Errors
    /// When not all of them are welcomed within `limit`.
    pub async fn gather_watched(
        plans: Vec<Plan>,
        clock: Clock,
        limit: Duration,
        mut tell: impl FnMut(&Progress),
    ) -> Result<Self, GatherError> {
        let progress = Arc::new(Progress::default());
        let (stage, _) = watch::channel(Stage::Gather);
        let (gusts, _) = watch::channel(0);
        let mut users = JoinSet::new();
        let wanted = plans.len() as u64;
        let deadline = Instant::now() + limit;
        for plan in plans {
            while users.len() as u64 >= progress.served.load(Relaxed) + CONNECTING_MAX && Instant::now() < deadline {
                tell(&progress);
                sleep(POLL).await;
            }
            let user = VirtualUser::new(plan, clock, stage.subscribe(), gusts.subscribe(), Arc::clone(&progress));
            users.spawn(user.run());
        }
        while progress.served.load(Relaxed) < wanted {
            tell(&progress);
            if Instant::now() >= deadline {
                return Err(GatherError {
                    served: progress.served.load(Relaxed),
                    wanted,
                    waited: limit,
                    refusal: progress.last_refusal().unwrap_or_else(|| "none".to_owned()),
                });
            }
            sleep(POLL).await;
        }
        Ok(Self {
            users,
            stage,
            gusts,
            progress,
            clock,
        })
    }

    /// Lets everybody draw from now on.
    pub fn draw(&self) {
        let since = self.clock.now();
        self.stage.send_replace(Stage::Draw { since });
    }

    /// Lets those who are to stop reading stop, while the others draw on.
    pub fn jam(&self) {
        self.stage.send_modify(|stage| {
            if let Some(since) = stage.drawing_since() {
                *stage = Stage::Jam { since };
            }
        });
    }

    /// Cuts every connection at once; the users come back by themselves.
    pub fn cut(&self) {
        self.gusts.send_modify(|gusts| *gusts += 1);
    }

    /// Stops the drawing and waits until everything is answered and nothing more comes.
    ///
    /// Returns whether that was so within `limit`.
    pub async fn settle(&self, limit: Duration) -> bool {
        self.stage.send_replace(Stage::Settle);
        let deadline = Instant::now() + limit;
        let mut last_seen = (0, Instant::now());
        while Instant::now() < deadline {
            let seen = self.progress.seen.load(Relaxed);
            if seen != last_seen.0 {
                last_seen = (seen, Instant::now());
            }
            let is_served = self.progress.served.load(Relaxed) == self.users.len() as u64;
            if is_served && self.progress.unanswered() == 0 && last_seen.1.elapsed() >= QUIET {
                return true;
            }
            sleep(POLL).await;
        }
        false
    }

    /// Sends everybody home and returns what they remember, by nobody's order.
    pub async fn leave(mut self) -> Vec<Record> {
        self.stage.send_replace(Stage::Leave);
        let mut records = Vec::with_capacity(self.users.len());
        while let Some(record) = self.users.join_next().await {
            // A user that panicked is missed here, and the caller counts.
            records.extend(record.ok());
        }
        records
    }

    /// Returns the counters, which go on while the users do.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Returns how many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Reads whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// Connections that are under way at once.
const CONNECTING_MAX: u64 = 64;
const POLL: Duration = Duration::from_millis(5);
/// Nothing comes for so long: then nothing is under way.
const QUIET: Duration = Duration::from_millis(300);
