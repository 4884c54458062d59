//! A server that queues: its library has taken all messages long before its handler comes to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use handover_protocol::contract::FreezeRequest;
use handover_tests::{Call, Program, Route, Trick, eventually, matrix};

use super::meddled::{Meddled, SOON};

#[tokio::test]
async fn a_freeze_is_answered_only_when_the_counted_messages_are_handled() {
    let programs = Program::LIBRARIES.to_vec();
    for program in matrix("servers that queue", programs, |program| {
        *program == Program::Websockets
    }) {
        check(program).await;
    }
}

async fn check(program: Program) {
    let route = Route::whiteboard().with("freeze_timeout", "\"4s\"");
    let stage = Meddled::start(program, |server| server.slow(), &route).await;
    let mut ann = stage.join("ann").await;
    for _ in 0..BURST {
        ann.draw().await;
    }
    eventually("all is with the source's library", SOON, || async {
        let passed = [("direction", "to_server")];
        stage.metric("handover_messages_total", &passed).await >= f64::from(BURST + 1)
    })
    .await;
    let at_answer = Arc::new(AtomicI64::new(-1));
    let (told, pool) = (Arc::clone(&at_answer), stage.database.pool().clone());
    stage.source.control.lay(
        Call::Freeze,
        Trick::after(move || async move {
            let saved = sqlx::query_scalar("SELECT count(*) FROM changes")
                .fetch_one(&pool)
                .await;
            told.store(saved.expect("the database answers"), Ordering::SeqCst);
        }),
    );
    // While the board moves ann goes on.
    let (report, ()) = tokio::join!(stage.switch(), async {
        for _ in 0..BURST {
            ann.draw().await;
        }
    });
    assert_eq!((report.switched, report.fallen_back), (1, 0), "{program}: {report:?}");
    let body = &stage.source.control.seen_of(Call::Freeze)[0].body;
    let request: FreezeRequest = serde_json::from_str(body).expect("the gateway keeps the contract");
    // The hello is a message too.
    let counted: u64 = request.sessions.values().sum::<u64>() - 1;
    assert!(counted >= u64::from(BURST), "{program}: {counted}");
    assert_eq!(at_answer.load(Ordering::SeqCst).unsigned_abs(), counted, "{program}");
    for seq in 1..=u64::from(2 * BURST) {
        assert_eq!(ann.saved(seq).await, seq, "{program}");
    }
    let changes = stage.database.changes("b").await;
    for (place, change) in changes.iter().enumerate() {
        let place = place as u64;
        assert_eq!(change.seq.unsigned_abs(), place + 1, "{program}");
        let generation = if place < counted { 1 } else { 2 };
        assert_eq!(change.generation, generation, "{program}: {place}");
    }
    assert_eq!(changes.len() as u64, u64::from(2 * BURST), "{program}");
    assert_eq!(stage.database.repeats("b").await, 0, "{program}");
}

/// The work of 0.4 s for a handler that awaits 20 ms; a freeze waits 2.75 s for it, on a busy machine too.
const BURST: u32 = 20;
