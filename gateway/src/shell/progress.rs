//! How a watch shows a drain: a bar on a terminal, a line now and then elsewhere, events on stdout where asked for.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use handover_protocol::admin::{DrainEvent, DrainState, DrainStatus, MoveReport};
use handover_protocol::machine::drain::advice;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::time::Instant;

use super::drain_view::headline;
use super::print::{Output, print_line, say, shown};

/// What whoever watches has seen so far.
#[derive(Debug)]
pub(super) struct Progress {
    output: Output,
    bar: Option<ProgressBar>,
    said: Option<Said>,
    printed: Option<DrainState>,
    /// How many moves ended where they began, by their result.
    not_moved: BTreeMap<String, u64>,
}

/// The line that was said last.
#[derive(Debug)]
struct Said {
    state: DrainState,
    waits_for: Option<String>,
    at: Instant,
}

impl Progress {
    /// Shows nothing yet.
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            bar: io::stderr().is_terminal().then(bar),
            said: None,
            printed: None,
            not_moved: BTreeMap::new(),
        }
    }

    /// Shows an event of the stream.
    pub(super) fn event(&mut self, event: &DrainEvent) {
        if self.output == Output::Jsonl {
            print_line(&json!(event));
        }
        match event {
            DrainEvent::State { status } | DrainEvent::Progress { status } => {
                self.printed = Some(status.state);
                self.show(status);
            }
            DrainEvent::Move { report, .. } if !report.is_moved() => {
                self.tell_not_moved(report);
            }
            DrainEvent::Move { .. } => {}
        }
    }

    /// Says of the first board that a reason kept what that means; the others are counted.
    fn tell_not_moved(&mut self, report: &MoveReport) {
        let count = self.not_moved.entry(report.result.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.note(&format!(
                "board {} was not moved ({}): {}",
                shown(report.board.as_str()),
                shown(&report.result),
                advice(&report.result)
            ));
        }
    }

    /// Shows a status that was asked for.
    pub(super) fn status(&mut self, status: &DrainStatus) {
        let status = Box::new(status.clone());
        self.event(&if self.printed == Some(status.state) {
            DrainEvent::Progress { status }
        } else {
            DrainEvent::State { status }
        });
    }

    /// Sees to it that a stream on stdout ends with the state in which the drain was found in the end.
    pub(super) fn last(&mut self, status: &DrainStatus) {
        if self.printed != Some(status.state) {
            self.status(status);
        }
        for (result, count) in std::mem::take(&mut self.not_moved) {
            if count > 1 {
                self.note(&format!("boards were not moved, {count} times: {}", shown(&result)));
            }
        }
        self.close();
    }

    /// Leaves the bar as it is.
    pub(super) fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
    }

    /// Says something beside the bar.
    pub(super) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => say(text),
        }
    }

    fn show(&mut self, status: &DrainStatus) {
        let line = headline(status);
        match &self.bar {
            Some(bar) => {
                let counts = &status.boards;
                let (done, whole) = match status.state {
                    DrainState::Undoing | DrainState::Undone => (status.undone, counts.moved),
                    DrainState::Running
                    | DrainState::Paused
                    | DrainState::Done
                    | DrainState::Failed
                    | DrainState::Aborted => (counts.moved + counts.closed, counts.total),
                };
                bar.set_length(whole);
                bar.set_position(done);
                bar.set_message(line);
            }
            None => {
                if self.is_news(status) {
                    say(&format!("drain {}: {line}", status.id));
                }
            }
        }
    }
}

impl Progress {
    /// Reads whether a log has to have a line now: of another state, another reason, or after a while.
    fn is_news(&mut self, status: &DrainStatus) -> bool {
        let waits_for = status.waits_for.first().map(|wait| wait.reason.clone());
        let is_news = self.said.as_ref().is_none_or(|said| {
            said.state != status.state || said.waits_for != waits_for || said.at.elapsed() >= SAY_INTERVAL
        });
        if is_news {
            self.said = Some(Said {
                state: status.state,
                waits_for,
                at: Instant::now(),
            });
        }
        is_news
    }
}

/// Nothing of it is coloured, so there is nothing that `NO_COLOR` would take away.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} {wide_msg}")
        .expect("the template is fixed")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}

/// A log of CI need not know more often.
const SAY_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use handover_protocol::admin::{DrainRequest, Hindrance, ServerSet};

    use super::*;

    #[test]
    fn a_log_has_a_line_as_soon_as_the_reason_of_a_wait_changes() {
        let set = |name: &str| ServerSet::Release(name.parse().unwrap());
        let request = DrainRequest::new(set("r1"), set("r2"));
        let json = json!({
            "id": "d", "state": "running", "boards": handover_protocol::admin::DrainCounts::default(), "rate": 0.0,
            "failures": [], "levels": [], "unconfirmed_sessions": 0, "fallen_back_sessions": 0, "request": request,
        });
        let running: DrainStatus = serde_json::from_value(json).unwrap();
        let waiting = |reason: &str| DrainStatus {
            waits_for: vec![Hindrance {
                reason: reason.to_owned(),
                detail: String::new(),
                boards: 1,
            }],
            ..running.clone()
        };
        let mut progress = Progress::new(Output::Text);
        let course = [
            &running,
            &running,
            &waiting("a"),
            &waiting("a"),
            &waiting("b"),
            &running,
        ];
        let said = course.map(|status| progress.is_news(status));
        assert_eq!(said, [true, false, true, false, true, true]);
    }
}
