//! The sequences of the diagram, and single behaviours by name.

use handover_protocol::admin::Level;
use handover_protocol::machine::moving::{Command, Crossing, Event, Move, MoveResult, Plan, Reason};

/// Tells the machine the events in order and returns each one's commands.
fn tell(machine: &mut Move, events: &[Event]) -> Vec<Vec<Command>> {
    events.iter().map(|event| machine.on(*event)).collect()
}

fn plan(level: Level, crossing: Crossing) -> Move {
    let machine = Move::new(Plan { level, crossing });
    assert_eq!(machine.begin(), [Command::Claim]);
    machine
}

#[test]
fn a_contract_move_takes_the_steps_of_the_diagram() {
    let mut machine = plan(Level::Contract, Crossing::Transparent);
    let events = [
        Event::Claimed,
        Event::Prepared,
        Event::Held,
        Event::Frozen,
        Event::DrainedDown,
        Event::Committed,
        Event::Activated,
        Event::Switched,
        Event::PlacementSettled,
        Event::Released,
    ];
    let commands = tell(&mut machine, &events);
    assert_eq!(
        commands,
        [
            vec![Command::Prepare],
            vec![Command::Park, Command::Hold],
            vec![Command::Freeze],
            vec![Command::DrainDown],
            vec![Command::Commit],
            vec![Command::Activate],
            vec![Command::Switch],
            vec![Command::Resume, Command::SettlePlacement],
            vec![Command::Unpark, Command::Release],
            vec![Command::Finish],
        ]
    );
    assert_eq!(machine.result(), Some(MoveResult::Moved));
}

#[test]
fn an_opaque_move_closes_and_settles_in_the_place_of_freezing() {
    let mut machine = plan(Level::Opaque, Crossing::Transparent);
    let events = [
        Event::Claimed,
        Event::Prepared,
        Event::Held,
        Event::Quiet,
        Event::SourceClosed,
        Event::SourceSettled,
        Event::Committed,
        Event::Activated,
        Event::Switched,
        Event::PlacementSettled,
        Event::Released,
    ];
    let commands = tell(&mut machine, &events);
    assert_eq!(
        commands[2..7],
        [
            vec![Command::Quiet],
            vec![Command::CloseSource],
            vec![Command::Settle],
            vec![Command::Commit],
            vec![Command::Activate],
        ]
    );
    assert_eq!(machine.result(), Some(MoveResult::Moved));
}

#[test]
fn clients_told_by_a_message_leave_before_the_hold_and_the_rest_are_closed_at_the_end() {
    for level in [Level::Contract, Level::Opaque] {
        let mut machine = plan(level, Crossing::ReconnectByMessage);
        let commands = tell(&mut machine, &[Event::Claimed, Event::Prepared, Event::Told]);
        assert_eq!(commands[1..], [vec![Command::Park, Command::Tell], vec![Command::Hold]]);
        ends_by_closing(machine);
    }
}

#[test]
fn clients_told_by_a_close_frame_are_told_once_the_target_owns_the_board() {
    for level in [Level::Contract, Level::Opaque] {
        let mut machine = plan(level, Crossing::ReconnectByClose);
        let commands = tell(&mut machine, &[Event::Claimed, Event::Prepared]);
        assert_eq!(commands[1], [Command::Park, Command::Hold]);
        ends_by_closing(machine);
    }
}

fn ends_by_closing(mut machine: Move) {
    let saved: &[Event] = match machine.plan().level {
        Level::Contract => &[Event::Held, Event::Frozen, Event::DrainedDown],
        Level::Opaque => &[Event::Held, Event::Quiet, Event::SourceClosed, Event::SourceSettled],
    };
    let told: Vec<_> = tell(&mut machine, saved).concat();
    assert!(!told.contains(&Command::CutSessions));
    let commands = tell(
        &mut machine,
        &[
            Event::Committed,
            Event::Activated,
            Event::PlacementSettled,
            Event::Released,
        ],
    );
    assert_eq!(
        commands,
        [
            vec![Command::Activate],
            vec![Command::SettlePlacement],
            vec![Command::CutSessions, Command::Unpark, Command::Release],
            vec![Command::Finish],
        ]
    );
    assert_eq!(machine.result(), Some(MoveResult::Moved));
}

