//! All users at somebody else's server, from their coming to the report.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use handover_protocol::id::{BoardId, IdError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::ledger::{Heeded, judge_alone};
use crate::report::{Distribution, LoadReport, Quantiles, Report};
use crate::scenario::Arrival;
use crate::screen::Ticker;
use crate::user::{Clock, Endpoint, Progress, Record, Stage};

use super::guest::Guest;
use super::script::Script;

/// How many users, and how busy.
#[derive(Debug, Clone)]
pub struct TargetLoad {
    /// The server.
    pub target: Endpoint,
    /// Users.
    pub sessions: u64,
    /// Boards that they are spread over.
    pub boards: u64,
    /// Messages per second, of all users; a think time in the script goes before it.
    pub rate: f64,
    /// How long they talk.
    pub duration: Duration,
    /// Stands before the names of boards and users.
    pub prefix: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The prefix makes no name.
    #[error("the prefix makes no board id")]
    Names(#[from] IdError),
    /// Users were not let in.
    #[error("{served} of {wanted} users were ready within {GATHER_LIMIT:?}{refusal}")]
    Gather {
        /// How many were.
        served: u64,
        /// Of how many.
        wanted: u64,
        /// What was said to one of the others, behind a semicolon.
        refusal: String,
    },
}

/// Lets the users come, talk and go, and judges.
///
/// # Errors
/// When they are not let in.
pub async fn run(script: Script, load: &TargetLoad, ticker: &mut Ticker) -> Result<Report, TargetError> {
    let (clock, progress) = (Clock::start(), Arc::new(Progress::default()));
    let (stage, _) = watch::channel(Stage::Gather);
    let script = Arc::new(script);
    let mut guests = JoinSet::new();
    for number in 0..load.sessions {
        let board: BoardId = format!("{}board-{}", load.prefix, number % load.boards.max(1) + 1).parse()?;
        let guest = Guest {
            script: Arc::clone(&script),
            endpoint: load.target.clone(),
            board,
            name: format!("{}u{}", load.prefix, number + 1),
            interval: Duration::from_secs_f64(load.sessions as f64 / load.rate.max(1e-3)),
            clock,
            stage: stage.subscribe(),
            progress: Arc::clone(&progress),
        };
        guests.spawn(guest.run());
    }
    ticker.say(&format!("{} users gather at {}", load.sessions, load.target));
    let doubt = script.ready.as_ref().map(|ready| {
        let ready = ready.as_str();
        format!("nobody was refused: does the server say what recognise.ready waits for, {ready:?}?")
    });
    let deadline = Instant::now() + GATHER_LIMIT;
    while progress.served.load(Relaxed) < load.sessions {
        if Instant::now() >= deadline {
            return Err(TargetError::Gather {
                served: progress.served.load(Relaxed),
                wanted: load.sessions,
                refusal: match (progress.last_refusal(), &doubt) {
                    (Some(refusal), _) => format!("; the last refusal: {refusal}"),
                    (None, Some(doubt)) => format!("; {doubt}"),
                    (None, None) => String::new(),
                },
            });
        }
        ticker.gather(&Arrival {
            who: "users",
            arrived: progress.served.load(Relaxed),
            wanted: load.sessions,
            progress: &progress,
            doubt: doubt.as_deref(),
        });
        sleep(LOOK).await;
    }
    stage.send_replace(Stage::Draw { since: clock.now() });
    ticker.work("talking", "messages", &progress, load.duration).await;
    stage.send_replace(Stage::Settle);
    let mut last = (0, Instant::now());
    while last.1.elapsed() < SETTLE_LIMIT && (progress.unanswered() > 0 || last.1.elapsed() < QUIET) {
        let heard = progress.seen.load(Relaxed) + progress.acked.load(Relaxed);
        if heard != last.0 {
            last = (heard, Instant::now());
        }
        sleep(LOOK).await;
    }
    stage.send_replace(Stage::Leave);
    let mut records = Vec::new();
    while let Some(record) = guests.join_next().await {
        records.extend(record.ok());
    }
    Ok(report(&records, load, &script))
}

fn report(records: &[Record], load: &TargetLoad, script: &Script) -> Report {
    let heeded = match script.broadcast {
        Some(_) => Heeded::AcksAndBroadcasts,
        None => Heeded::Acks,
    };
    let testimonies: Vec<_> = records.iter().map(Record::testimony).collect();
    let verdict = judge_alone(&testimonies, heeded);
    let load_report = LoadReport {
        sessions: load.sessions,
        boards: load.boards,
        idle_boards: 0,
        rate: load.rate,
        sessions_reconnected: records.iter().filter(|record| record.sockets.len() > 1).count() as u64,
        refusals: records.iter().map(|record| record.refusals).sum(),
    };
    let mut report = Report::new("target", &verdict, load_report);
    report.has_database = false;
    let latencies = || {
        let changes = records.iter().flat_map(|record| &record.changes);
        changes.filter_map(|change| change.latency()).map(u64::from)
    };
    report.latency_ms = Quantiles::of(latencies());
    report.latency_distribution = Distribution::of(latencies());
    report.ok &= records.len() as u64 == load.sessions;
    report
}

const GATHER_LIMIT: Duration = Duration::from_secs(60);
/// Without a word for so long, what is unanswered stays so.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(10);
