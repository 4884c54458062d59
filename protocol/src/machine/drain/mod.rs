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
//!   Moving, Confirming, Waiting: PauseRequested, the deadline or a target that is gone ─▶ Paused ── ResumeRequested ─▶ back
//!   the deadline, where it says stop: Stopping ── the last move under way has ended ────▶ Ended (failed)
//! ```
//!
#![doc = include_str!("table.md")]

mod advice;
mod deadline;
mod ending;
mod entry;
mod event;
mod listing;
mod pacer;
mod pause;
mod snapshot;
mod status;
mod tally;
mod targets;
mod terms;
#[cfg(test)]
mod tests;
mod trouble;
mod worklist;

use std::time::Duration;

use self::listing::Listing;
use self::pacer::Pacer;
use self::tally::Tally;
use self::targets::Targets;
use self::worklist::{Fit, Worklist};
use crate::admin::{DrainMode, DrainState, Level, MoveReport, PausedBy};
use crate::id::{BoardId, ServerName};

use self::status::LastWords;
pub use advice::advice;
pub use entry::{BACK_OFF, TRIES_MAX};
pub use event::{Anomaly, Command, Event};
pub use listing::RELIST_INTERVAL;
pub use snapshot::DrainSnapshot;
pub use targets::{TargetLoad, relative_load, spread};
pub use terms::Terms;
pub use worklist::OpenBoard;

/// One drain.
#[derive(Debug, Clone)]
pub struct Drain {
    terms: Terms,
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
    /// How long boards were moved or waited for, over all lives of the gateway.
    ran: Duration,
    deadline_passed: bool,
    /// Why it is paused, or will be once it has begun.
    paused_by: Option<PausedBy>,
    /// The targets whose end has paused it last.
    lost_targets: Vec<ServerName>,
    /// What was in the way when it ended.
    last_words: LastWords,
    /// What an earlier run of this drain left to be settled by the first list.
    interrupted: Option<DrainSnapshot>,
    /// At which level its sources are, for moves whose end nobody saw.
    interrupted_level: Level,
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
    /// No move is begun until somebody resumes it; those under way end as they would.
    Paused,
    /// The deadline has passed: no move is begun any more, those under way are ending as they would.
    Stopping,
    /// No move is begun any more; those under way are ending.
    Aborting,
    /// Over.
    Ended(DrainState),
}

