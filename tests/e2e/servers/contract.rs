//! The contract, call by call, against servers whose libraries behave differently.

use std::time::{Duration, Instant};

use handover_protocol::contract::{BoardRole, ContractProblemType};
use handover_tests::{BoardServer, Contract, ContractError, Database, Heard, Numbers, Program, UserError, eventually};
use http::StatusCode;

use super::{assert_refused, connect, join};

const DEADLINE: Duration = Duration::from_secs(5);

async fn start(program: Program, name: &str, database: &Database) -> (BoardServer, Contract) {
    let server = BoardServer::builder(program, name, "r1", database).start().await;
    let contract = Contract::of(&server);
    (server, contract)
}

fn numbers(generation: u64, attempt: u64) -> Numbers {
    Numbers::new(generation, attempt)
}

async fn check_freeze_waits(program: Program) {
    let database = Database::fresh().await;
    let server = BoardServer::builder(program, "board-1", "r1", &database);
    // The reference saves many changes at once; the others come to one after the other.
    let (server, time_at_least) = match program {
        Program::Reference => (server.save_time(Duration::from_millis(500)), Duration::from_millis(500)),
        Program::Websockets | Program::Aiohttp | Program::NodeWs => (server.slow(), Duration::from_millis(40 * 20)),
    };
    let server = server.start().await;
    let contract = Contract::of(&server);
    contract
        .place("b", numbers(1, 0))
        .await
        .expect("a vacant board is placed");
    let mut ann = join(&server, "b", 1, "ann").await;
    let mut bob = join(&server, "b", 1, "bob").await;
    let begun = Instant::now();
    for _ in 0..40 {
        ann.draw().await;
    }
    let counts = [("ann", 41), ("bob", 1)];
    let frozen = contract.freeze("b", numbers(1, 1), &counts, DEADLINE).await;
    let frozen = frozen.expect("all that was counted has come");
    assert!(begun.elapsed() > time_at_least, "{:?}", begun.elapsed());
    assert_eq!(database.changes("b").await.len(), 40);
    assert_eq!(frozen.revision.number(), 40);
    assert_eq!(frozen.short.len(), 0, "{frozen:?}");

    // The counts are the proof: exactly so many messages come, then silence.
    let ann_heard = ann.hear_until_quiet(Duration::from_millis(200)).await;
    let bob_heard = bob.hear_until_quiet(Duration::from_millis(200)).await;
    let sent: Vec<u64> = frozen.sent.values().copied().collect();
    assert_eq!(sent, [1 + ann_heard.len() as u64, 1 + bob_heard.len() as u64]);

    // What comes later is not refused for good, but not handled either before a thaw.
    let late = ann.draw().await;
    assert_eq!(ann.hear_until_quiet(Duration::from_millis(200)).await, []);
    assert_eq!(database.changes("b").await.len(), 40);
    contract
        .thaw("b", numbers(1, 2), &[])
        .await
        .expect("the board is frozen");
    assert_eq!(ann.saved(late).await, 41);
}

async fn check_move(program: Program) {
    let database = Database::fresh().await;
    let (source, from) = start(program, "board-1", &database).await;
    let (target, to) = start(program, "board-2", &database).await;
    from.place("b", numbers(1, 0)).await.expect("a vacant board is placed");
    let mut ann = join(&source, "b", 1, "ann").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;

    assert_eq!(
        to.prepare("b", numbers(1, 1))
            .await
            .expect("it loads")
            .revision
            .number(),
        1
    );
    assert_eq!(
        to.boards(None, 10).await.expect("it lists").boards[0].role,
        BoardRole::Standby
    );
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let frozen = from.freeze("b", numbers(1, 1), &[("ann", 3)], DEADLINE).await;
    let frozen = frozen.expect("all that was counted has come");
    assert_refused(
        to.activate_at("b", numbers(2, 1), frozen.revision.number() + 1).await,
        ContractProblemType::RevisionMissing,
    );
    let activated = to.activate("b", numbers(2, 1), Some(&frozen), &["ann"]).await;
    assert_eq!(activated.expect("the fence is lower").revision.number(), 2);
    let (generation, owner) = database.fence("b").await.expect("the fence is taken");
    assert_eq!(generation, 2);
    assert!(owner.starts_with("board-2/"), "{owner}");

    let generation = [
        ("handover-board", "b"),
        ("handover-generation", "2"),
        ("handover-session", "ann"),
        ("handover-from", "board-1/ann"),
    ];
    let switched = handover_tests::User::connect_with(target.traffic(), "b", "ann", &generation).await;
    let mut switched = switched.expect("the target owns the board");
    assert_eq!(switched.answer_header("handover-mode"), Some("transparent"));
    assert_eq!(switched.answer_header("handover-replay"), Some("first=1;await"));
    assert_eq!(switched.hello().await, 2);
    switched.continue_after(2);
    let seq = switched.draw().await;
    assert_eq!(switched.saved(seq).await, 3);
    from.forget("b", numbers(1, 1))
        .await
        .expect("a frozen copy is forgotten");
    assert_eq!(ann.closed(DEADLINE).await, Some(1012));
    let owners: Vec<i64> = database
        .changes("b")
        .await
        .iter()
        .map(|change| change.generation)
        .collect();
    assert_eq!(owners, [1, 1, 2]);
}

