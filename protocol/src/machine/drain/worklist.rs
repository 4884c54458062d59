//! The boards of a drain: which are left, which may be tried now, and what became of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ending::Ending;
use super::entry::{Entry, State};
use super::targets::Targets;
use super::trouble::{Troubles, Waits};
use crate::admin::{MoveReport, TroubledBoard};
use crate::id::{BoardId, ServerName};

/// A board that is open on a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBoard {
    /// The board.
    pub board: BoardId,
    /// Its owner, a source of the drain.
    pub source: ServerName,
    /// How many sessions are on it.
    pub sessions: u64,
    /// The target that it goes to wherever that is ready; an undo brings each board back to where it was.
    pub home: Option<ServerName>,
}

/// The board to move next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) board: BoardId,
    pub(super) home: Option<ServerName>,
    /// Where it failed last.
    pub(super) avoided: Option<ServerName>,
}

/// A move that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) source: ServerName,
    /// The first is 1.
    pub(super) number: u32,
}

/// Every board that the drain has met, each in one state, counted as it changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Worklist {
    boards: BTreeMap<BoardId, Entry>,
    /// Idle boards first, the heaviest last.
    ready: BTreeSet<(u64, BoardId)>,
    /// Those that wait for a time: after a failure, or put off.
    backing_off: BTreeSet<(Duration, BoardId)>,
    /// Kept beside the states: a record is written at each move, and must not walk every board for it.
    under_way: BTreeSet<BoardId>,
    troubles: Troubles,
    counts: Counts,
    /// How often the sources were listed.
    lists: u64,
}

/// How many boards are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) moved: u64,
    pub(super) taken_over: u64,
    pub(super) closed: u64,
    pub(super) left: u64,
    pub(super) under_way: u64,
    pub(super) put_off: u64,
}

/// How the news that a board is loaded fits what was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Known,
    NotUnderWay,
    AlreadyPrepared,
}

impl Worklist {
    /// Takes up the counts of a drain that was interrupted or has ended.
    pub(super) fn with_counts(counts: Counts) -> Self {
        Self {
            counts,
            ..Self::default()
        }
    }

    /// Takes in what is open on the sources: new boards are added, missing ones have been closed.
    ///
    /// A board that came back after its move is taken up again, unless the list may be older than the move.
    pub(super) fn list(&mut self, listed: Vec<OpenBoard>, may_be_older: bool) {
        self.lists += 1;
        for listed in listed {
            let OpenBoard {
                board,
                source,
                sessions,
                home,
            } = listed;
            let Some(entry) = self.boards.get_mut(&board) else {
                self.add(board, source, sessions, home);
                continue;
            };
            entry.listed_in = self.lists;
            entry.source = source;
            if entry.state == State::Ready && entry.sessions != sessions {
                self.ready.remove(&(entry.sessions, board.clone()));
                self.ready.insert((sessions, board.clone()));
            }
            entry.sessions = sessions;
            match &entry.state {
                State::Moved | State::TakenOver if may_be_older => {}
                State::Moved | State::TakenOver | State::Closed => {
                    let next = entry.taken_up_again();
                    self.change(&board, next);
                }
                State::Ready
                | State::BackingOff { .. }
                | State::PutOff { .. }
                | State::UnderWay { .. }
                | State::GivenUp => {}
            }
        }
        let is_missing = |entry: &Entry| entry.listed_in != self.lists && entry.state.is_waiting();
        for board in self.find(is_missing) {
            self.change(&board, State::Closed);
        }
    }

    /// Returns the boards that wait, as far as is known, and are not in a list.
    pub(super) fn missing_from(&self, listed: &[OpenBoard]) -> Vec<BoardId> {
        let listed: BTreeSet<&BoardId> = listed.iter().map(|listed| &listed.board).collect();
        let waiting = self.boards.iter().filter(|(_, entry)| entry.state.is_waiting());
        let missing = waiting.filter(|(board, _)| !listed.contains(board));
        missing.map(|(board, _)| board.clone()).collect()
    }

    /// Notes that another server has these boards, of which this drain moved none.
    pub(super) fn taken_over(&mut self, boards: &[BoardId]) {
        for board in boards {
            if self.boards.get(board).is_some_and(|entry| entry.state.is_waiting()) {
                self.change(board, State::TakenOver);
            }
        }
    }

    /// Lets boards be tried at once that wait for a limit or for their route: both may have changed.
    pub(super) fn judge_again(&mut self) {
        for board in self.find(Entry::waits_for_rule) {
            self.change(&board, State::Ready);
        }
    }

