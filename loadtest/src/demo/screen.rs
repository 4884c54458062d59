//! The demo on a terminal: bars that move; where there is no terminal, a line now and then. Always on standard error,
//! so that standard output has the verdict and nothing else.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::sleep;

use super::fleet::SERVERS;
use super::status::Status;

/// Shows what is going on, for ever.
pub(super) async fn show(status: watch::Receiver<Status>) {
    if std::io::stderr().is_terminal() {
        show_bars(status).await;
    } else {
        show_lines(status).await;
    }
}

async fn show_bars(mut status: watch::Receiver<Status>) {
    let bars = Bars::new();
    while status.changed().await.is_ok() {
        bars.update(&status.borrow_and_update().clone());
    }
}

/// Bars that are cleared when nobody shows them any more.
struct Bars {
    all: MultiProgress,
    servers: Vec<ProgressBar>,
    line: ProgressBar,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let style = |template| ProgressStyle::with_template(template).expect("the template is sound");
        let servers = SERVERS.map(|(name, release)| {
            let bar =
                ProgressBar::new(1).with_style(style("  {prefix}  {bar:40} {pos:>4} boards").progress_chars("█▌ "));
            let bar = all.add(bar);
            bar.set_prefix(format!("{name:<8} {release}"));
            bar
        });
        let line = all.add(ProgressBar::new(1).with_style(style("  {msg}")));
        Self {
            all,
            servers: servers.into(),
            line,
        }
    }

    fn update(&self, status: &Status) {
        let total: u64 = status.servers.iter().map(|server| server.boards).sum();
        for (bar, server) in self.servers.iter().zip(&status.servers) {
            bar.set_length(total.max(1));
            bar.set_position(server.boards);
        }
        let enter = if status.is_attended {
            status.phase.enter_in_words()
        } else {
            ""
        };
        self.line.set_message(format!("{}   {enter}", in_a_line(status)));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // Without a terminal to draw on there is nothing to clear.
        let _ = self.all.clear();
    }
}

async fn show_lines(mut status: watch::Receiver<Status>) {
    while status.changed().await.is_ok() {
        let look = status.borrow_and_update().clone();
        let boards: Vec<String> = look
            .servers
            .iter()
            .map(|server| format!("{} ({}) {}", server.name, server.release, server.boards))
            .collect();
        eprintln!("boards: {}; {}", boards.join(", "), in_a_line(&look));
        sleep(LINE_EVERY).await;
    }
}

fn in_a_line(status: &Status) -> String {
    format!(
        "{}: {} users, {} changes sent, {} saved, {} reconnects",
        status.phase.in_words(),
        status.users,
        status.sent,
        status.saved,
        status.reconnects
    )
}

const LINE_EVERY: Duration = Duration::from_secs(1);
