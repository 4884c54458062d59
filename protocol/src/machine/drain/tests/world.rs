//! A small world of servers and boards that keeps the truth, and checks the machine against it.

mod flight;
mod rules;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};

use self::flight::Flight;
use super::*;

/// A reproducible source of choices.
pub(super) struct Choices(pub(super) u64);

impl Choices {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(super) fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

/// Sources, targets and a driver; what is true is kept here and never taken from the machine.
pub(super) struct World {
    pub(super) choices: Choices,
    pub(super) now: Duration,
    pub(super) drain: Drain,
    pub(super) mode: DrainMode,
    pub(super) pace: Pace,
    pub(super) terms: Terms,
    /// Somebody paused it and nobody has resumed it since.
    is_paused: bool,
    pub(super) kept: Option<DrainSnapshot>,
    pub(super) sources: BTreeMap<BoardId, u64>,
    pub(super) arrived: BTreeSet<BoardId>,
    flights: BTreeMap<BoardId, Flight>,
    pub(super) ready: Vec<TargetLoad>,
    /// When the answer to a `Relist` comes, and what it says where it was read at once.
    pub(super) listing: Option<(Duration, Option<Vec<OpenBoard>>)>,
    pub(super) starts: Vec<Duration>,
    pub(super) tries: BTreeMap<BoardId, u32>,
    /// When the users of a board may be told again.
    may_tell_at: BTreeMap<BoardId, Duration>,
    bounce_limit: Duration,
    /// Until when boards that the machine was told of have to wait.
    put_off: BTreeMap<BoardId, Duration>,
    pub(super) failures: u64,
    pub(super) fail_chance: u64,
    pub(super) trouble_left: u64,
    pub(super) may_crash: bool,
    pub(super) finished: Option<DrainState>,
    pub(super) aborted: bool,
    pub(super) seen: Seen,
}

impl World {
    pub(super) fn new(seed: u64, may_crash: bool) -> Self {
        let mut choices = Choices(seed);
        let modes = [
            DrainMode::Auto,
            DrainMode::Reconnect,
            DrainMode::Transparent,
            DrainMode::Stay,
        ];
        let mode = modes[choices.below(4) as usize];
        let pace = Pace {
            boards_per_second: [0.0, 0.5, 7.0, 50.0, 1000.0][choices.below(5) as usize],
            boards_at_once: 1 + choices.below(8) as u32,
            loads_per_target: 1 + choices.below(4) as u32,
        };
        let terms = Terms {
            mode,
            pace,
            deadline: [None, Some(Duration::from_secs(5)), Some(Duration::from_secs(60))][choices.below(3) as usize],
            on_deadline: [
                OnDeadline::Stop,
                OnDeadline::Pause,
                OnDeadline::Hurry,
                OnDeadline::Continue,
            ][choices.below(4) as usize],
            on_target_down: [OnTargetDown::Pause, OnTargetDown::Continue][choices.below(2) as usize],
        };
        let boards = choices.below(40);
        let sources = (0..boards).map(|number| (board(number), choices.below(4))).collect();
        let fail_chance = [0, 10, 50, 100][choices.below(4) as usize];
        Self {
            now: choices.millis(5000),
            drain: Drain::new(terms),
            mode,
            pace,
            terms,
            is_paused: false,
            kept: None,
            sources,
            arrived: BTreeSet::new(),
            flights: BTreeMap::new(),
            ready: Vec::new(),
            listing: None,
            starts: Vec::new(),
            tries: BTreeMap::new(),
            may_tell_at: BTreeMap::new(),
            put_off: BTreeMap::new(),
            bounce_limit: Duration::from_millis([0, 1, 3_000, 60_000][choices.below(4) as usize]),
            failures: 0,
            fail_chance,
            trouble_left: choices.below(20),
            may_crash,
            finished: None,
            aborted: false,
            seen: Seen::new(),
            choices,
        }
    }

