//! Board servers that are reached over TLS: what a move promises holds, and who is not believed is shown so.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use handover_loadtest::report::in_words;
use handover_loadtest::scenario::{AdminClient, Load, Run, Stand};
use handover_loadtest::user::{Endpoint, Resend};
use handover_protocol::admin::{DrainRequest, ServerState, ServerView};
use handover_tests::{Authority, BoardServer, BoardServerBuilder, Database, Gateway, Program, Route, User, eventually};
use serde_json::json;

mod origin;

/// Two servers over TLS, of the releases r1 and r2, which want to see a certificate of the same authority.
struct Stage {
    database: Database,
    authority: Authority,
    servers: [BoardServer; 2],
    gateway: Gateway,
}

async fn stage(route: &Route, change: impl Fn(BoardServerBuilder) -> BoardServerBuilder) -> Stage {
    let database = Database::fresh().await;
    let authority = Authority::new("ours");
    let shown = authority.issue("127.0.0.1");
    let server = async |name: &str, release: &str| {
        let server = BoardServer::builder(Program::Reference, name, release, &database).tls(&shown);
        change(server.demanding(&authority)).start().await
    };
    let servers = [server("board-1", "r1").await, server("board-2", "r2").await];
    let client = authority.issue("gateway");
    let keys = format!(
        "ca_file = {:?}\nclient_certificate_file = {:?}\nclient_key_file = {:?}",
        authority.file(),
        client.certificate,
        client.key
    );
    let gateway = Gateway::builder("r1")
        .server_with(&servers[0], &keys)
        .server_with(&servers[1], &keys)
        .route(route)
        .start()
        .await;
    gateway.all_ready().await;
    Stage {
        database,
        authority,
        servers,
        gateway,
    }
}

/// Has users draw all through a drain from r1 to r2, and has the ledger judge.
async fn draw_through_a_move(stage: &Stage, mode: &str, resend: Resend) {
    let stand = Stand {
        endpoint: Endpoint::plain(&stage.gateway.traffic().to_string()),
        admin: Some(AdminClient::new(stage.gateway.admin().url())),
        database: stage.database.url(),
    };
    let load = Load {
        scenario: "release",
        sessions: 20,
        boards: 4,
        idle_boards: 1,
        rate: 100.0,
        pad_bytes: 20_000,
        silent: 0,
        stuck: 0,
        resend,
        prefix: String::new(),
    };
    let mut run = Run::begin(stand, load).await.expect("everybody is let in");
    let progress = run.progress();
    let more_is_saved = async || {
        let before = progress.acked.load(Relaxed);
        eventually("more is saved", SOON, || async {
            progress.acked.load(Relaxed) >= before + 40
        })
        .await;
    };
    more_is_saved().await;
    let request = json!({"from": {"release": "r1"}, "to": {"release": "r2"}, "mode": mode});
    let request: DrainRequest = serde_json::from_value(request).expect("it is what the API takes");
    run.release(request, LIMIT, |_| {}).await.expect("the drain ends");
    more_is_saved().await;
    let report = run.finish().await.expect("the database can be read");
    assert!(report.is_ok(), "{mode}: {}", in_words(&report));
    let release = report.release.as_ref().expect("there was one");
    assert_eq!((release.boards_moved, release.boards_failed), (5, 0), "{mode}");
    assert_eq!(release.fallen_back_sessions, 0, "{mode}: {}", in_words(&report));
}

#[tokio::test]
async fn nothing_is_lost_in_a_transparent_move_between_servers_of_tls() {
    let stage = stage(&Route::whiteboard().with("greeting", "{ messages = 1 }"), |server| {
        server
    })
    .await;
    draw_through_a_move(&stage, "transparent", Resend::Never).await;
    let metrics = stage.gateway.admin().metrics().await.expect("the gateway answers");
    let name = "handover_server_tls_handshakes_total";
    let resumed = metrics.value(name, &[("server", "board-2"), ("outcome", "resumed")]);
    assert!(resumed.is_some_and(|count| count > 0.0), "{}", metrics.text());
    for outcome in ["name", "authority", "expired", "certificate", "refused", "protocol"] {
        let count = metrics.value(name, &[("server", "board-2"), ("outcome", outcome)]);
        assert_eq!(count, Some(0.0), "{outcome}");
    }
}

#[tokio::test]
async fn nothing_is_lost_in_a_move_by_reconnect_between_servers_of_tls() {
    let stage = stage(&Route::whiteboard(), |server| server).await;
    draw_through_a_move(&stage, "reconnect", Resend::Unacknowledged).await;
}

