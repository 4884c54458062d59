//! More than there is room for: newcomers are told or wait, those who are in are not touched, and it is counted.

use std::collections::BTreeSet;

use handover_protocol::admin::{DrainMode, MoveRequest};
use handover_tests::{Admin, Gateway, RawClient, Route, ScriptedOrigin, eventually};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{HANDSHAKE, SOON, Stage, counted, only_status, values};

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
    eventually("there is room", SOON, || async {
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
    eventually("the bound bites", SOON, || async {
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
    let process = stage.gateway.process();
    process.logs("as many connections as there may be").await;
    process
        .logs("200 open files carry 68 connections, and limits.sessions_max is 100000")
        .await;
    let mut late = RawClient::connect(stage.gateway.traffic()).await;
    late.say(HANDSHAKE).await;
    crowd.clear();
    assert_eq!(only_status(&late.head().await), Some(101), "who waited is served");
}

/// Sets the bound on open files of a process that runs.
fn bound_open_files(stage: &Stage, files: u64) {
    let pid = i32::try_from(stage.gateway.process().pid()).expect("Linux has no greater ones");
    let bound = Rlimit {
        current: Some(files),
        maximum: Some(OPEN_FILES),
    };
    prlimit(Pid::from_raw(pid), Resource::Nofile, bound).expect("the process is ours");
}

/// Returns the lowest number that no open file of the gateway has; below it all are taken.
fn lowest_free_file(stage: &Stage) -> u64 {
    let files = std::fs::read_dir(format!("/proc/{}/fd", stage.gateway.process().pid())).expect("the gateway runs");
    let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    let taken: BTreeSet<u64> = numbers.collect();
    (0..)
        .find(|number| !taken.contains(number))
        .expect("there are more numbers than files")
}

#[tokio::test]
async fn a_gateway_that_runs_out_of_open_files_lives_on_and_recovers() {
    let origin = ScriptedOrigin::start().await;
    let gateway = Gateway::builder("r1").origin("board-1", "r1", origin.address());
    let gateway = gateway
        .route(&Route::whiteboard())
        .toml("\n[limits]\nhead_timeout = \"1h\"\n[health]\ninterval = \"200ms\"\ndown_after = \"1s\"\n");
    let gateway = gateway
        .open_files(u32::try_from(OPEN_FILES).expect("they are few"))
        .start()
        .await;
    gateway.all_ready().await;
    let stage = Stage { origin, gateway };
    let mut ann = stage.session().await;
    stage.origin.head().await;
    // Whatever else is still free is taken by those who say nothing.
    bound_open_files(&stage, lowest_free_file(&stage));
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(stage.client().await);
    }
    let mut late = stage.client().await;
    late.say(HANDSHAKE).await;
    // A new connection to the admin API each time, by the files that are kept for it.
    let address = stage.gateway.admin().url().trim_start_matches("http://");
    let hits = async || {
        let admin = Admin::new(address.parse().expect("it is an address"));
        assert!(admin.answers("/livez").await && admin.answers("/readyz").await);
        let metrics = admin.metrics().await.expect("it has metrics");
        metrics.value("handover_limit_hits_total", &[("limit", "open_files")])
    };
    eventually("nobody can be accepted", SOON, || async { hits().await >= Some(3.0) }).await;
    let process = stage.gateway.process();
    process.logs("the server could not be asked").await;
    // Twice the time after which a server that is silent is down, by the gateway's own count of tries.
    let before = hits().await.unwrap_or_default();
    eventually("it has tried again", SOON, || async {
        hits().await >= Some(before + 6.0)
    })
    .await;
    assert!(hits().await < Some(1000.0), "it tries and pauses");
    process.logs("are there too few file descriptors (LimitNOFILE)?").await;
    let servers = async || stage.gateway.admin().servers().await.expect("it lists them").servers;
    assert!(servers().await.iter().all(|server| server.ready), "none is to blame");
    for _ in 0..10 {
        ann.say(MESSAGE).await;
    }
    assert_eq!(stage.origin.behind_head(10 * MESSAGE.len()).await, MESSAGE.repeat(10));

    bound_open_files(&stage, OPEN_FILES);
    assert_eq!(only_status(&late.head().await), Some(101), "who waited is served");
    let servers = servers().await;
    assert!(servers.iter().all(|server| server.ready), "{servers:?}");
}

/// Takes every file that the gateway does not have open: one that it closes meanwhile would else be free for good.
async fn want_of_files_is_counted(stage: &Stage) {
    eventually("the want of a file is counted", SOON, || async {
        bound_open_files(stage, lowest_free_file(stage));
        stage.limit_hits("open_files").await >= 1.0
    })
    .await;
}

#[tokio::test]
async fn servers_that_cannot_be_asked_for_want_of_open_files_count_as_that() {
    let check = async |control: bool| {
        let origin = ScriptedOrigin::start().await;
        let report =
            r#"{"name":"board-1","incarnation":"i","release":"r1","capabilities":[],"ready":true,"open_boards":0}"#;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
        origin.will_answer(format!("{head}: {}\r\n\r\n{report}", report.len()));
        let url = format!("http://{}", origin.address());
        let control = if control {
            format!("control_url = \"{url}\"\n")
        } else {
            String::new()
        };
        let server = format!("\n[[servers]]\nname = \"board-1\"\nrelease = \"r1\"\nurl = \"{url}\"\n{control}");
        let gateway = Gateway::builder("r1").route(&Route::whiteboard()).toml(&server);
        let gateway = gateway.toml("[health]\ninterval = \"200ms\"\n");
        let files = u32::try_from(OPEN_FILES).expect("they are few");
        let gateway = gateway.open_files(files).start().await;
        gateway.all_ready().await;
        let stage = Stage { origin, gateway };
        // No client comes: only the server is asked.
        want_of_files_is_counted(&stage).await;
    };
    check(true).await;
    check(false).await;
}

#[tokio::test]
async fn a_target_that_cannot_be_tried_for_want_of_open_files_counts_as_that() {
    let (origin, target) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
    let gateway = Gateway::builder("r1")
        .origin("board-1", "r1", origin.address())
        .origin("board-2", "r2", target.address())
        .route(&Route::whiteboard());
    let gateway = gateway.toml("\n[health]\ninterval = \"10m\"\n");
    let files = u32::try_from(OPEN_FILES).expect("they are few");
    let gateway = gateway.open_files(files).start().await;
    gateway.all_ready().await;
    let stage = Stage { origin, gateway };
    let _ann = stage.session().await;
    bound_open_files(&stage, lowest_free_file(&stage));
    let request = MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode: DrainMode::Auto,
    };
    let report = stage.gateway.admin().move_board("b", &request).await;
    let report = report.expect("the gateway answers");
    assert!(!report.is_moved(), "{report:?}");
    counted(&stage, "open_files", 1.0).await;
}

/// Enough for everything that the test opens.
const OPEN_FILES: u64 = 400;
