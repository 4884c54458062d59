//! Random schedules against the world, single behaviours, and the transition table.

mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use self::world::{Choices, Seen, World, board, command_index, event_index, open, phase_index, report, target};
use super::*;
use crate::admin::{DrainRequest, DrainStatus, OnDeadline, Pace};

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

#[test]
fn idle_boards_go_first_and_the_heaviest_last() {
    let mut drain = Drain::new(Terms::plain(
        DrainMode::Auto,
        Pace {
            boards_per_second: 1.0,
            ..Pace::default()
        },
    ));
    drain.handle(
        Event::TargetsChanged {
            targets: vec![target("t", 0)],
        },
        Duration::ZERO,
    );
    let boards = vec![open(1, 9), open(2, 0), open(3, 2)];
    let mut order = starts(&drain.handle(Event::Started { boards }, Duration::ZERO));
    for second in 1..4 {
        order.extend(starts(&drain.handle(Event::Tick, Duration::from_secs(second))));
    }
    assert_eq!(order, [board(2), board(3), board(1)]);
}

#[test]
fn a_failed_board_waits_longer_each_time_and_is_given_up_at_last() {
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, Pace::default()));
    drain.handle(
        Event::TargetsChanged {
            targets: vec![target("t", 0)],
        },
        Duration::ZERO,
    );
    let mut commands = drain.handle(
        Event::Started {
            boards: vec![open(1, 0)],
        },
        Duration::ZERO,
    );
    let mut now = Duration::ZERO;
    let mut waits = Vec::new();
    while starts(&commands) == [board(1)] {
        let failed_at = now;
        commands = drain.handle(
            Event::MoveEnded {
                report: report(&board(1), "target-unready"),
            },
            now,
        );
        while starts(&commands).is_empty() && drain.phase() == Phase::Moving {
            now = drain.wake_at().unwrap();
            if commands.contains(&Command::Relist) {
                commands = drain.handle(
                    Event::BoardsListed {
                        boards: vec![open(1, 0)],
                    },
                    now,
                );
            } else {
                commands = drain.handle(Event::Tick, now);
            }
        }
        waits.push((now - failed_at).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 0]);
    assert_eq!(drain.phase(), Phase::Confirming);
    let commands = drain.handle(
        Event::BoardsListed {
            boards: vec![open(1, 0)],
        },
        now,
    );
    assert_eq!(
        commands,
        [
            Command::Persist,
            Command::Finish {
                state: DrainState::Failed
            }
        ]
    );
    let status = drain.status("d".parse().unwrap(), request(), now);
    assert_eq!((status.boards.failed, status.boards.left), (6, 1));
    assert_eq!(status.failures[0].reason, "target-unready");
}

#[test]
fn a_board_seen_by_a_list_older_than_its_move_is_not_moved_again() {
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, Pace::default()));
    drain.handle(
        Event::TargetsChanged {
            targets: vec![target("t", 0)],
        },
        Duration::ZERO,
    );
    let boards = vec![open(1, 0), open(2, 0)];
    drain.handle(Event::Started { boards: boards.clone() }, Duration::ZERO);
    drain.handle(Event::Tick, Duration::from_secs(1));
    let later = RELIST_INTERVAL;
    assert_eq!(drain.handle(Event::Tick, later), [Command::Relist]);
    drain.handle(
        Event::MoveEnded {
            report: report(&board(1), "moved"),
        },
        later,
    );
    drain.handle(
        Event::MoveEnded {
            report: report(&board(2), "moved"),
        },
        later,
    );
    assert_eq!(drain.phase(), Phase::Confirming);
    let commands = drain.handle(Event::BoardsListed { boards }, later);
    assert_eq!(commands, [Command::Relist], "and such a list confirms nothing");
    let commands = drain.handle(Event::BoardsListed { boards: Vec::new() }, later);
    assert!(commands.contains(&Command::Finish {
        state: DrainState::Done
    }));
    assert_eq!(drain.counts().moved, 2);
}