impl Drain {
    /// Begins a drain.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            phase: Phase::Starting,
            worklist: Worklist::default(),
            targets: Targets::default(),
            tally: Tally::default(),
            pacer: Pacer::new(terms.pace.boards_per_second),
            listing: Listing::Idle,
            relist_at: Duration::ZERO,
            begun_at: Duration::ZERO,
            now: Duration::ZERO,
            ran: Duration::ZERO,
            deadline_passed: false,
            paused_by: None,
            lost_targets: Vec::new(),
            last_words: LastWords::default(),
            interrupted: None,
            interrupted_level: Level::Opaque,
            is_dirty: false,
        }
    }

    /// Takes an event in and returns what has to be done, in order. `now` counts from the driver's epoch.
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Command> {
        self.count_time(now);
        let mut commands = Vec::new();
        self.check_deadline(&mut commands);
        match (self.phase, event) {
            (Phase::Starting, Event::Started { boards }) => self.start(boards, &mut commands),
            (
                Phase::Moving
                | Phase::Confirming
                | Phase::Waiting
                | Phase::Paused
                | Phase::Stopping
                | Phase::Aborting
                | Phase::Ended(_),
                Event::Started { .. },
            ) => commands.push(Command::Note(Anomaly::StartedAgain)),

            (Phase::Moving | Phase::Confirming | Phase::Waiting, Event::BoardsListed { boards }) => {
                let is_current = self.take_list(boards);
                self.after_list(is_current, &mut commands);
            }
            (Phase::Paused | Phase::Stopping | Phase::Aborting, Event::BoardsListed { boards }) => {
                self.take_list(boards);
            }
            // The first list comes with `Started`; a list that was asked for before the end is of no use.
            (Phase::Starting | Phase::Ended(_), Event::BoardsListed { .. }) => {}

            (
                Phase::Starting
                | Phase::Moving
                | Phase::Confirming
                | Phase::Waiting
                | Phase::Paused
                | Phase::Stopping
                | Phase::Aborting
                | Phase::Ended(_),
                Event::BoardsTakenOver { boards },
            ) => self.take_over(&boards),

            (
                Phase::Starting
                | Phase::Moving
                | Phase::Confirming
                | Phase::Waiting
                | Phase::Paused
                | Phase::Stopping
                | Phase::Aborting
                | Phase::Ended(_),
                Event::MovePrepared { board },
            ) => self.prepared(board, &mut commands),

            (
                Phase::Starting
                | Phase::Moving
                | Phase::Confirming
                | Phase::Waiting
                | Phase::Paused
                | Phase::Stopping
                | Phase::Aborting
                | Phase::Ended(_),
                Event::MoveEnded { report },
            ) => self.ended(report, &mut commands),

            (Phase::Moving | Phase::Confirming, Event::TargetsChanged { targets }) => {
                self.change_targets(targets, &mut commands);
            }
            // Nothing can begin there.
            (
                Phase::Starting | Phase::Waiting | Phase::Paused | Phase::Stopping | Phase::Aborting | Phase::Ended(_),
                Event::TargetsChanged { targets },
            ) => {
                self.targets.set_ready(targets);
            }

            (Phase::Starting, Event::AbortRequested) => self.abort_before_start(&mut commands),
            (
                Phase::Moving | Phase::Confirming | Phase::Waiting | Phase::Paused | Phase::Stopping,
                Event::AbortRequested,
            ) => self.abort(&mut commands),
            // It is safe to repeat, and a drain that has ended stays as it ended.
            (Phase::Aborting | Phase::Ended(_), Event::AbortRequested) => {}

            // It is paused as soon as it has seen what there is.
            (Phase::Starting, Event::PauseRequested) => self.set_paused_by(Some(PausedBy::Operator)),
            (Phase::Starting, Event::ResumeRequested) => self.set_paused_by(None),
            (Phase::Moving | Phase::Confirming | Phase::Waiting | Phase::Paused, Event::PauseRequested) => {
                self.pause(PausedBy::Operator);
            }
            (Phase::Paused, Event::ResumeRequested) => self.go_on_after_pause(&mut commands),
            // Both are safe to repeat; what ends does not stop to wait.
            (Phase::Stopping | Phase::Aborting | Phase::Ended(_), Event::PauseRequested | Event::ResumeRequested)
            | (Phase::Moving | Phase::Confirming | Phase::Waiting, Event::ResumeRequested) => {}

            (Phase::Moving, Event::RulesChanged) => {
                self.worklist.judge_again();
                self.advance(&mut commands);
            }
            // Nothing waits for a limit that could be begun.
            (
                Phase::Starting
                | Phase::Confirming
                | Phase::Waiting
                | Phase::Paused
                | Phase::Stopping
                | Phase::Aborting
                | Phase::Ended(_),
                Event::RulesChanged,
            ) => {}

            (Phase::Moving, Event::Tick) => self.advance(&mut commands),
            (Phase::Waiting | Phase::Paused, Event::Tick) => self.relist_when_due(&mut commands),
            (
                Phase::Starting | Phase::Confirming | Phase::Stopping | Phase::Aborting | Phase::Ended(_),
                Event::Tick,
            ) => {}
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
            Phase::Starting | Phase::Confirming | Phase::Stopping | Phase::Aborting | Phase::Ended(_) => None,
            Phase::Paused => relist_at,
            Phase::Waiting => [relist_at, self.deadline_at()].into_iter().flatten().min(),
            Phase::Moving => {
                let may_start = self.worklist.has_ready()
                    && self.has_free_hand()
                    && self.targets.has_room(self.terms.pace.loads_per_target);
                let turn = may_start.then(|| self.pacer.next_at());
                [turn, self.worklist.next_back_off(), relist_at, self.deadline_at()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Returns the boards that the drain waits for and that a new list of the sources does not show any more.
    pub fn missing_from(&self, listed: &[OpenBoard]) -> Vec<BoardId> {
        self.worklist.missing_from(listed)
    }

    /// Returns where the drain is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    fn start(&mut self, boards: Vec<OpenBoard>, commands: &mut Vec<Command>) {
        self.begun_at = self.now;
        self.pacer.begin(self.now);
        self.take_list(boards);
        self.is_dirty = true;
        if let Some(interrupted) = self.interrupted.take() {
            let moved = self
                .worklist
                .reconcile(interrupted.counts.total, &interrupted.under_way);
            self.tally.count_unseen(moved, self.interrupted_level);
            if let Some(end) = interrupted.end(self.worklist.counts().left) {
                return self.finish(end, commands);
            }
        }
        if self.paused_by.is_some() {
            self.phase = Phase::Paused;
            return;
        }
        self.phase = self.phase_of_mode();
        self.after_list(true, commands);
    }

    fn phase_of_mode(&self) -> Phase {
        match self.terms.mode {
            DrainMode::Auto | DrainMode::Reconnect | DrainMode::Transparent => Phase::Moving,
            DrainMode::Stay => Phase::Waiting,
        }
    }

    /// Says how a drain ends that begins no more moves.
    fn end_by_counts(&self) -> DrainState {
        if self.worklist.counts().left == 0 {
            DrainState::Done
        } else {
            DrainState::Failed
        }
    }

    fn prepared(&mut self, board: BoardId, commands: &mut Vec<Command>) {
        match self.worklist.prepared(&board, self.now, &mut self.targets) {
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
            Phase::Stopping => self.finish_stopping(commands),
            Phase::Aborting
            | Phase::Starting
            | Phase::Confirming
            | Phase::Waiting
            | Phase::Paused
            | Phase::Ended(_) => {}
        }
    }

    /// Begins what pace and targets allow; where nothing is left to try, has the sources listed again.
    fn advance(&mut self, commands: &mut Vec<Command>) {
        self.worklist.release_due(self.now);
        while self.has_free_hand() {
            let Some(next) = self.worklist.first_ready() else {
                break;
            };
            let loads_max = self.terms.pace.loads_per_target;
            let Some(target) = self
                .targets
                .choose(loads_max, next.home.as_ref(), next.avoided.as_ref())
            else {
                break;
            };
            if !self.pacer.take(self.now) {
                break;
            }
            let board = next.board;
            let Some(try_begun) = self.worklist.start(&board, &target, self.now, &mut self.targets) else {
                break;
            };
            self.is_dirty = true;
            commands.push(Command::StartMove {
                board,
                source: try_begun.source,
                target,
                mode: self.mode_of_try(try_begun.number),
            });
        }
        if self.worklist.is_exhausted() {
            self.phase = Phase::Confirming;
            self.relist_at = self.now;
        }
        self.relist_when_due(commands);
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
        self.last_words = self.words(self.now);
        self.worklist.forget();
        commands.push(Command::Finish { state });
    }

    fn has_free_hand(&self) -> bool {
        self.worklist.counts().under_way < u64::from(self.terms.pace.boards_at_once)
    }
}
