//! The contract's calls one by one: what is refused, what may be repeated, what a page holds.

use std::time::Duration;

use clap::Parser;
use handover_loadtest::board_server::{BoardServer, Options, StartError};
use handover_loadtest::store::{BoardWrites, Fencing, Write, Writer};
use handover_protocol::generation::Generation;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::{Bench, eventually, on_every_store};

fn call(generation: u64, attempt: u64) -> Value {
    json!({"generation": generation, "attempt": attempt})
}

fn freeze(generation: u64, attempt: u64) -> Value {
    json!({"generation": generation, "attempt": attempt, "sessions": {}, "deadline_ms": 30_000})
}

#[test]
fn a_server_says_who_it_is() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &["--release", "2026-11-20"]).await;
        let (status, report) = server.control("GET", "/server", Value::Null).await;
        assert_eq!(status, 200);
        assert_eq!(
            (&report["name"], &report["release"]),
            (&json!("board-1"), &json!("2026-11-20"))
        );
        assert_eq!((&report["ready"], &report["open_boards"]), (&json!(true), &json!(1)));
        let other = bench.server("board-1", &[]).await;
        let (_, again) = other.control("GET", "/server", Value::Null).await;
        assert_ne!(report["incarnation"], again["incarnation"]);
        assert_eq!(again["open_boards"], 0);
    });
}

#[test]
fn boards_are_listed_page_by_page() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &[]).await;
        let prefix = &bench.board;
        for number in 0..5 {
            let board: handover_protocol::id::BoardId = format!("{prefix} {number}").parse().unwrap();
            let path = format!("/boards/{}/activate", board.to_url_segment());
            assert_eq!(server.control("POST", &path, call(1, 1)).await.0, 200);
        }
        let mut listed = Vec::new();
        let mut path = "/boards?limit=2".to_owned();
        for expected in [2, 2, 1] {
            let (status, page) = server.control("GET", &path, Value::Null).await;
            assert_eq!(status, 200);
            let boards = page["boards"].as_array().unwrap();
            assert_eq!(boards.len(), expected);
            listed.extend(boards.iter().map(|report| report["board"].as_str().unwrap().to_owned()));
            let next = page["next"].as_str().unwrap_or_default();
            path = format!("/boards?limit=2&after={}", next.replace('/', "%2F").replace(' ', "%20"));
        }
        assert_eq!(
            listed,
            (0..5).map(|number| format!("{prefix} {number}")).collect::<Vec<_>>()
        );
        for query in ["limit=0", "limit=1001", "limit=x", "before=x"] {
            assert_eq!(
                server.control("GET", &format!("/boards?{query}"), Value::Null).await.0,
                400,
                "{query}"
            );
        }
    });
}

#[test]
fn calls_that_come_too_late_are_refused() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &[]).await;
        server.ok("POST", "/activate", call(5, 7)).await;
        let check = async |method, rest: &str, body, kind| server.refused(method, rest, body, kind).await;
        let problem = check("POST", "/activate", call(4, 8), "stale-generation").await;
        assert_eq!(problem["fence"], 5);
        check("POST", "/activate", call(5, 6), "stale-attempt").await;
        check("PUT", "", call(4, 9), "stale-generation").await;
        check("PUT", "", call(5, 9), "stale-generation").await;
        check("POST", "/freeze", freeze(4, 9), "stale-generation").await;
        check("POST", "/freeze", freeze(5, 6), "stale-attempt").await;
        check("POST", "/freeze", freeze(6, 9), "not-owner").await;
        check("POST", "/thaw", call(4, 9), "stale-generation").await;
        check("POST", "/thaw", call(5, 6), "stale-attempt").await;
        check("DELETE", "?generation=5&attempt=9", Value::Null, "not-frozen").await;
        check("DELETE", "?generation=9&attempt=9", Value::Null, "not-frozen").await;
        server.ok("POST", "/freeze", freeze(5, 9)).await;
        check("POST", "/freeze", freeze(5, 8), "stale-attempt").await;
        check("POST", "/thaw", call(5, 8), "stale-attempt").await;
        check("DELETE", "?generation=5&attempt=8", Value::Null, "stale-attempt").await;
        check("DELETE", "?generation=4&attempt=9", Value::Null, "stale-generation").await;
        assert_eq!(server.listed().await.unwrap()["role"], "frozen");
    });
}

