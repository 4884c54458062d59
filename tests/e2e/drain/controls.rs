//! What an operator does to a drain that is half way: pause, resume, take back; and what it does by itself at its
//! deadline, or when a target falls over.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use handover_protocol::admin::{BoardState, DrainEvent, DrainState, PausedBy};
use handover_protocol::contract::BoardRole;
use handover_tests::{BoardServer, Contract, Program, Route, User, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Fleet, SOON, r1_to_r2};

/// Draws with everybody, over the sockets that they have had from the start.
async fn draw(users: &mut [User]) {
    for user in users {
        let seq = user.draw().await;
        user.saved(seq).await;
    }
}

#[tokio::test]
async fn a_paused_drain_moves_nobody_until_it_is_resumed() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
    let mut users = fleet.users(12).await;
    fleet.drain(r1_to_r2(5.0)).await;
    fleet
        .wait_for("some boards have moved", |status| status.boards.moved >= 3)
        .await;
    let paused = fleet.ask("pause").await;
    assert_eq!(
        (&paused["state"], &paused["paused_by"]),
        (&json!("paused"), &json!("operator")),
        "{paused}"
    );
    let before = fleet
        .wait_for("moves under way have ended", |status| status.boards.moving == 0)
        .await;
    draw(&mut users).await;
    // What would have moved three boards.
    let mut other = r1_to_r2(5.0);
    other["id"] = json!("other");
    let (_, plan) = fleet.post("/v1/plans", Some(&other)).await;
    assert_eq!(plan["acceptable"], false, "a paused drain keeps its servers: {plan}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(fleet.status().await.boards, before.boards);
    assert!(
        fleet.ask("resume").await["waits_for"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    let status = fleet.wait_for("it ends", |status| status.done).await;
    assert_eq!(
        (status.state, status.boards.moved),
        (DrainState::Done, 12),
        "{status:?}"
    );
    draw(&mut users).await;
    let (status, problem) = fleet.post("/v1/drains/d/pause", None).await;
    assert_eq!((status, &problem["type"]), (409, &json!("drain-ended")));
}

#[tokio::test]
async fn an_undo_brings_everybody_back_to_sources_that_were_kept_warm() {
    let mut fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
    let mut users = fleet.users(12).await;
    draw(&mut users).await;
    let mut request = r1_to_r2(6.0);
    request["undo_window_seconds"] = json!(600);
    fleet.drain(request).await;
    fleet
        .wait_for("half of it is done", |status| status.boards.moved >= 6)
        .await;
    draw(&mut users).await;
    let source = Contract::of(&fleet.servers[0]);
    eventually("what has left the source is kept warm there", SOON, || async {
        let page = source.boards(None, 100).await.expect("it lists");
        page.boards
            .iter()
            .filter(|board| board.role == BoardRole::Standby)
            .count()
            >= 6
    })
    .await;
    let undoing = fleet.ask("undo").await;
    assert_eq!(undoing["state"], "undoing", "{undoing}");
    // A gateway that dies meanwhile goes on with it.
    fleet.gateway.restart().await;
    let status = fleet.wait_for("it has been taken back", |status| status.done).await;
    assert_eq!(
        (status.state, status.undone),
        (DrainState::Undone, status.boards.moved),
        "{status:?}"
    );
    assert_eq!(fleet.owners().await, [12, 0]);
    let newcomer = User::join(fleet.gateway.traffic(), "new", "cid").await;
    assert_eq!(fleet.owners().await, [13, 0], "new boards go to the old release again");
    drop(newcomer);
    let (status, again) = fleet.post("/v1/drains/d/undo", None).await;
    assert_eq!(
        (status, &again["state"]),
        (202, &json!("undone")),
        "it is safe to repeat"
    );
}

#[tokio::test]
async fn what_happens_at_the_deadline_is_what_was_asked_for() {
    for policy in ["stop", "pause", "hurry", "continue"] {
        let fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
        let mut users = fleet.users(6).await;
        let mut request = r1_to_r2(1.0);
        request["deadline_seconds"] = json!(2);
        request["on_deadline"] = json!(policy);
        fleet.drain(request).await;
        let status = fleet
            .wait_for("the deadline passes", |status| status.deadline_passed)
            .await;
        assert!(status.boards.moved < 6, "{policy}: {status:?}");
        match policy {
            "stop" => {
                let status = fleet.wait_for("it stops", |status| status.done).await;
                assert_eq!(status.state, DrainState::Failed, "{status:?}");
                assert!(status.boards.left > 0, "{status:?}");
                assert_eq!(status.waits_for[0].reason, "deadline");
            }
            "pause" => {
                let status = fleet
                    .wait_for("it pauses", |status| status.state == DrainState::Paused)
                    .await;
                assert_eq!(status.paused_by, Some(PausedBy::Deadline));
                fleet.ask("resume").await;
                fleet
                    .wait_for("it ends", |status| status.state == DrainState::Done)
                    .await;
            }
            _ => {
                let status = fleet.wait_for("it ends", |status| status.done).await;
                assert_eq!(
                    (status.state, status.boards.moved),
                    (DrainState::Done, 6),
                    "{policy}: {status:?}"
                );
            }
        }
        draw(&mut users).await;
    }
}

#[tokio::test]
async fn a_target_that_falls_over_stops_the_drain_before_the_next_board() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
    let _users = fleet.users(20).await;
    fleet.drain(r1_to_r2(2.0)).await;
    fleet
        .wait_for("some boards have moved", |status| status.boards.moved >= 2)
        .await;
    fleet.servers[1].process().stop();
    let status = fleet
        .wait_for("it pauses", |status| status.state == DrainState::Paused)
        .await;
    assert_eq!(status.paused_by, Some(PausedBy::TargetDown), "{status:?}");
    assert!(
        status.waits_for[0].detail.starts_with("board-2 stopped being ready"),
        "{status:?}"
    );
    assert!(status.boards.left >= 10, "{status:?}");
    fleet.servers[1].process().resume();
    eventually("the target is back", SOON, || async {
        let list = fleet.gateway.admin().servers().await.expect("it lists");
        list.servers.iter().all(|server| server.ready)
    })
    .await;
    fleet.ask("resume").await;
    let status = fleet.wait_for("it ends", |status| status.done).await;
    assert_eq!((status.state, status.boards.left), (DrainState::Done, 0), "{status:?}");
}

#[tokio::test]
async fn of_two_starts_at_once_one_wins_and_a_repeated_one_finds_its_drain() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
    let _users = fleet.users(4).await;
    let start = |id: &str| {
        let mut request = r1_to_r2(1.0);
        request["id"] = json!(id);
        request
    };
    let (one, other) = (start("one"), start("other"));
    let (one, other) = tokio::join!(
        fleet.post("/v1/drains", Some(&one)),
        fleet.post("/v1/drains", Some(&other))
    );
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409], "{one:?} {other:?}");
    let (winner, loser) = if one.0 == 202 {
        (one.1, other.1)
    } else {
        (other.1, one.1)
    };
    assert_eq!(
        (&loser["type"], &loser["drain"]),
        (&json!("drain-conflict"), &winner["id"])
    );

    let mut anonymous = r1_to_r2(1.0);
    anonymous.as_object_mut().expect("it is an object").remove("id");
    fleet
        .post(
            &format!("/v1/drains/{}/abort", winner["id"].as_str().expect("it has an id")),
            None,
        )
        .await;
    eventually("it is over", SOON, || async {
        let list: Value = fleet.gateway.admin().get("/v1/drains").await;
        list["drains"]
            .as_array()
            .is_some_and(|drains| drains.iter().all(|drain| drain["done"] == true))
    })
    .await;
    let url = format!("{}/v1/drains", fleet.gateway.admin().url());
    let keyed = |body: Value| {
        let request = reqwest::Client::new()
            .post(&url)
            .header("Idempotency-Key", "\"pipeline-7\"");
        async move { request.json(&body).send().await.expect("the admin API answers") }
    };
    let first: Value = keyed(anonymous.clone()).await.json().await.expect("it answers JSON");
    let again: Value = keyed(anonymous.clone()).await.json().await.expect("it answers JSON");
    assert_eq!(first["id"], again["id"], "{first} {again}");
    anonymous["mode"] = json!("reconnect");
    let mismatch = keyed(anonymous).await;
    assert_eq!(mismatch.status().as_u16(), 422);
}

