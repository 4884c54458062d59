//! The load of a run: how many users, where, how busy.

use std::time::Duration;

use handover_protocol::id::{BoardId, IdError};

use crate::report::LoadReport;
use crate::user::{Endpoint, Plan, Reader, Resend};

/// How many users draw on how many boards, and how much.
#[derive(Debug, Clone)]
pub struct Load {
    /// What the run is called in its report.
    pub scenario: &'static str,
    /// Virtual users, spread evenly over the boards.
    pub sessions: u64,
    /// Boards with users on them.
    pub boards: u64,
    /// Boards that somebody drew on and left before the run.
    pub idle_boards: u64,
    /// Changes per second, of all users.
    pub rate: f64,
    /// Bytes of filler in each change.
    pub pad_bytes: usize,
    /// What users do with unacknowledged changes when they come back.
    pub resend: Resend,
    /// Users of them that say nothing: the last ones.
    pub silent: u64,
    /// Users of them that say nothing, and read nothing either once they are to stop: the last of those.
    pub stuck: u64,
    /// Stands before the names of boards and users, so that runs on one database do not meet.
    pub prefix: String,
}

impl Load {
    /// Returns what each user of the crowd does.
    ///
    /// # Errors
    /// When the prefix makes no board id.
    pub(super) fn crowd(&self, endpoint: &Endpoint) -> Result<Vec<Plan>, IdError> {
        let drawing = self.sessions.saturating_sub(self.silent.max(self.stuck));
        let interval = Duration::from_secs_f64(drawing as f64 / self.rate.max(RATE_MIN));
        (0..self.sessions)
            .map(|number| {
                let board = format!("{}board-{}", self.prefix, number % self.boards.max(1) + 1);
                let interval = if number < drawing { interval } else { NEVER };
                let mut plan = self.plan(endpoint, &board, number + 1, interval)?;
                if number >= self.sessions.saturating_sub(self.stuck) {
                    plan.reader = Reader::Stuck;
                }
                Ok(plan)
            })
            .collect()
    }

    /// Returns who draws a little on each idle board and goes: `visit` tells one round of visitors from the next.
    pub(super) fn visitors(&self, endpoint: &Endpoint, visit: u64) -> Result<Vec<Plan>, IdError> {
        (0..self.idle_boards)
            .map(|place| {
                let board = format!("{}idle-{}", self.prefix, place + 1);
                let number = self.sessions + visit * self.idle_boards + place + 1;
                self.plan(endpoint, &board, number, VISITOR_INTERVAL)
            })
            .collect()
    }

    /// Returns what stands before the number in the names of the users.
    pub fn user_prefix(&self) -> String {
        format!("{}u", self.prefix)
    }

    pub(super) fn report(&self, sessions_reconnected: u64, refusals: u64) -> LoadReport {
        LoadReport {
            sessions: self.sessions,
            boards: self.boards,
            idle_boards: self.idle_boards,
            rate: self.rate,
            sessions_reconnected,
            refusals,
        }
    }

    fn plan(&self, endpoint: &Endpoint, board: &str, number: u64, interval: Duration) -> Result<Plan, IdError> {
        let board: BoardId = board.parse()?;
        Ok(Plan {
            endpoint: endpoint.clone(),
            board,
            number,
            interval,
            resend: self.resend,
            pad_bytes: self.pad_bytes,
            prefix: self.user_prefix(),
            reader: Reader::Prompt,
        })
    }
}

/// A rate of nothing would never be due; once in a day is nothing.
const RATE_MIN: f64 = 1.0 / 86_400.0;
/// Longer than any run, by so much that nobody's phase falls into it.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
const VISITOR_INTERVAL: Duration = Duration::from_millis(50);