async fn check_late_writes(program: Program) {
    let database = Database::fresh().await;
    let (source, from) = start(program, "board-1", &database).await;
    let (_target, to) = start(program, "board-2", &database).await;
    from.place("b", numbers(1, 0)).await.expect("a vacant board is placed");
    let mut ann = join(&source, "b", 1, "ann").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    source.process().stop();
    ann.draw().await;
    to.place("b", numbers(2, 1)).await.expect("the fence is lower");
    source.process().resume();
    assert_eq!(ann.hear(DEADLINE).await, Heard::Closed(Some(1012)));
    assert_eq!(database.changes("b").await.len(), 1);
    assert_refused(
        from.freeze("b", numbers(1, 1), &[], DEADLINE).await,
        ContractProblemType::UnknownBoard,
    );
}

async fn check_lost_fence(program: Program) {
    let database = Database::fresh().await;
    let (server, contract) = start(program, "board-1", &database).await;
    let (_other, taker) = start(Program::Reference, "board-2", &database).await;
    for board in ["b", "c"] {
        let placed = contract.place(board, numbers(1, 0)).await;
        placed.expect("a vacant board is placed");
    }
    let mut ann = join(&server, "b", 1, "ann").await;
    let mut bob = join(&server, "c", 1, "bob").await;
    let frozen = contract.freeze("b", numbers(1, 1), &[("ann", 1)], DEADLINE).await;
    frozen.expect("all that was counted has come");
    for board in ["b", "c"] {
        taker.place(board, numbers(2, 1)).await.expect("the fence is lower");
    }

    // A thaw that lay in its socket gives the board back to nobody.
    assert!(contract.thaw("b", numbers(1, 2), &[]).await.is_err());
    assert_eq!(ann.closed(DEADLINE).await, Some(1012));
    // Of the other board nobody tells it.
    assert_eq!(bob.closed(DEADLINE).await, Some(1012));
    eventually("it lists neither board", DEADLINE, || async {
        contract.boards(None, 10).await.is_ok_and(|page| page.boards.is_empty())
    })
    .await;
}

async fn check_numbers(program: Program) {
    let database = Database::fresh().await;
    let (source, from) = start(program, "board-1", &database).await;
    let (_other, other) = start(program, "board-2", &database).await;
    let refused = connect(&source, "b", 1, "ann").await;
    assert!(
        matches!(&refused, Err(UserError::Refused { status, .. }) if *status == StatusCode::CONFLICT),
        "{refused:?}"
    );
    from.place("b", numbers(3, 5)).await.expect("a vacant board is placed");
    from.place("b", numbers(3, 5))
        .await
        .expect("the same call is answered alike");
    let refused = connect(&source, "b", 2, "ann").await;
    assert!(
        matches!(&refused, Err(UserError::Refused { status, .. }) if *status == StatusCode::CONFLICT),
        "{refused:?}"
    );

    let refused = other.place("b", numbers(3, 6)).await;
    let Err(ContractError::Refused(problem)) = refused else {
        panic!("the fence is not lower: {refused:?}");
    };
    assert_eq!(problem.kind, ContractProblemType::StaleGeneration);
    assert_eq!(problem.fence.map(|fence| fence.number()), Some(3));
    assert_eq!(
        problem.fence_owner.expect("the fence has an owner").server.as_str(),
        "board-1"
    );

    let freeze = |generation, attempt| from.freeze("b", numbers(generation, attempt), &[], DEADLINE);
    assert_refused(freeze(2, 6).await, ContractProblemType::StaleGeneration);
    assert_refused(freeze(4, 6).await, ContractProblemType::NotOwner);
    assert_refused(freeze(3, 4).await, ContractProblemType::StaleAttempt);
    assert_refused(from.forget("b", numbers(3, 6)).await, ContractProblemType::NotFrozen);
    let first = freeze(3, 6).await.expect("the board is owned");
    assert_eq!(freeze(3, 6).await.expect("the same call is answered alike"), first);
    let refused = connect(&source, "b", 3, "ann").await;
    assert!(matches!(&refused, Err(UserError::Refused { .. })), "{refused:?}");
    from.thaw("b", numbers(3, 7), &[]).await.expect("the board is frozen");
    assert_refused(freeze(3, 7).await, ContractProblemType::StaleAttempt);
    assert_refused(freeze(3, 6).await, ContractProblemType::StaleAttempt);
    freeze(3, 8).await.expect("another try");
}

