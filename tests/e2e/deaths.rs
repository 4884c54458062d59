//! A server dies with its boards full of people: they are served again elsewhere, nothing that was acknowledged is
//! missing, and what comes back in the dead one's name owns nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handover_tests::{BoardServer, Database, Gateway, Program, Route, Scope, eventually, matrix};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::fleet::Pair;

/// Somebody who draws one stroke after the other, comes back at once when cut off, and says again what was not
/// acknowledged.
struct Person {
    board: String,
    name: String,
    saved: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Person {
    fn come(to: SocketAddr, board: String, name: String, stop: &CancellationToken) -> Self {
        let saved = Arc::new(AtomicU64::new(0));
        let (stop, counted, url) = (
            stop.clone(),
            Arc::clone(&saved),
            format!("ws://{to}/boards/{board}/ws?user={name}"),
        );
        let person = name.clone();
        let task = tokio::spawn(async move {
            while !stop.is_cancelled() {
                // A connection that breaks, in whatever way, is followed by the next.
                let _ = stop.run_until_cancelled(stay(&url, &person, &counted)).await;
                tokio::time::sleep(COME_BACK).await;
            }
        });
        Self {
            board,
            name,
            saved,
            task,
        }
    }

    fn saved(&self) -> u64 {
        self.saved.load(Ordering::Acquire)
    }
}

async fn stay(url: &str, name: &str, saved: &AtomicU64) -> Option<()> {
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.ok()?;
    let say = |value: Value| Message::text(value.to_string());
    socket.send(say(json!({"type": "hello", "user": name}))).await.ok()?;
    loop {
        let seq = saved.load(Ordering::Acquire) + 1;
        let stroke = json!({"type": "draw", "seq": seq, "color": "#2e86de", "points": [[1, 2], [3, 4]]});
        socket.send(say(stroke)).await.ok()?;
        loop {
            let Message::Text(text) = socket.next().await?.ok()? else {
                continue;
            };
            let heard: Value = serde_json::from_str(&text).ok()?;
            if heard["type"] == "saved" && heard["seq"] == seq {
                break;
            }
        }
        saved.store(seq, Ordering::Release);
        tokio::time::sleep(THINK).await;
    }
}

/// How the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its process is gone at once.
    Killed,
    /// It stands still with its sockets open, and may wake up much later.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_of_a_dead_server_is_served_again_and_nothing_acknowledged_is_missing() {
    for end in matrix("server that dies", vec![End::Killed, End::Stopped], |_| true) {
        check(end).await;
    }
}

