//! What becomes of boards: their order, their tries, and how they are counted.

use super::*;

#[test]
fn idle_boards_go_first_and_the_heaviest_last() {
    let pace = Pace {
        boards_per_second: 1.0,
        ..Pace::default()
    };
    let (mut drain, commands) = begin(pace, vec![open(1, 9), open(2, 0), open(3, 2)]);
    let mut order = starts(&commands);
    for second in 1..4 {
        order.extend(starts(&drain.handle(Event::Tick, Duration::from_secs(second))));
    }
    assert_eq!(order, [board(2), board(3), board(1)]);
}

#[test]
fn a_failed_board_waits_longer_each_time_and_is_given_up_at_last() {
    let (mut drain, mut commands) = begin(Pace::default(), vec![open(1, 0)]);
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
    let boards = vec![open(1, 0), open(2, 0)];
    let (mut drain, _) = begin(Pace::default(), boards.clone());
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
fn a_board_that_its_route_keeps_is_waited_for_and_never_given_up() {
    let (mut drain, mut commands) = begin(Pace::default(), vec![open(1, 1)]);
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
    let (mut drain, commands) = begin(pace, vec![open(1, 1), open(2, 2)]);
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
    let (mut drain, _) = begin(Pace::default(), vec![open(1, 1)]);
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
fn a_board_that_another_server_took_is_counted_as_that_and_not_as_closed() {
    let pace = Pace {
        boards_at_once: 1,
        ..Pace::default()
    };
    let (mut drain, commands) = begin(pace, vec![open(1, 1), open(2, 2), open(3, 3)]);
    assert_eq!(starts(&commands), [board(1)]);
    let now = RELIST_INTERVAL;
    assert_eq!(drain.handle(Event::Tick, now), [Command::Relist]);
    // One is on its way, one was closed by its users, one went elsewhere as its server died.
    assert_eq!(drain.missing_from(&[open(1, 1)]), [board(2), board(3)]);
    let boards = vec![board(1), board(3)];
    drain.handle(Event::BoardsTakenOver { boards }, now);
    drain.handle(
        Event::BoardsListed {
            boards: vec![open(1, 1)],
        },
        now,
    );
    let counts = drain.counts();
    assert_eq!(
        (
            counts.total,
            counts.moved,
            counts.taken_over,
            counts.closed,
            counts.left
        ),
        (3, 1, 1, 1, 1)
    );
    // The one on its way is found at its target already.
    let mut found = report(&board(1), MoveReport::NOT_AT_SOURCE);
    found.server = Some("t".parse().unwrap());
    drain.handle(Event::MoveEnded { report: found }, now);
    drain.handle(Event::BoardsListed { boards: Vec::new() }, now);
    let counts = drain.counts();
    assert_eq!(
        (drain.state(), counts.moved, counts.taken_over),
        (DrainState::Done, 2, 2)
    );
    assert_eq!(Drain::resume(drain.terms, drain.snapshot()).counts(), counts);
}

#[test]
fn what_waits_for_a_limit_or_its_route_is_asked_after_at_once_when_those_change_or_the_drain_is_resumed() {
    for result in [MoveReport::BOUNCE_LIMIT, MoveReport::MOVE_INTERVAL, MoveReport::STAY] {
        let (mut drain, _) = begin(Pace::default(), vec![open(1, 1), open(2, 1)]);
        let now = Duration::from_secs(1);
        let mut late = report(&board(1), result);
        late.retry_after_ms = Some(3_600_000);
        drain.handle(Event::MoveEnded { report: late.clone() }, now);
        let failed = report(&board(2), "prepare_refused");
        drain.handle(Event::MoveEnded { report: failed }, now);
        let commands = drain.handle(Event::RulesChanged, now);
        assert_eq!(starts(&commands), [board(1)], "{result}: a failure still backs off");
        drain.handle(Event::MoveEnded { report: late }, now);
        drain.handle(Event::PauseRequested, now);
        assert_eq!(starts(&drain.handle(Event::RulesChanged, now)), []);
        assert_eq!(
            starts(&drain.handle(Event::ResumeRequested, now)),
            [board(1)],
            "{result}"
        );
    }
}
