//! Watches a drain to its end: by its events, by asking where there are none, across restarts of the gateway.

use std::time::Duration;

use handover_protocol::DrainId;
use handover_protocol::admin::{DrainEvent, DrainState, DrainStatus, PausedBy};
use http::HeaderValue;
use http::header::HeaderName;
use http_body_util::BodyExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Call, ClientError};
use super::common::Shell;
use super::events::EventReader;
use super::outcome::{Outcome, ShellError};
use super::progress::Progress;

/// What whoever watches wants to see happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The sources are empty.
    Emptied,
    /// The drain is aborted.
    Aborted,
    /// The boards are back.
    Undone,
}

/// How much may go wrong in a drain that comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Sessions of which something could not be confirmed.
    pub unconfirmed_max: u64,
    /// Sessions that were told to reconnect although they need not have been.
    pub fallen_back_max: u64,
}

impl Allowance {
    /// Says what is over its bound, and where the boards and sessions are named.
    fn exceeded_by(&self, status: &DrainStatus) -> String {
        let over = |count: u64, max: u64, what: &str| (count > max).then(|| format!("{count} {what} ({max} allowed)"));
        let over = [
            over(
                status.unconfirmed_sessions,
                self.unconfirmed_max,
                "sessions unconfirmed",
            ),
            over(
                status.fallen_back_sessions,
                self.fallen_back_max,
                "fallen back to reconnect",
            ),
        ];
        let over: Vec<String> = over.into_iter().flatten().collect();
        format!(
            "the drain is through, with {}; the gateway's log names them: its lines with \"event\":\"move\" and \
             \"drain\":\"{}\" have unconfirmed_sessions and fallen_back",
            over.join(" and "),
            status.id
        )
    }
}

/// A watch of one drain.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    /// The gateway.
    pub shell: &'a Shell,
    /// The drain.
    pub drain: DrainId,
    /// What is waited for.
    pub goal: Goal,
    /// What may go wrong.
    pub allowance: Allowance,
}

/// By which way a watch hears of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feed {
    Events,
    Polls,
}

