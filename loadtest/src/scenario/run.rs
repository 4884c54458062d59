//! One run: users gather and draw, perhaps a release happens, and the ledger judges.
//!
//! ```text
//! begin ─▶ (draw) ─▶ release ─▶ (draw) ─▶ finish ─▶ report
//! ```

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use handover_protocol::id::{BoardId, IdError};
use tokio::time::{Instant, sleep};

use crate::ledger::{Evidence, Testimony, judge};
use crate::report::{CrashReport, Distribution, Quantiles, Report, RoundReport, SlowReport, measure_blackouts};
use crate::store::StoreError;
use crate::user::{Clock, Crowd, Endpoint, GatherError, Micros, Progress, Record};

use super::admin::{AdminClient, AdminError, times_of};
use super::database::{Written, read_database};
use super::gauges::stalls;
use super::jam::Jam;
use super::load::Load;
use super::release::Released;
use super::scales::Scales;
use super::visit::{Visit, visit};
use super::watch::{Sights, Watch};

/// Where everything stands.
#[derive(Debug, Clone)]
pub struct Stand {
    /// Where users connect.
    pub endpoint: Endpoint,
    /// The gateway's admin API; absent where users draw on a server directly.
    pub admin: Option<AdminClient>,
    /// The board servers' database.
    pub database: String,
}

/// A run under way.
pub struct Run {
    pub(super) stand: Stand,
    pub(super) load: Load,
    pub(super) clock: Clock,
    crowd: Crowd,
    visitors: Vec<Record>,
    pub(super) release: Option<Released>,
    pub(super) watch: Option<Watch>,
    strike: Option<Strike>,
    gusts: Vec<Micros>,
    jam: Option<Jam>,
}

/// How many have come so far.
pub struct Arrival<'a> {
    /// Of whom.
    pub who: &'static str,
    /// How many were let in.
    pub arrived: u64,
    /// Of how many.
    pub wanted: u64,
    /// Their counters, and why the last one was refused.
    pub progress: &'a Progress,
    /// What may keep the others away where nobody was refused.
    pub doubt: Option<&'a str>,
}

/// What was struck down, and when.
struct Strike {
    process: String,
    how: &'static str,
    at: Micros,
}

