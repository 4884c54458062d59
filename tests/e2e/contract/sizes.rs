//! Messages from 1 byte to 16 MiB that are under way at the cut: what has begun is finished where it began, whole.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handover_loadtest::wire::Fingerprint;
use handover_protocol::admin::MoveReport;
use handover_tests::{Call, Database, Heard, Program, Route, Trick, User, Way, eventually, matrix, recital};
use serde_json::Value;
use sqlx::Row;
use tokio_tungstenite::tungstenite::Message;

use super::meddled::{Joint, Meddled, SOON};

struct Case {
    program: Program,
    way: Way,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, way } = self;
        let way = match way {
            Way::Up => "to",
            Way::Down => "from",
        };
        write!(formatter, "{way} {program}")
    }
}

#[tokio::test]
async fn messages_of_any_size_under_way_at_the_cut_are_finished_where_they_began() {
    let mut cases = Vec::new();
    for program in Program::ALL {
        cases.push(Case { program, way: Way::Up });
        // The reference server says nothing large.
        if program != Program::Reference {
            cases.push(Case {
                program,
                way: Way::Down,
            });
        }
    }
    let subset = |case: &Case| match case.way {
        Way::Up => matches!(case.program, Program::Reference | Program::NodeWs),
        Way::Down => matches!(case.program, Program::Websockets),
    };
    for case in matrix("sizes under way", cases, subset) {
        // What remains of a large message has to pass within this, on a busy machine too.
        let route = Route::whiteboard()
            .with("boundary_timeout", "\"4s\"")
            .with("freeze_timeout", "\"4s\"");
        let stage = Meddled::start(case.program, |server| server, &route).await;
        let ann = stage.join("ann").await;
        match case.way {
            Way::Up => check_up(&case, &stage, ann).await,
            Way::Down => check_down(&case, &stage, ann).await,
        }
    }
}

async fn check_up(case: &Case, stage: &Meddled, mut ann: User) {
    let mut expected = Vec::new();
    for (number, (length, is_binary)) in sizes().enumerate() {
        let content = recital(length);
        expected.push(serde_json::to_value(Fingerprint::of(&content)).expect("it is plain JSON"));
        let message = match is_binary {
            true => Message::binary(content),
            false => Message::text(String::from_utf8(content).expect("it is plain ASCII")),
        };
        let (_, target) = ends(stage, number);
        let frame = MASK_BYTES + frame_bytes(length);
        stage.users.dam(Way::Up, frame - later(frame));
        let (report, ()) = tokio::join!(
            async {
                stage.users.dammed(Way::Up, SOON).await;
                let holds = stage.holds_begun().await;
                let opening = async {
                    stage.holding(holds).await;
                    stage.users.open_dam(Way::Up);
                };
                tokio::join!(stage.switch_to(target), opening).0
            },
            ann.send(message)
        );
        assert_switched(&report, &format!("{case}: {length}"));
        ann.saved(number as u64 + 1).await;
        let changes = stage.database.changes("b").await;
        let last = changes.last().expect("one was saved");
        let before = report.generation.number() - 1;
        assert_eq!(last.generation.unsigned_abs(), before, "{case}: {length}");
    }
    assert_eq!(saved_bodies(&stage.database).await, expected, "{case}");
    assert_eq!(stage.database.repeats("b").await, 0, "{case}");
}

async fn check_down(case: &Case, stage: &Meddled, mut ann: User) {
    for (number, (length, is_binary)) in sizes().enumerate() {
        let (source, target) = ends(stage, number);
        let frame = frame_bytes(length);
        source.traffic.dam(Way::Down, frame - later(frame));
        ann.ask_for_recital(length, is_binary, 1).await;
        let is_open = Arc::new(AtomicBool::new(false));
        let was_open = Arc::new(AtomicBool::new(false));
        let (asked, told) = (Arc::clone(&is_open), Arc::clone(&was_open));
        target.control.lay(
            Call::Activate,
            Trick::before(move || async move { told.store(asked.load(Ordering::SeqCst), Ordering::SeqCst) }),
        );
        let answered = source.freezes_answered();
        let moved = async {
            source.traffic.dammed(Way::Down, SOON).await;
            let opening = async {
                eventually("the freeze is answered", SOON, || async {
                    source.freezes_answered() > answered
                })
                .await;
                is_open.store(true, Ordering::SeqCst);
                source.traffic.open_dam(Way::Down);
            };
            tokio::join!(stage.switch_to(target), opening).0
        };
        // She reads all the while: what passes the dam is more than sockets keep.
        let (report, heard) = tokio::join!(moved, recited(&mut ann));
        assert_switched(&report, &format!("{case}: {length}"));
        assert!(
            was_open.load(Ordering::SeqCst),
            "{case}: {length}: the move did not wait"
        );
        let (kind, content) = heard;
        assert_eq!(kind, is_binary, "{case}: {length}");
        assert!(content == recital(length), "{case}: {length} came otherwise");
    }
}

/// Waits for a message that is none of the whiteboard's; returns whether it was binary.
pub(super) async fn recited(user: &mut User) -> (bool, Vec<u8>) {
    loop {
        match user.hear(SOON).await {
            Heard::Text(text) => return (false, text.into_bytes()),
            Heard::Binary(bytes) => return (true, bytes.to_vec()),
            Heard::Closed(code) => panic!("closed with {code:?}"),
            Heard::Welcome { .. } | Heard::Saved { .. } | Heard::Drawn { .. } | Heard::Pong(_) => {}
        }
    }
}

/// Source and target of the move of that number: there and back again.
fn ends(stage: &Meddled, number: usize) -> (&Joint, &Joint) {
    match number % 2 {
        0 => (&stage.source, &stage.target),
        _ => (&stage.target, &stage.source),
    }
}

/// Every size as text and as binary: both sides of every way to write a length (RFC 6455 section 5.2), and large ones.
fn sizes() -> impl Iterator<Item = (usize, bool)> {
    let lengths = [1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20];
    lengths
        .into_iter()
        .flat_map(|length| [false, true].map(|is_binary| (length, is_binary)))
}

/// Returns the length of a server's frame.
pub(super) fn frame_bytes(payload: usize) -> u64 {
    let header = match payload {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    header + payload as u64
}

/// Returns how much of a frame is held back: half of it, but no more than passes in no time.
fn later(frame: u64) -> u64 {
    (frame / 2).clamp(1, 1 << 20)
}

fn assert_switched(report: &MoveReport, what: &str) {
    assert_eq!(
        (report.switched, report.reconnected, report.fallen_back),
        (1, 0, 0),
        "{what}: {report:?}"
    );
}

async fn saved_bodies(database: &Database) -> Vec<Value> {
    let rows = sqlx::query("SELECT body FROM changes ORDER BY revision")
        .fetch_all(database.pool())
        .await
        .expect("a server has made the tables");
    rows.iter()
        .map(|row| serde_json::from_str(row.get("body")).expect("servers keep JSON"))
        .collect()
}

/// What a client's frame has besides a server's.
const MASK_BYTES: u64 = 4;
