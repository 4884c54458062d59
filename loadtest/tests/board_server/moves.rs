//! A board goes from one server to another, or stays after all; clients keep their sockets to each.

use std::time::Duration;

use handover_loadtest::store::FenceTaken;
use handover_loadtest::wire::ServerMessage;
use handover_protocol::generation::Generation;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::{Bench, Running, eventually, on_every_store};

fn freeze(attempt: u64, sessions: Value, deadline_ms: u64) -> Value {
    json!({"generation": 1, "attempt": attempt, "sessions": sessions, "deadline_ms": deadline_ms})
}

/// Freezes with the counts of a gateway that holds everybody, for as long as the test runs.
async fn frozen(server: &Running, attempt: u64, sessions: Value) -> Value {
    server.ok("POST", "/freeze", freeze(attempt, sessions, 30_000)).await
}

#[test]
fn a_move_loses_nothing_and_nobody_is_told_of_it() {
    on_every_store(async |bench: Bench| {
        let source = bench.owner("board-1", &["--save-time", "50ms"]).await;
        let target = bench.server("board-2", &[]).await;
        let (mut anna, _) = source.user("anna").await;
        let (mut ben, _) = source.user("ben").await;
        anna.draw(1).await;
        anna.saved(1).await;
        let prepared = target.ok("PUT", "", json!({"generation": 1, "attempt": 2})).await;
        assert_eq!(prepared["revision"], 1);
        assert_eq!(target.listed().await.unwrap()["role"], "standby");

        for seq in 2..=19 {
            anna.draw(seq).await;
        }
        let freezing = frozen(&source, 2, json!({"anna": 20, "ben": 1}));
        let drawing = async {
            // Beyond what the gateway counted, and while the counted ones are being saved.
            sleep(Duration::from_millis(20)).await;
            anna.draw(20).await;
        };
        let (answer, ()) = tokio::join!(freezing, drawing);
        assert_eq!(answer["revision"], 19);
        // A welcome, Ben's arrival, and 19 acknowledgements; a welcome and 19 changes.
        assert_eq!(answer["sent"], json!({"anna": 21, "ben": 20}));
        assert_eq!(answer["short"], Value::Null);
        assert_eq!(bench.saved().await.len(), 19);
        assert_eq!(source.listed().await.unwrap()["role"], "frozen");
        assert_eq!(anna.saved(19).await, 19);
        anna.is_told_nothing().await;
        for _ in 0..19 {
            assert!(matches!(ben.next().await, ServerMessage::Drawn(_)));
        }

        let activate = json!({
            "generation": 2, "attempt": 2, "revision": 19, "sessions": ["anna", "ben"],
            "checkpoint": answer["checkpoint"],
        });
        assert_eq!(target.ok("POST", "/activate", activate.clone()).await["revision"], 19);
        assert_eq!(target.ok("POST", "/activate", activate).await["revision"], 19);
        let (mut anna_there, _) = target
            .join(2, "anna", &[("handover-from", "board-1/anna")])
            .await
            .unwrap();
        anna_there.hello("anna").await;
        let ServerMessage::Welcome(welcome) = anna_there.next().await else {
            panic!("no welcome");
        };
        assert!(welcome.resumed && welcome.changes.is_none());
        assert_eq!((welcome.users, welcome.revision, &*welcome.server), (2, 19, "board-2"));
        // What is drawn before the other is attached reaches it all the same, and its own resent change is known.
        anna_there.draw(20).await;
        anna_there.draw(19).await;
        assert_eq!(anna_there.saved(20).await, 20);
        assert_eq!(anna_there.saved(19).await, 19);
        let (mut ben_there, _) = target
            .join(2, "ben", &[("handover-from", "board-1/ben")])
            .await
            .unwrap();
        ben_there.hello("ben").await;
        assert!(matches!(ben_there.next().await, ServerMessage::Welcome(_)));
        assert!(matches!(ben_there.next().await, ServerMessage::Drawn(drawn) if drawn.revision == 20));
        anna_there.is_told_nothing().await;
        ben_there.is_told_nothing().await;

        let (status, _) = source.call("DELETE", "?generation=1&attempt=2", Value::Null).await;
        assert_eq!(status, 204);
        assert_eq!(ben.closed().await, 1012);
        eventually(async || source.listed().await.is_none()).await;
        assert_eq!(bench.saved().await.len(), 20);
        assert_eq!((source.alarms(), target.alarms()), (0, 0));
    });
}

#[test]
fn a_session_that_reconnects_after_a_move_is_told_everything_and_the_others_nothing() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut ben, _) = server.user("ben").await;
        ben.draw(1).await;
        ben.saved(1).await;
        let (mut anna, _) = server.join(1, "s2", &[("handover-from", "board-0/s1")]).await.unwrap();
        anna.hello("anna").await;
        assert!(
            matches!(anna.next().await, ServerMessage::Welcome(welcome) if welcome.changes.as_ref().unwrap().len() == 1)
        );
        ben.is_told_nothing().await;
    });
}

