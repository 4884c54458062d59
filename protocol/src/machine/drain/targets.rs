//! Which target takes the next board: the one with the least planned load that has room for one more load.

use std::collections::BTreeMap;

use crate::id::ServerName;

/// A server that is ready to take boards, and what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetLoad {
    /// The server.
    pub server: ServerName,
    /// Its open boards and their sessions, added up.
    pub load: u64,
}

/// The ready targets, and what is on its way to each.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets {
    /// Load of each ready target, as it was last told and raised since by what was moved there.
    ready: BTreeMap<ServerName, u64>,
    /// Kept apart: a target may stop being ready while moves to it are under way.
    coming: BTreeMap<ServerName, Coming>,
}

/// What is on its way to one target.
#[derive(Debug, Clone, Copy, Default)]
struct Coming {
    moves: u32,
    loading: u32,
    weight: u64,
}

impl Targets {
    /// Takes in which targets are ready now.
    pub(super) fn set_ready(&mut self, ready: Vec<TargetLoad>) {
        self.ready = ready.into_iter().map(|target| (target.server, target.load)).collect();
    }

    /// Returns the target for the next board; nothing while none has room. `avoided` is the last choice: the board
    /// failed there.
    pub(super) fn choose(&self, loads_max: u32, avoided: Option<&ServerName>) -> Option<ServerName> {
        self.ready
            .iter()
            .filter(|(server, _)| self.coming(server).loading < loads_max)
            .min_by_key(|(server, load)| {
                let planned = load.saturating_add(self.coming(server).weight);
                (avoided == Some(*server), planned)
            })
            .map(|(server, _)| server.clone())
    }

    /// Reads whether any target has room for one more load.
    pub(super) fn has_room(&self, loads_max: u32) -> bool {
        self.ready.keys().any(|server| self.coming(server).loading < loads_max)
    }

    /// Notes that a board is on its way.
    pub(super) fn start(&mut self, server: &ServerName, weight: u64) {
        let coming = self.coming.entry(server.clone()).or_default();
        coming.moves += 1;
        coming.loading += 1;
        coming.weight += weight;
    }

    /// Notes that a board is loaded: the target can load another.
    pub(super) fn loaded(&mut self, server: &ServerName) {
        if let Some(coming) = self.coming.get_mut(server) {
            coming.loading -= 1;
        }
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
        if arrived && let Some(load) = self.ready.get_mut(server) {
            *load = load.saturating_add(weight);
        }
    }

    fn coming(&self, server: &ServerName) -> Coming {
        self.coming.get(server).copied().unwrap_or_default()
    }
}

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
                })
                .collect(),
        );
        targets
    }

    fn choice(targets: &Targets, loads_max: u32, avoided: Option<&str>) -> Option<String> {
        let avoided = avoided.map(|server| server.parse().unwrap());
        targets
            .choose(loads_max, avoided.as_ref())
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
        }]);
        assert!(!targets.has_room(1));
        targets.loaded(&"a".parse().unwrap());
        assert!(targets.has_room(1));
    }
}
