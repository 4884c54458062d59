//! What is said again to an opaque target, and what of its answers the client does not hear.

use handover_protocol::admin::DrainMode;
use handover_tests::{BoardServer, ClientLibrary, Heard, LibraryUser, Program, Strokes, User, eventually, matrix};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{Handler, PATIENCE, QUIET, declared, move_to_target, stage, stage_of};

#[tokio::test]
async fn messages_that_match_are_said_again_one_by_one_each_awaited() {
    // Two hellos among changes, to a server that ends a connection on which somebody does not wait for his answer.
    let route = declared()
        .with("replay", "{ matching = '\"type\":\"hello\"', await_answer = true }")
        .with("greeting", "{ messages = 2 }");
    let it = stage_of(route, |name, release, database| {
        let server = BoardServer::builder(Program::NodeWs, name, release, database);
        server.slow().with_habit("--one-at-a-time")
    })
    .await;
    let mut ann = User::join(it.gateway.traffic(), "b", "ann").await;
    let mut bob = User::join(it.gateway.traffic(), "b", "bob").await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    say_hello_again(&mut ann, "anna").await;
    ann.continue_after(1);
    let seq = ann.draw().await;
    ann.saved(seq).await;
    say_hello_again(&mut bob, "bob").await;

    let report = move_to_target(&it.gateway, DrainMode::Transparent).await;
    assert_eq!((report.switched, report.unconfirmed.len()), (2, 0), "{report:?}");
    let heard = tokio::join!(ann.hear_until_quiet(QUIET), bob.hear_until_quiet(QUIET));
    let is_greeting = |heard: &Heard| matches!(heard, Heard::Welcome { .. } | Heard::Closed(_));
    assert!(!heard.0.iter().chain(&heard.1).any(is_greeting), "{heard:?}");
    // The second hello counts at the target too: it knows ann by her other name.
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let drawn = bob.hear(PATIENCE).await;
    assert!(
        matches!(&drawn, Heard::Drawn { user, seq: 3, .. } if user == "anna"),
        "{drawn:?}"
    );
    let changes = it.database.changes("b").await;
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert_eq!(it.database.repeats("b").await, 0);
}

/// Says hello once more, under any name, and waits for the answer; what else comes is dropped.
async fn say_hello_again(user: &mut User, name: &str) {
    let hello = json!({"type": "hello", "user": name}).to_string();
    user.send(Message::text(hello)).await;
    while !matches!(user.hear(PATIENCE).await, Heard::Welcome { .. }) {}
}

#[tokio::test]
async fn a_compressed_greeting_is_swallowed_and_the_rest_can_be_read() {
    let mut cases = Vec::new();
    for client in ClientLibrary::ALL {
        for server in Program::LIBRARIES {
            cases.push(Case { client, server });
        }
    }
    let subset = |case: &Case| {
        matches!(
            (case.client, case.server),
            (ClientLibrary::NodeWs, Program::Websockets) | (ClientLibrary::Websockets, Program::NodeWs)
        )
    };
    for case in matrix("compressed opaque client x server", cases, subset) {
        check(case).await;
    }
}

struct Case {
    client: ClientLibrary,
    server: Program,
}

impl std::fmt::Display for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} at {}", self.client, self.server)
    }
}

async fn check(case: Case) {
    let it = stage(case.server, Handler::Plain, declared()).await;
    let strokes = Strokes::default();
    let join = |name| LibraryUser::join(case.client, it.gateway.traffic(), "b", name, &strokes);
    let (ann, bob) = tokio::join!(join("ann"), join("bob"));
    let extensions = ann.heard_of("open")[0]["extensions"].to_string();
    assert!(extensions.contains("permessage-deflate"), "{case}: {extensions}");
    eventually("both draw", PATIENCE, || async {
        ann.saved().len() > 5 && bob.saved().len() > 5
    })
    .await;
    let report = move_to_target(&it.gateway, DrainMode::Transparent).await;
    assert_eq!((report.switched, report.fallen_back), (2, 0), "{case}: {report:?}");
    let before = (ann.saved().len(), bob.saved().len());
    eventually("both draw on", PATIENCE, || async {
        ann.saved().len() > before.0 + 5 && bob.saved().len() > before.1 + 5
    })
    .await;
    for user in [&ann, &bob] {
        let sent = user.finish().await;
        assert_eq!(user.saved(), (1..=sent).collect::<Vec<_>>(), "{case}");
        assert_eq!(user.heard_of("welcome").len(), 1, "{case}: the greeting came through");
    }
    assert!(!it.database.changes("b").await.is_empty());
    assert_eq!(it.database.repeats("b").await, 0, "{case}");
}