#[tokio::test]
async fn nothing_is_lost_in_a_transparent_move_between_opaque_servers_of_tls() {
    let route = Route::whiteboard()
        .with("mode", "\"transparent\"")
        .with("replay", "{ first = 1, await_answer = true }")
        .with("greeting", "{ messages = 1 }")
        .with("settle", "\"200ms\"")
        .with("quiet_max", "\"2s\"");
    let stage = stage(&route, BoardServerBuilder::without_contract).await;
    let mut ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    let mut last = 0;
    for _ in 0..5 {
        last = ann.draw_padded(20_000).await;
        ann.saved(last).await;
    }
    let to = "board-2".parse().expect("a good name");
    let mode = handover_protocol::admin::DrainMode::Transparent;
    let request = handover_protocol::admin::MoveRequest { to, mode };
    let moved = stage.gateway.admin().move_board("b", &request).await;
    let moved = moved.expect("the gateway answers");
    assert!(moved.is_moved(), "{moved:?}");
    assert_eq!((moved.switched, moved.reconnected), (1, 0), "{moved:?}");
    assert!(stage.servers[0].process().is_running());
    let seq = ann.draw().await;
    ann.saved(seq).await;
    let seqs: Vec<i64> = stage
        .database
        .changes("b")
        .await
        .iter()
        .map(|change| change.seq)
        .collect();
    let expected: Vec<i64> = (1..=i64::try_from(last).expect("they are few") + 1).collect();
    assert_eq!(seqs, expected, "once and in order");
}

#[tokio::test]
async fn large_bodies_pass_both_ways_over_tls() {
    let stage = stage(
        &Route::whiteboard().with("board", "{ path = \"/boards/{board}/**\" }"),
        |server| server,
    )
    .await;
    let body: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|place| (place % 251) as u8).collect();
    let client = reqwest::Client::new();
    let url = format!("http://{}/boards/b/echo", stage.gateway.traffic());
    for _ in 0..2 {
        let answer = client
            .post(&url)
            .body(body.clone())
            .send()
            .await
            .expect("the gateway answers");
        assert_eq!(answer.status(), 200);
        let echoed = answer.bytes().await.expect("the answer is whole");
        assert!(echoed == body, "the body came back as it was sent");
    }
}

/// Returns how the gateway sees a server.
async fn view(gateway: &Gateway, name: &str) -> ServerView {
    let list = gateway.admin().servers().await.expect("the gateway lists its servers");
    let found = list.servers.into_iter().find(|server| server.name.as_str() == name);
    found.expect("it is named")
}

