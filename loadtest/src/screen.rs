//! What a run says while it goes, on standard error: a bar with an estimate on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use handover_protocol::admin::DrainStatus;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep_until};

use crate::scenario::{Arrival, Run};
use crate::user::Progress;

/// Tells how far a run is.
pub struct Ticker {
    bar: Option<ProgressBar>,
    told: Option<Instant>,
    /// The last line about who has come, which is said once.
    said: Option<String>,
}

impl Ticker {
    /// Looks whether standard error is a terminal.
    pub fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            let style = ProgressStyle::with_template("{prefix:12} {bar:30} {pos}/{len} {msg} (left: {eta})");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self {
            bar,
            told: None,
            said: None,
        }
    }

    /// Says that something begins.
    pub fn say(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.println(what),
            None => eprintln!("{what}"),
        }
    }

    /// Says how many have come.
    pub fn gather(&mut self, arrival: &Arrival<'_>) {
        if let Some(bar) = &self.bar {
            bar.set_prefix("gathering");
            bar.set_length(arrival.wanted);
            bar.set_position(arrival.arrived);
        }
        if self.told.get_or_insert_with(Instant::now).elapsed() < Duration::from_secs(1) {
            return;
        }
        self.told = Some(Instant::now());
        let refusal = match (arrival.progress.last_refusal(), arrival.doubt) {
            _ if arrival.arrived >= arrival.wanted => String::new(),
            (Some(refusal), _) => format!("; the last refusal: {refusal}"),
            (None, Some(doubt)) => format!("; {doubt}"),
            (None, None) => String::new(),
        };
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} are here{refusal}", arrival.who));
            return;
        }
        let (arrived, wanted, who) = (arrival.arrived, arrival.wanted, arrival.who);
        let line = format!("{arrived} of {wanted} {who} are here{refusal}");
        if self.said.as_ref() != Some(&line) {
            eprintln!("{line}");
            self.said = Some(line);
        }
    }

    /// Lets the users draw, and says each second how far they are.
    pub async fn draw(&mut self, what: &str, run: &Run, duration: Duration) {
        self.work(what, "changes", &run.progress(), duration).await;
    }

    /// Looks on while users work, and says each second how many messages of theirs were acknowledged.
    pub async fn work(&mut self, what: &str, messages: &str, progress: &Progress, duration: Duration) {
        let begun = Instant::now();
        let (acked_before, until) = (progress.acked.load(Relaxed), begun + duration);
        self.begin(what, duration.as_secs());
        while Instant::now() < until {
            sleep_until(until.min(Instant::now() + Duration::from_secs(1))).await;
            let acked = progress.acked.load(Relaxed);
            let line = format!(
                "{} users, {} {messages} acknowledged ({:.0} a second), {} unanswered, {} reconnects",
                progress.served.load(Relaxed),
                acked,
                (acked - acked_before) as f64 / begun.elapsed().as_secs_f64(),
                progress.unanswered(),
                progress.reconnects.load(Relaxed),
            );
            self.tell(begun.elapsed().as_secs(), line);
        }
        self.end();
    }

    /// Says how far a drain is.
    pub fn drain(&mut self, status: &DrainStatus) {
        let boards = &status.boards;
        if self.told.is_some_and(|told| told.elapsed() < Duration::from_secs(1)) {
            return;
        }
        self.told = Some(Instant::now());
        let left = match status.rate {
            rate if rate > 0.0 => format!("{:.0} s left", boards.left as f64 / rate),
            _ => "no estimate yet".to_owned(),
        };
        let line = format!(
            "boards moved, {:.0} a second, {} failed, {left}",
            status.rate, boards.failed
        );
        match &self.bar {
            Some(bar) => {
                bar.set_prefix("drain");
                bar.set_length(boards.total);
                bar.set_position(boards.moved);
                bar.set_message(line);
            }
            None => eprintln!("{} of {} {line}", boards.moved, boards.total),
        }
    }

    fn begin(&self, what: &str, seconds: u64) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(what.to_owned());
            bar.reset();
            bar.set_length(seconds);
        }
    }

    fn tell(&self, seconds: u64, line: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(seconds);
                bar.set_message(line);
            }
            None => eprintln!("{line}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message("");
        }
    }
}

impl Default for Ticker {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
