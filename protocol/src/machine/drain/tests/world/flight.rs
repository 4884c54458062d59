//! How the world carries out moves, and how they end.

use super::super::*;
use super::World;
use crate::id::ServerName;

/// A move as the world carries it out.
pub(super) struct Flight {
    pub(super) target: ServerName,
    prepared_at: Option<Duration>,
    ends_at: Duration,
    fate: Fate,
}

/// How a move will end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Fails,
    /// It fails after its users were told to reconnect.
    FailsTold,
    /// It does not begin: its users were told of late.
    PutOff,
    /// It does not begin: the board is not at its source.
    NotAtSource,
}

impl World {
    pub(super) fn start(&mut self, board: BoardId, target: ServerName, mode: DrainMode) {
        assert_ne!(mode, DrainMode::Stay);
        assert!(!self.aborted, "a move begun after the abort");
        assert!(!self.is_paused, "a move begun while it is paused");
        assert!(self.ready.iter().any(|ready| ready.server == target));
        let kept = self.kept.as_ref().expect("kept before the first start");
        assert!(
            kept.under_way.contains(&board),
            "a start that a restart would not know of"
        );
        let fate = self.fate(&board);
        let begins = !matches!(fate, Fate::PutOff | Fate::NotAtSource);
        let prepared_at = (begins && self.choices.percent(80)).then(|| self.now + self.choices.millis(400));
        let flight = Flight {
            target,
            prepared_at,
            ends_at: prepared_at.unwrap_or(self.now) + self.choices.millis(if begins { 900 } else { 3 }),
            fate,
        };
        let waits_until = self.put_off.remove(&board).unwrap_or_default();
        assert!(
            self.now >= waits_until,
            "a board was taken up before its users may be told"
        );
        if fate == Fate::PutOff {
            let until = self.may_tell_at[&board];
            self.put_off.insert(board.clone(), until);
        }
        let tries = self.tries.entry(board.clone()).or_default();
        *tries += u32::from(begins);
        assert!(*tries <= TRIES_MAX);
        let double = self.flights.insert(board, flight);
        assert!(double.is_none(), "one board is moved twice at once");
        self.starts.push(self.now);
        self.check_pace();
    }

    pub(super) fn advance_flight(&mut self) {
        let flights = self.flights.iter_mut();
        let (board, flight) = flights.min_by_key(|(_, flight)| flight.due_at()).expect("one is due");
        let board = board.clone();
        if flight.prepared_at.take().is_some() {
            return self.tell(Event::MovePrepared { board });
        }
        let fate = flight.fate;
        let arrives = fate == Fate::Arrives && self.sources.contains_key(&board);
        let mut report = report(&board, if arrives { "moved" } else { "freeze-refused" });
        match fate {
            Fate::Arrives | Fate::Fails => self.failures += u64::from(!arrives),
            Fate::FailsTold => {
                self.failures += 1;
                self.may_tell_at.insert(board.clone(), self.now + self.bounce_limit);
            }
            Fate::PutOff => {
                let left = self.may_tell_at[&board].saturating_sub(self.now);
                report.result = "bounce_limit".to_owned();
                report.retry_after_ms = Some(u64::try_from(left.as_millis()).unwrap() + 1);
            }
            Fate::NotAtSource => {
                report.result = "not_at_source".to_owned();
                report.server = self.arrived.contains(&board).then(|| "t9".parse().unwrap());
            }
        }
        self.land(&board, arrives);
        self.tell(Event::MoveEnded { report });
    }

    /// Decides how a move that begins now will end.
    fn fate(&mut self, board: &BoardId) -> Fate {
        let may_tell_at = self.may_tell_at.get(board).copied().unwrap_or_default();
        if !self.sources.contains_key(board) {
            Fate::NotAtSource
        } else if self.now < may_tell_at {
            Fate::PutOff
        } else if !self.choices.percent(self.fail_chance) {
            Fate::Arrives
        } else if self.choices.percent(50) {
            Fate::FailsTold
        } else {
            Fate::Fails
        }
    }

    pub(super) fn abort_move(&mut self, board: &BoardId) {
        let chance = self.choices.percent(50);
        let flight = self.flights.get_mut(board).expect("only a move under way is aborted");
        if flight.fate == Fate::Arrives && !chance {
            flight.fate = Fate::Fails;
        }
    }

    pub(super) fn land(&mut self, board: &BoardId, arrives: bool) {
        self.flights.remove(board);
        if arrives {
            self.sources.remove(board);
            self.arrived.insert(board.clone());
        }
    }
}

impl Flight {
    /// When something happens to it next.
    pub(super) fn due_at(&self) -> Duration {
        self.prepared_at.unwrap_or(self.ends_at)
    }

    /// The machine learns of a load's end by `MovePrepared`, or by the end of the move where that never came.
    pub(super) fn is_loading(&self) -> bool {
        self.prepared_at.is_some()
    }
}