#[test]
fn expected_sessions_that_do_not_come_are_announced_as_gone() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &[]).await;
        let activate = json!({
            "generation": 1, "attempt": 1, "sessions": ["s1", "s2", "s3"],
            "checkpoint": {"users": {"s1": "anna", "s2": "ben", "s3": "carl"}},
        });
        server.ok("POST", "/activate", activate).await;
        let (mut anna, _) = server.join(1, "s1", &[("handover-from", "board-0/s1")]).await.unwrap();
        anna.hello("anna").await;
        assert!(matches!(anna.next().await, ServerMessage::Welcome(welcome) if welcome.users == 3));
        // Carl comes by a new socket.
        let (mut carl, _) = server.join(1, "s4", &[("handover-from", "board-0/s3")]).await.unwrap();
        carl.hello("carl").await;
        assert!(matches!(anna.next().await, ServerMessage::Left(who) if who.user == "ben"));
        anna.is_told_nothing().await;
    });
}

#[test]
fn nobody_is_announced_as_gone_while_a_board_is_frozen() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &[]).await;
        let activate = json!({
            "generation": 1, "attempt": 1, "sessions": ["anna", "s2"],
            "checkpoint": {"users": {"anna": "anna", "s2": "ben"}},
        });
        server.ok("POST", "/activate", activate).await;
        let (mut anna, _) = server.user("anna").await;
        let answer = frozen(&server, 2, json!({"anna": 1})).await;
        assert_eq!(answer["sent"], json!({"anna": 1}));
        sleep(Duration::from_millis(5_500)).await;
        anna.is_told_nothing().await;
        server.ok("POST", "/thaw", json!({"generation": 1, "attempt": 3})).await;
        assert!(matches!(anna.next().await, ServerMessage::Left(who) if who.user == "ben"));
    });
}

#[test]
fn a_freeze_waits_until_what_was_counted_is_saved_and_says_what_is_missing() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &["--save-time", "100ms"]).await;
        let (mut anna, _) = server.user("anna").await;
        let (_ben, _) = server.user("ben").await;
        let (mut gone, _) = server.user("gone").await;
        gone.draw(1).await;
        gone.saved(1).await;
        drop(gone);
        anna.draw(1).await;
        let freezing = async {
            let counted = json!({"anna": 4, "ben": 1, "gone": 2, "never": 3});
            let begun = Instant::now();
            let answer = server.ok("POST", "/freeze", freeze(2, counted, 2_000)).await;
            (answer, begun.elapsed())
        };
        let drawing = async {
            sleep(Duration::from_millis(50)).await;
            anna.draw(2).await;
        };
        let ((answer, took), ()) = tokio::join!(freezing, drawing);
        // One of Anna's four never came: half of the deadline is waited for it.
        assert!(
            (Duration::from_millis(990)..Duration::from_millis(1900)).contains(&took),
            "{took:?}"
        );
        assert_eq!(answer["short"], json!({"anna": 3, "never": 0}));
        assert_eq!(answer["revision"], 3);
        assert_eq!(answer["sent"]["never"], 0);
        assert_eq!(answer["checkpoint"]["users"], json!({"anna": "anna", "ben": "ben"}));
        assert_eq!(bench.saved().await.len(), 3);
    });
}

#[test]
fn frames_that_came_while_frozen_are_handled_once_after_a_thaw() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut anna, _) = server.user("anna").await;
        let (mut ben, _) = server.user("ben").await;
        let (gone, _) = server.user("gone").await;
        let first = frozen(&server, 2, json!({"anna": 1, "ben": 1, "gone": 1})).await;
        assert_eq!(frozen(&server, 2, json!({"anna": 1, "ben": 1, "gone": 1})).await, first);
        for seq in 1..=100 {
            anna.draw(seq).await;
        }
        drop(gone);
        sleep(Duration::from_millis(50)).await;
        assert!(bench.saved().await.is_empty());
        let thaw = json!({"generation": 1, "attempt": 3, "gone": ["ben"]});
        server.ok("POST", "/thaw", thaw.clone()).await;
        server.ok("POST", "/thaw", thaw).await;
        for seq in 1..=100 {
            assert_eq!(anna.saved(seq).await, seq);
        }
        assert_eq!(ben.closed().await, 1012);
        // The attempt is closed, and so are those below.
        for attempt in [2, 3] {
            server
                .refused("POST", "/freeze", freeze(attempt, json!({}), 1000), "stale-attempt")
                .await;
        }
        frozen(&server, 4, json!({"anna": 101})).await;
        let repeats = bench.store().await.repeats().await.unwrap();
        assert!(repeats.iter().all(|row| row.board != bench.board));
        assert_eq!(bench.saved().await.len(), 100);
    });
}