#[tokio::test]
async fn a_reader_of_events_misses_none_and_takes_up_where_it_broke_off() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
    let _users = fleet.users(10).await;
    fleet.drain(r1_to_r2(5.0)).await;
    let (mut events, mut last) = (Vec::new(), None);
    // The reader breaks off behind each third event.
    loop {
        let (some, is_over) = read_events(&fleet, last.as_deref(), 3).await;
        last = some.last().map(|(id, _)| id.clone()).or(last);
        events.extend(some);
        if is_over {
            break;
        }
    }
    let ids: Vec<u64> = events
        .iter()
        .map(|(id, _)| id.parse().expect("ids are numbers"))
        .collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let moved: HashSet<String> = events
        .iter()
        .filter_map(|(_, event)| match event {
            DrainEvent::Move { report, .. } if report.is_moved() => Some(report.board.to_string()),
            DrainEvent::Move { .. } | DrainEvent::State { .. } | DrainEvent::Progress { .. } => None,
        })
        .collect();
    assert_eq!(moved.len(), 10, "{events:?}");
    assert!(matches!(&events[0].1, DrainEvent::State { status } if status.state == DrainState::Running));
    let (_, end) = events.last().expect("there are some");
    assert!(
        matches!(end, DrainEvent::State { status } if status.state == DrainState::Done),
        "{end:?}"
    );
    let behind = open_events(&fleet, last.as_deref()).await;
    assert_eq!(behind.status().as_u16(), 204, "that tells browsers to stop");
}

