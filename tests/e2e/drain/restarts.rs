//! The gateway is killed at every step of a drain job and started again: it goes on, and nobody's stroke is missing.

use std::fmt;
use std::time::Duration;

use handover_protocol::admin::DrainState;
use handover_tests::{Route, User, eventually_some, matrix};
use serde_json::json;

use super::{Fleet, SOON, board, r1_to_r2};

/// Where a drain is when its gateway dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It was accepted a moment ago.
    Accepted,
    /// Boards are being loaded.
    Loading,
    /// Some have moved, some are moving.
    Moving,
    /// Somebody paused it.
    Paused,
    /// Its deadline paused it.
    DeadlinePaused,
    /// Somebody aborted it while boards were loaded.
    Aborting,
    /// It is being taken back.
    Undoing,
    /// It is over.
    Done,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

#[tokio::test]
async fn a_gateway_that_is_killed_at_any_step_of_a_drain_goes_on_with_it() {
    let steps = vec![
        Step::Accepted,
        Step::Loading,
        Step::Moving,
        Step::Paused,
        Step::DeadlinePaused,
        Step::Aborting,
        Step::Undoing,
        Step::Done,
    ];
    for step in matrix("gateway killed at a step of a drain", steps, |_| true) {
        check(step).await;
    }
}

async fn check(step: Step) {
    let load_time = match step {
        Step::Loading | Step::Aborting => Duration::from_secs(2),
        Step::Accepted | Step::Moving | Step::Paused | Step::DeadlinePaused | Step::Undoing | Step::Done => {
            Duration::ZERO
        }
    };
    let mut fleet = Fleet::start(Route::whiteboard(), load_time).await;
    let users = fleet.users(BOARDS).await;
    for mut user in users {
        let seq = user.draw().await;
        user.saved(seq).await;
    }
    let mut request = r1_to_r2(if load_time.is_zero() { 4.0 } else { 0.0 });
    request["undo_window_seconds"] = json!(600);
    if step == Step::DeadlinePaused {
        request["deadline_seconds"] = json!(1);
        request["on_deadline"] = json!("pause");
    }
    fleet.drain(request).await;
    reach(&fleet, step).await;
    fleet.gateway.restart().await;

    let expected = match step {
        Step::Accepted | Step::Loading | Step::Moving | Step::Done => DrainState::Done,
        Step::Paused | Step::DeadlinePaused => {
            // A deadline that had passed a moment before the death, and was not kept, passes once more.
            if step == Step::DeadlinePaused {
                fleet
                    .wait_for("it is paused", |status| status.state == DrainState::Paused)
                    .await;
            }
            let status = fleet.status().await;
            assert_eq!(status.state, DrainState::Paused, "{step}: {status:?}");
            fleet.ask("resume").await;
            DrainState::Done
        }
        Step::Aborting => DrainState::Aborted,
        Step::Undoing => DrainState::Undone,
    };
    let status = fleet.wait_for("it ends", |status| status.done).await;
    assert_eq!(status.state, expected, "{step}: {status:?}");
    let boards = status.boards;
    assert_eq!(boards.total, BOARDS as u64, "{step}: {status:?}");
    assert_eq!(
        boards.moved + boards.left + boards.closed,
        boards.total,
        "{step}: {status:?}"
    );
    match expected {
        DrainState::Done => assert_eq!((boards.moved, boards.left), (BOARDS as u64, 0), "{step}: {status:?}"),
        DrainState::Undone => assert_eq!(fleet.owners().await, [BOARDS, 0], "{step}: {status:?}"),
        DrainState::Aborted => assert_eq!(fleet.owners().await, [BOARDS, 0], "{step}: {status:?}"),
        DrainState::Running | DrainState::Paused | DrainState::Failed | DrainState::Undoing => {}
    }
    for number in 0..BOARDS {
        let name = board(number);
        let mut user = eventually_some("the board is served", SOON, || {
            User::connect(fleet.gateway.traffic(), &name, "ann")
        })
        .await;
        user.hello().await;
        user.continue_after(1);
        let seq = user.draw().await;
        assert_eq!(user.saved(seq).await, 2, "{step}: {name}");
    }
}

/// Waits until the drain is where its gateway is to die.
async fn reach(fleet: &Fleet, step: Step) {
    match step {
        Step::Accepted => {}
        Step::Loading => {
            fleet
                .wait_for("boards are loaded", |status| status.boards.moving > 0)
                .await;
        }
        Step::Moving => {
            fleet
                .wait_for("some have moved", |status| status.boards.moved > 1)
                .await;
        }
        Step::Paused => {
            fleet
                .wait_for("some have moved", |status| status.boards.moved > 1)
                .await;
            fleet.ask("pause").await;
        }
        Step::DeadlinePaused => {
            fleet
                .wait_for("it pauses", |status| status.state == DrainState::Paused)
                .await;
        }
        Step::Aborting => {
            fleet
                .wait_for("boards are loaded", |status| status.boards.moving > 0)
                .await;
            fleet.ask("abort").await;
        }
        Step::Undoing => {
            fleet
                .wait_for("some have moved", |status| status.boards.moved > 2)
                .await;
            fleet.ask("undo").await;
        }
        Step::Done => {
            fleet.wait_for("it is over", |status| status.done).await;
        }
    }
}

/// Enough for some to have moved while others have not.
const BOARDS: usize = 8;
