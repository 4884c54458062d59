//! Which target takes the next board: the one with the least planned load that has room for one more load.
//!
//! A target that loads much slower than it did, or fails to load, is given half as many boards at once; with each load
//! that goes well again it is given a little more.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::ServerName;

/// A server that is ready to take boards, and what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetLoad {
    /// The server.
    pub server: ServerName,
    /// Its open boards and their sessions, added up.
    pub load: u64,
    /// Its share beside that of the others; 0: it is given none.
    pub weight: u32,
    /// How many more boards it may own; absent: as many as come.
    pub room: Option<u64>,
}

impl TargetLoad {
    /// Reads whether it is given boards.
    pub fn takes_boards(&self) -> bool {
        self.weight > 0 && self.room != Some(0)
    }
}

/// A ready target.
#[derive(Debug, Clone)]
struct Ready {
    load: u64,
    weight: u32,
    room: Option<u64>,
}

/// The ready targets, and what is on its way to each.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets {
    /// Load and room of each ready target, as they were last told and changed since by what was moved there.
    ready: BTreeMap<ServerName, Ready>,
    /// Kept apart: a target may stop being ready while moves to it are under way.
    coming: BTreeMap<ServerName, Coming>,
    habits: BTreeMap<ServerName, Habit>,
}

/// What is known of how a target loads.
#[derive(Debug, Clone, Copy, Default)]
struct Habit {
    /// How long a load takes there when all is well: low ones count more than high ones.
    usual: Option<Duration>,
    /// Loads at once that it is given, in hundredths; nothing while it is given what was asked for.
    allowed: Option<u32>,
}

/// What is on its way to one target.
#[derive(Debug, Clone, Copy, Default)]
struct Coming {
    moves: u32,
    loading: u32,
    weight: u64,
}

impl Targets {
    /// Takes in which targets are ready now, and returns those that are no longer.
    pub(super) fn set_ready(&mut self, ready: Vec<TargetLoad>) -> Vec<ServerName> {
        let entry = |target: TargetLoad| {
            let ready = Ready {
                load: target.load,
                weight: target.weight,
                room: target.room,
            };
            (target.server, ready)
        };
        let ready: BTreeMap<_, _> = ready.into_iter().map(entry).collect();
        let before = std::mem::replace(&mut self.ready, ready);
        before
            .into_keys()
            .filter(|server| !self.ready.contains_key(server))
            .collect()
    }

    /// Returns the target for the next board; nothing while none has room. `home` is the only choice where it is ready,
    /// `avoided` the last one: the board failed there.
    pub(super) fn choose(
        &self,
        loads_max: u32,
        home: Option<&ServerName>,
        avoided: Option<&ServerName>,
    ) -> Option<ServerName> {
        let home = home.filter(|home| avoided != Some(*home) && self.takes_any(home));
        self.ready
            .iter()
            .filter(|(server, _)| home.is_none_or(|home| home == *server) && self.can_load(server, loads_max))
            .min_by_key(|(server, ready)| {
                let planned = ready.load.saturating_add(self.coming(server).weight);
                (avoided == Some(*server), relative_load(planned, ready.weight))
            })
            .map(|(server, _)| server.clone())
    }

    /// Reads whether any target has room for one more load.
    pub(super) fn has_room(&self, loads_max: u32) -> bool {
        self.ready.keys().any(|server| self.can_load(server, loads_max))
    }

    /// Reads whether any server is ready to take boards.
    pub(super) fn is_any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Reads whether a server is ready to take boards.
    pub(super) fn is_ready(&self, server: &ServerName) -> bool {
        self.ready.contains_key(server)
    }

    /// Reads whether any ready server is neither full nor without a weight.
    pub(super) fn has_any_place(&self) -> bool {
        self.ready.keys().any(|server| self.takes_any(server))
    }

    fn takes_any(&self, server: &ServerName) -> bool {
        let ready = self.ready.get(server);
        ready.is_some_and(|ready| ready.weight > 0 && ready.room != Some(0))
    }

    /// Returns the least loads at once that any ready target is given now.
    pub(super) fn loads_now(&self, loads_max: u32) -> u32 {
        let allowed = self.ready.keys().map(|server| self.allowed(server, loads_max));
        allowed.min().unwrap_or(loads_max)
    }

    /// Lists the ready targets that are given less than was asked for.
    pub(super) fn slowed(&self, loads_max: u32) -> Vec<&ServerName> {
        let is_slowed = |server: &&ServerName| self.allowed(server, loads_max) < loads_max;
        self.ready.keys().filter(is_slowed).collect()
    }

    /// Notes that a board is on its way.
    pub(super) fn start(&mut self, server: &ServerName, weight: u64) {
        let coming = self.coming.entry(server.clone()).or_default();
        coming.moves += 1;
        coming.loading += 1;
        coming.weight += weight;
    }

