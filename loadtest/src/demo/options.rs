//! What the demo can be told.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use handover_protocol::admin::{DrainMode, DrainRequest, Pace, PaceRequest, ServerSet};

use crate::scenario::Load;
use crate::user::Resend;

/// Watch a release happen underneath people who are drawing: boards move from two servers to two others.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo demo", version)]
pub struct Options {
    /// Do the release at once, print the verdict and end; non-zero when anything was lost, doubled or reordered.
    #[arg(long)]
    pub unattended: bool,
    /// Print the verdict as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Virtual users.
    #[arg(long, default_value_t = 300)]
    pub sessions: u64,
    /// Boards that they draw on.
    #[arg(long, default_value_t = 60)]
    pub boards: u64,
    /// Boards that somebody drew on and left [default: one for each ten boards].
    #[arg(long)]
    pub idle_boards: Option<u64>,
    /// Changes per second, of all users.
    #[arg(long, default_value_t = 300.0)]
    pub rate: f64,
    /// How sessions cross.
    #[arg(long, value_enum, default_value_t = Mode::Transparent)]
    pub mode: Mode,
    /// How long a server loads a board before it can serve it.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "200ms")]
    pub load_time: Duration,
    /// How long a change takes to save, besides what the database takes.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    pub save_time: Duration,
    /// How long users draw before and after the release when nobody attends.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "3s")]
    pub steady: Duration,
    /// Moves begun per second; 0 sets no limit.
    #[arg(long, default_value_t = 20.0)]
    pub boards_per_second: f64,
    /// Moves under way at once.
    #[arg(long, default_value_t = 64)]
    pub boards_at_once: u32,
    /// Run a smaller and much busier crowd as well, after the first: its blackouts have more samples.
    #[arg(long)]
    pub dense: bool,
    /// Where boards are saved; by default a SQLite file that goes with the demo. `postgres:` must be an empty database.
    #[arg(long)]
    pub database: Option<String>,
    /// Keep configuration, logs and database when the demo ends.
    #[arg(long)]
    pub keep: bool,
    /// Whether users speak TLS; the page of the demo does not.
    #[arg(skip)]
    pub tls: bool,
    /// Bytes of filler in each change as others are shown it.
    #[arg(skip)]
    pub shown_pad: usize,
}

/// How sessions cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The socket stays open.
    Transparent,
    /// Everybody is told to reconnect, and comes back at once.
    Reconnect,
    /// Transparently where the route allows it.
    Auto,
}

impl Options {
    /// Returns the load. Only who is told to reconnect sends again, and only what was not acknowledged.
    pub fn load(&self) -> Load {
        Load {
            scenario: "release",
            sessions: self.sessions,
            boards: self.boards,
            idle_boards: self.idle_boards.unwrap_or(self.boards.div_ceil(10)),
            rate: self.rate,
            pad_bytes: 0,
            silent: 0,
            stuck: 0,
            resend: match self.mode {
                Mode::Transparent => Resend::Never,
                Mode::Reconnect | Mode::Auto => Resend::Unacknowledged,
            },
            prefix: String::new(),
        }
    }

    /// Returns the same demo with few users who draw much.
    #[must_use]
    pub fn dense_run(&self) -> Self {
        Self {
            sessions: 100,
            boards: 20,
            idle_boards: None,
            rate: 5_000.0,
            dense: false,
            ..self.clone()
        }
    }

    /// Returns the release as a drain.
    pub fn drain(&self) -> DrainRequest {
        let release = |name: &str| ServerSet::Release(name.parse().expect("the demo's own names are sound"));
        DrainRequest {
            mode: Some(self.mode.of_drain()),
            pace: PaceRequest::from(Pace {
                boards_per_second: self.boards_per_second,
                boards_at_once: self.boards_at_once,
                loads_per_target: self.boards_at_once.div_ceil(2),
            }),
            ..DrainRequest::new(release(SOURCE_RELEASE), release(TARGET_RELEASE))
        }
    }
}

impl Mode {
    /// Returns the drain's word for it.
    pub fn of_drain(self) -> DrainMode {
        match self {
            Self::Transparent => DrainMode::Transparent,
            Self::Reconnect => DrainMode::Reconnect,
            Self::Auto => DrainMode::Auto,
        }
    }
}

/// The release that runs.
pub(super) const SOURCE_RELEASE: &str = "r1";
/// The release that comes.
pub(super) const TARGET_RELEASE: &str = "r2";
