//! The probe against every board server: what it promises is what a move then keeps.

use std::fmt;
use std::time::Duration;

use handover_protocol::admin::{DrainMode, MoveRequest};
use handover_tests::{BoardServer, Database, Gateway, Heard, Program, Shell, User};
use serde_json::Value;

/// A server program, with or without the contract.
#[derive(Debug, Clone, Copy)]
struct Case {
    program: Program,
    has_contract: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {}",
            self.program,
            if self.has_contract { "contract" } else { "opaque" }
        )
    }
}

async fn servers(case: Case, database: &Database) -> [BoardServer; 2] {
    let server = async |name: &str, release: &str| {
        let builder = BoardServer::builder(case.program, name, release, database);
        let builder = if case.has_contract {
            builder
        } else {
            builder.without_contract()
        };
        builder.start().await
    };
    [server("board-1", "r1").await, server("board-2", "r2").await]
}

fn arguments(servers: &[BoardServer; 2], script: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = ["probe", "--url", "ws://app.example/boards/{board}/ws"]
        .map(str::to_owned)
        .into();
    for server in servers {
        args.extend(["--server".to_owned(), format!("http://{}", server.traffic())]);
        if let Some(control) = server.control() {
            args.extend(["--control".to_owned(), format!("http://{control}")]);
            args.extend([
                "--control-token-file".to_owned(),
                server.token_file().display().to_string(),
            ]);
        }
    }
    for text in script {
        args.extend(["--send".to_owned(), (*text).to_owned()]);
    }
    args
}

async fn probe(args: &[String], more: &[&str]) -> handover_tests::Ran {
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Shell::new("http://127.0.0.1:1").run(&args).await
}

const HELLO: &str = r#"{"type":"hello","user":"probe"}"#;
const DRAW: &str = r##"{"type":"draw","seq":1,"color":"#000","points":[[0,0],[1,1]]}"##;

#[tokio::test]
async fn a_route_that_the_probe_wrote_carries_sessions_over() {
    let cases = [
        (Program::Reference, true),
        (Program::Reference, false),
        (Program::Websockets, true),
        (Program::Websockets, false),
        (Program::Aiohttp, false),
        (Program::NodeWs, false),
    ];
    let cases = cases.map(|(program, has_contract)| Case { program, has_contract });
    for case in cases {
        let database = Database::fresh().await;
        let servers = servers(case, &database).await;
        let ran = probe(
            &arguments(&servers, &[HELLO, DRAW]),
            &["--expect", "transparent", "--output", "json"],
        )
        .await;
        assert_eq!(ran.code, 0, "{case}: {ran:?}");
        let report: Value = ran.json();
        assert_eq!(report["crossing"]["replay"], 1, "{case}: {report:#}");
        let written = report["route"].as_str().expect("it is text");
        // A move of a few seconds is none for a test that waits for it.
        let route = if case.has_contract {
            written.to_owned()
        } else {
            format!("{written}settle = \"200ms\"\n")
        };
        let gateway = Gateway::builder("r1")
            .server(&servers[0])
            .server(&servers[1])
            .toml(&route)
            .start()
            .await;
        gateway.all_ready().await;
        let mut ann = User::join(gateway.traffic(), "b", "ann").await;
        let seq = ann.draw().await;
        ann.saved(seq).await;
        let request = MoveRequest {
            to: "board-2".parse().expect("a good name"),
            mode: DrainMode::Auto,
        };
        let report = gateway.admin().move_board("b", &request).await.expect("it is moved");
        assert_eq!((report.switched, report.reconnected), (1, 0), "{case}: {report:?}");
        let seq = ann.draw().await;
        assert_eq!(ann.saved(seq).await, 2, "{case}");
        let heard = ann.hear_until_quiet(QUIET).await;
        assert!(
            !heard.iter().any(|heard| matches!(heard, Heard::Welcome { .. })),
            "{case}: {heard:?}"
        );
    }
}

#[tokio::test]
async fn a_script_without_its_opener_is_no_way_across() {
    let database = Database::fresh().await;
    let case = Case {
        program: Program::Reference,
        has_contract: false,
    };
    let servers = servers(case, &database).await;
    let silent = probe(&arguments(&servers, &[DRAW]), &["--output", "json"]).await;
    let report: Value = silent.json();
    assert_eq!(report["verdicts"][0]["holds"], false, "{report:#}");
    let asked = probe(&arguments(&servers, &[DRAW]), &["--expect", "transparent"]).await;
    assert_eq!(asked.code, 1, "{asked:?}");
    let unsaid = probe(&arguments(&servers, &[]), &["--expect", "reconnect", "--output", "env"]).await;
    assert_eq!(unsaid.code, 0, "{unsaid:?}");
    let env = unsaid.env().await;
    assert_eq!(
        (&*env["HANDOVER_PROBE_TRANSPARENT"], &*env["HANDOVER_PROBE_RECONNECT"]),
        ("false", "true")
    );
}

#[tokio::test]
async fn a_server_that_is_gone_is_named() {
    let database = Database::fresh().await;
    let case = Case {
        program: Program::Reference,
        has_contract: true,
    };
    let servers = servers(case, &database).await;
    servers[1].process().kill();
    let ran = probe(&arguments(&servers, &[HELLO, DRAW]), &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let gone = format!("[x] http://{}", servers[1].traffic());
    assert!(
        ran.stdout.contains(&gone) && ran.stdout.contains("mode = \"stay\""),
        "{}",
        ran.stdout
    );
    let one = probe(
        &["probe", "--url", "ws://a/{board}", "--server", "http://a:1"].map(str::to_owned),
        &[],
    )
    .await;
    assert_eq!(one.code, 2, "{one:?}");
}

/// How long nothing has to come before nothing more is expected.
const QUIET: Duration = Duration::from_millis(500);
