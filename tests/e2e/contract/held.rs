//! What clients do while they are held: they ping, close, and vanish.

use std::sync::Arc;
use std::time::Duration;

use handover_protocol::admin::MoveReport;
use handover_tests::{Call, Heard, Program, Route, Trick, User, Way, eventually};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data};

use super::meddled::{Meddled, SOON};

/// Moves the board, with `meanwhile` between the stop of all sessions and the freeze.
async fn switch_with(stage: &Meddled, meanwhile: impl Future<Output = ()>) -> MoveReport {
    let go_on = Arc::new(Notify::new());
    let told = Arc::clone(&go_on);
    let hook = move || async move { told.notified().await };
    stage.source.control.lay(Call::Freeze, Trick::before(hook));
    let held = async {
        eventually("all sessions are held", SOON, || async {
            !stage.source.control.seen_of(Call::Freeze).is_empty()
        })
        .await;
        meanwhile.await;
        assert_eq!(stage.source.freezes_answered(), 0, "the hold ended too early");
        go_on.notify_one();
    };
    tokio::join!(stage.switch(), held).0
}

async fn start() -> Meddled {
    let route = Route::whiteboard().with("freeze_timeout", "\"4s\"");
    Meddled::start(Program::Reference, |server| server, &route).await
}

#[tokio::test]
async fn pings_of_a_hold_are_answered_in_order_and_reach_no_server() {
    let stage = start().await;
    let mut ann = stage.join("ann").await;
    // What the source has answered is not answered once more.
    ping(&mut ann, "before").await;
    assert_eq!(ann.hear(SOON).await, pong("before"));
    let report = switch_with(&stage, async {
        let passed = stage.source.traffic.passed(Way::Up);
        for number in 0..8 {
            ann.draw().await;
            ping(&mut ann, &format!("single {number}")).await;
            assert_eq!(ann.hear(SOON).await, pong(&format!("single {number}")));
        }
        for number in 0..8 {
            ping(&mut ann, &format!("of many {number}")).await;
        }
        for number in 0..8 {
            assert_eq!(ann.hear(SOON).await, pong(&format!("of many {number}")));
        }
        // A message that begins in the hold, with a Ping inside it and one without payload.
        ann.send_fragment(Data::Text, "begun ", false).await;
        ping(&mut ann, "inside").await;
        ann.send_fragment(Data::Continue, "and ended", true).await;
        ping(&mut ann, "").await;
        assert_eq!(ann.hear(SOON).await, pong("inside"));
        assert_eq!(ann.hear(SOON).await, pong(""));
        assert_eq!(stage.source.traffic.passed(Way::Up), passed, "the source got more");
    })
    .await;
    assert_eq!((report.switched, report.fallen_back), (1, 0), "{report:?}");
    // The target answers in order: a Ping that it got as well would have its Pong before this one.
    ping(&mut ann, "last").await;
    let (saved, pongs) = until_pong(&mut ann, "last").await;
    assert_eq!(pongs, ["last"]);
    for seq in saved.len() as u64 + 1..=9 {
        ann.saved(seq).await;
    }
    let changes = stage.database.changes("b").await;
    let taken: Vec<(i64, i64)> = changes.iter().map(|change| (change.seq, change.generation)).collect();
    assert_eq!(taken, (1..=9).map(|seq| (seq, 2)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_ping_whose_pong_a_move_cuts_off_is_answered_all_the_same() {
    for is_answered in [false, true] {
        let stage = start().await;
        let mut ann = stage.join("ann").await;
        if !is_answered {
            stage.source.traffic.dam(Way::Down, 0);
        }
        let passed = stage.source.traffic.passed(Way::Up);
        for payload in ["early", "later"] {
            ping(&mut ann, payload).await;
        }
        eventually("the source has the Pings", SOON, || async {
            stage.source.traffic.passed(Way::Up) == passed + 2 * (2 + 4 + 5)
        })
        .await;
        if is_answered {
            assert_eq!(until_pong(&mut ann, "later").await.1, ["early", "later"]);
        }
        // The source's Pongs stand behind its last counted message, the welcome.
        let report = stage.switch().await;
        assert_eq!((report.switched, report.fallen_back), (1, 0), "{report:?}");
        stage.source.traffic.open_dam(Way::Down);
        ping(&mut ann, "last").await;
        // Of several only the last needs an answer (RFC 6455 section 5.5.3).
        let expected: &[&str] = if is_answered { &["last"] } else { &["later", "last"] };
        assert_eq!(until_pong(&mut ann, "last").await.1, expected);
        assert_eq!(stage.switch_to(&stage.source).await.switched, 1);
        ping(&mut ann, "there and back").await;
        assert_eq!(until_pong(&mut ann, "there and back").await.1, ["there and back"]);
    }
}

#[tokio::test]
async fn a_close_of_a_hold_is_answered_and_the_others_are_told() {
    let stage = start().await;
    let mut bob = stage.join("bob").await;
    let mut ann = stage.join("ann").await;
    let report = switch_with(&stage, async {
        ann.draw().await;
        ann.send(Message::Close(Some(CloseFrame {
            code: CloseCode::Normal,
            reason: "enough".into(),
        })))
        .await;
    })
    .await;
    assert_eq!(report.fallen_back, 0, "{report:?}");
    let end = ann.hear_until_quiet(Duration::from_secs(5)).await;
    assert_eq!(end.last(), Some(&Heard::Closed(Some(1000))), "{end:?}");
    assert_eq!(of_ann(&mut bob, 2).await, ["ann drew", "ann left"]);
    assert_eq!(stage.database.changes("b").await[0].generation, 2);
}

#[tokio::test]
async fn a_client_that_vanishes_in_a_hold_is_reported_gone_by_the_target() {
    for has_drawn in [false, true] {
        let stage = start().await;
        let mut bob = stage.join("bob").await;
        let mut ann = stage.join("ann").await;
        let report = switch_with(&stage, async {
            if has_drawn {
                ann.draw().await;
            }
            drop(ann);
        })
        .await;
        assert_eq!(report.fallen_back, 0, "{has_drawn}: {report:?}");
        let expected: &[&str] = if has_drawn {
            &["ann drew", "ann left"]
        } else {
            &["ann left"]
        };
        assert_eq!(of_ann(&mut bob, expected.len()).await, expected, "{has_drawn}");
        let seq = bob.draw().await;
        bob.saved(seq).await;
        let generations: Vec<i64> = stage
            .database
            .changes("b")
            .await
            .iter()
            .map(|change| change.generation)
            .collect();
        assert_eq!(generations, vec![2; 1 + usize::from(has_drawn)], "{has_drawn}");
    }
}

/// Returns the next things that a user hears of ann, sorted: her last change is saved while her departure is told.
async fn of_ann(user: &mut User, count: usize) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.len() < count {
        match user.hear(SOON).await {
            Heard::Drawn { user, .. } => heard.push(format!("{user} drew")),
            Heard::Text(text) if text.contains("\"left\"") => {
                let body: serde_json::Value = serde_json::from_str(&text).expect("servers send JSON");
                heard.push(format!("{} left", body["user"].as_str().unwrap_or_default()));
            }
            Heard::Closed(code) => panic!("closed with {code:?}"),
            Heard::Text(_) | Heard::Welcome { .. } | Heard::Saved { .. } | Heard::Binary(_) | Heard::Pong(_) => {}
        }
    }
    heard.sort();
    heard
}

/// Listens until a Pong with this payload comes; returns the changes that were acknowledged and all Pongs.
async fn until_pong(user: &mut User, last: &str) -> (Vec<u64>, Vec<String>) {
    let (mut saved, mut pongs) = (Vec::new(), Vec::new());
    while pongs.last().is_none_or(|payload| payload != last) {
        match user.hear(SOON).await {
            Heard::Saved { seq, .. } => saved.push(seq),
            Heard::Pong(payload) => pongs.push(String::from_utf8_lossy(&payload).into_owned()),
            Heard::Welcome { .. } | Heard::Drawn { .. } | Heard::Text(_) | Heard::Binary(_) => {}
            Heard::Closed(code) => panic!("closed with {code:?}"),
        }
    }
    (saved, pongs)
}

async fn ping(user: &mut User, payload: &str) {
    user.send(Message::Ping(payload.to_owned().into())).await;
}

fn pong(payload: &str) -> Heard {
    Heard::Pong(payload.to_owned().into())
}