impl Watch<'_> {
    /// Watches until it is decided how the drain ends, time is up or somebody interrupts.
    ///
    /// # Errors
    /// When the gateway refuses, or stays away for a minute.
    pub(super) async fn run(self) -> Result<Outcome, ShellError> {
        let mut progress = Progress::new(self.shell.output);
        let ended = tokio::select! {
            ended = self.follow(&mut progress) => Some(ended),
            () = interrupted() => None,
            () = patience(self.shell.timeout) => {
                progress.close();
                return Err(ShellError::TimedOut(format!("time is up; {}", self.goes_on())));
            }
        };
        progress.close();
        let Some(ended) = ended else {
            progress.note(&self.goes_on());
            return Ok(Outcome::Detached);
        };
        let (status, outcome) = ended?;
        progress.last(&status);
        if self.shell.output != super::print::Output::Jsonl {
            self.shell.print(&status);
        }
        if let Some(why) = self.why(&status, outcome) {
            progress.note(&format!("handover: {why}"));
        }
        Ok(outcome)
    }

    async fn follow(&self, progress: &mut Progress) -> Result<(DrainStatus, Outcome), ShellError> {
        let mut feed = Feed::Events;
        let mut after = None;
        let mut away_since: Option<Instant> = None;
        loop {
            let heard = match feed {
                Feed::Events => self.listen(progress, &mut after, &mut away_since).await,
                Feed::Polls => self.poll(progress).await,
            };
            match heard {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => {
                    away_since = None;
                    sleep(POLL_INTERVAL).await;
                }
                Err(ClientError::Refused(refusal)) if feed == Feed::Events && refusal.is_unknown_path() => {
                    feed = Feed::Polls;
                }
                Err(error) if error.may_pass() => {
                    let since = *away_since.get_or_insert_with(|| {
                        progress.note(&format!("{error}; trying again"));
                        Instant::now()
                    });
                    if since.elapsed() >= AWAY_MAX {
                        return Err(error.into());
                    }
                    sleep(RETRY_INTERVAL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Follows the events until the stream ends; what an event says of the end is read back before it counts, for a
    /// resumed stream tells the past.
    async fn listen(
        &self,
        progress: &mut Progress,
        after: &mut Option<HeaderValue>,
        away_since: &mut Option<Instant>,
    ) -> Result<Option<(DrainStatus, Outcome)>, ClientError> {
        let mut call = Call::get(self.path("/events"));
        if let Some(after) = after {
            call = call.header(LAST_EVENT_ID, after.clone());
        }
        let mut body = self.shell.client.stream(call).await?;
        *away_since = None;
        let mut reader = EventReader::default();
        loop {
            let silent = |_| ClientError::Cut(format!("no event for {} s", SILENCE_MAX.as_secs()));
            let Some(frame) = timeout(SILENCE_MAX, body.frame()).await.map_err(silent)? else {
                return self.end().await;
            };
            let frame = frame.map_err(|error| ClientError::Cut(error.to_string()))?;
            let Some(bytes) = frame.data_ref() else { continue };
            let events = reader
                .push(bytes)
                .map_err(|error| ClientError::Cut(error.to_string()))?;
            for event in events {
                if let Some(id) = event.id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
                    *after = Some(id);
                }
                // A newer gateway may tell of more than this shell knows.
                let Ok(event) = serde_json::from_str::<DrainEvent>(&event.data) else {
                    continue;
                };
                progress.event(&event);
                let (DrainEvent::State { status } | DrainEvent::Progress { status }) = &event else {
                    continue;
                };
                if self.verdict(status).is_some()
                    && let Some(end) = self.end().await?
                {
                    return Ok(Some(end));
                }
            }
        }
    }

    async fn poll(&self, progress: &mut Progress) -> Result<Option<(DrainStatus, Outcome)>, ClientError> {
        let status = self.status().await?;
        progress.status(&status);
        Ok(self.verdict(&status).map(|outcome| (status, outcome)))
    }

    async fn end(&self) -> Result<Option<(DrainStatus, Outcome)>, ClientError> {
        let status = self.status().await?;
        Ok(self.verdict(&status).map(|outcome| (status, outcome)))
    }

    async fn status(&self) -> Result<DrainStatus, ClientError> {
        self.shell.client.ask(Call::get(self.path(""))).await
    }

    /// A drain's id is letters, digits and marks that stand in a path as they are.
    fn path(&self, behind: &str) -> String {
        format!("/v1/drains/{}{behind}", self.drain)
    }

    fn verdict(&self, status: &DrainStatus) -> Option<Outcome> {
        verdict(status, self.goal, self.allowance)
    }

    fn goes_on(&self) -> String {
        let what = match self.goal {
            Goal::Emptied | Goal::Aborted => "the drain goes on",
            Goal::Undone => "the undo goes on",
        };
        let id = &self.drain;
        format!("{what}; watch it again: handover drain watch {id}; end it: handover drain abort {id}")
    }

    /// Says why the outcome is not 0.
    fn why(&self, status: &DrainStatus, outcome: Outcome) -> Option<String> {
        let id = &self.drain;
        match outcome {
            Outcome::Unconfirmed => Some(self.allowance.exceeded_by(status)),
            Outcome::TimedOut => Some(format!(
                "the drain's deadline has passed with {} boards left",
                status.boards.left
            )),
            Outcome::Paused => {
                let undo = if status.request.undo_window_seconds.is_some_and(|seconds| seconds > 0) {
                    ", or undo"
                } else {
                    ""
                };
                Some(format!(
                    "the drain has paused and waits for a decision: handover drain resume {id}, or abort{undo}"
                ))
            }
            Outcome::Failed => {
                let what = match self.goal {
                    Goal::Emptied => "the drain is not through",
                    Goal::Aborted => "the drain had ended before it could be aborted",
                    Goal::Undone => "the drain is not taken back",
                };
                Some(format!("{what}: {}", super::drain_view::headline(status)))
            }
            Outcome::Done | Outcome::Usage | Outcome::Refused | Outcome::Unreachable | Outcome::Detached => None,
        }
    }
}

/// Decides how a watch ends; nothing while it goes on.
fn verdict(status: &DrainStatus, goal: Goal, allowance: Allowance) -> Option<Outcome> {
    match (status.state, goal) {
        (DrainState::Running, Goal::Emptied | Goal::Aborted | Goal::Undone) => None,
        (DrainState::Undoing, Goal::Emptied | Goal::Aborted | Goal::Undone) => None,
        // Who aborts waits for moves under way to end; a pause does not last beyond that.
        (DrainState::Paused, Goal::Aborted) => None,
        (DrainState::Paused, Goal::Emptied | Goal::Undone) => match status.paused_by {
            Some(PausedBy::Deadline | PausedBy::TargetDown) => Some(Outcome::Paused),
            // Somebody is at it.
            Some(PausedBy::Operator) | None => None,
        },
        (DrainState::Done, Goal::Emptied) => {
            let is_fine = status.unconfirmed_sessions <= allowance.unconfirmed_max
                && status.fallen_back_sessions <= allowance.fallen_back_max;
            Some(if is_fine { Outcome::Done } else { Outcome::Unconfirmed })
        }
        (DrainState::Failed, Goal::Emptied) if status.deadline_passed => Some(Outcome::TimedOut),
        (DrainState::Aborted, Goal::Aborted) => Some(Outcome::Done),
        (DrainState::Undone, Goal::Undone) => Some(Outcome::Done),
        (DrainState::Done, Goal::Aborted | Goal::Undone)
        | (DrainState::Failed, Goal::Emptied | Goal::Aborted | Goal::Undone)
        | (DrainState::Aborted, Goal::Emptied | Goal::Undone)
        | (DrainState::Undone, Goal::Emptied | Goal::Aborted) => Some(Outcome::Failed),
    }
}

/// Waits for Ctrl-C, or for whoever ends this process politely.
pub(super) async fn interrupted() {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn patience(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// Of the HTML standard, section 9.2.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How often a gateway without events is asked.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often a gateway that is away is looked for.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// How long a gateway may be away: a restart takes seconds, on a slow disk a little more.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// A stream has a sign of life every 15 s; after three times that its connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests;