#[test]
fn an_abort_undoes_what_is_under_way_and_ends_when_that_has_ended() {
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, Pace::default()));
    drain.handle(
        Event::TargetsChanged {
            targets: vec![target("t", 0)],
        },
        Duration::ZERO,
    );
    drain.handle(
        Event::Started {
            boards: vec![open(1, 0), open(2, 0)],
        },
        Duration::ZERO,
    );
    let commands = drain.handle(Event::AbortRequested, Duration::ZERO);
    assert_eq!(commands, [Command::Persist, Command::AbortMove { board: board(1) }]);
    assert_eq!(drain.state(), DrainState::Running);
    let commands = drain.handle(
        Event::MoveEnded {
            report: report(&board(1), "aborted"),
        },
        Duration::ZERO,
    );
    assert_eq!(
        commands,
        [
            Command::Persist,
            Command::Finish {
                state: DrainState::Aborted
            }
        ]
    );
}

#[test]
fn a_board_that_its_route_keeps_is_waited_for_and_never_given_up() {
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, Pace::default()));
    drain.handle(
        Event::TargetsChanged {
            targets: vec![target("t", 0)],
        },
        Duration::ZERO,
    );
    let mut commands = drain.handle(
        Event::Started {
            boards: vec![open(1, 1)],
        },
        Duration::ZERO,
    );
    let mut now = Duration::ZERO;
    let mut offers = 0;
    while now < Duration::from_secs(600) || !starts(&commands).is_empty() {
        assert_eq!(drain.phase(), Phase::Moving);
        if !starts(&commands).is_empty() {
            offers += 1;
            commands = drain.handle(
                Event::MoveEnded {
                    report: report(&board(1), "stay"),
                },
                now,
            );
        } else if commands.contains(&Command::Relist) {
            commands = drain.handle(
                Event::BoardsListed {
                    boards: vec![open(1, 1)],
                },
                now,
            );
        } else {
            now = drain.wake_at().unwrap();
            commands = drain.handle(Event::Tick, now);
        }
    }
    assert!((18..=22).contains(&offers), "{offers}");
    assert_eq!((drain.counts().failed, drain.counts().left), (0, 1));
    // The first may have been asked for before the last offer; such a list ends nothing.
    drain.handle(Event::BoardsListed { boards: Vec::new() }, now);
    drain.handle(Event::BoardsListed { boards: Vec::new() }, now);
    assert_eq!((drain.state(), drain.counts().closed), (DrainState::Done, 1));
}

#[test]
fn a_board_whose_users_were_told_of_late_waits_out_the_limit_and_others_go_on() {
    let pace = Pace {
        boards_per_second: 1.0,
        ..Pace::default()
    };
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, pace));
    drain.handle(
        Event::TargetsChanged {
            targets: vec![target("t", 0)],
        },
        Duration::ZERO,
    );
    let boards = vec![open(1, 1), open(2, 2)];
    let commands = drain.handle(Event::Started { boards: boards.clone() }, Duration::ZERO);
    assert_eq!(starts(&commands), [board(1)]);
    let put_off = MoveReport {
        retry_after_ms: Some(100_000),
        ..report(&board(1), "bounce_limit")
    };
    drain.handle(Event::MoveEnded { report: put_off }, Duration::ZERO);
    assert_eq!((drain.counts().put_off, drain.counts().left), (1, 2));
    let second = Duration::from_secs(1);
    assert_eq!(starts(&drain.handle(Event::Tick, second)), [board(2)]);
    drain.handle(
        Event::MoveEnded {
            report: report(&board(2), "moved"),
        },
        second,
    );
    let mut now = second;
    let mut commands = Vec::new();
    while starts(&commands).is_empty() {
        assert_eq!(drain.phase(), Phase::Moving);
        now = drain.wake_at().unwrap();
        commands = drain.handle(Event::Tick, now);
        if commands.contains(&Command::Relist) {
            let boards = vec![open(1, 1)];
            commands.extend(drain.handle(Event::BoardsListed { boards }, now));
        }
    }
    assert_eq!((starts(&commands), now), (vec![board(1)], Duration::from_secs(100)));
    assert_eq!(drain.counts().put_off, 0);
    let status = drain.status("d".parse().unwrap(), request(), now);
    assert_eq!((status.boards.failed, status.failures), (0, Vec::new()));
}

