//! The job that moves every board off some servers: at a pace, with bounded tries, until nothing is left on them.
//!
//! No clock and no I/O: the driver brings events and the time, as a duration since an epoch that it chooses, and
//! carries the commands out in their order. What is on the sources is never remembered but listed again.
//!
//! ```text
//!             Started              nothing to try            listed: nothing left
//!   Starting ─────────▶ Moving ───────────────────▶ Confirming ──────────────────────▶ Ended (done)
//!      │                  ▲                            │   │  listed: only given up
//!      │ mode stay        └──── listed: more to try ───┘   └─────────────────────────▶ Ended (failed)
//!      └───────▶ Waiting ─── listed: nothing left ───────────────────────────────────▶ Ended (done)
//!
//!   any of them, AbortRequested: Aborting ── the last move under way has ended ──────▶ Ended (aborted)
//! ```
//!
#![doc = include_str!("table.md")]

mod event;
mod pacer;
mod tally;
mod targets;
#[cfg(test)]
mod tests;
mod worklist;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::pacer::Pacer;
use self::tally::Tally;
use self::targets::Targets;
use self::worklist::{Counts, Fit, Worklist};
use crate::admin::{DrainCounts, DrainMode, DrainRequest, DrainState, DrainStatus, MoveReport, Pace};
use crate::id::{BoardId, DrainId};

pub use event::{Anomaly, Command, Event};
pub use targets::TargetLoad;
pub use worklist::{BACK_OFF, OpenBoard, TRIES_MAX};

/// One drain.
#[derive(Debug, Clone)]
pub struct Drain {
    mode: DrainMode,
    pace: Pace,
    phase: Phase,
    worklist: Worklist,
    targets: Targets,
    tally: Tally,
    pacer: Pacer,
    listing: Listing,
    relist_at: Duration,
    begun_at: Duration,
    /// The latest time seen; a clock that steps back does not take the drain with it.
    now: Duration,
    /// What an earlier run of this drain left to be settled by the first list.
    interrupted: Option<DrainSnapshot>,
    /// Something changed that a restart must know.
    is_dirty: bool,
}

/// Where a drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing is known of the sources yet.
    Starting,
    /// Boards are being moved.
    Moving,
    /// Nothing is left to try; the sources are listed once more to be sure.
    Confirming,
    /// Mode `stay`: nothing is moved, the sources are watched until they are empty.
    Waiting,
    /// No move is begun any more; those under way are ending.
    Aborting,
    /// Over.
    Ended(DrainState),
}

/// What a restart must know of a drain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainSnapshot {
    /// Where it stood.
    pub state: DrainState,
    /// Whether it was being aborted.
    is_aborting: bool,
    counts: DrainCounts,
    /// Whether these were moved, the next list of the sources tells.
    under_way: Vec<BoardId>,
    tally: Tally,
}

/// Whether a list was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    Idle,
    Asked,
    /// A move has ended since: the list may show its board where it no longer is.
    AskedBefore,
}

impl Drain {
    /// Begins a drain.
    pub fn new(mode: DrainMode, pace: Pace) -> Self {
        Self {
            mode,
            pace,
            phase: Phase::Starting,
            worklist: Worklist::default(),
            targets: Targets::default(),
            tally: Tally::default(),
            pacer: Pacer::new(pace.boards_per_second),
            listing: Listing::Idle,
            relist_at: Duration::ZERO,
            begun_at: Duration::ZERO,
            now: Duration::ZERO,
            interrupted: None,
            is_dirty: false,
        }
    }

