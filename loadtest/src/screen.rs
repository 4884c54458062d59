//! What a run says while it goes, on standard error: a bar with an estimate on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use handover_protocol::admin::DrainStatus;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep_until};

use crate::scenario::Run;

/// Tells how far a run is.
pub struct Ticker {
    bar: Option<ProgressBar>,
    told: Option<Instant>,
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
        Self { bar, told: None }
    }

    /// Says that something begins.
    pub fn say(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.println(what),
            None => eprintln!("{what}"),
        }
    }

    /// Lets the users draw, and says each second how far they are.
    pub async fn draw(&mut self, what: &str, run: &Run, duration: Duration) {
        let progress = run.progress();
        let begun = Instant::now();
        let (acked_before, until) = (progress.acked.load(Relaxed), begun + duration);
        self.begin(what, duration.as_secs());
        while Instant::now() < until {
            sleep_until(until.min(Instant::now() + Duration::from_secs(1))).await;
            let acked = progress.acked.load(Relaxed);
            let line = format!(
                "{} users, {} changes acknowledged ({:.0} a second), {} unanswered, {} reconnects",
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
