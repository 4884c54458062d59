//! The configuration as a product: read anew under open sessions, set by the environment, checked by its schema.

use std::process::Command;
use std::time::Duration;

use handover_protocol::admin::{ConfigReloaded, DrainMode, MoveRequest, Problem, ProblemType};
use handover_tests::{AdminError, BoardServer, Database, Gateway, Program, Route, Shell, User, eventually, workspace};
use reqwest::Method;

struct Stage {
    gateway: Gateway,
    _servers: [BoardServer; 2],
    _database: Database,
}

impl Stage {
    async fn start() -> Self {
        let database = Database::fresh().await;
        let (first, second) = tokio::join!(
            BoardServer::builder(Program::Reference, "board-1", "r1", &database).start(),
            BoardServer::builder(Program::Reference, "board-2", "r2", &database).start(),
        );
        let route = Route::whiteboard().with("mode", "\"reconnect\"");
        let gateway = Gateway::builder("r1").server(&first).server(&second).route(&route);
        let gateway = gateway.start().await;
        gateway.all_ready().await;
        Self {
            gateway,
            _servers: [first, second],
            _database: database,
        }
    }

    /// Changes the gateway's file.
    fn edit(&self, edits: &[(&str, &str)]) {
        let file = self.gateway.directory().join("handover.toml");
        let mut text = std::fs::read_to_string(&file).expect("the gateway reads it");
        for (from, to) in edits {
            assert!(text.contains(from), "{from} is not in {text}");
            text = text.replacen(from, to, 1);
        }
        std::fs::write(file, text).expect("it can be written");
    }