    /// Takes up a drain that an earlier process left, running or ended.
    pub fn resume(mode: DrainMode, pace: Pace, snapshot: DrainSnapshot) -> Self {
        let counts = Counts {
            moved: snapshot.counts.moved,
            closed: snapshot.counts.closed,
            ..Counts::default()
        };
        let drain = Self {
            tally: snapshot.tally.clone(),
            ..Self::new(mode, pace)
        };
        match snapshot.state {
            DrainState::Running => Self {
                worklist: Worklist::with_counts(counts),
                interrupted: Some(snapshot),
                ..drain
            },
            DrainState::Paused
            | DrainState::Done
            | DrainState::Failed
            | DrainState::Aborted
            | DrainState::Undoing
            | DrainState::Undone => Self {
                worklist: Worklist::with_counts(Counts {
                    left: snapshot.counts.left,
                    ..counts
                }),
                phase: Phase::Ended(snapshot.state),
                ..drain
            },
        }
    }

    /// Takes an event in and returns what has to be done, in order. `now` counts from the driver's epoch.
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Command> {
        self.now = self.now.max(now);
        let mut commands = Vec::new();
        match (self.phase, event) {
            (Phase::Starting, Event::Started { boards }) => self.start(boards, &mut commands),
            (
                Phase::Moving | Phase::Confirming | Phase::Waiting | Phase::Aborting | Phase::Ended(_),
                Event::Started { .. },
            ) => commands.push(Command::Note(Anomaly::StartedAgain)),

            (Phase::Moving | Phase::Confirming | Phase::Waiting, Event::BoardsListed { boards }) => {
                let is_current = self.take_list(boards);
                self.after_list(is_current, &mut commands);
            }
            (Phase::Aborting, Event::BoardsListed { boards }) => {
                self.take_list(boards);
            }
            // The first list comes with `Started`; a list that was asked for before the end is of no use.
            (Phase::Starting | Phase::Ended(_), Event::BoardsListed { .. }) => {}

            (
                Phase::Starting
                | Phase::Moving
                | Phase::Confirming
                | Phase::Waiting
                | Phase::Aborting
                | Phase::Ended(_),
                Event::MovePrepared { board },
            ) => self.prepared(board, &mut commands),

            (
                Phase::Starting
                | Phase::Moving
                | Phase::Confirming
                | Phase::Waiting
                | Phase::Aborting
                | Phase::Ended(_),
                Event::MoveEnded { report },
            ) => self.ended(report, &mut commands),

            (Phase::Moving, Event::TargetsChanged { targets }) => {
                self.targets.set_ready(targets);
                self.advance(&mut commands);
            }
            // Nothing can begin there.
            (
                Phase::Starting | Phase::Confirming | Phase::Waiting | Phase::Aborting | Phase::Ended(_),
                Event::TargetsChanged { targets },
            ) => self.targets.set_ready(targets),

            (Phase::Starting, Event::AbortRequested) => self.abort_before_start(&mut commands),
            (Phase::Moving | Phase::Confirming | Phase::Waiting, Event::AbortRequested) => self.abort(&mut commands),
            // It is safe to repeat, and a drain that has ended stays as it ended.
            (Phase::Aborting | Phase::Ended(_), Event::AbortRequested) => {}

            (Phase::Moving, Event::Tick) => self.advance(&mut commands),
            (Phase::Waiting, Event::Tick) => self.relist_when_due(&mut commands),
            (Phase::Starting | Phase::Confirming | Phase::Aborting | Phase::Ended(_), Event::Tick) => {}
        }
        if std::mem::take(&mut self.is_dirty) {
            commands.insert(0, Command::Persist);
        }
        commands
    }