#[test]
fn a_board_that_is_not_there_can_be_neither_frozen_nor_thawed() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &[]).await;
        server.refused("POST", "/freeze", freeze(1, 1), "unknown-board").await;
        server.refused("POST", "/thaw", call(1, 1), "unknown-board").await;
        assert_eq!(
            server.call("DELETE", "?generation=1&attempt=1", Value::Null).await.0,
            204
        );
        server.ok("PUT", "", call(1, 2)).await;
        server.refused("POST", "/freeze", freeze(1, 2), "not-owner").await;
        server.refused("POST", "/thaw", call(1, 2), "not-owner").await;
    });
}

#[test]
fn a_forgotten_standby_does_not_come_back_by_a_late_call() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &[]).await;
        server.ok("PUT", "", call(1, 3)).await;
        for _ in 0..2 {
            assert_eq!(
                server.call("DELETE", "?generation=1&attempt=3", Value::Null).await.0,
                204
            );
        }
        assert_eq!(server.listed().await, None);
        server.refused("PUT", "", call(1, 3), "stale-attempt").await;
        assert_eq!(server.listed().await, None);
        server.ok("PUT", "", call(1, 4)).await;
    });
}

#[test]
fn a_load_that_is_under_way_can_be_forgotten() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &["--load-time", "30s"]).await;
        let loading = server.refused("PUT", "", call(1, 3), "stale-attempt");
        let forgetting = async {
            sleep(Duration::from_millis(50)).await;
            server.call("DELETE", "?generation=1&attempt=3", Value::Null).await.0
        };
        assert_eq!(tokio::join!(loading, forgetting).1, 204);
        assert_eq!(server.listed().await, None);
    });
}

#[test]
fn loads_of_one_board_are_one_and_loads_of_many_are_limited() {
    on_every_store(async |bench: Bench| {
        let server = bench
            .server("board-1", &["--load-time", "300ms", "--concurrent-loads", "1"])
            .await;
        let begun = Instant::now();
        let busy = async {
            sleep(Duration::from_millis(100)).await;
            server.control("PUT", "/boards/another", call(1, 1)).await
        };
        let (first, second, (status, problem)) =
            tokio::join!(server.ok("PUT", "", call(1, 1)), server.ok("PUT", "", call(1, 1)), busy);
        assert_eq!(first, second);
        assert!(begun.elapsed() < Duration::from_millis(590));
        assert_eq!((status, &problem["type"]), (503, &json!("busy")));
        assert_eq!(server.control("PUT", "/boards/another", call(1, 1)).await.0, 200);
    });
}

#[test]
fn a_fence_that_refuses_is_returned_with_its_owner() {
    on_every_store(async |bench: Bench| {
        let one = bench.server("board-1", &[]).await;
        let two = bench.server("board-2", &[]).await;
        one.ok("POST", "/activate", call(5, 1)).await;
        two.ok("PUT", "", call(4, 2)).await;
        for generation in [4, 5] {
            let problem = two
                .refused("POST", "/activate", call(generation, 2), "stale-generation")
                .await;
            assert_eq!(
                (&problem["fence"], &problem["fence_owner"]["server"]),
                (&json!(5), &json!("board-1"))
            );
        }
        two.ok("POST", "/activate", call(6, 3)).await;
        // The first one does not know yet; asked to be the next target, it looks.
        assert_eq!(one.listed().await.unwrap()["role"], "owner");
        one.ok("PUT", "", call(6, 4)).await;
        assert_eq!(one.listed().await.unwrap()["role"], "standby");
    });
}

#[test]
fn an_owner_is_not_made_a_standby() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        server.refused("PUT", "", call(2, 2), "busy").await;
        assert_eq!(server.listed().await.unwrap()["role"], "owner");
    });
}

#[test]
fn a_database_that_ends_too_early_is_not_served() {
    on_every_store(async |bench: Bench| {
        let server = bench.server("board-1", &[]).await;
        let activate = json!({"generation": 2, "attempt": 1, "revision": 3});
        server.refused("POST", "/activate", activate, "revision-missing").await;
        assert!(server.join(2, "s1", &[]).await.is_err());
        assert_eq!(server.alarms(), 1);
        // What was missing has come.
        bench.owner_writes(2, 3).await;
        let activate = json!({"generation": 3, "attempt": 1, "revision": 3});
        assert_eq!(server.ok("POST", "/activate", activate).await["revision"], 3);
        assert_eq!(server.alarms(), 1);
    });
}

#[test]
fn more_than_the_source_had_saved_is_taken_in_and_is_an_alarm() {
    on_every_store(async |bench: Bench| {
        bench.owner_writes(1, 3).await;
        let server = bench.server("board-1", &[]).await;
        let activate = json!({"generation": 2, "attempt": 1, "revision": 1});
        assert_eq!(server.ok("POST", "/activate", activate).await["revision"], 3);
        assert_eq!(server.alarms(), 1);
    });
}

