//! The whiteboard itself, under the contract and without it.

use futures_util::SinkExt;
use handover_loadtest::board_server::ChangeList;
use handover_loadtest::wire::{Body, ServerMessage};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Bench, eventually, on_every_store, refusal};

#[test]
fn a_change_is_saved_then_acknowledged_then_shown_to_the_others() {
    on_every_store(async |bench: Bench| {
        let mut server = bench.owner("board-1", &[]).await;
        let (mut anna, welcome) = server.user("anna").await;
        let ServerMessage::Welcome(welcome) = welcome else {
            panic!("{welcome:?}");
        };
        assert_eq!((welcome.revision, welcome.users, &*welcome.server), (0, 1, "board-1"));
        assert_eq!(welcome.changes.as_deref(), Some(&[][..]));
        let (mut ben, _) = server.user("ben").await;
        assert!(matches!(anna.next().await, ServerMessage::Joined(who) if who.user == "ben"));
        anna.draw(1).await;
        assert_eq!(anna.saved(1).await, 1);
        assert_eq!(bench.saved().await, [("anna".to_owned(), 1)]);
        let ServerMessage::Drawn(drawn) = ben.next().await else {
            panic!("no change came");
        };
        assert_eq!((&*drawn.user, drawn.seq, drawn.revision), ("anna", 1, 1));
        assert_eq!(drawn.points.unwrap()[1], [3.0, 1.0]);
        let (_carl, welcome) = server.user("carl").await;
        let ServerMessage::Welcome(welcome) = welcome else {
            panic!("{welcome:?}");
        };
        assert_eq!(
            (welcome.revision, welcome.users, welcome.changes.unwrap().len()),
            (1, 3, 1)
        );
        drop(anna);
        assert!(matches!(ben.next().await, ServerMessage::Joined(who) if who.user == "carl"));
        assert!(matches!(ben.next().await, ServerMessage::Left(who) if who.user == "anna"));
        server.stop().await.unwrap();
    });
}

#[test]
fn a_repeat_is_acknowledged_and_noted_and_not_applied() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut anna, _) = server.user("anna").await;
        let (mut ben, _) = server.user("ben").await;
        anna.draw(1).await;
        anna.draw(1).await;
        anna.draw(2).await;
        assert_eq!(anna.saved(1).await, 1);
        assert_eq!(anna.saved(1).await, 1);
        assert_eq!(anna.saved(2).await, 2);
        assert!(matches!(ben.next().await, ServerMessage::Drawn(drawn) if drawn.revision == 1));
        assert!(matches!(ben.next().await, ServerMessage::Drawn(drawn) if drawn.revision == 2));
        let repeats = bench.store().await.repeats().await.unwrap();
        let repeats: Vec<_> = repeats.iter().filter(|row| row.board == bench.board).collect();
        assert_eq!(repeats.len(), 1);
        assert_eq!(
            (&*repeats[0].author, repeats[0].seq, repeats[0].generation),
            ("anna", 1, 1)
        );
    });
}

#[test]
fn any_other_message_is_an_opaque_change_with_the_next_number() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut anna, _) = server.user("anna").await;
        let (mut ben, _) = server.user("ben").await;
        assert!(matches!(anna.next().await, ServerMessage::Joined(_)));
        anna.draw(4).await;
        let large = vec![7_u8; 16 * 1024 * 1024];
        anna.socket.send(Message::text("x")).await.unwrap();
        anna.socket.send(Message::binary(large.clone())).await.unwrap();
        anna.saved(4).await;
        assert!(matches!(anna.raw().await, Message::Text(text) if text.contains(r#""seq":5"#)));
        let Message::Binary(bytes) = anna.raw().await else {
            panic!("a binary message is answered in binary");
        };
        assert!(matches!(serde_json::from_slice(&bytes).unwrap(), ServerMessage::Saved(saved) if saved.seq == 6));
        ben.next().await;
        assert!(matches!(ben.next().await, ServerMessage::Drawn(drawn) if drawn.bytes == Some(1)));
        assert!(matches!(ben.next().await, ServerMessage::Drawn(drawn) if drawn.bytes == Some(large.len() as u64)));
        let rows = bench.store().await.changes_after(&bench.board, 0).await.unwrap();
        let body: Body = serde_json::from_str(&rows[2].body).unwrap();
        assert_eq!(body, Body::of_opaque(&large));
    });
}

#[test]
fn a_binary_hello_is_answered_in_binary() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut anna, _) = server.join(1, "s1", &[]).await.unwrap();
        let hello = br#"{"type":"hello","user":"anna"}"#.to_vec();
        anna.socket.send(Message::binary(hello)).await.unwrap();
        assert!(matches!(anna.raw().await, Message::Binary(_)));
        let (_ben, _) = server.user("ben").await;
        assert!(matches!(anna.raw().await, Message::Binary(_)));
    });
}

#[test]
fn who_does_not_say_who_it_is_is_closed() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        for first in [r#"{"type":"hello","user":""}"#, "x"] {
            let (mut nobody, _) = server.join(1, "s1", &[]).await.unwrap();
            nobody.socket.send(Message::text(first)).await.unwrap();
            assert_eq!(nobody.closed().await, 1008);
        }
    });
}