    /// Runs until the drain ends, by itself or through the world's trouble.
    pub(super) fn run(&mut self) {
        self.change_targets();
        let boards = self.list();
        self.tell(Event::Started { boards });
        for _ in 0..20_000 {
            if self.finished.is_some() {
                return self.check_end();
            }
            if self.trouble_left > 0 && self.choices.percent(15) {
                self.trouble_left -= 1;
                self.make_trouble();
            } else {
                self.let_time_pass();
            }
        }
        panic!(
            "the drain does not end: {:?} {:?}",
            self.drain.phase(),
            self.drain.counts()
        );
    }

    pub(super) fn let_time_pass(&mut self) {
        let next_flight = self.flights.values().map(Flight::due_at).min();
        let next_list = self.listing.as_ref().map(|(at, _)| *at);
        let wake_at = self.drain.wake_at();
        let idle_end = (self.mode == DrainMode::Stay).then(|| self.now + Duration::from_secs(1));
        let next = [next_flight, next_list, wake_at, idle_end].into_iter().flatten().min();
        let next = next.expect("a drain that runs waits for something");
        if next == wake_at.unwrap_or(Duration::MAX) && self.drain.phase() == Phase::Moving {
            assert!(next > self.now, "the machine asks to be woken at once, for ever");
        }
        self.now = self.now.max(next);
        if self.drain.phase() == Phase::Paused && (self.trouble_left == 0 || self.choices.percent(30)) {
            self.is_paused = false;
            return self.tell(Event::ResumeRequested);
        }
        if next_list == Some(next) {
            let (_, boards) = self.listing.take().expect("it is due");
            let boards = boards.unwrap_or_else(|| self.list());
            let missing = self.drain.missing_from(&boards).into_iter();
            let taken_over = missing.filter(|board| self.arrived.contains(board)).collect();
            self.tell(Event::BoardsTakenOver { boards: taken_over });
            self.tell(Event::BoardsListed { boards });
        } else if next_flight == Some(next) {
            self.advance_flight();
        } else {
            // In mode stay nobody moves boards: their users leave.
            if self.mode == DrainMode::Stay && self.choices.percent(50) {
                self.sources.pop_first();
            }
            self.now += self.choices.millis(9);
            self.tell(Event::Tick);
        }
    }

    pub(super) fn list(&self) -> Vec<OpenBoard> {
        let open = |(board, sessions): (&BoardId, &u64)| OpenBoard {
            board: board.clone(),
            source: "s".parse().unwrap(),
            sessions: *sessions,
            home: None,
        };
        self.sources.iter().map(open).collect()
    }

    pub(super) fn tell(&mut self, event: Event) {
        let pair = (phase_index(self.drain.phase()), event_index(&event));
        if let (Phase::Paused, Event::ResumeRequested) | (Phase::Moving, Event::RulesChanged) =
            (self.drain.phase(), &event)
        {
            // What was put off is asked after at once.
            self.put_off.clear();
        }
        let commands = self.drain.handle(event, self.now);
        let seen = self.seen.entry(pair).or_default();
        seen.0.insert(phase_index(self.drain.phase()));
        seen.1.extend(commands.iter().map(command_index));
        let counts = self.drain.counts();
        assert_eq!(counts.total, counts.moved + counts.left + counts.closed);
        assert!(counts.taken_over <= counts.moved);
        let worklist = &self.drain.worklist;
        assert_eq!(*worklist.troubles(), worklist.troubles_by_walk());
        for command in commands {
            self.carry_out(command);
        }
        // The last trouble leaves the targets ready, or nothing could ever end.
        if self.trouble_left == 0 && self.ready.len() < 3 && self.finished.is_none() {
            self.change_targets();
        }
    }

    pub(super) fn carry_out(&mut self, command: Command) {
        assert!(self.finished.is_none(), "{command:?} after the end");
        match command {
            Command::Persist => self.kept = Some(self.drain.snapshot()),
            Command::StartMove {
                board,
                source,
                target,
                mode,
            } => {
                assert_eq!(source.as_str(), "s");
                self.start(board, target, mode);
            }
            Command::AbortMove { board } => self.abort_move(&board),
            Command::Relist => {
                assert!(self.listing.is_none(), "a list is under way");
                let at_once = self.choices.percent(50).then(|| self.list());
                self.listing = Some((self.now + self.choices.millis(300), at_once));
            }
            Command::Finish { state } => self.finished = Some(state),
            Command::Note(_) => {}
        }
    }
}