#[test]
fn who_left_during_a_freeze_is_announced_after_the_thaw() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (anna, _) = server.user("anna").await;
        let (mut ben, _) = server.user("ben").await;
        let (carl, _) = server.user("carl").await;
        assert!(matches!(ben.next().await, ServerMessage::Joined(_)));
        frozen(&server, 2, json!({"anna": 1, "ben": 1, "carl": 1})).await;
        drop(anna);
        ben.is_told_nothing().await;
        let thaw = json!({"generation": 1, "attempt": 3, "gone": ["carl"]});
        server.ok("POST", "/thaw", thaw).await;
        let mut left = Vec::new();
        for _ in 0..2 {
            let ServerMessage::Left(who) = ben.next().await else {
                panic!("nobody left");
            };
            left.push(who.user);
        }
        left.sort();
        assert_eq!(left, ["anna", "carl"]);
        drop(carl);
        ben.is_told_nothing().await;
    });
}

#[test]
fn a_freeze_of_a_higher_attempt_goes_on_from_the_one_before() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut anna, _) = server.user("anna").await;
        frozen(&server, 2, json!({"anna": 1})).await;
        for seq in 1..=5 {
            anna.draw(seq).await;
        }
        sleep(Duration::from_millis(20)).await;
        let answer = frozen(&server, 3, json!({"anna": 4})).await;
        assert_eq!((&answer["revision"], &answer["short"]), (&json!(3), &Value::Null));
        server.ok("POST", "/thaw", json!({"generation": 1, "attempt": 4})).await;
        assert_eq!(anna.saved(5).await, 5);
    });
}

#[test]
fn a_session_that_a_freeze_does_not_name_is_told_to_come_back() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut anna, _) = server.user("anna").await;
        let (mut ben, _) = server.user("ben").await;
        let answer = frozen(&server, 2, json!({"anna": 1})).await;
        assert_eq!(ben.closed().await, 1012);
        assert_eq!(answer["sent"], json!({"anna": 2}));
        assert!(matches!(anna.next().await, ServerMessage::Joined(_)));
        anna.is_told_nothing().await;
    });
}

#[test]
fn a_frozen_board_without_word_thaws_itself_only_while_the_fence_is_its_own() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut anna, _) = server.user("anna").await;
        server.ok("POST", "/freeze", freeze(2, json!({"anna": 1}), 200)).await;
        anna.draw(1).await;
        assert_eq!(anna.saved(1).await, 1);
        assert_eq!(server.listed().await.unwrap()["role"], "owner");
        server
            .refused("POST", "/freeze", freeze(2, json!({"anna": 2}), 200), "stale-attempt")
            .await;

        server.ok("POST", "/freeze", freeze(3, json!({"anna": 2}), 200)).await;
        anna.draw(2).await;
        let taken = bench
            .store()
            .await
            .take_fence(&bench.board, Generation::new(2), "board-2/x")
            .await
            .unwrap();
        assert_eq!(taken, FenceTaken::Taken);
        assert_eq!(anna.closed().await, 1012);
        eventually(async || server.listed().await.is_none()).await;
        assert_eq!(bench.saved().await.len(), 1);
    });
}

#[test]
fn a_board_comes_back_to_a_server_that_kept_its_copy() {
    on_every_store(async |bench: Bench| {
        let one = bench.owner("board-1", &[]).await;
        let two = bench.server("board-2", &[]).await;
        let (_anna, _) = one.user("anna").await;
        frozen(&one, 2, json!({"anna": 1})).await;
        two.ok(
            "POST",
            "/activate",
            json!({"generation": 2, "attempt": 2, "revision": 0}),
        )
        .await;
        let (mut ben, _) = two.user_at(2, "ben").await;
        ben.draw(1).await;
        ben.saved(1).await;
        // The copy at the first server is warm; it only reads what is new.
        assert_eq!(
            one.ok("PUT", "", json!({"generation": 2, "attempt": 3})).await["revision"],
            1
        );
        let counted = json!({"generation": 2, "attempt": 3, "sessions": {"ben": 2}, "deadline_ms": 30_000});
        assert_eq!(two.ok("POST", "/freeze", counted).await["revision"], 1);
        one.ok(
            "POST",
            "/activate",
            json!({"generation": 3, "attempt": 3, "revision": 1}),
        )
        .await;
        assert_eq!(one.listed().await.unwrap()["generation"], 3);
        assert_eq!((one.alarms(), two.alarms()), (0, 0));
    });
}

#[test]
fn a_load_delays_the_standby_and_not_the_activation() {
    on_every_store(async |bench: Bench| {
        let target = bench.server("board-2", &["--load-time", "400ms"]).await;
        let begun = Instant::now();
        target.ok("PUT", "", json!({"generation": 1, "attempt": 1})).await;
        assert!(begun.elapsed() >= Duration::from_millis(400));
        let begun = Instant::now();
        target
            .ok("POST", "/activate", json!({"generation": 2, "attempt": 1}))
            .await;
        assert!(begun.elapsed() < Duration::from_millis(400));
    });
}