#[test]
fn an_owner_that_is_activated_above_itself_lets_its_sessions_go() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &["--save-time", "50ms"]).await;
        let (mut anna, _) = server.user("anna").await;
        anna.draw(1).await;
        sleep(Duration::from_millis(20)).await;
        // What was taken is saved first, under the term that took it.
        assert_eq!(server.ok("POST", "/activate", call(2, 2)).await["revision"], 1);
        assert_eq!(anna.closed().await, 1012);
        let (mut anna, _) = server.user_at(2, "anna").await;
        anna.draw(2).await;
        assert_eq!(anna.saved(2).await, 2);
    });
}

#[test]
fn every_call_needs_the_token() {
    on_every_store(async |bench: Bench| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "s3cret\n").unwrap();
        let server = bench
            .server("board-1", &["--control-token-file", file.to_str().unwrap()])
            .await;
        let get = async |token: Option<&str>| {
            let url = format!("http://{}/handover/v1/server", server.control.unwrap());
            let mut request = reqwest::Client::new().get(url);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.headers()["content-type"].clone())
        };
        for token in [None, Some("s3cre"), Some("s3cret2")] {
            let (status, kind) = get(token).await;
            assert_eq!(
                (status, kind.to_str().unwrap()),
                (401, "application/problem+json"),
                "{token:?}"
            );
        }
        assert_eq!(get(Some("s3cret")).await.0, 200);
    });
}

#[test]
fn without_a_token_the_control_api_is_not_open_to_others() {
    on_every_store(async |bench: Bench| {
        let flags = [
            "board-server",
            "--listen",
            "127.0.0.1:0",
            "--control-listen",
            "0.0.0.0:0",
            "--database",
        ];
        let options = Options::parse_from(flags.into_iter().chain([&*bench.database]));
        let refused = BoardServer::start(options).await;
        assert!(matches!(refused, Err(StartError::OpenControl(_))));
    });
}

#[test]
fn what_cannot_be_read_is_a_bad_request() {
    on_every_store(async |bench: Bench| {
        let server = bench.owner("board-1", &[]).await;
        let check = async |method, path: &str, body, status| {
            let (found, problem) = server.control(method, path, body).await;
            assert_eq!(
                (found, &problem["type"]),
                (status, &json!("about:blank")),
                "{method} {path}: {problem}"
            );
        };
        check("PUT", "/boards/b", json!({"generation": 1}), 400).await;
        check(
            "PUT",
            "/boards/b",
            json!({"generation": 1, "attempt": 1, "force": true}),
            400,
        )
        .await;
        check("PUT", "/boards/b", json!("x".repeat(5 * 1024 * 1024)), 413).await;
        check("PUT", "/boards/a%00b", call(1, 1), 400).await;
        check("DELETE", "/boards/b", Value::Null, 400).await;
        check("POST", "/boards/b", call(1, 1), 405).await;
        check("GET", "/nothing", Value::Null, 404).await;
    });
}

#[test]
fn a_server_on_its_way_out_takes_no_boards() {
    on_every_store(async |bench: Bench| {
        let mut server = bench.owner("board-1", &["--save-time", "1s"]).await;
        let (mut anna, _) = server.user("anna").await;
        anna.draw(1).await;
        eventually(async || server.listed().await.unwrap()["sessions"] == 1).await;
        let stopping = server.stop();
        eventually(async || server.control("GET", "/server", Value::Null).await.1["ready"] == false).await;
        server.refused("PUT", "", call(2, 2), "busy").await;
        server.refused("POST", "/activate", call(2, 2), "busy").await;
        assert_eq!(anna.saved(1).await, 1);
        drop(anna);
        stopping.await.unwrap();
        assert_eq!(bench.saved().await.len(), 1);
    });
}

impl Bench {
    /// Writes changes of a user `u` as an owner that has died since, up to this revision.
    async fn owner_writes(&self, generation: u64, up_to: u64) {
        let store = self.store().await;
        let generation = Generation::new(generation);
        let fence = store.fence(&self.board).await.unwrap();
        let owner = fence.map_or("dead/1".to_owned(), |fence| fence.owner);
        store.take_fence(&self.board, generation, &owner).await.unwrap();
        let (writer, task) = Writer::start(store, owner.into(), Fencing::Fenced);
        tokio::spawn(task);
        let writes = (1..=up_to).map(|number| Write::Change {
            revision: number,
            author: "u".into(),
            seq: number,
            body: r#"{"color":"red","points":[]}"#.to_owned(),
        });
        let writes = BoardWrites {
            board: self.board.clone(),
            generation,
            writes: writes.collect(),
        };
        writer.write(writes).await.unwrap();
    }
}