#[test]
fn sigterm_saves_and_acknowledges_before_the_goodbye() {
    on_every_store(async |bench: Bench| {
        let mut server = bench.owner("board-1", &["--save-delay", "30s"]).await;
        let (mut anna, _) = server.user("anna").await;
        anna.draw(1).await;
        anna.is_told_nothing().await;
        let stopping = server.stop();
        assert_eq!(anna.saved(1).await, 1);
        assert_eq!(anna.closed().await, 1001);
        drop(anna);
        stopping.await.unwrap();
        assert_eq!(bench.saved().await.len(), 1);
    });
}

#[test]
fn plain_http_lists_changes_and_echoes() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let (mut anna, _) = server.user("anna").await;
        for seq in 1..=3 {
            anna.draw(seq).await;
            anna.saved(seq).await;
        }
        let base = format!("http://{}/boards/{}", server.traffic, bench.board.to_url_segment());
        let client = reqwest::Client::new();
        let list = async |generation: u64| {
            let request = client.get(format!("{base}/changes?after=1"));
            request.header("handover-generation", generation).send().await.unwrap()
        };
        let changes: ChangeList = list(1).await.json().await.unwrap();
        assert_eq!(
            changes.changes.iter().map(|drawn| drawn.revision).collect::<Vec<_>>(),
            [2, 3]
        );
        assert_eq!(list(2).await.status(), 409);
        let echo = client
            .post(format!("{base}/echo"))
            .body("x".repeat(100_000))
            .send()
            .await
            .unwrap();
        assert_eq!(echo.text().await.unwrap().len(), 100_000);
        let page = client.get(format!("{base}/")).send().await.unwrap();
        assert!(page.text().await.unwrap().contains("<!doctype html>"));
    });
}

#[test]
fn without_the_contract_a_board_opens_with_its_first_visitor_and_closes_with_its_last() {
    on_every_store(async |bench: Bench| {
        let flags = ["--no-contract", "--save-delay", "300ms"];
        let server = bench.server("board-1", &flags).await;
        let other = bench.server("board-2", &flags).await;
        assert_eq!(server.control, None);
        let (mut anna, response) = server.join(9, "s1", &[("handover-from", "board-2/s1")]).await.unwrap();
        assert!(
            response
                .headers()
                .keys()
                .all(|name| !name.as_str().starts_with("handover-"))
        );
        anna.hello("anna").await;
        assert!(matches!(anna.next().await, ServerMessage::Welcome(welcome) if !welcome.resumed));
        anna.draw(1).await;
        drop(anna);
        // Nobody is there, and the change is saved all the same, later.
        assert!(bench.saved().await.is_empty());
        eventually(async || bench.saved().await.len() == 1).await;
        // What another server writes meanwhile is there when the board is opened again.
        for (server, seq) in [(&other, 2), (&server, 3), (&other, 4)] {
            let (mut ben, _) = server.connect("?user=ben", &[]).await.unwrap();
            ben.draw(seq).await;
            assert_eq!(ben.saved(seq).await, seq);
            drop(ben);
        }
    });
}

/// Somebody's servers are not fenced: a board that is open on two of them must still keep its numbers apart.
#[test]
fn two_servers_without_the_contract_that_have_one_board_open_lose_no_saved_change() {
    on_every_store(async |bench: Bench| {
        let one = bench.server("board-1", &["--no-contract"]).await;
        let two = bench.server("board-2", &["--no-contract"]).await;
        let (mut anna, _) = one.connect("?user=anna", &[]).await.unwrap();
        let (mut ben, _) = two.connect("?user=ben", &[]).await.unwrap();
        for seq in 1..=10 {
            anna.draw(seq).await;
            ben.draw(seq).await;
            anna.saved(seq).await;
            ben.saved(seq).await;
        }
        assert_eq!(bench.saved().await.len(), 20);
    });
}

#[test]
fn a_handshake_for_a_board_that_is_not_owned_is_refused() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &[]).await;
        let check = async |headers: &[(&'static str, &str)]| {
            let (status, problem) = refusal(server.connect("", headers).await.map(drop).unwrap_err());
            assert_eq!(
                (status, problem["type"].as_str()),
                (409, Some("not-owner")),
                "{headers:?}: {problem}"
            );
        };
        let segment = bench.board.to_url_segment();
        let named = |generation| [("handover-board", &*segment), ("handover-generation", generation)];
        check(&named("1")).await;
        server
            .ok("PUT", "", serde_json::json!({"generation": 1, "attempt": 1}))
            .await;
        check(&named("1")).await;
        server
            .ok("POST", "/activate", serde_json::json!({"generation": 2, "attempt": 1}))
            .await;
        check(&named("1")).await;
        check(&named("3")).await;
        check(&[]).await;
        check(&[("handover-board", "another"), ("handover-generation", "2")]).await;
        let (_, response) = server.connect("", &named("2")).await.unwrap();
        assert_eq!(response.headers()["handover-mode"], "transparent");
        assert_eq!(response.headers()["handover-replay"], "first=1;await");
    });
}
