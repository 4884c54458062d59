//! How a fault is brought about: the move is stopped at its point, the fault happens, the move goes on.

use std::sync::atomic::Ordering;

use handover_protocol::admin::{DrainMode, MoveReport, MoveRequest};
use handover_tests::{Admin, AdminError, Call, Trick, User, Way, eventually};
use http::StatusCode;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use super::case::{Blow, Case, Crossing, Failing, Fault, Point, Side, TRIES};
use super::stage::{BOARD, SOON, Stage};

type Moving = JoinHandle<Result<MoveReport, AdminError>>;

/// Where a move waits for the test.
struct Gate {
    reached: oneshot::Receiver<()>,
    open: oneshot::Sender<()>,
}

/// Moves the board, has the fault happen, and returns once nothing more is done to anybody.
pub(super) async fn strike(stage: &mut Stage, case: Case) {
    match case.fault {
        Fault::Process(blow, point) => {
            let moving = strike_process(stage, case, blow, point).await;
            mend(stage, case, blow).await;
            // Of a gateway that was killed there is no answer.
            let _ = moving.await.expect("asking does not panic");
        }
        Fault::Call(call, failing) => strike_calls(stage, case, call, [failing]).await,
        Fault::EveryTry(call) => strike_calls(stage, case, call, [Failing::Refused; TRIES]).await,
    }
}

async fn strike_calls<const N: usize>(stage: &Stage, case: Case, call: Call, failing: [Failing; N]) {
    for failing in failing {
        lay(stage, call, failing.trick(call));
    }
    if call == Call::Thaw {
        let undo = Trick::RefuseAfter(StatusCode::INTERNAL_SERVER_ERROR);
        lay(stage, Call::Freeze, undo);
    }
    let report = order(stage, case).await.expect("asking does not panic");
    report.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    stage.source.calls.all_sprung(SOON).await;
    stage.target.calls.all_sprung(SOON).await;
    stage.target.traffic.all_sprung(SOON).await;
}

/// Stops the move at its point, strikes, and lets it go on.
async fn strike_process(stage: &mut Stage, case: Case, blow: Blow, point: Point) -> Moving {
    match point {
        Point::Holding => {
            let mut half = User::join(stage.gateway.traffic(), BOARD, "half").await;
            half.send_fragment(Data::Text, "half of ".as_bytes(), false).await;
            let before = stage.steps("prepare").await;
            let moving = order(stage, case);
            eventually(&format!("{case}: sessions are held"), SOON, || async {
                stage.steps("prepare").await > before
            })
            .await;
            hit(stage, case, blow).await;
            // Its message will not end, and the hold goes on without it.
            drop(half);
            moving
        }
        Point::DrainingDown => {
            let gate = stop_at(stage, Point::Prepared);
            let before = stage.steps("freeze").await;
            let moving = order(stage, case);
            let open = gate.reached(case).await;
            // From here no answer comes home, and there are some to come.
            stage.source.traffic.dam(Way::Down, 0);
            let progress = stage.progress();
            let sent = progress.sent.load(Ordering::Relaxed);
            eventually(&format!("{case}: users go on"), SOON, || async {
                progress.sent.load(Ordering::Relaxed) > sent + 4
            })
            .await;
            let _ = open.send(());
            eventually(&format!("{case}: answers are brought home"), SOON, || async {
                stage.steps("freeze").await > before
            })
            .await;
            hit(stage, case, blow).await;
            stage.source.traffic.open_dam(Way::Down);
            moving
        }
        Point::BeforePrepare
        | Point::Prepared
        | Point::BeforeFreeze
        | Point::Frozen
        | Point::Committed
        | Point::Activated
        | Point::BeforeSwitch
        | Point::Switched
        | Point::BeforeRelease
        | Point::Released => {
            let gate = stop_at(stage, point);
            let moving = order(stage, case);
            let open = gate.reached(case).await;
            hit(stage, case, blow).await;
            // The call may have gone with its caller.
            let _ = open.send(());
            moving
        }
    }
}

async fn hit(stage: &mut Stage, case: Case, blow: Blow) {
    match blow {
        Blow::SourceKilled => stage.source.server.process().kill(),
        Blow::TargetKilled => stage.target.server.process().kill(),
        Blow::GatewayKilled => stage.gateway.process().kill(),
        Blow::SourceStopped => {
            if case.has_late_writes() {
                stage.add_straggler().await;
            }
            stage.source.server.process().stop();
            if let Some(straggler) = &mut stage.straggler {
                straggler.draw().await;
            }
        }
    }
}

/// Has those come back that are to come back.
async fn mend(stage: &mut Stage, case: Case, blow: Blow) {
    match blow {
        Blow::SourceKilled | Blow::TargetKilled => {}
        Blow::GatewayKilled => stage.gateway.restart().await,
        Blow::SourceStopped => {
            stage.settled(Side::Target, case).await;
            stage.source.server.process().resume();
        }
    }
}

fn order(stage: &Stage, case: Case) -> Moving {
    let admin: Admin = stage.gateway.admin().clone();
    let request = MoveRequest {
        to: stage.target.server.name().parse().expect("a good name"),
        mode: match case.crossing {
            Crossing::Transparent => DrainMode::Transparent,
            Crossing::ByClose | Crossing::ByMessage => DrainMode::Reconnect,
        },
    };
    tokio::spawn(async move { admin.move_board(BOARD, &request).await })
}

fn lay(stage: &Stage, call: Call, trick: Trick) {
    match call {
        Call::Prepare | Call::Activate => stage.target.calls.lay(call, trick),
        Call::Handshake => stage.target.traffic.lay(trick),
        Call::Freeze | Call::Thaw | Call::Forget | Call::Server | Call::Boards | Call::Plain => {
            stage.source.calls.lay(call, trick);
        }
    }
}

/// Has the next move wait at a point that a call marks.
fn stop_at(stage: &Stage, point: Point) -> Gate {
    let (reach, reached) = oneshot::channel();
    let (open, opened) = oneshot::channel();
    let hook = move || async move {
        let _ = reach.send(());
        let _ = opened.await;
    };
    let (call, trick) = match point {
        Point::BeforePrepare => (Call::Prepare, Trick::before(hook)),
        Point::Prepared => (Call::Prepare, Trick::after(hook)),
        Point::Holding | Point::DrainingDown => unreachable!("no call marks {point:?}"),
        Point::BeforeFreeze => (Call::Freeze, Trick::before(hook)),
        Point::Frozen => (Call::Freeze, Trick::after(hook)),
        Point::Committed => (Call::Activate, Trick::before(hook)),
        Point::Activated => (Call::Activate, Trick::after(hook)),
        Point::BeforeSwitch => (Call::Handshake, Trick::before(hook)),
        Point::Switched => (Call::Handshake, Trick::after(hook)),
        Point::BeforeRelease => (Call::Forget, Trick::before(hook)),
        Point::Released => (Call::Forget, Trick::after(hook)),
    };
    lay(stage, call, trick);
    Gate { reached, open }
}

impl Gate {
    /// Waits for the move, and returns what lets it go on.
    async fn reached(self, case: Case) -> oneshot::Sender<()> {
        let reached = timeout(SOON, self.reached).await;
        assert!(matches!(reached, Ok(Ok(()))), "{case}: the move did not come so far");
        self.open
    }
}