    /// Notes that a board is loaded, and how long that took: the target can load another.
    pub(super) fn loaded(&mut self, server: &ServerName, took: Duration) {
        let Some(coming) = self.coming.get_mut(server) else {
            return;
        };
        coming.loading -= 1;
        let at_once = coming.loading + 1;
        let habit = self.habits.entry(server.clone()).or_default();
        let usual = habit.usual.unwrap_or(took);
        if took > usual.saturating_mul(SLOWER).max(usual.saturating_add(SLOWER_BY)) {
            return self.slow_down(server, at_once);
        }
        // A quicker load is believed at once, a slower one by and by.
        habit.usual = Some(if took < usual { took } else { (usual * 15 + took) / 16 });
        habit.allowed = habit.allowed.map(|allowed| allowed.saturating_add(RECOVERY));
    }

    /// Notes that a target could not load a board.
    pub(super) fn failed_to_load(&mut self, server: &ServerName) {
        let at_once = self.coming(server).loading + 1;
        self.slow_down(server, at_once);
    }

    /// Halves what a target is given.
    fn slow_down(&mut self, server: &ServerName, at_once: u32) {
        let habit = self.habits.entry(server.clone()).or_default();
        let allowed = habit
            .allowed
            .map_or(at_once, |allowed| at_once.min(allowed / HUNDREDTHS));
        habit.allowed = Some((allowed / 2).max(1).saturating_mul(HUNDREDTHS));
    }

    fn can_load(&self, server: &ServerName, loads_max: u32) -> bool {
        let coming = self.coming(server);
        let room = self.ready.get(server).and_then(|ready| ready.room);
        self.takes_any(server)
            && coming.loading < self.allowed(server, loads_max)
            && room.is_none_or(|room| u64::from(coming.moves) < room)
    }

    fn allowed(&self, server: &ServerName, loads_max: u32) -> u32 {
        let allowed = self.habits.get(server).and_then(|habit| habit.allowed);
        allowed.map_or(loads_max, |allowed| loads_max.min(allowed / HUNDREDTHS))
    }

    /// Notes that a move has ended.
    pub(super) fn end(&mut self, server: &ServerName, weight: u64, was_loading: bool, arrived: bool) {
        if let Some(coming) = self.coming.get_mut(server) {
            coming.moves -= 1;
            coming.loading -= u32::from(was_loading);
            coming.weight -= weight;
            if coming.moves == 0 {
                self.coming.remove(server);
            }
        }
        if arrived && let Some(ready) = self.ready.get_mut(server) {
            ready.load = ready.load.saturating_add(weight);
            ready.room = ready.room.map(|room| room.saturating_sub(1));
        }
    }

    fn coming(&self, server: &ServerName) -> Coming {
        self.coming.get(server).copied().unwrap_or_default()
    }
}

/// Returns a load as it compares with that of servers of other weights; the largest for one without a weight.
pub fn relative_load(load: u64, weight: u32) -> u64 {
    load.saturating_mul(WEIGHT_SCALE)
        .checked_div(weight.into())
        .unwrap_or(u64::MAX)
}

/// Says where boards would go, one after the other, if each of them arrived; their sessions are given in that order.
pub fn spread(sessions: impl IntoIterator<Item = u64>, ready: Vec<TargetLoad>) -> Vec<Option<ServerName>> {
    let mut targets = Targets::default();
    targets.set_ready(ready);
    let mut place = |sessions: u64| {
        let target = targets.choose(1, None, None)?;
        let weight = sessions.saturating_add(1);
        targets.start(&target, weight);
        targets.end(&target, weight, true, true);
        Some(target)
    };
    sessions.into_iter().map(&mut place).collect()
}

/// Keeps loads of one and the same weight apart, up to the largest weight.
const WEIGHT_SCALE: u64 = 10_000;

/// A load that takes this many times the usual is slow …
const SLOWER: u32 = 3;

/// … if it is slower by at least as much: small times vary by themselves.
const SLOWER_BY: Duration = Duration::from_millis(500);

/// What each load that goes well gives back: a quarter of a load.
const RECOVERY: u32 = 25;