#[test]
fn a_board_that_has_left_its_source_counts_by_where_it_is_until_a_list_shows_it() {
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, Pace::default()));
    let loads = vec![target("t", 0), target("t2", 9)];
    drain.handle(Event::TargetsChanged { targets: loads }, Duration::ZERO);
    let boards = vec![open(1, 0), open(2, 0), open(3, 0)];
    drain.handle(Event::Started { boards }, Duration::ZERO);
    for seconds in 1..3 {
        drain.handle(Event::Tick, Duration::from_secs(seconds));
    }
    let now = Duration::from_secs(3);
    for (number, server) in [(1, Some("t2")), (2, None), (3, Some("t"))] {
        let report = MoveReport {
            server: server.map(|server| server.parse().unwrap()),
            ..report(&board(number), "not_at_source")
        };
        drain.handle(Event::MoveEnded { report }, now);
    }
    let counts = drain.counts();
    assert_eq!(
        (counts.moved, counts.closed, counts.failed, counts.left),
        (2, 1, 0, 0),
        "{counts:?}"
    );
    assert_eq!(drain.phase(), Phase::Confirming);
    let boards = vec![open(2, 1)];
    let commands = drain.handle(Event::BoardsListed { boards }, now);
    assert_eq!(starts(&commands), [board(2)], "it was opened there again");
    let status = drain.status("d".parse().unwrap(), request(), now);
    assert_eq!((status.failures, status.levels), (Vec::new(), Vec::new()));
}

#[test]
fn a_board_that_its_target_owns_has_moved_however_its_move_went() {
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, Pace::default()));
    drain.handle(
        Event::TargetsChanged {
            targets: vec![target("t", 0)],
        },
        Duration::ZERO,
    );
    drain.handle(
        Event::Started {
            boards: vec![open(1, 1)],
        },
        Duration::ZERO,
    );
    let forced = MoveReport {
        server: Some("t".parse().unwrap()),
        ..report(&board(1), "activate_unanswered")
    };
    drain.handle(Event::MoveEnded { report: forced }, Duration::ZERO);
    drain.handle(Event::BoardsListed { boards: Vec::new() }, Duration::ZERO);
    let status = drain.status("d".parse().unwrap(), request(), Duration::ZERO);
    assert_eq!(
        (status.state, status.boards.moved, status.boards.failed),
        (DrainState::Done, 1, 0)
    );
    assert_eq!(status.failures[0].reason, "activate_unanswered");
}

#[test]
fn a_drain_keeps_its_pace_over_seconds_however_late_its_timers_are() {
    let pace = Pace {
        boards_per_second: 330.0,
        ..Pace::default()
    };
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, pace));
    let targets = vec![target("t", 0)];
    drain.handle(Event::TargetsChanged { targets }, Duration::ZERO);
    let boards: Vec<_> = (0..4000).map(|number| open(number, 0)).collect();
    let begun_at = Duration::from_secs(3);
    let mut under_way = starts(&drain.handle(Event::Started { boards }, begun_at));
    assert_eq!(under_way.len(), 1, "nothing was to begin before");
    let (mut now, mut late_ms) = (begun_at, 0);
    while now < begun_at + Duration::from_secs(10) {
        let mut begun = Vec::new();
        for moved in under_way {
            let report = report(&moved, "moved");
            begun.extend(starts(&drain.handle(Event::MoveEnded { report }, now)));
        }
        under_way = begun;
        late_ms = (late_ms + 7) % 45;
        now = now.max(drain.wake_at().unwrap()) + Duration::from_millis(late_ms);
        under_way.extend(starts(&drain.handle(Event::Tick, now)));
    }
    let moved = drain.counts().moved as f64;
    let asked = (now - begun_at).as_secs_f64() * 330.0;
    assert!(
        (asked - 32.0..=asked + 1.0).contains(&moved),
        "{moved} boards of {asked}"
    );
}

