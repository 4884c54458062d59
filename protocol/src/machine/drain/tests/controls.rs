//! What stops, delays and hurries a drain: operators, the deadline, targets that go, and its pace.

use super::*;

#[test]
fn an_abort_undoes_what_is_under_way_and_ends_when_that_has_ended() {
    let (mut drain, _) = begin(Pace::default(), vec![open(1, 0), open(2, 0)]);
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
fn a_drain_that_its_deadline_has_ended_names_what_was_in_the_way_and_no_next_try() {
    let second = Duration::from_secs;
    let at_end = |terms: Terms| {
        let mut drain = slow_drain(terms);
        let failed = report(&board(1), "freeze_unanswered");
        drain.handle(Event::MoveEnded { report: failed }, Duration::ZERO);
        drain.handle(Event::Tick, second(1));
        drain
    };
    // Two were never tried: more time would have helped.
    let mut drain = at_end(terms(1, OnDeadline::Stop));
    let under_way = drain.under_way();
    for board in under_way {
        let report = report(&board, MoveReport::MOVED);
        drain.handle(Event::MoveEnded { report }, second(1));
    }
    let status = told(&drain);
    assert_eq!(status.state, DrainState::Failed);
    assert!(status.waits_for[0].detail.contains("more time"), "{status:?}");
    assert_eq!(status.troubled[0].retry_in_seconds, None, "{status:?}");

    // Here the only board left has failed: the reason is named.
    let mut drain = Drain::new(terms(1, OnDeadline::Stop));
    let targets = vec![target("t", 0)];
    drain.handle(Event::TargetsChanged { targets }, Duration::ZERO);
    let boards = vec![open(1, 1)];
    drain.handle(Event::Started { boards }, Duration::ZERO);
    let kept = report(&board(1), "stay");
    drain.handle(Event::MoveEnded { report: kept }, Duration::ZERO);
    drain.handle(Event::Tick, second(1));
    let status = told(&drain);
    assert!(status.waits_for[0].detail.contains("reasons that follow"), "{status:?}");
    assert_eq!(status.waits_for[1].reason, "stay");

    let stay = Terms {
        mode: DrainMode::Stay,
        ..terms(1, OnDeadline::Stop)
    };
    let mut drain = Drain::new(stay);
    let boards = vec![open(1, 1)];
    drain.handle(Event::Started { boards }, Duration::ZERO);
    drain.handle(Event::Tick, second(1));
    assert!(
        told(&drain).waits_for[0].detail.contains("mode stay"),
        "{:?}",
        told(&drain)
    );
}
