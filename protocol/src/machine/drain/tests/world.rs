//! A small world of servers and boards that keeps the truth, and checks the machine against it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::pacer::CREDIT_MAX;
use super::super::*;
use crate::admin::{DEFAULT_WEIGHT, Level, OnDeadline, OnTargetDown, Pace};
use crate::generation::Generation;
use crate::id::ServerName;

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

/// A move as the world carries it out.
struct Flight {
    target: ServerName,
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

/// Where each (phase, event) pair led and what it commanded.
pub(super) type Seen = BTreeMap<(usize, usize), (BTreeSet<usize>, BTreeSet<usize>)>;

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
        let flights = self.flights.values();
        let next_flight = flights.map(|flight| flight.prepared_at.unwrap_or(flight.ends_at)).min();
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

    pub(super) fn advance_flight(&mut self) {
        let due = |flight: &Flight| flight.prepared_at.unwrap_or(flight.ends_at);
        let (board, flight) = self
            .flights
            .iter_mut()
            .min_by_key(|(_, flight)| due(flight))
            .expect("one is due");
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

    pub(super) fn land(&mut self, board: &BoardId, arrives: bool) {
        self.flights.remove(board);
        if arrives {
            self.sources.remove(board);
            self.arrived.insert(board.clone());
        }
    }

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
            7 => {
                self.is_paused = false;
                self.tell(Event::ResumeRequested);
            }
            _ => self.crash(),
        }
    }

    /// The gateway dies and comes back; moves under way were finished or undone by whoever found them.
    pub(super) fn crash(&mut self) {
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

    pub(super) fn change_targets(&mut self) {
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
        let commands = self.drain.handle(event, self.now);
        let seen = self.seen.entry(pair).or_default();
        seen.0.insert(phase_index(self.drain.phase()));
        seen.1.extend(commands.iter().map(command_index));
        let counts = self.drain.counts();
        assert_eq!(counts.total, counts.moved + counts.left + counts.closed);
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
            Command::AbortMove { board } => {
                let chance = self.choices.percent(50);
                let flight = self.flights.get_mut(&board).expect("only a move under way is aborted");
                if flight.fate == Fate::Arrives && !chance {
                    flight.fate = Fate::Fails;
                }
            }
            Command::Relist => {
                assert!(self.listing.is_none(), "a list is under way");
                let at_once = self.choices.percent(50).then(|| self.list());
                self.listing = Some((self.now + self.choices.millis(300), at_once));
            }
            Command::Finish { state } => self.finished = Some(state),
            Command::Note(_) => {}
        }
    }

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

    pub(super) fn check_pace(&self) {
        if self.terms.on_deadline == OnDeadline::Hurry && self.drain.deadline_passed {
            return;
        }
        assert!(self.flights.len() <= self.pace.boards_at_once as usize);
        for target in &self.ready {
            let loading = |flight: &&Flight| flight.target == target.server && flight.is_loading();
            let loads = self.flights.values().filter(loading).count();
            assert!(loads <= self.pace.loads_per_target as usize);
        }
        if self.pace.boards_per_second > 0.0 {
            for (first, from) in self.starts.iter().enumerate() {
                let window = (self.now - *from + CREDIT_MAX).as_secs_f64();
                let begun = (self.starts.len() - first) as f64;
                assert!(begun <= window * self.pace.boards_per_second + 1.0 + 1e-6);
            }
        }
    }

    pub(super) fn check_end(&mut self) {
        let counts = self.drain.counts();
        let state = self.finished.expect("it has ended");
        assert!(self.flights.is_empty(), "moves outlived the drain");
        assert_eq!(counts.moving, 0);
        assert_eq!(counts.failed, self.failures);
        assert_eq!(
            self.kept.as_ref().map(|kept| kept.state),
            Some(state),
            "the end was not kept"
        );
        match state {
            DrainState::Done => assert_eq!(counts.left, 0),
            DrainState::Failed => {
                let is_late = self.terms.on_deadline == OnDeadline::Stop && self.drain.deadline_passed;
                assert!(counts.left > 0 && (self.fail_chance > 0 || is_late));
            }
            DrainState::Aborted => assert!(self.aborted),
            DrainState::Running | DrainState::Paused | DrainState::Undoing | DrainState::Undone => {
                panic!("a drain does not end so")
            }
        }
        let later = Drain::resume(self.terms, self.kept.clone().unwrap());
        assert_eq!(later.counts(), counts);
        assert_eq!(later.state(), state);
        for event in [
            Event::Tick,
            Event::AbortRequested,
            Event::BoardsListed { boards: self.list() },
        ] {
            self.tell(event);
        }
        self.tell(Event::TargetsChanged { targets: Vec::new() });
    }
}

impl Flight {
    /// The machine learns of a load's end by `MovePrepared`, or by the end of the move where that never came.
    pub(super) fn is_loading(&self) -> bool {
        self.prepared_at.is_some()
    }
}

pub(super) fn phase_index(phase: Phase) -> usize {
    match phase {
        Phase::Starting => 0,
        Phase::Moving => 1,
        Phase::Confirming => 2,
        Phase::Waiting => 3,
        Phase::Paused => 4,
        Phase::Stopping => 5,
        Phase::Aborting => 6,
        Phase::Ended(_) => 7,
    }
}

pub(super) fn event_index(event: &Event) -> usize {
    match event {
        Event::Started { .. } => 0,
        Event::BoardsListed { .. } => 1,
        Event::MovePrepared { .. } => 2,
        Event::MoveEnded { .. } => 3,
        Event::TargetsChanged { .. } => 4,
        Event::AbortRequested => 5,
        Event::PauseRequested => 6,
        Event::ResumeRequested => 7,
        Event::Tick => 8,
    }
}

pub(super) fn command_index(command: &Command) -> usize {
    match command {
        Command::Persist => 0,
        Command::StartMove { .. } => 1,
        Command::AbortMove { .. } => 2,
        Command::Relist => 3,
        Command::Finish { .. } => 4,
        Command::Note(_) => 5,
    }
}

pub(super) fn board(number: u64) -> BoardId {
    format!("b{number:03}").parse().unwrap()
}

pub(super) fn open(number: u64, sessions: u64) -> OpenBoard {
    OpenBoard {
        board: board(number),
        source: "s".parse().unwrap(),
        sessions,
        home: None,
    }
}

pub(super) fn target(name: &str, load: u64) -> TargetLoad {
    TargetLoad {
        server: name.parse().unwrap(),
        load,
        weight: DEFAULT_WEIGHT,
        room: None,
    }
}

pub(super) fn report(board: &BoardId, result: &str) -> MoveReport {
    MoveReport {
        board: board.clone(),
        server: None,
        generation: Generation::NONE,
        result: result.to_owned(),
        level: Level::Contract,
        switched: 0,
        reconnected: 0,
        fallen_back: 0,
        unconfirmed: Vec::new(),
        retry_after_ms: None,
    }
}
