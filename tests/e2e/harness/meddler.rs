//! The meddler: what it does to a call, and that it does nothing to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use handover_protocol::contract::BoardRole;
use handover_tests::{
    BoardServer, Call, Contract, ContractError, ControlMeddler, Database, Heard, Numbers, Program, TrafficMeddler,
    Trick, User, UserError, eventually,
};
use http::StatusCode;

const SOON: Duration = Duration::from_secs(5);

struct Meddled {
    database: Database,
    server: BoardServer,
    meddler: ControlMeddler,
    /// Through the it.meddler.
    contract: Contract,
    /// Past it.
    direct: Contract,
}

async fn meddled() -> Meddled {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::NodeWs, "board-1", "r1", &database)
        .start()
        .await;
    let meddler = ControlMeddler::before(server.control().expect("it has the contract")).await;
    let contract = Contract::through(&server, meddler.address());
    let direct = Contract::of(&server);
    Meddled {
        database,
        server,
        meddler,
        contract,
        direct,
    }
}

fn first() -> Numbers {
    Numbers::new(1, 0)
}

#[tokio::test]
async fn calls_without_a_trick_pass_unchanged_and_are_noted() {
    let it = meddled().await;
    it.contract
        .place("a/b", first())
        .await
        .expect("a vacant board is placed");
    it.contract.server().await.expect("it reports");
    it.contract.boards(None, 10).await.expect("it lists");
    it.contract
        .freeze("a/b", Numbers::new(1, 1), &[], SOON)
        .await
        .expect("it is owned");
    it.contract
        .thaw("a/b", Numbers::new(1, 2), &[])
        .await
        .expect("it is frozen");
    let refused = it.contract.forget("a/b", Numbers::new(1, 2)).await;
    assert!(matches!(refused, Err(ContractError::Refused(_))), "{refused:?}");
    it.contract.prepare("c", first()).await.expect("it loads");
    let calls: Vec<(Call, u16)> = it
        .meddler
        .seen()
        .iter()
        .map(|seen| (seen.call, seen.status.map_or(0, |status| status.as_u16())))
        .collect();
    let expected = [
        (Call::Activate, 200),
        (Call::Server, 200),
        (Call::Boards, 200),
        (Call::Freeze, 200),
        (Call::Thaw, 200),
        (Call::Forget, 409),
        (Call::Prepare, 200),
    ];
    assert_eq!(calls, expected);
    assert!(
        it.meddler.seen_of(Call::Activate)[0]
            .path
            .ends_with("/boards/a%2Fb/activate")
    );
}

#[tokio::test]
async fn a_hook_runs_before_the_server_is_asked() {
    let it = meddled().await;
    let server = Arc::new(it.server);
    let victim = Arc::clone(&server);
    it.meddler
        .lay(Call::Activate, Trick::before(|| async move { victim.process().kill() }));
    it.direct.server().await.expect("it lives");
    let result = it.contract.place("b", first()).await;
    assert!(matches!(result, Err(ContractError::Unreachable(_))), "{result:?}");
    assert!(!server.process().is_running());
    assert_eq!(it.database.fence("b").await, None);
}

#[tokio::test]
async fn a_hook_runs_when_the_server_has_answered_and_nobody_knows() {
    let it = meddled().await;
    let told = Arc::new(AtomicBool::new(false));
    let (known, pool) = (Arc::clone(&told), it.database.pool().clone());
    let hook = move || async move {
        let fence: i64 = sqlx::query_scalar("SELECT generation FROM fences WHERE board = 'b'")
            .fetch_one(&pool)
            .await
            .expect("the fence is taken");
        assert_eq!(fence, 1);
        tokio::time::sleep(Duration::from_millis(50)).await;
        known.store(true, Ordering::SeqCst);
    };
    it.meddler.lay(Call::Activate, Trick::after(hook));
    it.contract.place("b", first()).await.expect("a vacant board is placed");
    assert!(told.load(Ordering::SeqCst));
    it.meddler.all_sprung(SOON).await;
}