    fn find(&self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<BoardId> {
        let wanted = self.boards.iter().filter(|(_, entry)| is_wanted(entry));
        wanted.map(|(board, _)| board.clone()).collect()
    }

    /// Counts boards whose fate an interrupted drain did not see: those under way that are no longer on a source were
    /// moved, what else is missing from `total` was closed. Returns how many were moved.
    pub(super) fn reconcile(&mut self, total: u64, were_under_way: &[BoardId]) -> u64 {
        let gone = were_under_way.iter().filter(|board| !self.boards.contains_key(*board));
        let moved = gone.count() as u64;
        self.counts.moved += moved;
        let known = self.counts.moved + self.counts.taken_over + self.counts.closed + self.counts.left;
        self.counts.closed += total.saturating_sub(known);
        moved
    }

    /// Lets boards be tried again whose wait is over.
    pub(super) fn release_due(&mut self, now: Duration) {
        while let Some((until, board)) = self.backing_off.first().cloned() {
            if until > now {
                return;
            }
            self.change(&board, State::Ready);
        }
    }

    /// Returns the board to move next.
    pub(super) fn first_ready(&self) -> Option<Next> {
        let (_, board) = self.ready.first()?;
        let entry = self.boards.get(board)?;
        Some(Next {
            board: board.clone(),
            home: entry.home.clone(),
            avoided: entry.last_target.clone(),
        })
    }

    /// Notes that a move was begun; nothing where there is no such board.
    pub(super) fn start(
        &mut self,
        board: &BoardId,
        target: &ServerName,
        now: Duration,
        targets: &mut Targets,
    ) -> Option<Try> {
        let entry = self.boards.get_mut(board)?;
        // A board costs its target something even while nobody is on it.
        let weight = entry.sessions.saturating_add(1);
        entry.tries += 1;
        entry.last_target = Some(target.clone());
        let begun = Try {
            source: entry.source.clone(),
            number: entry.tries,
        };
        targets.start(target, weight);
        let target = target.clone();
        self.change(
            board,
            State::UnderWay {
                target,
                weight,
                is_loading: true,
                begun_at: now,
            },
        );
        Some(begun)
    }

    /// Notes that the target has loaded a board.
    pub(super) fn prepared(&mut self, board: &BoardId, now: Duration, targets: &mut Targets) -> Fit {
        match self.boards.get_mut(board).map(|entry| &mut entry.state) {
            Some(State::UnderWay {
                target,
                is_loading,
                begun_at,
                ..
            }) if *is_loading => {
                *is_loading = false;
                targets.loaded(target, now.saturating_sub(*begun_at));
                Fit::Known
            }
            Some(State::UnderWay { .. }) => Fit::AlreadyPrepared,
            Some(
                State::Ready
                | State::BackingOff { .. }
                | State::PutOff { .. }
                | State::GivenUp
                | State::Moved
                | State::TakenOver
                | State::Closed,
            )
            | None => Fit::NotUnderWay,
        }
    }

    /// Notes that a move has ended, and what that means; nothing where none of that board was under way.
    ///
    /// A board that stayed is tried again after a back-off, while tries are left.
    pub(super) fn end(&mut self, report: &MoveReport, now: Duration, targets: &mut Targets) -> Option<Ending> {
        let board = &report.board;
        let entry = self.boards.get_mut(board)?;
        let State::UnderWay {
            target,
            weight,
            is_loading,
            begun_at: _,
        } = &entry.state
        else {
            return None;
        };
        let ending = Ending::of(report, target);
        if let Ending::Stays | Ending::PutOff | Ending::Gone = ending {
            // Nobody was disturbed, so it was no try.
            entry.tries -= 1;
        }
        entry.last_reason = (ending != Ending::Arrived).then(|| report.result.clone());
        targets.end(target, *weight, *is_loading, ending == Ending::Arrived);
        if *is_loading && ending == Ending::Failed && Ending::blames_target(report) {
            targets.failed_to_load(target);
        }
        let next = entry.after(ending, report, now);
        self.change(board, next);
        Some(ending)
    }

    /// Returns the boards whose moves are under way.
    pub(super) fn under_way(&self) -> Vec<BoardId> {
        self.under_way.iter().cloned().collect()
    }

    /// Reads whether no board is under way, ready or backing off: those that are left were given up.
    pub(super) fn is_exhausted(&self) -> bool {
        self.ready.is_empty() && self.backing_off.is_empty() && self.counts.under_way == 0
    }

    /// Reads whether a board could be started now, but for pace and targets.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns how many boards could be started now, but for pace and targets.
    pub(super) fn ready_count(&self) -> u64 {
        self.ready.len() as u64
    }

    /// Returns when the first wait is over.
    pub(super) fn next_back_off(&self) -> Option<Duration> {
        self.backing_off.first().map(|(until, _)| *until)
    }

    /// Returns how many boards are in which state.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads whether no board is remembered.
    pub(super) fn is_forgotten(&self) -> bool {
        self.boards.is_empty()
    }

    /// Forgets the boards and keeps their counts: the drain has ended.
    pub(super) fn forget(&mut self) {
        *self = Self::with_counts(Counts {
            put_off: 0,
            ..self.counts
        });
    }

    /// Returns the boards that wait, counted by what they wait for.
    pub(super) fn waits(&self) -> &BTreeMap<String, Waits> {
        self.troubles.waits()
    }

    /// Lists boards that failed or wait, those given up first, then those tried most often.
    pub(super) fn troubled(&self, now: Duration, most: usize) -> Vec<TroubledBoard> {
        let row = |board: &BoardId| {
            let entry = self.boards.get(board)?;
            let retry_at = match entry.state {
                State::BackingOff { until } | State::PutOff { until } => Some(until),
                State::Ready | State::UnderWay { .. } => Some(now),
                State::GivenUp | State::Moved | State::TakenOver | State::Closed => None,
            };
            Some(TroubledBoard {
                board: board.clone(),
                server: entry.source.clone(),
                sessions: entry.sessions,
                reason: entry.last_reason.clone().unwrap_or_default(),
                tries: entry.tries,
                retry_in_seconds: retry_at.map(|at| at.saturating_sub(now).as_secs_f64()),
            })
        };
        self.troubles.worst().take(most).filter_map(row).collect()
    }

    /// Finds the boards in trouble by a walk over all of them, as a check of what is kept.
    #[cfg(test)]
    pub(super) fn troubles_by_walk(&self) -> Troubles {
        let mut troubles = Troubles::default();
        for (board, entry) in &self.boards {
            troubles.shift(board, None, entry.trouble_now().as_ref());
        }
        troubles
    }

    #[cfg(test)]
    pub(super) fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    fn add(&mut self, board: BoardId, source: ServerName, sessions: u64, home: Option<ServerName>) {
        self.ready.insert((sessions, board.clone()));
        self.counts.left += 1;
        let entry = Entry::new(source, sessions, home, self.lists);
        self.boards.insert(board, entry);
    }

    /// The only way from state to state: indexes and counts follow.
    fn change(&mut self, board: &BoardId, next: State) {
        let Some(entry) = self.boards.get_mut(board) else {
            return;
        };
        match &entry.state {
            State::Ready => {
                self.ready.remove(&(entry.sessions, board.clone()));
                self.counts.left -= 1;
            }
            State::BackingOff { until } => {
                self.backing_off.remove(&(*until, board.clone()));
                self.counts.left -= 1;
            }
            State::PutOff { until } => {
                self.backing_off.remove(&(*until, board.clone()));
                self.counts.put_off -= 1;
                self.counts.left -= 1;
            }
            State::UnderWay { .. } => {
                self.under_way.remove(board);
                self.counts.under_way -= 1;
                self.counts.left -= 1;
            }
            State::GivenUp => self.counts.left -= 1,
            State::Moved => self.counts.moved -= 1,
            State::TakenOver => self.counts.taken_over -= 1,
            State::Closed => self.counts.closed -= 1,
        }
        match &next {
            State::Ready => {
                self.ready.insert((entry.sessions, board.clone()));
                self.counts.left += 1;
            }
            State::BackingOff { until } => {
                self.backing_off.insert((*until, board.clone()));
                self.counts.left += 1;
            }
            State::PutOff { until } => {
                self.backing_off.insert((*until, board.clone()));
                self.counts.put_off += 1;
                self.counts.left += 1;
            }
            State::UnderWay { .. } => {
                self.under_way.insert(board.clone());
                self.counts.under_way += 1;
                self.counts.left += 1;
            }
            State::GivenUp => self.counts.left += 1,
            State::Moved => self.counts.moved += 1,
            State::TakenOver => self.counts.taken_over += 1,
            State::Closed => self.counts.closed += 1,
        }
        entry.state = next;
        let trouble = entry.trouble_now();
        self.troubles.shift(board, entry.trouble.as_ref(), trouble.as_ref());
        entry.trouble = trouble;
    }
}
