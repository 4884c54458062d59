//! More than there is room for: newcomers are told or wait, those who are in are not touched, and it is counted.

use handover_tests::{Admin, Gateway, RawClient, Route, ScriptedOrigin};

use super::{HANDSHAKE, Stage, counted, only_status, values};

const MESSAGE: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'o', b'k'];

#[tokio::test]
async fn a_session_too_many_is_told_when_to_come_back_and_gets_in_once_there_is_room() {
    let stage = Stage::with(&Route::whiteboard(), "\n[limits]\nsessions_max = 2\n").await;
    let mut ann = stage.session().await;
    let bob = stage.session().await;
    for hits in [1.0, 2.0] {
        let answer = stage.ask(HANDSHAKE.as_bytes()).await;
        assert_eq!(only_status(&answer), Some(503), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("it has a head");
        let after = values(head, "retry-after");
        let seconds: Vec<u32> = after.iter().filter_map(|value| value.parse().ok()).collect();
        assert!(matches!(seconds[..], [seconds] if seconds > 0), "{head}");
        assert!(body.contains("\"overloaded\""), "{body}");
        counted(&stage, "sessions_max", hits).await;
    }
    assert_eq!(
        stage.origin.heard().len(),
        2,
        "nobody was dialled for those who had no room"
    );
    ann.say(MESSAGE).await;
    assert_eq!(stage.origin.behind_head(MESSAGE.len()).await, MESSAGE);
    drop(bob);
    handover_tests::eventually("there is room", super::SOON, || async {
        let mut cid = stage.client().await;
        cid.say(HANDSHAKE).await;
        only_status(&cid.head().await) == Some(101)
    })
    .await;
}

#[tokio::test]
async fn a_gateway_with_few_open_files_keeps_its_sessions_and_its_admin_api() {
    let origin = ScriptedOrigin::start().await;
    let gateway = Gateway::builder("r1").origin("board-1", "r1", origin.address());
    let gateway = gateway
        .route(&Route::whiteboard())
        .toml("\n[limits]\nhead_timeout = \"1h\"\n");
    let gateway = gateway.open_files(200).start().await;
    gateway.all_ready().await;
    let stage = Stage { origin, gateway };
    let mut ann = stage.session().await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(stage.client().await);
    }
    handover_tests::eventually("the bound bites", super::SOON, || async {
        stage.limit_hits("connections_max").await >= 1.0
    })
    .await;
    // A new connection to the admin API, not one that is open already.
    let address = stage.gateway.admin().url().trim_start_matches("http://");
    let admin = Admin::new(address.parse().expect("it is an address"));
    assert!(admin.answers("/livez").await);
    assert_eq!(stage.limit_hits("open_files").await, 0.0, "descriptors are left");
    ann.say(MESSAGE).await;
    assert_eq!(stage.origin.behind_head(MESSAGE.len()).await, MESSAGE);
    let log = stage.gateway.process().errors();
    assert!(log.contains("as many connections as there may be"), "{log}");
    let mut late = RawClient::connect(stage.gateway.traffic()).await;
    late.say(HANDSHAKE).await;
    crowd.clear();
    assert_eq!(only_status(&late.head().await), Some(101), "who waited is served");
}