#[tokio::test]
async fn each_trick_does_what_it_says() {
    let it = meddled().await;
    let owned = async || it.direct.boards(None, 1000).await.expect("it lists").boards.len();

    it.meddler
        .lay(Call::Activate, Trick::Refuse(StatusCode::SERVICE_UNAVAILABLE));
    let result = it.contract.place("refused", first()).await;
    assert!(
        matches!(&result, Err(ContractError::Other { status, .. }) if *status == StatusCode::SERVICE_UNAVAILABLE),
        "{result:?}"
    );
    assert_eq!(owned().await, 0);

    it.meddler.lay(Call::Activate, Trick::Drop);
    let result = it.contract.place("dropped", first()).await;
    assert!(matches!(result, Err(ContractError::Unreachable(_))), "{result:?}");
    assert_eq!(owned().await, 0);

    it.meddler
        .lay(Call::Activate, Trick::RefuseAfter(StatusCode::BAD_GATEWAY));
    let result = it.contract.place("refused after", first()).await;
    assert!(matches!(result, Err(ContractError::Other { .. })), "{result:?}");
    assert_eq!(owned().await, 1);

    it.meddler.lay(Call::Activate, Trick::DropAfter);
    let result = it.contract.place("dropped after", first()).await;
    assert!(matches!(result, Err(ContractError::Unreachable(_))), "{result:?}");
    assert_eq!(owned().await, 2);

    it.meddler
        .lay(Call::Activate, Trick::Nonsense("{\"revision\": \"soon\"}"));
    let result = it.contract.place("nonsense", first()).await;
    assert!(
        matches!(&result, Err(ContractError::Other { status, body }) if status.is_success() && body.contains("soon")),
        "{result:?}"
    );
    assert_eq!(owned().await, 3);

    it.meddler
        .lay(Call::Activate, Trick::AnswerLate(Duration::from_millis(200)));
    let begun = Instant::now();
    it.contract
        .place("late", first())
        .await
        .expect("a vacant board is placed");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    it.meddler.all_sprung(SOON).await;
}

#[tokio::test]
async fn tricks_wait_for_their_call() {
    let it = meddled().await;
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    it.meddler.lay_after(2, Call::Prepare, Trick::Refuse(busy));
    it.contract.place("a", first()).await.expect("another call passes");
    for board in ["b", "c"] {
        it.contract
            .prepare(board, first())
            .await
            .expect("two calls of the kind pass");
    }
    let third = it.contract.prepare("d", first()).await;
    assert!(
        matches!(&third, Err(ContractError::Other { status, .. }) if *status == busy),
        "{third:?}"
    );
    it.contract.prepare("d", first()).await.expect("a trick springs once");
}

#[tokio::test]
async fn a_late_call_arrives_though_its_caller_has_given_up() {
    let it = meddled().await;
    it.contract.place("b", first()).await.expect("a vacant board is placed");
    it.meddler.lay(Call::Freeze, Trick::Late(Duration::from_millis(200)));
    let freezing = it.contract.freeze("b", Numbers::new(1, 1), &[], SOON);
    let given_up = tokio::time::timeout(Duration::from_millis(50), freezing).await;
    assert!(given_up.is_err());
    eventually("the board is frozen all the same", SOON, || async {
        it.direct.boards(None, 10).await.expect("it lists").boards[0].role == BoardRole::Frozen
    })
    .await;
}

#[tokio::test]
async fn handshakes_are_counted_refused_and_cut() {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::NodeWs, "board-1", "r1", &database).without_contract();
    let server = server.start().await;
    let meddler = TrafficMeddler::before(server.traffic()).await;
    meddler.lay_after(1, Trick::Refuse(StatusCode::FORBIDDEN));
    meddler.lay_after(2, Trick::Drop);
    let mut ann = User::join(meddler.address(), "b", "ann").await;
    let refused = User::connect(meddler.address(), "b", "bob").await;
    assert!(
        matches!(&refused, Err(UserError::Refused { status, .. }) if *status == StatusCode::FORBIDDEN),
        "{refused:?}"
    );
    let mut cid = User::join(meddler.address(), "b", "cid").await;
    let dropped = User::connect(meddler.address(), "b", "dan").await;
    assert!(matches!(dropped, Err(UserError::Broken(_))), "{dropped:?}");
    assert_eq!(meddler.handshakes(), 4);
    assert_eq!(meddler.seen()[0].path, "/boards/b/ws?user=ann");
    eventually("two connections are open", SOON, || async { meddler.open() == 2 }).await;

    let seq = ann.draw_padded(1_000_000).await;
    ann.saved(seq).await;
    meddler.cut_all();
    assert_eq!(ann.closed(SOON).await, None);
    assert_eq!(cid.hear_until_quiet(SOON).await.last(), Some(&Heard::Closed(None)));
    eventually("no connection is open", SOON, || async { meddler.open() == 0 }).await;
}