async fn open_events(fleet: &Fleet, after: Option<&str>) -> reqwest::Response {
    let url = format!("{}/v1/drains/d/events", fleet.gateway.admin().url());
    let mut request = reqwest::Client::new().get(url);
    if let Some(after) = after {
        request = request.header("Last-Event-ID", after);
    }
    request.send().await.expect("the admin API answers")
}

/// Reads at most so many events, with their ids; true where the stream ended by itself.
async fn read_events(fleet: &Fleet, after: Option<&str>, most: usize) -> (Vec<(String, DrainEvent)>, bool) {
    let answer = open_events(fleet, after).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = answer.bytes_stream();
    let (mut text, mut events) = (String::new(), Vec::new());
    while events.len() < most {
        let Some(bytes) = stream.next().await else {
            return (events, true);
        };
        text.push_str(&String::from_utf8_lossy(&bytes.expect("the stream is whole")));
        while let Some((block, rest)) = text.split_once("\n\n") {
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim_start().to_owned())
            };
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                events.push((id, serde_json::from_str(&data).expect("it is an event")));
            }
            text = rest.to_owned();
        }
    }
    let is_over = matches!(events.last(), Some((_, DrainEvent::State { status })) if status.done);
    (events, is_over)
}

#[tokio::test]
async fn a_target_that_is_full_pauses_nothing_and_says_so() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
    let _users = fleet.users(6).await;
    let second = BoardServer::builder(Program::Reference, "board-3", "r2", &fleet.database)
        .start()
        .await;
    let naming = |capacity: u64| {
        json!({
            "url": format!("http://{}", second.traffic()),
            "control_url": format!("http://{}", second.control().expect("it has the contract")),
            "control_token_file": second.token_file(),
            "release": "r2",
            "capacity": capacity,
        })
    };
    let name = async |capacity: u64| {
        let (status, view) = fleet
            .gateway
            .admin()
            .call(Method::PUT, "/v1/servers/board-3", Some(&naming(capacity)))
            .await;
        assert!(status < 300, "{view}");
    };
    name(2).await;
    fleet.gateway.all_ready().await;
    let mut request = r1_to_r2(0.0);
    request["to"] = json!({"servers": ["board-3"]});
    let (_, plan) = fleet.post("/v1/plans", Some(&request)).await;
    let problem = &plan["problems"][0];
    assert_eq!(
        (&problem["reason"], &problem["boards"]),
        (&json!("targets_full"), &json!(4)),
        "{plan}"
    );
    fleet.drain(request).await;
    let status = fleet
        .wait_for("it says what it waits for", |status| {
            status.waits_for.iter().any(|wait| wait.reason == "targets_full")
        })
        .await;
    assert_eq!(
        (status.state, status.boards.moved, status.boards.left),
        (DrainState::Running, 2, 4),
        "{status:?}"
    );
    name(6).await;
    let status = fleet.wait_for("there is room now", |status| status.done).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 6), "{status:?}");
}

#[tokio::test]
async fn a_drain_waits_for_a_board_that_is_on_its_way_to_its_source() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::from_secs(2)).await;
    let mut users = vec![User::join(fleet.gateway.traffic(), "b", "ann").await];
    draw(&mut users).await;
    let order = json!({"to": "board-2"});
    let carried = fleet.post("/v1/boards/b/move", Some(&order));
    let drained = async {
        eventually("the board is on its way", SOON, || async {
            fleet.gateway.admin().board("b").await.expect("it is known").state == BoardState::Moving
        })
        .await;
        let mut request = r1_to_r2(0.0);
        (request["from"], request["to"]) = (json!({"servers": ["board-2"]}), json!({"servers": ["board-1"]}));
        fleet.drain(request).await;
        fleet.wait_for("it ends", |status| status.done).await
    };
    let ((_, report), status) = tokio::join!(carried, drained);
    assert_eq!(report["result"], "moved", "{report}");
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 1), "{status:?}");
    assert_eq!(fleet.owners().await, [1, 0], "nothing came to it behind its end");
    draw(&mut users).await;
}

#[tokio::test]
async fn a_change_whose_caller_hangs_up_is_carried_out_and_audited() {
    let fleet = Fleet::start(Route::whiteboard(), Duration::from_secs(2)).await;
    let mut users = vec![User::join(fleet.gateway.traffic(), "b", "ann").await];
    draw(&mut users).await;
    let url = format!("{}/v1/boards/b/move", fleet.gateway.admin().url());
    let call = reqwest::Client::new().post(url).json(&json!({"to": "board-2"}));
    let calling = tokio::spawn(call.send());
    eventually("the move is under way", SOON, || async {
        let view = fleet.gateway.admin().board("b").await.expect("it is known");
        view.state == BoardState::Moving
    })
    .await;
    calling.abort();
    assert!(calling.await.is_err_and(|error| error.is_cancelled()), "it hangs up");
    eventually("the move is audited", SOON, || async {
        let log = fleet.gateway.process().errors();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.any(|line| line["target"] == "audit" && line["path"] == "/v1/boards/b/move" && line["status"] == 200)
    })
    .await;
    assert_eq!(fleet.owners().await, [0, 1]);
    draw(&mut users).await;
}
