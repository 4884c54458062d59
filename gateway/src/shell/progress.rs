//! How a watch shows a drain: a bar on a terminal, a line now and then elsewhere, events on stdout where asked for.

use std::io::{self, IsTerminal};
use std::time::Duration;

use handover_protocol::admin::{DrainEvent, DrainState, DrainStatus};
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
    said: Option<(DrainState, Instant)>,
    printed: Option<DrainState>,
}

impl Progress {
    /// Shows nothing yet.
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            bar: io::stderr().is_terminal().then(bar),
            said: None,
            printed: None,
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
                self.note(&format!("board {}: {}", shown(report.board.as_str()), report.result));
            }
            DrainEvent::Move { .. } => {}
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
                let is_news = self
                    .said
                    .is_none_or(|(state, at)| state != status.state || at.elapsed() >= SAY_INTERVAL);
                if is_news {
                    self.said = Some((status.state, Instant::now()));
                    say(&format!("drain {}: {line}", status.id));
                }
            }
        }
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