/// A drain with three boards and a start a second; the first has begun.
fn slow_drain(terms: Terms) -> Drain {
    let pace = Pace {
        boards_per_second: 1.0,
        ..Pace::default()
    };
    let mut drain = Drain::new(Terms { pace, ..terms });
    let targets = vec![target("t", 0), target("u", 0)];
    drain.handle(Event::TargetsChanged { targets }, Duration::ZERO);
    let boards = vec![open(1, 1), open(2, 2), open(3, 3)];
    let begun = drain.handle(Event::Started { boards }, Duration::ZERO);
    assert_eq!(starts(&begun), [board(1)]);
    drain
}

fn terms(deadline: u64, on_deadline: OnDeadline) -> Terms {
    Terms {
        deadline: Some(Duration::from_secs(deadline)),
        on_deadline,
        ..Terms::plain(DrainMode::Auto, Pace::default())
    }
}

fn told(drain: &Drain) -> DrainStatus {
    drain.status("d".parse().unwrap(), request(), Duration::ZERO)
}

#[test]
fn a_paused_drain_lets_moves_end_begins_none_and_goes_on_when_it_is_resumed() {
    let second = Duration::from_secs;
    let mut drain = slow_drain(terms(3, OnDeadline::Stop));
    assert_eq!(drain.handle(Event::PauseRequested, second(1)), [Command::Persist]);
    assert_eq!(
        drain.handle(Event::PauseRequested, second(1)),
        [],
        "it is safe to repeat"
    );
    let status = told(&drain);
    assert_eq!(
        (status.state, status.paused_by),
        (DrainState::Paused, Some(PausedBy::Operator))
    );
    assert_eq!(status.waits_for[0].reason, "paused");
    let report = report(&board(1), "moved");
    assert_eq!(starts(&drain.handle(Event::MoveEnded { report }, second(2))), []);
    assert_eq!(drain.counts().moved, 1);
    let kept: DrainSnapshot = serde_json::from_str(&serde_json::to_string(&drain.snapshot()).unwrap()).unwrap();
    let mut later = Drain::resume(terms(3, OnDeadline::Stop), kept);
    assert_eq!(later.state(), DrainState::Paused);
    let boards = vec![open(2, 2), open(3, 3)];
    let targets = vec![target("t", 0)];
    later.handle(Event::TargetsChanged { targets }, Duration::ZERO);
    assert_eq!(starts(&later.handle(Event::Started { boards }, Duration::ZERO)), []);
    // A day's pause takes nothing of the deadline.
    let resumed = later.handle(Event::ResumeRequested, second(86_400));
    assert_eq!(starts(&resumed), [board(2)]);
    assert_eq!((later.state(), later.deadline_passed), (DrainState::Running, false));
    later.handle(Event::Tick, second(86_401));
    assert!(!later.deadline_passed, "one second before the pause and one behind it");
    later.handle(Event::Tick, second(86_402));
    assert!(later.deadline_passed);
}

