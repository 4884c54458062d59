//! What befalls a drain: boards that come and go, operators, targets that change, and the gateway's death.

use super::super::*;
use super::World;

impl World {
    pub(super) fn make_trouble(&mut self) {
        match self.choices.below(if self.may_crash { 9 } else { 8 }) {
            0 | 1 => self.change_targets(),
            2 => {
                let idle = self.sources.keys().find(|board| !self.flights.contains_key(*board));
                if let Some(board) = idle.cloned() {
                    self.sources.remove(&board);
                    // The machine may see it closed, and knows nothing of it when it is opened again.
                    self.put_off.remove(&board);
                }
            }
            3 => {
                let number = 100 + self.choices.below(10);
                if !self.arrived.contains(&board(number)) {
                    self.sources.insert(board(number), self.choices.below(9));
                }
            }
            4 if self.choices.percent(50) => {
                // A target seizes a board.
                if let Some((board, _)) = self.sources.pop_last() {
                    self.put_off.remove(&board);
                    self.arrived.insert(board);
                }
            }
            4 => {
                // An operator moves a board back.
                if let Some(board) = self.arrived.pop_first() {
                    self.sources.insert(board, 1);
                }
            }
            5 if self.choices.percent(30) => {
                self.aborted = true;
                self.tell(Event::AbortRequested);
            }
            5 | 6 => {
                let stranger = board(999);
                let events = [
                    Event::MovePrepared {
                        board: stranger.clone(),
                    },
                    Event::MoveEnded {
                        report: report(&stranger, "moved"),
                    },
                    Event::Tick,
                    Event::Started { boards: Vec::new() },
                ];
                let choice = self.choices.below(4) as usize;
                self.tell(events[choice].clone());
            }
            7 if self.choices.percent(50) => {
                self.is_paused = true;
                self.tell(Event::PauseRequested);
            }
            7 if self.choices.percent(30) => self.tell(Event::RulesChanged),
            7 => {
                self.is_paused = false;
                self.tell(Event::ResumeRequested);
            }
            _ => self.crash(),
        }
    }

    /// The gateway dies and comes back; moves under way were finished or undone by whoever found them.
    pub(in super::super) fn crash(&mut self) {
        let Some(kept) = self.kept.clone() else { return };
        let text = serde_json::to_string(&kept).unwrap();
        for board in self.flights.keys().cloned().collect::<Vec<_>>() {
            let arrives = self.choices.percent(50);
            self.land(&board, arrives);
        }
        self.failures = kept.tally.failed;
        self.drain = Drain::resume(self.terms, serde_json::from_str(&text).unwrap());
        self.now = self.choices.millis(1000);
        self.is_paused = false;
        self.listing = None;
        self.starts.clear();
        self.tries.clear();
        self.may_tell_at.clear();
        self.put_off.clear();
        self.tell(Event::TargetsChanged {
            targets: self.ready.clone(),
        });
        if self.choices.percent(20) {
            self.aborted = true;
            self.tell(Event::AbortRequested);
        }
        let boards = self.list();
        self.tell(Event::Started { boards });
    }

    pub(in super::super) fn change_targets(&mut self) {
        let some_left = self.trouble_left > 0;
        self.ready.clear();
        for name in ["t1", "t2", "t3"] {
            if !some_left || self.choices.percent(70) {
                self.ready.push(target(name, self.choices.below(9)));
            }
        }
        self.tell(Event::TargetsChanged {
            targets: self.ready.clone(),
        });
    }
}