async fn check(end: End) {
    let (boards, people_per_board) = match Scope::of_this_run() {
        Scope::Short => (20, 5),
        Scope::All => (200, 5),
    };
    let database = Database::fresh().await;
    let server = async |name: &str| {
        BoardServer::builder(Program::Reference, name, "r1", &database)
            .start()
            .await
    };
    let mut dying = server("board-1").await;
    let heir = server("board-2").await;
    let route = Route::whiteboard().with("close_code", "1012");
    let gateway = Gateway::builder("r1").server(&dying).server(&heir).route(&route);
    let gateway = gateway.start().await;
    gateway.all_ready().await;

    let stop = CancellationToken::new();
    let mut people = Vec::new();
    for number in 0..boards {
        for person in 0..people_per_board {
            let (board, name) = (format!("b{number}"), format!("p{number}-{person}"));
            people.push(Person::come(gateway.traffic(), board, name, &stop));
        }
    }
    let all_drew = |least: Vec<u64>| {
        let people = &people;
        move || {
            let drew = people.iter().zip(&least).all(|(person, least)| person.saved() > *least);
            async move { drew }
        }
    };
    eventually("everybody draws", SOON, all_drew(vec![1; people.len()])).await;
    let owned = gateway.admin().boards(Some("board-1")).await.expect("it lists").boards;
    assert!(owned.len() >= 5, "{end}: the boards were spread: {owned:?}");

    match end {
        End::Killed => dying.process().kill(),
        End::Stopped => dying.process().stop(),
    }
    let at_the_end = people.iter().map(Person::saved).collect();
    eventually("everybody draws again", SOON, all_drew(at_the_end)).await;
    assert!(
        gateway
            .admin()
            .boards(Some("board-1"))
            .await
            .expect("it lists")
            .boards
            .is_empty()
    );

    match end {
        End::Killed => dying.restart().await,
        End::Stopped => dying.process().resume(),
    }
    eventually("it is back", SOON, || async {
        let list = gateway.admin().servers().await.expect("the gateway lists its servers");
        list.servers.iter().all(|server| server.ready)
    })
    .await;
    let when_it_is_back = people.iter().map(Person::saved).collect();
    eventually("everybody goes on drawing", SOON, all_drew(when_it_is_back)).await;
    stop.cancel();

    let mut acknowledged: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for person in people {
        person.task.await.expect("a person does not panic");
        let saved = person.saved.load(Ordering::Acquire);
        acknowledged.entry(person.board).or_default().push((person.name, saved));
    }
    for (board, people) in acknowledged {
        let changes = database.changes(&board).await;
        for (name, saved) in people {
            let seqs: Vec<i64> = changes
                .iter()
                .filter(|change| change.author == name)
                .map(|change| change.seq)
                .collect();
            let expected: Vec<i64> = (1..=i64::try_from(seqs.len()).expect("they are few")).collect();
            assert_eq!(
                seqs, expected,
                "{end}: {name} on {board}: in order, none missing, none twice"
            );
            assert!(
                seqs.len() as u64 >= saved,
                "{end}: {name} was told that {saved} are saved"
            );
        }
        // Within the board's one order the terms follow each other, and each has one owner.
        let mut owners: BTreeMap<i64, &str> = BTreeMap::new();
        for pair in changes.windows(2) {
            assert!(pair[0].generation <= pair[1].generation, "{end}: {board}: {pair:?}");
        }
        for change in &changes {
            let owner = *owners.entry(change.generation).or_insert(&change.owner);
            assert_eq!(owner, change.owner, "{end}: {board} had two owners in a term");
        }
        let (_, holder) = database.fence(&board).await.expect("it has a fence");
        assert!(holder.starts_with("board-2/"), "{end}: {board} is at {holder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boards_of_an_opaque_server_go_elsewhere_once_somebody_says_that_it_is_dead() {
    let database = Database::fresh().await;
    let server = async |name: &str| {
        BoardServer::builder(Program::Reference, name, "r1", &database)
            .without_contract()
            .start()
            .await
    };
    let dying = server("opaque-1").await;
    let heir = server("opaque-2").await;
    let gateway = Gateway::builder("r1")
        .server(&dying)
        .server(&heir)
        .route(&Route::whiteboard());
    let mut gateway = gateway.start().await;
    gateway.all_ready().await;
    let stop = CancellationToken::new();
    let people: Vec<Person> = (0..4)
        .map(|number| Person::come(gateway.traffic(), format!("b{number}"), format!("p{number}"), &stop))
        .collect();
    let everybody_drew = |people: &[Person], least: u64| people.iter().all(|person| person.saved() > least);
    eventually("everybody draws", SOON, || async { everybody_drew(&people, 1) }).await;

    let refused = async |what: &str| {
        let (status, problem) = gateway.admin().post("/v1/servers/opaque-1/dead").await;
        assert_eq!(
            (status, &problem["type"]),
            (409, &json!("server-alive")),
            "{what}: {problem}"
        );
    };
    refused("it answers").await;
    gateway.admin().post("/v1/servers/opaque-1/cordon").await;
    refused("it answers, and is cordoned").await;
    gateway.admin().post("/v1/servers/opaque-1/uncordon").await;
    dying.process().kill();
    eventually("it counts as down", SOON, || async {
        gateway.admin().get("/v1/servers/opaque-1").await["state"] == "down"
    })
    .await;
    let boards = gateway.admin().boards(Some("opaque-1")).await.expect("it lists").boards;
    assert!(!boards.is_empty(), "nobody may give them away yet");
    let (status, report) = gateway.admin().post("/v1/servers/opaque-1/dead").await;
    assert_eq!(
        (status, report["boards"].as_u64()),
        (200, Some(boards.len() as u64)),
        "{report}"
    );
    let drawn: u64 = people.iter().map(Person::saved).max().unwrap_or_default();
    eventually("everybody draws again", SOON, || async {
        everybody_drew(&people, drawn)
    })
    .await;

    // What was said holds over a restart of the gateway, and until somebody says otherwise.
    gateway.restart().await;
    let server = gateway.admin().get("/v1/servers/opaque-1").await;
    assert_eq!(
        (&server["state"], &server["safe_to_terminate"]),
        (&json!("down"), &json!(true)),
        "{server}"
    );
    stop.cancel();
}

#[tokio::test]
async fn a_cordoned_server_keeps_what_it_has_and_gets_nothing_new_also_after_a_restart() {
    let pair = Pair::of_releases(["r1", "r1"], Duration::ZERO).await;
    let gateway = pair.gateway(&Route::whiteboard());
    let mut gateway = gateway.start().await;
    gateway.all_ready().await;
    let ann = handover_tests::User::join(gateway.traffic(), "before", "ann").await;
    let owner = gateway.admin().get("/v1/boards/before").await["server"].clone();
    let owner = owner.as_str().expect("it is owned").to_owned();
    let (status, view) = gateway.admin().post(&format!("/v1/servers/{owner}/cordon")).await;
    assert_eq!(
        (status, &view["state"], &view["ready"]),
        (200, &json!("cordoned"), &json!(false)),
        "{view}"
    );
    assert_eq!(
        (&view["safe_to_terminate"], &view["boards"]),
        (&json!(false), &json!(1))
    );
    for number in 0..4 {
        let board = format!("after{number}");
        drop(handover_tests::User::join(gateway.traffic(), &board, "ann").await);
        assert_ne!(
            gateway.admin().get(&format!("/v1/boards/{board}")).await["server"],
            json!(owner)
        );
    }
    assert_eq!(gateway.admin().get("/v1/boards/before").await["server"], json!(owner));
    drop(ann);
    gateway.restart().await;
    assert_eq!(
        gateway.admin().get(&format!("/v1/servers/{owner}")).await["reason"],
        "an operator has closed it to new boards"
    );
    gateway.admin().post(&format!("/v1/servers/{owner}/uncordon")).await;
    eventually("it is ready again", SOON, || async {
        gateway.admin().get(&format!("/v1/servers/{owner}")).await["state"] == "ready"
    })
    .await;
    let (status, problem) = gateway.admin().post("/v1/servers/board-9/cordon").await;
    assert_eq!((status, &problem["type"]), (404, &json!("unknown-server")));
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);

/// A person who was cut off is back before one could say so.
const COME_BACK: Duration = Duration::from_millis(20);

/// Between two strokes.
const THINK: Duration = Duration::from_millis(50);