#[test]
fn an_abort_raises_the_attempt_and_thaws_before_anybody_goes_on() {
    let mut machine = plan(Level::Contract, Crossing::Transparent);
    tell(&mut machine, &[Event::Claimed, Event::Prepared, Event::Held]);
    let failed = Event::FreezeFailed(Reason::FreezeUnanswered);
    let commands = tell(&mut machine, &[failed, Event::AbortRaised, Event::Thawed]);
    assert_eq!(
        commands,
        [
            vec![Command::RaiseAttempt],
            vec![Command::Thaw],
            vec![
                Command::Resume,
                Command::Unpark,
                Command::ForgetStandby,
                Command::Finish,
            ],
        ]
    );
    assert_eq!(machine.result(), Some(MoveResult::Undone(Reason::FreezeUnanswered)));
}

#[test]
fn an_abort_asked_for_during_the_claim_is_not_forgotten() {
    let mut machine = plan(Level::Contract, Crossing::Transparent);
    let commands = tell(
        &mut machine,
        &[Event::AbortRequested, Event::Claimed, Event::AbortRaised],
    );
    assert_eq!(
        commands,
        [
            vec![],
            vec![Command::RaiseAttempt],
            vec![Command::ForgetStandby, Command::Finish],
        ]
    );
    assert_eq!(machine.result(), Some(MoveResult::Undone(Reason::Aborted)));
}

#[test]
fn a_silent_registry_keeps_nobody_waiting_where_no_commit_was_sent() {
    let mut machine = plan(Level::Contract, Crossing::Transparent);
    tell(
        &mut machine,
        &[Event::Claimed, Event::Prepared, Event::Held, Event::Frozen],
    );
    let commands = tell(
        &mut machine,
        &[
            Event::AbortRequested,
            Event::AbortUnknown,
            Event::Thawed,
            Event::AbortUnknown,
            Event::ReadUncommitted,
            Event::AbortRaised,
        ],
    );
    assert_eq!(
        commands,
        [
            vec![Command::RaiseAttempt],
            vec![Command::Thaw],
            vec![
                Command::Resume,
                Command::Unpark,
                Command::ForgetStandby,
                Command::RaiseAttempt,
            ],
            vec![Command::ReadBack],
            vec![Command::RaiseAttempt],
            vec![Command::Finish],
        ]
    );
    assert_eq!(machine.result(), Some(MoveResult::Undone(Reason::Aborted)));
}

#[test]
fn a_commit_unknown_at_the_holds_deadline_leaves_the_board_to_nobody_until_it_is_read() {
    let mut machine = plan(Level::Contract, Crossing::Transparent);
    let events = [
        Event::Claimed,
        Event::Prepared,
        Event::Held,
        Event::Frozen,
        Event::DrainedDown,
    ];
    tell(&mut machine, &events);
    let events = [
        Event::CommitUnknown,
        Event::HoldDeadline,
        Event::ReadFailed,
        Event::ReadCommitted,
        Event::Activated,
        Event::PlacementSettled,
    ];
    let commands = tell(&mut machine, &events);
    assert_eq!(
        commands,
        [
            vec![Command::ReadBack],
            vec![Command::CutSessions, Command::Shut],
            vec![Command::ReadBack],
            vec![Command::Activate],
            vec![Command::SettlePlacement],
            vec![Command::Unpark, Command::Release],
        ]
    );
}

#[test]
fn a_commit_that_comes_behind_a_refused_abort_is_gone_forward_with() {
    let mut machine = plan(Level::Contract, Crossing::Transparent);
    let events = [
        Event::Claimed,
        Event::Prepared,
        Event::Held,
        Event::Frozen,
        Event::DrainedDown,
    ];
    tell(&mut machine, &events);
    let events = [
        Event::CommitUnknown,
        Event::ReadUncommitted,
        Event::AbortRefused,
        Event::ReadCommitted,
    ];
    let commands = tell(&mut machine, &events);
    assert_eq!(
        commands,
        [
            vec![Command::ReadBack],
            vec![Command::RaiseAttempt],
            vec![Command::ReadBack],
            vec![Command::Activate],
        ]
    );
}

#[test]
fn a_higher_fence_is_raised_above_so_often_and_then_left_to_the_next_comer() {
    let mut machine = plan(Level::Contract, Crossing::Transparent);
    let events = [
        Event::Claimed,
        Event::Prepared,
        Event::Held,
        Event::Frozen,
        Event::DrainedDown,
        Event::Committed,
    ];
    tell(&mut machine, &events);
    let mut raises = 0;
    while machine.on(Event::ActivateRefused) == [Command::Raise] {
        raises += 1;
        assert_eq!(machine.on(Event::Raised), [Command::Activate]);
    }
    assert_eq!(raises, 3);
    assert_eq!(machine.result(), Some(MoveResult::Forced(Reason::ActivateRefused)));
}