/// Why a run could not be carried through; what the ledger finds is no such error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The load cannot be named.
    #[error("the prefix makes no board id")]
    Names(#[from] IdError),
    /// Users were not let in.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// The gateway's admin API failed.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A release needs an admin API.
    #[error("a release needs the gateway's admin URL")]
    NoAdmin,
    /// The drain did not end in time.
    #[error("the drain is still running after {0:?}")]
    DrainTimeout(Duration),
    /// The database cannot be read.
    #[error(transparent)]
    Database(#[from] StoreError),
}

impl Run {
    /// Lets visitors draw on the idle boards and go, and then the crowd in, which draws from now on.
    ///
    /// # Errors
    /// When somebody is not let in.
    pub async fn begin(stand: Stand, load: Load) -> Result<Self, RunError> {
        Self::begin_watched(stand, load, |_| {}).await
    }

    /// As [`Self::begin`]; `tell` is shown again and again how many have arrived.
    ///
    /// # Errors
    /// When somebody is not let in.
    pub async fn begin_watched(stand: Stand, load: Load, mut tell: impl FnMut(&Arrival<'_>)) -> Result<Self, RunError> {
        let clock = Clock::start();
        let visitors = visit(&stand, &load, clock, Visit::Draw, &mut tell).await?;
        let crowd = load.crowd(&stand.endpoint)?;
        let tell_of = |progress: &Progress| {
            tell(&Arrival {
                who: "users",
                arrived: progress.served.load(Relaxed),
                wanted: load.sessions,
                progress,
                doubt: None,
            });
        };
        let crowd = Crowd::gather_watched(crowd, clock, GATHER_LIMIT, tell_of).await?;
        crowd.draw();
        Ok(Self {
            stand,
            load,
            clock,
            crowd,
            visitors,
            release: None,
            watch: None,
            strike: None,
            gusts: Vec::new(),
            jam: None,
        })
    }

    /// Looks at boards and processes from now on; `scales` have weighed the processes before anybody came.
    pub fn watch(&mut self, scales: Scales) {
        let messages = self.progress().messages();
        let mut watch = Watch::start(self.stand.admin.as_ref(), self.clock, scales, messages);
        if let Some(admin) = &self.stand.admin
            && self.load.stuck > 0
        {
            watch.weigh_by_metrics(admin, self.clock);
        }
        self.watch = Some(watch);
    }

    /// Lets the readers that are to stop do so, while the others draw on.
    pub async fn jam(&mut self) {
        let stalls = self.stalls().await;
        self.jam = Some(Jam::begin(self.clock.now(), self.stand.endpoint.port(), stalls));
        self.crowd.jam();
    }

    /// Asks the gateway how many sessions it has ended because their client took nothing.
    async fn stalls(&self) -> Option<u64> {
        let metrics = self.stand.admin.as_ref()?.metrics().await.ok()?;
        stalls(&metrics)
    }

    /// Notes that a process is struck down now: the report tells how its sessions came back.
    pub fn note_strike(&mut self, process: &str, how: &'static str) {
        self.strike = Some(Strike {
            process: process.to_owned(),
            how,
            at: self.clock.now(),
        });
    }

    /// Cuts every connection at once, and waits until everybody is back; returns whether that was so within `limit`.
    pub async fn gust(&mut self, limit: Duration) -> bool {
        let progress = self.progress();
        let users = self.crowd.len() as u64;
        let wanted = progress.reconnects.load(Relaxed) + users;
        let deadline = Instant::now() + limit;
        self.gusts.push(self.clock.now());
        self.crowd.cut();
        while Instant::now() < deadline {
            if progress.reconnects.load(Relaxed) >= wanted && progress.served.load(Relaxed) >= users {
                return true;
            }
            sleep(GUST_POLL).await;
        }
        false
    }

    /// Waits until every user is served; returns whether that was so within `limit`.
    pub async fn all_served(&self, limit: Duration) -> bool {
        let progress = self.progress();
        let deadline = Instant::now() + limit;
        while progress.served.load(Relaxed) < self.crowd.len() as u64 {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(GUST_POLL).await;
        }
        true
    }

    /// Returns the counters of the crowd.
    pub fn progress(&self) -> std::sync::Arc<Progress> {
        self.crowd.progress()
    }

    /// Stops the drawing, waits for what is under way, looks at the idle boards again, reads the database, and judges.
    ///
    /// # Errors
    /// When the database or the admin API cannot be read.
    pub async fn finish(mut self) -> Result<Report, RunError> {
        let jammed = match self.jam.take() {
            Some(jam) => Some(jam.end(self.stalls().await).await),
            None => None,
        };
        self.crowd.settle(SETTLE_LIMIT).await;
        let sights = match self.watch.take() {
            Some(watch) => watch.finish(self.load.sessions, self.progress().messages()).await,
            None => Sights::default(),
        };
        let moves = match &self.stand.admin {
            Some(admin) if self.release.is_some() => admin.moves().await?,
            Some(_) | None => Vec::new(),
        };
        let again = match &self.release {
            Some(_) => visit(&self.stand, &self.load, self.clock, Visit::Look, &mut |_| {}).await?,
            None => Vec::new(),
        };
        self.visitors.extend(again);
        let written = read_database(&self.stand.database, &self.load.user_prefix()).await?;
        let left_on_sources = self.left_on_sources(&written).await?;
        let release = self.release_report().await?;
        let hold_ms = self.hold_ms().await?;
        let release_seconds = self.release.as_ref().map(|released| released.seconds);

        let records = self.crowd.leave().await;
        let testimonies = records.iter().chain(&self.visitors).map(Record::testimony).collect();
        let verdict = judge(&evidence(testimonies, written, left_on_sources));

        let came_back = records.iter().filter(|record| record.has_come_back()).count() as u64;
        let refusals = records.iter().map(|record| record.refusals).sum();
        let mut report = Report::new(self.load.scenario, &verdict, self.load.report(came_back, refusals));
        let times: Vec<_> = moves.iter().filter_map(|moved| times_of(moved, &self.clock)).collect();
        let blackouts = measure_blackouts(&records, &times);
        report.blackout_distribution = Distribution::of(blackouts.felt.iter().copied());
        report.blackout_ms = Quantiles::of(blackouts.felt);
        report.silence_ms = (!blackouts.silence.is_empty()).then(|| Quantiles::of(blackouts.silence));
        report.latency_ms = Quantiles::of(latencies(&records));
        report.latency_distribution = Distribution::of(latencies(&records));
        report.trace = sights.trace;
        report.admin_calls = sights.calls;
        report.processes = sights.processes;
        if let Some(strike) = &self.strike {
            let crash = CrashReport::measure(&strike.process, strike.how, &records, strike.at);
            report.ok &= crash.sessions_back == crash.sessions_hit;
            report.strike_at_ms = Some(strike.at as f64 / 1e3);
            report.crash = Some(crash);
        }
        if let Some(jammed) = jammed {
            let slow = SlowReport::measure(jammed, self.load.stuck, &records, sights.gateway_memory.as_ref());
            report.ok &= slow.is_ok();
            report.slow = Some(slow);
        }
        report.rounds = self.gusts.iter().map(|&at| round(&records, at)).collect();
        report.ok &= report.rounds.iter().all(|round| round.all_back_ms.is_some());
        let span = |released: &Released| {
            let began = released.began as f64 / 1e3;
            (began, began + released.seconds * 1e3)
        };
        report.release_at_ms = self.release.as_ref().map(span);
        report.hold_ms = hold_ms;
        report.release_seconds = release_seconds;
        report.ok &= records.len() as u64 == self.load.sessions;
        report.ok &= release.as_ref().is_none_or(|release| release.state == "done");
        report.release = release;
        Ok(report)
    }
}

fn evidence(testimonies: Vec<Testimony>, written: Written, left_on_sources: Vec<BoardId>) -> Evidence {
    Evidence {
        testimonies,
        stored: written.stored,
        repeats: written.repeats,
        left_on_sources,
    }
}

/// Measures how long each user needed to be welcomed after everybody was cut.
fn round(records: &[Record], at: Micros) -> RoundReport {
    let back = records.iter().map(|record| {
        let sockets = record.sockets.iter().filter(|socket| socket.begun >= at);
        sockets
            .filter_map(|socket| socket.welcomed)
            .min()
            .map(|welcomed| welcomed - at)
    });
    let all: Option<Vec<Micros>> = back.clone().collect();
    RoundReport {
        at_ms: at as f64 / 1e3,
        all_back_ms: all.and_then(|all| all.into_iter().max()).map(|last| last as f64 / 1e3),
        back_ms: Quantiles::of(back.flatten()),
    }
}

fn latencies(records: &[Record]) -> impl Iterator<Item = u64> + '_ {
    let changes = records.iter().flat_map(|record| &record.changes);
    changes.filter_map(|change| change.latency()).map(u64::from)
}

/// Boards that load for seconds, some at a time, are let in slowly.
pub(super) const GATHER_LIMIT: Duration = Duration::from_secs(180);
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(15);
const GUST_POLL: Duration = Duration::from_millis(5);
