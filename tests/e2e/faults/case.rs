//! The table: which faults there are, where they strike, and how each must end.

use std::fmt;
use std::time::Duration;

use handover_tests::{Call, Trick};
use http::StatusCode;

/// One fault in one move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) crossing: Crossing,
    pub(super) fault: Fault,
}

/// How the sessions of the board cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crossing {
    Transparent,
    ByClose,
    ByMessage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something happens to a process when the move has come so far.
    Process(Blow, Point),
    /// One call of the move fails.
    Call(Call, Failing),
    /// So do its repetitions.
    EveryTry(Call),
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    SourceKilled,
    TargetKilled,
    /// It goes on once its board has an owner again.
    SourceStopped,
    /// It is started again on the same registry.
    GatewayKilled,
}

/// How far a move has come, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    BeforePrepare,
    Prepared,
    /// A session is still within a message.
    Holding,
    BeforeFreeze,
    /// The source has answered, and the gateway does not know yet.
    Frozen,
    /// Answers of the source are on their way home.
    DrainingDown,
    /// The registry has transferred the board, and the target has not been asked to take it.
    Committed,
    Activated,
    BeforeSwitch,
    Switched,
    BeforeRelease,
    Released,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    Refused,
    RefusedAfter,
    Dropped,
    DroppedAfter,
    /// It arrives when nobody waits for it any more.
    Late,
    AnsweredLate,
    Nonsense,
}

/// Who must own the board in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

impl Case {
    /// Everything transparently, and the steps on both sides of the commit by reconnect.
    pub(super) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for point in Point::ALL {
            for blow in Blow::ALL {
                cases.push(Crossing::Transparent.with(Fault::Process(blow, point)));
            }
        }
        for call in CALLS {
            for failing in Failing::ALL {
                cases.push(Crossing::Transparent.with(Fault::Call(call, failing)));
            }
        }
        for call in [Call::Activate, Call::Thaw] {
            cases.push(Crossing::Transparent.with(Fault::EveryTry(call)));
        }
        for crossing in [Crossing::ByClose, Crossing::ByMessage] {
            for point in [Point::Prepared, Point::Frozen, Point::Committed] {
                for blow in Blow::ALL {
                    cases.push(crossing.with(Fault::Process(blow, point)));
                }
            }
            cases.push(crossing.with(Fault::Call(Call::Freeze, Failing::Refused)));
            cases.push(crossing.with(Fault::Call(Call::Activate, Failing::DroppedAfter)));
        }
        cases
    }

    /// Every point, every blow, every call and every way to fail, each at least once.
    pub(super) fn is_in_subset(&self) -> bool {
        match (self.crossing, self.fault) {
            (Crossing::Transparent, Fault::Process(blow, point)) => {
                place(&Point::ALL, point) % Blow::ALL.len() == place(&Blow::ALL, blow)
            }
            (Crossing::Transparent, Fault::Call(call, failing)) => {
                place(&CALLS, call) == place(&Failing::ALL, failing) % CALLS.len()
            }
            (Crossing::Transparent, Fault::EveryTry(_)) => true,
            (Crossing::ByClose, Fault::Process(blow, point)) => {
                matches!(
                    (blow, point),
                    (Blow::SourceStopped, Point::Prepared) | (Blow::TargetKilled, Point::Frozen)
                )
            }
            (Crossing::ByMessage, Fault::Process(blow, point)) => {
                matches!(
                    (blow, point),
                    (Blow::SourceKilled, Point::Frozen) | (Blow::GatewayKilled, Point::Committed)
                )
            }
            (Crossing::ByClose | Crossing::ByMessage, Fault::Call(..) | Fault::EveryTry(_)) => false,
        }
    }

    /// Returns who owns the board in the end.
    pub(super) fn owner(&self) -> Side {
        match self.fault {
            Fault::Process(Blow::SourceKilled | Blow::SourceStopped, _) => Side::Target,
            Fault::Process(Blow::TargetKilled, _) => Side::Source,
            Fault::Process(Blow::GatewayKilled, point) if point < Point::Committed => Side::Source,
            Fault::Process(Blow::GatewayKilled, _) => Side::Target,
            Fault::Call(call, _) | Fault::EveryTry(call) => match call {
                Call::Prepare | Call::Freeze | Call::Thaw => Side::Source,
                Call::Activate | Call::Handshake | Call::Forget | Call::Server | Call::Boards | Call::Plain => {
                    Side::Target
                }
            },
        }
    }

    /// Returns how often users may lose their connection or be told to come back; `None` where the fault sets no bound.
    pub(super) fn reconnects_max(&self) -> Option<usize> {
        if self.crossing != Crossing::Transparent {
            return None;
        }
        match self.fault {
            // It is asked once more at the freeze.
            Fault::Process(Blow::TargetKilled, point) if point < Point::BeforeFreeze => Some(0),
            // The source is no longer needed.
            Fault::Process(Blow::SourceKilled | Blow::SourceStopped, point) if point >= Point::Committed => Some(0),
            Fault::Process(..) | Fault::EveryTry(_) => None,
            // It is to be thawed within the hold, or nobody may go on.
            Fault::Call(Call::Thaw, Failing::Late | Failing::AnsweredLate) => None,
            Fault::Call(Call::Handshake, _) => Some(1),
            Fault::Call(..) => Some(0),
        }
    }

    /// Reads whether the source stands still while it believes to own the board, so that it may try to write it later.
    pub(super) fn has_late_writes(&self) -> bool {
        matches!(self.fault, Fault::Process(Blow::SourceStopped, point) if point < Point::Frozen)
    }
}