    /// Returns when the next [`Event::Tick`] is wanted; nothing while only other events matter.
    pub fn wake_at(&self) -> Option<Duration> {
        let relist_at = (self.listing == Listing::Idle).then_some(self.relist_at);
        match self.phase {
            Phase::Starting | Phase::Confirming | Phase::Aborting | Phase::Ended(_) => None,
            Phase::Waiting => relist_at,
            Phase::Moving => {
                let may_start = self.worklist.has_ready()
                    && self.has_free_hand()
                    && self.targets.has_room(self.pace.loads_per_target);
                let turn = may_start.then(|| self.pacer.next_at());
                [turn, self.worklist.next_back_off(), relist_at]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Returns where the drain is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns where the drain stands, in the words of the admin API.
    pub fn state(&self) -> DrainState {
        match self.phase {
            Phase::Starting | Phase::Moving | Phase::Confirming | Phase::Waiting | Phase::Aborting => {
                DrainState::Running
            }
            Phase::Ended(state) => state,
        }
    }

    /// Tells the admin API how far the drain is.
    pub fn status(&self, id: DrainId, request: DrainRequest, now: Duration) -> DrainStatus {
        DrainStatus {
            id,
            state: self.state(),
            boards: self.counts(),
            rate: self.tally.rate(self.begun_at, self.now.max(now)),
            failures: self.tally.failures(),
            levels: self.tally.levels(),
            unconfirmed_sessions: self.tally.unconfirmed_sessions,
            fallen_back_sessions: self.tally.fallen_back_sessions,
            done: matches!(self.phase, Phase::Ended(_)),
            progress: String::new(),
            started_at_ms: 0,
            ended_at_ms: None,
            estimate_seconds: None,
            pace_now: None,
            deadline_passed: false,
            paused_by: None,
            waits_for: Vec::new(),
            troubled: Vec::new(),
            undo_until_ms: None,
            undone: 0,
            request,
        }
    }

    /// Returns what a restart must know.
    pub fn snapshot(&self) -> DrainSnapshot {
        // Until the first list has settled it, what the earlier run left is still the truth.
        if let Some(interrupted) = &self.interrupted {
            return interrupted.clone();
        }
        DrainSnapshot {
            state: self.state(),
            is_aborting: self.phase == Phase::Aborting,
            counts: self.counts(),
            under_way: self.worklist.under_way(),
            tally: self.tally.clone(),
        }
    }

    /// Returns the boards of the drain by state.
    pub fn counts(&self) -> DrainCounts {
        if let Some(interrupted) = &self.interrupted {
            return interrupted.counts;
        }
        let counts = self.worklist.counts();
        DrainCounts {
            total: counts.moved + counts.closed + counts.left,
            moved: counts.moved,
            failed: self.tally.failed,
            left: counts.left,
            closed: counts.closed,
            moving: counts.under_way,
            put_off: counts.put_off,
        }
    }

    fn start(&mut self, boards: Vec<OpenBoard>, commands: &mut Vec<Command>) {
        self.begun_at = self.now;
        self.take_list(boards);
        self.is_dirty = true;
        if let Some(interrupted) = self.interrupted.take() {
            self.worklist
                .reconcile(interrupted.counts.total, &interrupted.under_way);
            if interrupted.is_aborting {
                return self.finish(DrainState::Aborted, commands);
            }
        }
        self.phase = match self.mode {
            DrainMode::Auto | DrainMode::Reconnect | DrainMode::Transparent => Phase::Moving,
            DrainMode::Stay => Phase::Waiting,
        };
        self.after_list(true, commands);
    }

    /// Takes a list in and returns whether it shows the sources as they are after every move that has ended.
    fn take_list(&mut self, boards: Vec<OpenBoard>) -> bool {
        let is_current = self.listing != Listing::AskedBefore;
        self.listing = Listing::Idle;
        self.relist_at = self.now.saturating_add(RELIST_INTERVAL);
        let before = self.worklist.counts();
        self.worklist.list(boards, !is_current);
        self.is_dirty |= self.worklist.counts() != before;
        is_current
    }

    /// Goes on where the sources, as just listed, leave something to do, else ends.
    fn after_list(&mut self, is_current: bool, commands: &mut Vec<Command>) {
        let is_over = match self.mode {
            DrainMode::Auto | DrainMode::Reconnect | DrainMode::Transparent => self.worklist.is_exhausted(),
            DrainMode::Stay => self.worklist.counts().left == 0,
        };
        match self.phase {
            Phase::Moving | Phase::Confirming | Phase::Waiting if is_over && is_current => {
                let is_done = self.worklist.counts().left == 0;
                self.finish(if is_done { DrainState::Done } else { DrainState::Failed }, commands);
            }
            Phase::Moving | Phase::Confirming => {
                self.phase = Phase::Moving;
                self.advance(commands);
            }
            Phase::Waiting | Phase::Starting | Phase::Aborting | Phase::Ended(_) => {}
        }
    }

    fn prepared(&mut self, board: BoardId, commands: &mut Vec<Command>) {
        match self.worklist.prepared(&board, &mut self.targets) {
            Fit::Known => self.go_on(commands),
            Fit::NotUnderWay => commands.push(Command::Note(Anomaly::NotUnderWay(board))),
            Fit::AlreadyPrepared => commands.push(Command::Note(Anomaly::PreparedAgain(board))),
        }
    }

    fn ended(&mut self, report: MoveReport, commands: &mut Vec<Command>) {
        let Some(ending) = self.worklist.end(&report, self.now, &mut self.targets) else {
            return commands.push(Command::Note(Anomaly::NotUnderWay(report.board)));
        };
        self.is_dirty = true;
        self.tally.count(&report, ending, self.now);
        if self.listing == Listing::Asked {
            self.listing = Listing::AskedBefore;
        }
        self.go_on(commands);
    }

    /// Looks what follows from news about a move.
    fn go_on(&mut self, commands: &mut Vec<Command>) {
        match self.phase {
            Phase::Moving => self.advance(commands),
            Phase::Aborting if self.worklist.counts().under_way == 0 => self.finish(DrainState::Aborted, commands),
            Phase::Aborting | Phase::Starting | Phase::Confirming | Phase::Waiting | Phase::Ended(_) => {}
        }
    }

    /// Begins what pace and targets allow; where nothing is left to try, has the sources listed again.
    fn advance(&mut self, commands: &mut Vec<Command>) {
        self.worklist.release_due(self.now);
        while self.has_free_hand() {
            let Some((board, avoided)) = self.worklist.first_ready() else {
                break;
            };
            let Some(target) = self.targets.choose(self.pace.loads_per_target, avoided.as_ref()) else {
                break;
            };
            if !self.pacer.take(self.now) {
                break;
            }
            let Some(source) = self.worklist.start(&board, &target, &mut self.targets) else {
                break;
            };
            self.is_dirty = true;
            commands.push(Command::StartMove {
                board,
                source,
                target,
                mode: self.mode,
            });
        }
        if self.worklist.is_exhausted() {
            self.phase = Phase::Confirming;
            self.relist_at = self.now;
        }
        self.relist_when_due(commands);
    }

    fn relist_when_due(&mut self, commands: &mut Vec<Command>) {
        if self.listing == Listing::Idle && self.now >= self.relist_at {
            self.listing = Listing::Asked;
            commands.push(Command::Relist);
        }
    }

    fn abort_before_start(&mut self, commands: &mut Vec<Command>) {
        match &mut self.interrupted {
            // What became of its moves has to be listed before it can end.
            Some(interrupted) => {
                interrupted.is_aborting = true;
                self.is_dirty = true;
            }
            None => self.finish(DrainState::Aborted, commands),
        }
    }

    fn abort(&mut self, commands: &mut Vec<Command>) {
        self.is_dirty = true;
        self.phase = Phase::Aborting;
        let under_way = self.worklist.under_way();
        if under_way.is_empty() {
            return self.finish(DrainState::Aborted, commands);
        }
        commands.extend(under_way.into_iter().map(|board| Command::AbortMove { board }));
    }

    fn finish(&mut self, state: DrainState, commands: &mut Vec<Command>) {
        self.is_dirty = true;
        self.phase = Phase::Ended(state);
        self.worklist.forget();
        commands.push(Command::Finish { state });
    }

    fn has_free_hand(&self) -> bool {
        self.worklist.counts().under_way < u64::from(self.pace.boards_at_once)
    }
}

/// How often the sources are listed again while a drain runs.
pub const RELIST_INTERVAL: Duration = Duration::from_secs(5);