#[test]
fn what_happens_at_the_deadline_is_what_was_asked_for() {
    let second = Duration::from_secs;
    let at_deadline = |on_deadline| {
        let mut drain = slow_drain(terms(2, on_deadline));
        drain.handle(Event::Tick, second(1));
        let commands = drain.handle(Event::Tick, second(2));
        assert!(drain.deadline_passed);
        (drain, starts(&commands))
    };
    let end = |number| Event::MoveEnded {
        report: report(&board(number), "moved"),
    };

    let (mut drain, begun) = at_deadline(OnDeadline::Stop);
    assert_eq!((drain.phase(), begun.len()), (Phase::Stopping, 0));
    drain.handle(end(1), second(3));
    assert_eq!(drain.state(), DrainState::Running, "the second is under way");
    let last = drain.handle(end(2), second(3));
    assert!(last.contains(&Command::Finish {
        state: DrainState::Failed
    }));
    let status = told(&drain);
    assert_eq!(
        (status.boards.moved, status.boards.left, status.deadline_passed),
        (2, 1, true)
    );
    assert_eq!(
        (status.waits_for[0].reason.as_str(), status.waits_for[0].boards),
        ("deadline", 1)
    );

    let (mut drain, begun) = at_deadline(OnDeadline::Pause);
    assert_eq!((begun.len(), told(&drain).paused_by), (0, Some(PausedBy::Deadline)));
    assert_eq!(starts(&drain.handle(Event::ResumeRequested, second(9))), [board(3)]);

    let (drain, begun) = at_deadline(OnDeadline::Continue);
    assert_eq!((begun, drain.state()), (vec![board(3)], DrainState::Running));

    let mut drain = slow_drain(terms(1, OnDeadline::Hurry));
    let failed = report(&board(1), "freeze_unanswered");
    drain.handle(Event::MoveEnded { report: failed }, Duration::ZERO);
    let modes = |commands: Vec<Command>| -> Vec<(BoardId, DrainMode)> {
        let mode = |command| match command {
            Command::StartMove { board, mode, .. } => Some((board, mode)),
            Command::Persist
            | Command::AbortMove { .. }
            | Command::Relist
            | Command::Finish { .. }
            | Command::Note(_) => None,
        };
        commands.into_iter().filter_map(mode).collect()
    };
    let hurried = modes(drain.handle(Event::Tick, second(1)));
    assert_eq!(
        hurried,
        [
            (board(1), DrainMode::Reconnect),
            (board(2), DrainMode::Auto),
            (board(3), DrainMode::Auto)
        ],
        "all at once, and by reconnect what has failed"
    );
}

#[test]
fn a_target_that_stops_being_ready_stops_the_drain_before_the_next_board() {
    let second = Duration::from_secs;
    let lose_u = || Event::TargetsChanged {
        targets: vec![target("t", 0)],
    };
    let careful = Terms {
        on_target_down: OnTargetDown::Pause,
        ..terms(60, OnDeadline::Stop)
    };
    let mut drain = slow_drain(careful);
    assert_eq!(starts(&drain.handle(lose_u(), second(1))), []);
    let status = told(&drain);
    assert_eq!(status.paused_by, Some(PausedBy::TargetDown));
    assert!(
        status.waits_for[0].detail.starts_with("u stopped being ready"),
        "{status:?}"
    );
    assert_eq!(starts(&drain.handle(Event::ResumeRequested, second(2))), [board(2)]);

    let mut drain = slow_drain(terms(60, OnDeadline::Stop));
    assert_eq!(
        starts(&drain.handle(lose_u(), second(1))),
        [board(2)],
        "with those that are left"
    );
    let none = Event::TargetsChanged { targets: Vec::new() };
    drain.handle(none, second(2));
    assert_eq!(told(&drain).waits_for[0].reason, "no_target");
}