impl Crossing {
    fn with(self, fault: Fault) -> Case {
        Case { crossing: self, fault }
    }
}

impl Blow {
    const ALL: [Self; 4] = [
        Self::SourceStopped,
        Self::SourceKilled,
        Self::TargetKilled,
        Self::GatewayKilled,
    ];
}

impl Point {
    const ALL: [Self; 12] = [
        Self::BeforePrepare,
        Self::Prepared,
        Self::Holding,
        Self::BeforeFreeze,
        Self::Frozen,
        Self::DrainingDown,
        Self::Committed,
        Self::Activated,
        Self::BeforeSwitch,
        Self::Switched,
        Self::BeforeRelease,
        Self::Released,
    ];
}

impl Failing {
    const ALL: [Self; 7] = [
        Self::Refused,
        Self::RefusedAfter,
        Self::Dropped,
        Self::DroppedAfter,
        Self::Late,
        Self::AnsweredLate,
        Self::Nonsense,
    ];

    /// Returns what makes a call fail so.
    pub(super) fn trick(self, call: Call) -> Trick {
        match self {
            Self::Refused => Trick::Refuse(StatusCode::INTERNAL_SERVER_ERROR),
            Self::RefusedAfter => Trick::RefuseAfter(StatusCode::INTERNAL_SERVER_ERROR),
            Self::Dropped => Trick::Drop,
            Self::DroppedAfter => Trick::DropAfter,
            Self::Late => Trick::Late(past_deadline(call)),
            Self::AnsweredLate => Trick::AnswerLate(past_deadline(call)),
            Self::Nonsense if call == Call::Handshake => Trick::Nonsense(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: nonsense\r\n\r\n",
            ),
            Self::Nonsense => Trick::Nonsense("[\"nonsense\"]"),
        }
    }
}

/// Returns more than the gateway waits for a call's answer, by the route of the stage.
fn past_deadline(call: Call) -> Duration {
    match call {
        Call::Prepare => super::stage::PREPARE_TIMEOUT + Duration::from_secs(1),
        Call::Freeze => super::stage::FREEZE_TIMEOUT + Duration::from_secs(1),
        // Half of a hold, and a whole one.
        Call::Activate => Duration::from_secs(3),
        Call::Thaw => Duration::from_secs(6),
        Call::Forget | Call::Handshake | Call::Server | Call::Boards | Call::Plain => Duration::from_secs(4),
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Process(blow, point) => write!(formatter, "{:?} {blow:?} {point:?}", self.crossing),
            Fault::Call(call, failing) => write!(formatter, "{:?} {call:?}Call {failing:?}", self.crossing),
            Fault::EveryTry(call) => write!(formatter, "{:?} {call:?}Call RefusedEveryTime", self.crossing),
        }
    }
}

fn place<T: PartialEq>(all: &[T], one: T) -> usize {
    all.iter().position(|known| *known == one).expect("it is one of all")
}

/// How often the gateway tries an activation or a thaw within a hold.
pub(super) const TRIES: usize = 3;

/// The calls of a move; the thaw is one of a move that a refused freeze undoes.
const CALLS: [Call; 6] = [
    Call::Prepare,
    Call::Freeze,
    Call::Activate,
    Call::Thaw,
    Call::Forget,
    Call::Handshake,
];
