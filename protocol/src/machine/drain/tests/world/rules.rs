//! What must hold at each start and at the end, judged by what is true in the world.

use super::super::super::pacer::CREDIT_MAX;
use super::super::*;
use super::World;
use super::flight::Flight;

impl World {
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