#[test]
fn a_target_that_goes_once_nothing_is_left_pauses_nothing_unless_more_turns_up() {
    let careful = || Terms {
        on_target_down: OnTargetDown::Pause,
        ..Terms::plain(DrainMode::Auto, Pace::default())
    };
    let confirming = || {
        let mut drain = Drain::new(careful());
        let targets = vec![target("t", 0), target("u", 0)];
        drain.handle(Event::TargetsChanged { targets }, Duration::ZERO);
        let boards = vec![open(1, 0)];
        drain.handle(Event::Started { boards }, Duration::ZERO);
        let report = report(&board(1), MoveReport::MOVED);
        drain.handle(Event::MoveEnded { report }, Duration::ZERO);
        let targets = vec![target("t", 0)];
        drain.handle(Event::TargetsChanged { targets }, Duration::ZERO);
        assert_eq!(drain.phase(), Phase::Confirming);
        drain
    };
    let mut drain = confirming();
    drain.handle(Event::BoardsListed { boards: Vec::new() }, Duration::ZERO);
    assert_eq!(drain.state(), DrainState::Done);

    let more = || Event::BoardsListed {
        boards: vec![open(2, 0)],
    };
    let mut drain = confirming();
    assert_eq!(starts(&drain.handle(more(), Duration::ZERO)), []);
    assert_eq!(told(&drain).paused_by, Some(PausedBy::TargetDown));
    let mut drain = confirming();
    let targets = vec![target("t", 0), target("u", 0)];
    drain.handle(Event::TargetsChanged { targets }, Duration::ZERO);
    let later = Duration::from_secs(2);
    assert_eq!(starts(&drain.handle(more(), later)), [board(2)], "it is back");
}

#[test]
fn targets_without_room_or_weight_are_waited_for_and_named() {
    let mut drain = slow_drain(Terms {
        on_target_down: OnTargetDown::Pause,
        ..terms(60, OnDeadline::Stop)
    });
    let mut full = vec![target("t", 0), target("u", 0)];
    (full[0].room, full[1].weight) = (Some(0), 0);
    let second = Duration::from_secs(1);
    assert_eq!(
        starts(&drain.handle(Event::TargetsChanged { targets: full }, second)),
        []
    );
    let status = told(&drain);
    assert_eq!((status.state, status.paused_by), (DrainState::Running, None));
    assert_eq!(status.waits_for[0].reason, "targets_full", "{status:?}");
    let targets = vec![target("t", 0), target("u", 0)];
    assert_eq!(
        starts(&drain.handle(Event::TargetsChanged { targets }, second)),
        [board(2)]
    );
}

#[test]
fn a_drain_says_which_boards_do_not_move_and_why() {
    let mut drain = slow_drain(terms(600, OnDeadline::Stop));
    let all = || vec![open(1, 1), open(2, 2), open(3, 3)];
    let mut now = Duration::ZERO;
    let mut under_way = vec![board(1)];
    while drain.phase() != Phase::Confirming {
        let event = match under_way.pop() {
            Some(board) => Event::MoveEnded {
                report: report(&board, "save_unconfirmed"),
            },
            None => {
                now += Duration::from_secs(1);
                Event::BoardsListed { boards: all() }
            }
        };
        under_way.extend(starts(&drain.handle(event, now)));
    }
    let check = |status: &DrainStatus| {
        let save = &status.waits_for[0];
        assert_eq!(
            (save.reason.as_str(), save.boards),
            ("save_unconfirmed", 3),
            "{status:?}"
        );
        assert!(save.detail.contains("settle_hook") && save.detail.contains("given up"));
        assert_eq!(status.troubled.len(), 3);
        assert_eq!(
            (status.troubled[0].tries, status.troubled[0].retry_in_seconds),
            (TRIES_MAX, None)
        );
    };
    check(&told(&drain));
    drain.handle(Event::BoardsListed { boards: all() }, now);
    drain.handle(Event::BoardsListed { boards: all() }, now);
    assert_eq!(drain.state(), DrainState::Failed);
    check(&told(&drain));
    assert!(
        told(&drain)
            .progress
            .starts_with("failed: 0 of 3 boards moved, 3 left; save_unconfirmed")
    );
    let later = Drain::resume(terms(600, OnDeadline::Stop), drain.snapshot());
    check(&told(&later));
}