const HUNDREDTHS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(loads: &[(&str, u64)]) -> Targets {
        let mut targets = Targets::default();
        targets.set_ready(
            loads
                .iter()
                .map(|(server, load)| TargetLoad {
                    server: server.parse().unwrap(),
                    load: *load,
                    weight: 100,
                    room: None,
                })
                .collect(),
        );
        targets
    }

    fn choice(targets: &Targets, loads_max: u32, avoided: Option<&str>) -> Option<String> {
        let avoided = avoided.map(|server| server.parse().unwrap());
        targets
            .choose(loads_max, None, avoided.as_ref())
            .map(|server| server.to_string())
    }

    #[test]
    fn the_least_planned_load_is_chosen_among_those_with_room() {
        let mut targets = targets(&[("a", 10), ("b", 4), ("c", 5)]);
        assert_eq!(choice(&targets, 2, None).as_deref(), Some("b"));
        targets.start(&"b".parse().unwrap(), 3);
        assert_eq!(choice(&targets, 2, None).as_deref(), Some("c"));
        assert_eq!(choice(&targets, 1, Some("c")).as_deref(), Some("a"));
        targets.end(&"b".parse().unwrap(), 3, true, false);
        assert_eq!(choice(&targets, 2, None).as_deref(), Some("b"));
    }

    #[test]
    fn a_target_is_filled_by_its_weight_and_never_beyond_its_room() {
        let target = |server: &str, weight: u32, room: Option<u64>| TargetLoad {
            server: server.parse().unwrap(),
            load: 0,
            weight,
            room,
        };
        let places = |ready: Vec<TargetLoad>, boards: usize| {
            let places = spread(std::iter::repeat_n(0, boards), ready);
            let count = |server: &str| {
                let is_there =
                    |place: &&Option<ServerName>| place.as_ref().is_some_and(|place| place.as_str() == server);
                places.iter().filter(is_there).count()
            };
            (
                count("a"),
                count("b"),
                places.iter().filter(|place| place.is_none()).count(),
            )
        };
        assert_eq!(
            places(vec![target("a", 300, None), target("b", 100, None)], 40),
            (30, 10, 0)
        );
        assert_eq!(
            places(vec![target("a", 100, Some(3)), target("b", 100, None)], 20),
            (3, 17, 0)
        );
        assert_eq!(
            places(vec![target("a", 100, Some(3)), target("b", 100, Some(2))], 6),
            (3, 2, 1)
        );

        let mut targets = Targets::default();
        targets.set_ready(vec![target("a", 100, Some(2))]);
        let a: ServerName = "a".parse().unwrap();
        targets.start(&a, 1);
        targets.start(&a, 1);
        assert!(!targets.has_room(8), "what is on its way takes room");
        targets.end(&a, 1, true, false);
        assert!(targets.has_room(8), "what did not arrive takes none");
        targets.start(&a, 1);
        targets.end(&a, 1, true, true);
        targets.end(&a, 1, true, true);
        assert!(!targets.has_room(8));
    }

    #[test]
    fn a_target_that_failed_a_board_is_its_last_choice_and_not_no_choice() {
        let targets = targets(&[("a", 0)]);
        assert_eq!(choice(&targets, 1, Some("a")).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_loading_stays_counted_while_its_target_is_not_ready() {
        let mut targets = targets(&[("a", 0)]);
        targets.start(&"a".parse().unwrap(), 1);
        targets.set_ready(Vec::new());
        targets.set_ready(vec![TargetLoad {
            server: "a".parse().unwrap(),
            load: 0,
            weight: 100,
            room: None,
        }]);
        assert!(!targets.has_room(1));
        targets.loaded(&"a".parse().unwrap(), Duration::ZERO);
        assert!(targets.has_room(1));
    }

    #[test]
    fn a_target_that_slows_down_or_fails_is_given_half_and_recovers_by_and_by() {
        let a: ServerName = "a".parse().unwrap();
        let mut targets = targets(&[("a", 0)]);
        let load = |targets: &mut Targets, at_once: u32, took: u64| {
            for _ in 0..at_once {
                targets.start(&a, 1);
            }
            for _ in 0..at_once {
                targets.loaded(&a, Duration::from_millis(took));
                targets.end(&a, 1, false, true);
            }
        };
        load(&mut targets, 8, 100);
        load(&mut targets, 8, 550);
        assert_eq!(targets.loads_now(8), 8, "some hundred milliseconds are noise");
        targets.start(&a, 1);
        for _ in 0..7 {
            targets.start(&a, 1);
        }
        targets.loaded(&a, Duration::from_secs(3));
        assert_eq!((targets.loads_now(8), targets.slowed(8).len()), (4, 1));
        for _ in 0..7 {
            targets.failed_to_load(&a);
            targets.end(&a, 1, true, false);
        }
        targets.end(&a, 1, false, true);
        assert_eq!(targets.loads_now(8), 1, "it is never given nothing");
        load(&mut targets, 1, 100);
        assert_eq!(targets.loads_now(8), 1);
        for _ in 0..27 {
            load(&mut targets, 1, 100);
        }
        assert_eq!((targets.loads_now(8), targets.slowed(8).len()), (8, 0));
    }

    #[test]
    fn a_board_goes_home_where_that_is_ready() {
        let mut targets = targets(&[("a", 10), ("b", 4)]);
        let choose = |targets: &Targets, home: &str, avoided: Option<&str>| {
            let (home, avoided) = (home.parse().unwrap(), avoided.map(|avoided| avoided.parse().unwrap()));
            targets
                .choose(1, Some(&home), avoided.as_ref())
                .map(|server| server.to_string())
        };
        assert_eq!(choose(&targets, "a", None).as_deref(), Some("a"));
        assert_eq!(choose(&targets, "a", Some("a")).as_deref(), Some("b"));
        assert_eq!(choose(&targets, "c", None).as_deref(), Some("b"));
        targets.start(&"a".parse().unwrap(), 1);
        assert_eq!(choose(&targets, "a", None), None, "it waits for its turn there");
    }
}