/// Waits until a server is shown as down for a reason with these words.
async fn shown_as(gateway: &Gateway, name: &str, words: &str) {
    eventually(&format!("{name} is down: {words}"), SOON, || async {
        let server = view(gateway, name).await;
        server.state == ServerState::Down && server.reason.is_some_and(|reason| reason.contains(words))
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_believed_is_shown_with_the_check_that_failed() {
    let database = Database::fresh().await;
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let opaque = async |name: &str, shown: &handover_tests::Issued| {
        let server = BoardServer::builder(Program::Reference, name, "r1", &database).tls(shown);
        server.without_contract().start().await
    };
    let here = ours.issue("127.0.0.1");
    let contract = BoardServer::builder(Program::Reference, "demanding", "r1", &database).tls(&here);
    let servers = [
        opaque("good", &here).await,
        opaque("stranger", &theirs.issue("127.0.0.1")).await,
        opaque("elsewhere", &ours.issue("board-1.internal")).await,
        opaque("expired", &ours.issue_until("127.0.0.1", 2001)).await,
        contract.demanding(&ours).start().await,
    ];
    let keys = format!("ca_file = {:?}", ours.file());
    let mut builder = Gateway::builder("r1").route(&Route::whiteboard());
    for server in &servers {
        builder = builder.server_with(server, &keys);
    }
    let gateway = builder.start().await;
    eventually("the good one is ready", SOON, || async {
        view(&gateway, "good").await.ready
    })
    .await;
    shown_as(&gateway, "stranger", "ca_file").await;
    shown_as(
        &gateway,
        "elsewhere",
        "for board-1.internal, not for 127.0.0.1; set server_name",
    )
    .await;
    shown_as(&gateway, "expired", "has expired").await;
    shown_as(&gateway, "demanding", "client_certificate_file").await;
    let metrics = gateway.admin().metrics().await.expect("the gateway answers");
    for (server, outcome) in [
        ("stranger", "authority"),
        ("elsewhere", "name"),
        ("expired", "expired"),
        ("demanding", "refused"),
    ] {
        let labels = [("server", server), ("outcome", outcome)];
        let count = metrics.value("handover_server_tls_handshakes_total", &labels);
        assert!(count.is_some_and(|count| count > 0.0), "{server} {outcome}");
    }
    // Named anew with what was missing, through the API.
    drop(gateway);
    let client = ours.issue("gateway");
    let gateway = Gateway::builder("r1")
        .server_with(&servers[0], &keys)
        .route(&Route::whiteboard())
        .start()
        .await;
    let put = async |name: &str, body: serde_json::Value| {
        let path = format!("/v1/servers/{name}");
        gateway.admin().call(reqwest::Method::PUT, &path, Some(&body)).await
    };
    let url = |server: &BoardServer| format!("https://{}", server.traffic());
    let elsewhere = json!({
        "url": url(&servers[2]), "release": "r1", "ca_file": ours.file(), "server_name": "board-1.internal"
    });
    assert_eq!(put("elsewhere", elsewhere).await.0, 201);
    let demanding = json!({
        "url": url(&servers[4]),
        "control_url": format!("https://{}", servers[4].control().expect("it has the contract")),
        "control_token_file": servers[4].token_file(),
        "release": "r1",
        "ca_file": ours.file(),
        "client_certificate_file": client.certificate,
        "client_key_file": client.key,
    });
    let (status, named) = put("demanding", demanding.clone()).await;
    assert_eq!(
        (status, &named["tls"]["client_key_file"]),
        (201, &json!(client.key)),
        "{named}"
    );
    gateway.all_ready().await;
    let mut wrong = demanding;
    wrong["client_key_file"] = json!(here.key);
    let (status, problem) = put("demanding", wrong).await;
    assert_eq!(
        (status, &problem["type"]),
        (422, &json!("impossible-server")),
        "{problem}"
    );
}

#[tokio::test]
async fn another_authority_is_taken_at_a_reload_and_takes_nobodys_boards() {
    let Stage {
        authority,
        servers,
        gateway,
        database: _database,
    } = stage(&Route::whiteboard(), |server| server).await;
    let mut ann = User::join(gateway.traffic(), "b", "ann").await;
    let good = authority.pem();
    let write = |text: &str| std::fs::write(authority.file(), text).expect("the directory is there");

    // What cannot be read changes nothing.
    write("nothing");
    let (code, problem) = gateway.admin().post("/v1/config/reload").await;
    assert_eq!((code, &problem["type"]), (422, &json!("config-invalid")), "{problem}");
    assert!(view(&gateway, "board-1").await.ready);

    // Another authority: both servers are not believed any more, and keep what they have.
    write(&Authority::new("theirs").pem());
    let (code, answer) = gateway.admin().post("/v1/config/reload").await;
    assert_eq!(code, 200, "{answer}");
    for server in &servers {
        shown_as(&gateway, server.name(), "ca_file").await;
    }
    // Longer than a server that is silent has until it counts as dead: three rounds of polls that all fail.
    let polls = failed_polls(&gateway).await;
    eventually("it was asked some times more", SOON, || async {
        failed_polls(&gateway).await >= polls + 6.0
    })
    .await;
    let board = gateway.admin().board("b").await.expect("it is open");
    assert_eq!(board.server.expect("it has an owner").as_str(), "board-1");
    let seq = ann.draw().await;
    ann.saved(seq).await;

    write(&good);
    gateway.process().hang_up();
    gateway.all_ready().await;
    let seq = ann.draw().await;
    ann.saved(seq).await;
    User::join(gateway.traffic(), "b", "bob").await;
}

async fn failed_polls(gateway: &Gateway) -> f64 {
    let metrics = gateway.admin().metrics().await.expect("the gateway answers");
    let labels = [("server", "board-1"), ("outcome", "authority")];
    metrics
        .value("handover_server_tls_handshakes_total", &labels)
        .expect("it is there from the start")
}

#[tokio::test]
async fn the_probe_speaks_tls_to_both_servers() {
    let stage = stage(&Route::whiteboard(), |server| server).await;
    let client = stage.authority.issue("gateway");
    let text = |path: &PathBuf| path.display().to_string();
    let mut args: Vec<String> = ["probe", "--url", "wss://app.example/boards/{board}/ws"]
        .map(str::to_owned)
        .into();
    for server in &stage.servers {
        let control = server.control().expect("it has the contract");
        args.extend(["--server".to_owned(), format!("wss://{}", server.traffic())]);
        args.extend(["--control".to_owned(), format!("https://{control}")]);
        args.extend(["--control-token-file".to_owned(), text(&server.token_file())]);
    }
    for said in [
        r#"{"type":"hello","user":"probe"}"#,
        r##"{"type":"draw","seq":1,"color":"#000","points":[[0,0],[1,1]]}"##,
    ] {
        args.extend(["--send".to_owned(), said.to_owned()]);
    }
    let shell = handover_tests::Shell::new("http://127.0.0.1:1");
    let probe = async |more: &[String]| {
        let all: Vec<&str> = args.iter().chain(more).map(String::as_str).collect();
        shell.run(&all).await
    };
    let ca = ["--ca-file".to_owned(), text(&stage.authority.file())];
    let without = probe(&ca).await;
    assert_eq!(without.code, 1, "{without:?}");
    assert!(
        format!("{without:?}").contains("client_certificate_file"),
        "{without:?}"
    );
    let shown = ["--client-certificate", "--client-key"].map(str::to_owned);
    let [certificate, key] = shown;
    let mut all = ca.to_vec();
    all.extend([certificate, text(&client.certificate), key, text(&client.key)]);
    all.extend(["--expect", "transparent"].map(str::to_owned));
    let ran = probe(&all).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);

/// By when a drain must have ended.
const LIMIT: Duration = Duration::from_secs(120);
