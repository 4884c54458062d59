//! Random schedules against the world.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn whatever_happens_a_drain_keeps_its_bounds_and_ends(seed in any::<u64>()) {
        World::new(seed, true).run();
    }

    #[test]
    fn every_board_of_an_untroubled_drain_ends_moved_or_given_up(seed in any::<u64>()) {
        let mut world = World::new(seed, false);
        world.trouble_left = 0;
        world.terms.deadline = None;
        world.drain = Drain::new(world.terms);
        if world.mode == DrainMode::Stay {
            world.mode = DrainMode::Auto;
            world.terms = Terms::plain(DrainMode::Auto, world.pace);
            world.drain = Drain::new(world.terms);
        }
        let total = world.sources.len() as u64;
        world.run();
        let counts = world.drain.counts();
        prop_assert_eq!(counts.total, total);
        prop_assert_eq!(counts.closed, 0);
        prop_assert_eq!(counts.moved, world.arrived.len() as u64);
        prop_assert_eq!(counts.left, world.sources.len() as u64);
        for board in world.sources.keys() {
            prop_assert_eq!(world.tries[board], TRIES_MAX);
        }
    }

    #[test]
    fn a_killed_gateway_still_knows_how_many_boards_were_moved(seed in any::<u64>()) {
        let mut world = World::new(seed, false);
        world.trouble_left = 0;
        world.terms = Terms::plain(world.mode, world.pace);
        world.drain = Drain::new(world.terms);
        world.change_targets();
        let total = world.sources.len() as u64;
        let boards = world.list();
        world.tell(Event::Started { boards });
        for _ in 0..3 {
            for _ in 0..world.choices.below(60) {
                if world.finished.is_none() && world.mode != DrainMode::Stay {
                    world.let_time_pass();
                }
            }
            if world.finished.is_none() && !world.aborted {
                world.crash();
                let counts = world.drain.counts();
                prop_assert_eq!(counts.total, total);
                prop_assert_eq!(counts.moved, world.arrived.len() as u64);
                prop_assert_eq!(counts.left, world.sources.len() as u64);
            }
        }
    }
}
