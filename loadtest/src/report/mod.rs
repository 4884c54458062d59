//! The report of a run: the ledger's verdict, what clients felt, and what became of the boards; as JSON and in words.

mod blackout;
mod distribution;
mod html;
mod memory;
mod plot;
mod quantiles;
mod recovery;
mod slow;
mod tables;
mod text;

use serde::Serialize;

use crate::ledger::{Finding, Totals, Verdict};

pub use blackout::{Blackouts, MoveTimes, measure_blackouts};
pub use distribution::Distribution;
pub use html::in_html;
pub use memory::{MemoryGrowth, MemoryTrace, WeighedBy};
pub use quantiles::{Quantiles, SAMPLES_ENOUGH};
pub use recovery::CrashReport;
pub use slow::{End, Jammed, SeenAt, SlowReport};
pub use tables::{CallReport, ProcessReport, RoundReport, TracePoint};
pub use text::in_words;

/// Everything a run has to say. Later versions add keys and change none.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Whether nothing was lost, doubled, reordered, left unsaved or left behind, and the release was done.
    pub ok: bool,
    /// Changes that somebody misses.
    pub lost: u64,
    /// Changes that were applied, or came, more than once.
    pub doubled: u64,
    /// Changes behind a later one of their author.
    pub reordered: u64,
    /// Changes acknowledged and not in the database.
    pub not_saved: u64,
    /// Whether there was a database to compare with; without one nothing is said of what is there.
    pub has_database: bool,
    /// Boards left on a source.
    pub not_moved: u64,
    /// Sends of a change that had been sent before.
    pub resent: u64,
    /// From the start of the drain to its end; absent without one.
    pub release_seconds: Option<f64>,
    /// What clients felt of the moves.
    pub blackout_ms: Quantiles,
    /// By reconnect: plainly from the last acknowledgement on the old socket to the first on the new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence_ms: Option<Quantiles>,
    /// The gateway's own histogram: how long sessions were held, over all of them.
    pub hold_ms: Option<Quantiles>,
    /// From when a change was due to its acknowledgement, over the whole run.
    pub latency_ms: Quantiles,
    /// What was looked at.
    pub totals: Totals,
    /// Every kind of fault, with the first few in words.
    pub findings: Vec<Found>,
    /// The load.
    pub load: LoadReport,
    /// The drain; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseReport>,
    /// What was struck, and how sessions came back; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<CrashReport>,
    /// Readers that stopped; absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowReport>,
    /// Each time that everybody came at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<RoundReport>,
    /// How long each admin GET took meanwhile, from when it was due.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admin_calls: Vec<CallReport>,
    /// What the processes held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessReport>,
    /// Open boards per server over the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TracePoint>,
    /// When the drain began and ended, in milliseconds of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_at_ms: Option<(f64, f64)>,
    /// When something was struck, in milliseconds of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strike_at_ms: Option<f64>,
    /// How the latencies lie.
    pub latency_distribution: Distribution,
    /// How the blackouts lie.
    pub blackout_distribution: Distribution,
    /// A smaller and busier crowd, run beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense: Option<Box<Report>>,
}

/// One kind of fault.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Which kind.
    pub kind: &'static str,
    /// How often, and the first few.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What the users did.
#[derive(Debug, Clone, Serialize)]
pub struct LoadReport {
    /// Virtual users.
    pub sessions: u64,
    /// Boards with users on them.
    pub boards: u64,
    /// Boards that were drawn on before and have nobody on them.
    pub idle_boards: u64,
    /// Changes due per second, of all users.
    pub rate: f64,
    /// Sessions that were told to reconnect, or cut, at least once.
    pub sessions_reconnected: u64,
    /// Tries to connect that were turned away.
    pub refusals: u64,
}

/// What became of the boards.
#[derive(Debug, Clone, Serialize)]
pub struct ReleaseReport {
    /// How sessions were to cross.
    pub mode: String,
    /// The drain's end: `done`, `failed` or `aborted`.
    pub state: String,
    /// Boards the drain found.
    pub boards_total: u64,
    /// Boards that another server owns now.
    pub boards_moved: u64,
    /// Boards moved for each second of the drain.
    pub boards_per_second: f64,
    /// Tries that ended where they began.
    pub boards_failed: u64,
    /// Why, the most frequent first.
    pub failures: Vec<(String, u64)>,
    /// Sessions that fell back from transparent to reconnect.
    pub fallen_back_sessions: u64,
    /// Sessions of which something could not be confirmed.
    pub unconfirmed_sessions: u64,
    /// Open boards per server before and after.
    pub servers: Vec<ServerBoards>,
}

/// The boards of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerBoards {
    /// The server.
    pub server: String,
    /// Which release it runs; empty where nobody said.
    pub release: String,
    /// Open boards before the drain.
    pub before: u64,
    /// Open boards after it.
    pub after: u64,
}

impl Report {
    /// Begins a report with the ledger's verdict.
    pub fn new(scenario: &'static str, verdict: &Verdict, load: LoadReport) -> Self {
        Self {
            scenario,
            ok: verdict.is_clean(),
            lost: verdict.lost.count(),
            doubled: verdict.doubled.count(),
            reordered: verdict.reordered.count(),
            not_saved: verdict.not_saved.count(),
            has_database: true,
            not_moved: verdict.not_moved.count(),
            resent: verdict.totals.resent,
            release_seconds: None,
            blackout_ms: Quantiles::default(),
            silence_ms: None,
            hold_ms: None,
            latency_ms: Quantiles::default(),
            totals: verdict.totals,
            findings: verdict
                .kinds()
                .into_iter()
                .filter(|(_, finding)| finding.count() > 0)
                .map(|(kind, finding)| Found {
                    kind,
                    finding: finding.clone(),
                })
                .collect(),
            load,
            release: None,
            crash: None,
            slow: None,
            rounds: Vec::new(),
            admin_calls: Vec::new(),
            processes: Vec::new(),
            trace: Vec::new(),
            release_at_ms: None,
            strike_at_ms: None,
            latency_distribution: Distribution::default(),
            blackout_distribution: Distribution::default(),
            dense: None,
        }
    }

    /// Reads whether the run and every run beside it found nothing.
    pub fn is_ok(&self) -> bool {
        self.ok && self.dense.as_ref().is_none_or(|dense| dense.is_ok())
    }
}