    async fn reload(&self) -> Result<ConfigReloaded, Problem> {
        let answer = self
            .gateway
            .admin()
            .send_raw(Method::POST, "/v1/config/reload", None::<&()>)
            .await;
        match answer {
            Ok(body) => Ok(serde_json::from_str(&body).expect("it is as documented")),
            Err(AdminError::Refused { body, .. }) => Err(serde_json::from_str(&body).expect("it is a problem")),
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn reloads(&self, result: &str) -> Option<f64> {
        let metrics = self.gateway.admin().metrics().await.expect("it has metrics");
        metrics.value("handover_config_reloads_total", &[("result", result)])
    }

    async fn owner(&self, board: &str) -> String {
        let view = self.gateway.admin().board(board).await.expect("it is open");
        view.server.expect("it is owned").to_string()
    }
}

#[tokio::test]
async fn a_reload_changes_what_can_be_changed_and_names_the_rest() {
    let stage = Stage::start().await;
    let mut ann = User::join(stage.gateway.traffic(), "old", "ann").await;
    assert_eq!(stage.owner("old").await, "board-1");
    let same = stage.reload().await.expect("nothing is wrong");
    assert!(same.reloaded.is_empty() && same.needs_restart.is_empty(), "{same:?}");
    stage.edit(&[
        ("current = \"r1\"", "current = \"r2\""),
        ("mode = \"reconnect\"", "mode = \"reconnect\"\nclose_code = 1001"),
        ("file = \"handover.db\"", "file = \"another.db\""),
        ("\n[[servers]]", "\n[limits]\nsessions_max = 2\n\n[[servers]]"),
    ]);
    let reloaded = stage.reload().await.expect("nothing is wrong");
    assert_eq!(
        reloaded.reloaded,
        ["limits.sessions_max", "releases.current", "routes[0].close_code"]
    );
    assert_eq!(reloaded.needs_restart, ["registry.file"]);

    let _bob = User::join(stage.gateway.traffic(), "new", "bob").await;
    assert_eq!(stage.owner("new").await, "board-2", "new boards go to the new release");
    let third = User::connect(stage.gateway.traffic(), "new", "cid").await;
    assert!(third.is_err(), "two sessions are open, and two are let in");

    let request = MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode: DrainMode::Reconnect,
    };
    let (report, code) = tokio::join!(
        stage.gateway.admin().move_board("old", &request),
        ann.closed(Duration::from_secs(30))
    );
    assert_eq!(report.expect("it is moved").result, "moved");
    assert_eq!(
        code,
        Some(1001),
        "a session from before is moved by the route as it is now"
    );

    let again = stage.reload().await.expect("nothing is wrong");
    assert_eq!((again.reloaded.len(), again.needs_restart.len()), (0, 1), "{again:?}");
    assert_eq!(stage.reloads("applied").await, Some(3.0));
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_so() {
    let stage = Stage::start().await;
    stage.edit(&[
        ("current = \"r1\"", "current = \"r2\""),
        (
            "mode = \"reconnect\"",
            "mode = \"reconnect\"\nclose_code = 1006\nhold_timeout = \"9s\"",
        ),
    ]);
    let problem = stage.reload().await.expect_err("two keys are wrong");
    assert_eq!(problem.kind, ProblemType::ConfigInvalid);
    let keys: Vec<&str> = problem.faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["routes[0].close_code", "routes[0].hold_timeout"]);
    let fault = &problem.faults[0];
    assert!(fault.line.is_some() && !fault.fix.is_empty(), "{fault:?}");
    assert_eq!(
        (stage.reloads("refused").await, stage.reloads("applied").await),
        (Some(1.0), Some(0.0))
    );
    stage.gateway.process().logs("the old one holds").await;
    let _ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    assert_eq!(stage.owner("b").await, "board-1");
}

#[tokio::test]
async fn the_shell_has_the_configuration_read_anew_and_tells_each_fault() {
    let stage = Stage::start().await;
    let shell = Shell::new(stage.gateway.admin().url());
    let same = shell.run(&["config", "reload"]).await;
    assert_eq!((same.code, &*same.stdout), (0, "nothing has changed\n"), "{same:?}");
    stage.edit(&[
        ("current = \"r1\"", "current = \"r2\""),
        ("file = \"handover.db\"", "file = \"another.db\""),
    ]);
    let text = shell.run(&["config", "reload"]).await;
    assert_eq!(text.code, 0, "{text:?}");
    for line in ["reloaded       releases.current", "needs restart  registry.file"] {
        assert!(text.stdout.contains(line), "{text:?}");
    }
    let again = shell.run(&["config", "reload", "--output", "json"]).await;
    assert_eq!(
        again.json::<ConfigReloaded>().needs_restart,
        ["registry.file"],
        "{again:?}"
    );
    let env = shell.run(&["config", "reload", "--output", "env"]).await.env().await;
    assert_eq!(env["HANDOVER_RELOAD_NEEDS_RESTART_0"], "registry.file");
    stage.edit(&[(
        "mode = \"reconnect\"",
        "mode = \"reconnect\"\nclose_code = 1006\nhold_timeout = \"9s\"",
    )]);
    let wrong = shell.run(&["config", "reload"]).await;
    assert_eq!((wrong.code, &*wrong.stdout), (5, ""), "{wrong:?}");
    let faults: Vec<&str> = wrong.stderr.lines().filter(|line| line.contains("  line ")).collect();
    assert_eq!(faults.len(), 2, "{wrong:?}");
    assert!(
        faults[0].contains(": routes[0].close_code") && faults[0].contains("; "),
        "{wrong:?}"
    );
    assert!(faults[1].contains(": routes[0].hold_timeout"), "{wrong:?}");
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_anew() {
    let stage = Stage::start().await;
    stage.edit(&[
        ("current = \"r1\"", "current = \"r2\""),
        ("\n[[servers]]", "\n[log]\nfilter = \"trace\"\n\n[[servers]]"),
    ]);
    stage.gateway.process().hang_up();
    eventually("the configuration was read anew", Duration::from_secs(30), || async {
        stage.reloads("applied").await == Some(1.0)
    })
    .await;
    let _ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    assert_eq!(stage.owner("b").await, "board-2");
    stage.gateway.process().logs("TRACE").await;
    stage.edit(&[("current = \"r2\"", "current = 2")]);
    stage.gateway.process().hang_up();
    eventually("the wrong file is refused", Duration::from_secs(30), || async {
        stage.reloads("refused").await == Some(1.0)
    })
    .await;
    assert!(stage.gateway.process().is_running());
}

#[tokio::test]
async fn a_token_is_asked_for_and_each_change_leaves_an_audit_line() {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database);
    let server = server.start().await;
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("pipeline.token");
    std::fs::write(&file, "operate-token-0123456789\n").expect("the folder was just made");
    let tokens = format!(
        "[[admin.tokens]]\nname = \"pipeline\"\nscope = \"operate\"\ntoken_file = \"{}\"\n",
        file.display()
    );
    let gateway = Gateway::builder("r1").server(&server).route(&Route::whiteboard());
    let gateway = gateway.toml(&tokens).start().await;
    let call = async |path: &str, token: Option<&str>| {
        let url = format!("{}{path}", gateway.admin().url());
        let request = reqwest::Client::new().post(url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.expect("it answers");
        let challenge = answer.headers().get("www-authenticate").is_some();
        (answer.status().as_u16(), challenge)
    };
    let abort = "/v1/drains/d/abort";
    assert_eq!(call(abort, None).await, (401, true));
    assert_eq!(call(abort, Some("another-token-0123456789")).await, (401, true));
    assert_eq!(call(abort, Some("operate-token-0123456789")).await, (404, false));
    let reload = call("/v1/config/reload", Some("operate-token-0123456789")).await;
    assert_eq!(reload, (403, true));
    // The last of them.
    gateway.process().logs("\"status\":403").await;
    let lines: Vec<serde_json::Value> = gateway
        .process()
        .errors()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &serde_json::Value| line["target"] == "audit")
        .collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["who"].as_str(), line["path"].as_str(), line["status"].as_u64()))
        .collect();
    let reload = "/v1/config/reload";
    let expected = [
        (Some("nobody"), Some(abort), Some(401)),
        (Some("nobody"), Some(abort), Some(401)),
        (Some("pipeline"), Some(abort), Some(404)),
        (Some("pipeline"), Some(reload), Some(403)),
    ];
    assert_eq!(told, expected);
    assert!(
        !gateway.process().errors().contains("operate-token"),
        "a token is logged"
    );
}

#[test]
fn the_schema_takes_every_example_and_finds_faults() {
    let root = workspace();
    let check = |files: &[&str]| {
        let output = Command::new(root.join("tests/.venv/bin/python"))
            .arg(root.join("tests/servers/schema_check.py"))
            .arg("deploy/handover.schema.json")
            .args(files)
            .current_dir(root)
            .output()
            .expect("tests/run makes the environment");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let (code, said) = check(&[
        "deploy/handover.example.toml",
        "docs/examples/two-releases.toml",
        "docs/examples/chat/handover.toml",
    ]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check(&["gateway/tests/config/broken.toml"]);
    assert_eq!(code, Some(1), "{said}");
    for part in ["servers.0.release", "listen.traffic", "routes.0.settle", "nmae"] {
        assert!(said.contains(part), "{part} is not found: {said}");
    }
}