#[test]
fn the_table_lists_every_pair_and_says_where_it_leads() {
    let mut seen = Seen::new();
    let mut take = |from: &Seen| {
        for (pair, (phases, commands)) in from {
            let all = seen.entry(*pair).or_default();
            all.0.extend(phases);
            all.1.extend(commands);
        }
    };
    for seed in 0..1500 {
        let mut world = World::new(seed, true);
        world.run();
        take(&world.seen);
        take(&torment(seed));
    }
    let mut table = String::from("| phase | event | leads to | may command |\n|---|---|---|---|\n");
    for (phase, phase_name) in PHASES.iter().enumerate() {
        for (event, event_name) in EVENTS.iter().enumerate() {
            let (phases, commands) = seen.get(&(phase, event)).expect("every pair is visited");
            let phases = names(&PHASES, phases);
            let commands = names(&COMMANDS, commands);
            writeln!(table, "| {phase_name} | {event_name} | {phases} | {commands} |").unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine/drain/table.md");
    let kept = std::fs::read_to_string(&path).unwrap();
    if std::env::var_os("BLESS").is_some() {
        let (prose, _) = kept.split_once("| phase |").unwrap();
        std::fs::write(&path, format!("{prose}{table}")).unwrap();
        return;
    }
    assert!(kept.ends_with(&table), "table.md should end with:\n{table}");
}

/// Tells anything at any time, as no driver should.
fn torment(seed: u64) -> Seen {
    let mut world = World::new(seed, false);
    let mut choices = Choices(seed);
    let mut drain = Drain::new(world.terms);
    let mut ended = 0;
    for _ in 0..60 {
        let board = board(choices.below(3));
        let result = if choices.percent(50) { "moved" } else { "refused" };
        let boards = (0..choices.below(3)).map(|number| open(number, 0)).collect();
        let event = match choices.below(17) {
            0 | 1 => Event::Started { boards },
            2..=4 => Event::BoardsListed { boards },
            5 | 6 => Event::MovePrepared { board },
            7..=9 => Event::MoveEnded {
                report: report(&board, result),
            },
            10 | 11 => Event::TargetsChanged {
                targets: vec![target("t", 0)],
            },
            12 => Event::Tick,
            13 => Event::PauseRequested,
            14 | 15 => Event::ResumeRequested,
            _ if choices.percent(20) => Event::AbortRequested,
            _ => Event::Tick,
        };
        world.now += choices.millis(1500);
        let pair = (phase_index(drain.phase()), event_index(&event));
        let commands = drain.handle(event, world.now);
        let seen = world.seen.entry(pair).or_default();
        seen.0.insert(phase_index(drain.phase()));
        seen.1.extend(commands.iter().map(command_index));
        ended += commands
            .iter()
            .filter(|command| matches!(command, Command::Finish { .. }))
            .count();
    }
    assert!(ended <= 1);
    world.seen
}

fn names(all: &[&str], chosen: &BTreeSet<usize>) -> String {
    let chosen: Vec<&str> = chosen.iter().map(|index| all[*index]).collect();
    chosen.join(", ")
}

fn starts(commands: &[Command]) -> Vec<BoardId> {
    let started = |command: &Command| match command {
        Command::StartMove { board, .. } => Some(board.clone()),
        Command::Persist | Command::AbortMove { .. } | Command::Relist | Command::Finish { .. } | Command::Note(_) => {
            None
        }
    };
    commands.iter().filter_map(started).collect()
}

fn request() -> DrainRequest {
    serde_json::from_str(r#"{"from": {"release": "r1"}, "to": {"release": "r2"}}"#).unwrap()
}

const PHASES: [&str; 8] = [
    "Starting",
    "Moving",
    "Confirming",
    "Waiting",
    "Paused",
    "Stopping",
    "Aborting",
    "Ended",
];
const EVENTS: [&str; 9] = [
    "Started",
    "BoardsListed",
    "MovePrepared",
    "MoveEnded",
    "TargetsChanged",
    "AbortRequested",
    "PauseRequested",
    "ResumeRequested",
    "Tick",
];
const COMMANDS: [&str; 6] = ["Persist", "StartMove", "AbortMove", "Relist", "Finish", "Note"];