async fn check_lost_sessions(program: Program) {
    let database = Database::fresh().await;
    let (server, contract) = start(program, "board-1", &database).await;
    contract
        .place("b", numbers(1, 0))
        .await
        .expect("a vacant board is placed");
    let mut gone = join(&server, "b", 1, "gone").await;
    let seq = gone.draw().await;
    gone.saved(seq).await;
    gone.leave().await;
    let mut untold = join(&server, "b", 1, "untold").await;
    let mut eaten = join(&server, "b", 1, "eaten").await;
    eaten.draw().await;
    let counts = [("gone", 2), ("never", 3), ("eaten", 4)];
    let frozen = contract
        .freeze("b", numbers(1, 1), &counts, Duration::from_secs(2))
        .await;
    let frozen = frozen.expect("sessions that are short do not hold the board");
    let short: Vec<(&str, u64)> = frozen
        .short
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    assert_eq!(short, [("eaten", 2), ("never", 0)]);
    let gone = frozen.sent.iter().find(|(name, _)| name.as_str() == "gone");
    assert_eq!(gone.map(|(_, count)| *count), Some(2));
    assert_eq!(untold.closed(DEADLINE).await, Some(1012));

    // Without word from the gateway the board thaws itself, and the attempt is closed.
    let late = eaten.draw().await;
    assert_eq!(eaten.saved(late).await, 3);
    assert_refused(
        contract.freeze("b", numbers(1, 1), &[], DEADLINE).await,
        ContractProblemType::StaleAttempt,
    );
}

async fn check_lists(program: Program) {
    let database = Database::fresh().await;
    let (server, contract) = start(program, "board-1", &database).await;
    for board in ["c", "a/ü", "b"] {
        contract
            .place(board, numbers(1, 0))
            .await
            .expect("a vacant board is placed");
    }
    let _ann = join(&server, "b", 1, "ann").await;
    let report = contract.server().await.expect("it reports");
    assert_eq!(
        (report.name.as_str(), report.release.as_str(), report.open_boards),
        ("board-1", "r1", 3)
    );
    assert!(report.ready);
    let page = contract.boards(None, 2).await.expect("it lists");
    let names: Vec<&str> = page.boards.iter().map(|report| report.board.as_str()).collect();
    assert_eq!(names, ["a/ü", "b"]);
    assert_eq!(page.boards[1].sessions, 1);
    assert_eq!(page.incarnation, report.incarnation);
    let next = page.next.expect("there is another page");
    let page = contract.boards(Some(&next), 2).await.expect("it lists");
    assert_eq!(page.boards.len(), 1);
    assert_eq!(page.next, None);

    let control = server.control().expect("it has the contract");
    let stranger = Contract::at(&format!("http://{control}"), "guessed").server().await;
    assert!(
        matches!(&stranger, Err(ContractError::Other { status, .. }) if *status == StatusCode::UNAUTHORIZED),
        "{stranger:?}"
    );
}

async fn check_restart(program: Program) {
    let database = Database::fresh().await;
    let (mut server, contract) = start(program, "board-1", &database).await;
    contract
        .place("b", numbers(1, 0))
        .await
        .expect("a vacant board is placed");
    let mut ann = join(&server, "b", 1, "ann").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let before = contract.server().await.expect("it reports").incarnation;
    server.restart().await;
    eventually("the restarted server reports", DEADLINE, || async {
        contract.server().await.is_ok()
    })
    .await;
    let after = contract.server().await.expect("it reports");
    assert_ne!(after.incarnation, before);
    assert_eq!(after.open_boards, 0);
    assert_refused(
        contract.place("b", numbers(1, 1)).await,
        ContractProblemType::StaleGeneration,
    );
    let activated = contract.place("b", numbers(2, 1)).await.expect("the fence is lower");
    assert_eq!(activated.revision.number(), 1);
}

macro_rules! check_each {
    ($($check:ident as $name:ident;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn on_the_reference() {
                $check(Program::Reference).await;
            }

            #[tokio::test]
            async fn on_websockets() {
                $check(Program::Websockets).await;
            }

            #[tokio::test]
            async fn on_aiohttp() {
                $check(Program::Aiohttp).await;
            }

            #[tokio::test]
            async fn on_node_ws() {
                $check(Program::NodeWs).await;
            }
        })*
    };
}

check_each! {
    check_freeze_waits as a_freeze_answers_when_the_counted_messages_are_handled;
    check_move as a_board_moves_call_by_call;
    check_late_writes as a_source_that_wakes_too_late_cannot_write;
    check_lost_fence as a_board_that_went_elsewhere_is_noticed_and_dropped;
    check_numbers as stale_calls_are_refused;
    check_lost_sessions as sessions_that_are_short_do_not_hold_the_board;
    check_lists as a_server_tells_what_it_holds;
    check_restart as a_restarted_server_owns_nothing;
}
