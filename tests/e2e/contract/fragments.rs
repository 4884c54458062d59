//! A message that the server has begun when its board is to move: it ends and the session crosses, or the session
//! reconnects; nothing ever follows half a message but a Close or the end of the stream.

use std::fmt;

use handover_tests::{Heard, Program, Route, TrafficMeddler, User, Way, eventually, matrix, recital};

use super::meddled::{Meddled, SOON};
use super::sizes::{frame_bytes, recited};

struct Case {
    program: Program,
    cut: Cut,
    rest: Rest,
}

/// Where the server's stream stands at the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    BetweenFragments,
    InsidePing,
    InsideFragment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Comes,
    NeverComes,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?}, rest {:?}", self.program, self.cut, self.rest)
    }
}

impl Cut {
    /// Bytes of the message before the cut.
    fn place(self) -> u64 {
        let first = frame_bytes(FRAGMENT);
        match self {
            Self::BetweenFragments => first,
            Self::InsidePing => first + 1,
            // Far behind the Ping, whose length is the library's choice.
            Self::InsideFragment => first + 1000,
        }
    }
}

#[tokio::test]
async fn a_servers_message_under_way_ends_or_costs_its_own_session_only() {
    let mut cases = Vec::new();
    for program in [Program::Websockets, Program::NodeWs] {
        for cut in [Cut::BetweenFragments, Cut::InsidePing, Cut::InsideFragment] {
            for rest in [Rest::Comes, Rest::NeverComes] {
                cases.push(Case { program, cut, rest });
            }
        }
    }
    let subset = |case: &Case| match (case.program, case.cut) {
        (Program::Websockets, Cut::BetweenFragments) => true,
        (Program::NodeWs, Cut::InsideFragment) => true,
        (_, Cut::BetweenFragments | Cut::InsidePing | Cut::InsideFragment) => false,
    };
    for case in matrix("server's fragments", cases, subset) {
        match case.rest {
            Rest::Comes => check_end(&case).await,
            Rest::NeverComes => check_no_end(&case).await,
        }
    }
}

async fn check_end(case: &Case) {
    let stage = Meddled::start(case.program, |server| server, &Route::whiteboard()).await;
    let mut ann = stage.join("ann").await;
    stage.source.traffic.dam(Way::Down, case.cut.place());
    ann.ask_for_recital(3 * FRAGMENT, false, 3).await;
    stage.source.traffic.dammed(Way::Down, SOON).await;
    let (report, ()) = tokio::join!(stage.switch(), async {
        eventually("the freeze is answered", SOON, || async {
            stage.source.freezes_answered() > 0
        })
        .await;
        stage.source.traffic.open_dam(Way::Down);
    });
    assert_eq!((report.switched, report.fallen_back), (1, 0), "{case}: {report:?}");
    assert_eq!(recited(&mut ann).await.1, recital(3 * FRAGMENT), "{case}");
    let seq = ann.draw().await;
    ann.saved(seq).await;
    assert_eq!(stage.database.changes("b").await[0].generation, 2, "{case}");
}

async fn check_no_end(case: &Case) {
    let route = Route::whiteboard().with("boundary_timeout", "\"300ms\"");
    let stage = Meddled::start(case.program, |server| server, &route).await;
    let mut bob = stage.join("bob").await;
    // Ann comes by a door of her own, where what she gets is counted.
    let door = TrafficMeddler::before(stage.gateway.traffic()).await;
    let mut ann = User::join(door.address(), "b", "ann").await;
    // Bob hears of ann; behind that only she is spoken to.
    assert!(matches!(bob.hear(SOON).await, Heard::Text(_)), "{case}");
    let got_before = door.passed(Way::Down);
    stage.source.traffic.dam(Way::Down, case.cut.place());
    ann.ask_for_recital(3 * FRAGMENT, true, 3).await;
    stage.source.traffic.dammed(Way::Down, SOON).await;
    let (report, heard) = tokio::join!(stage.switch(), ann.hear(SOON));
    assert_eq!((report.switched, report.fallen_back), (1, 1), "{case}: {report:?}");
    let counted = stage
        .metric("handover_fallbacks_total", &[("reason", "boundary")])
        .await;
    assert_eq!(counted, 1.0, "{case}");
    let (end, got) = match case.cut {
        // Half a header is kept back: the Close stands between two fragments, as a control frame may. A library takes
        // any data frame but a continuation for an error there, and would tell no code.
        Cut::BetweenFragments | Cut::InsidePing => (Some(1012), frame_bytes(FRAGMENT) + CLOSE_BYTES),
        // No frame can stand inside another: only the end of the stream can follow.
        Cut::InsideFragment => (None, case.cut.place()),
    };
    assert_eq!(heard, Heard::Closed(end), "{case}");
    assert_eq!(door.passed(Way::Down) - got_before, got, "{case}");
    let seq = bob.draw().await;
    bob.saved(seq).await;
    assert_eq!(stage.database.changes("b").await[0].generation, 2, "{case}");
}

const FRAGMENT: usize = 10_000;
/// Header, code and the reason "service restart".
const CLOSE_BYTES: u64 = 2 + 2 + 15;
