//! What a release team sees through a real Prometheus: numbers before, during and after a drain, pictures, alarms.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use handover_protocol::admin::DrainState;
use handover_tests::{
    BoardServer, Database, Gateway, Process, Program, Prometheus, Route, User, eventually, workspace,
};
use reqwest::Method;
use serde_json::Value;

use crate::fleet::Fleet;

/// Two releases of one server each behind a gateway that a Prometheus scrapes.
struct Stage {
    fleet: Fleet,
    prometheus: Prometheus,
    _users: Vec<User>,
}

impl Stage {
    async fn start() -> Self {
        let fleet = Fleet::start(Route::whiteboard(), Duration::ZERO).await;
        let users = fleet.users(BOARDS).await;
        let prometheus = Prometheus::scraping(&fleet.gateway).await;
        Self {
            fleet,
            prometheus,
            _users: users,
        }
    }

    /// Counts what each server owns, as the admin API lists it.
    async fn owned(&self) -> [usize; 2] {
        let mut owned = [0, 0];
        for (count, server) in owned.iter_mut().zip(["board-1", "board-2"]) {
            let list = self.fleet.gateway.admin().boards(Some(server)).await.expect("it lists");
            *count = list.boards.len();
        }
        owned
    }

    /// Waits until Prometheus has seen these numbers under the name that release scripts ask for.
    async fn seen(&self, owned: [usize; 2]) {
        let expected: BTreeMap<String, f64> = [("board-1", owned[0]), ("board-2", owned[1])]
            .map(|(server, count)| (server.to_owned(), count as f64))
            .into();
        eventually(&format!("Prometheus sees {owned:?}"), SOON, || async {
            self.prometheus.by_label(OPEN_BOARDS, "instance").await == expected
        })
        .await;
    }

    async fn boards_moved(&self, least: u64) -> bool {
        let status = self.fleet.gateway.admin().drain_status("release-2").await;
        status.is_ok_and(|status| status.boards.moved >= least)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_script_gets_the_true_number_of_boards_before_during_and_after_a_drain() {
    let stage = Stage::start().await;
    assert_eq!(stage.owned().await, [BOARDS, 0]);
    stage.seen([BOARDS, 0]).await;

    let stop = stage.fleet.gateway.directory().join("stop");
    let pid = stage.fleet.servers[0].process().pid();
    std::fs::write(&stop, format!("test \"$1\" = board-1 && kill {pid}\n")).expect("the directory is the fixture's");
    let mut command = Command::new(workspace().join("tests/.venv/bin/python"));
    command
        .arg(workspace().join("docs/examples/release.py"))
        .args([
            "--prometheus",
            stage.prometheus.url(),
            "--gateway",
            stage.fleet.gateway.admin().url(),
        ])
        .args(["--from", "r1", "--to", "r2", "--id", "release-2"])
        .args(["--boards-per-second", "2", "--interval", "0.2", "--deadline", "120"])
        .args(["--stop", &format!("sh {} {{server}}", stop.display())]);
    let script = Process::start("release-script", &command);

    eventually("some boards have moved", SOON, || async {
        assert!(script.is_running(), "{}", script.tail());
        stage.boards_moved(3).await
    })
    .await;
    let drain = |call: &'static str| {
        let admin = stage.fleet.gateway.admin().clone();
        async move {
            let path = format!("/v1/drains/release-2/{call}");
            let answer = admin.send_raw(Method::POST, &path, None::<&()>).await;
            answer.unwrap_or_else(|error| panic!("{call}: {error:?}"));
        }
    };
    drain("pause").await;
    eventually("no move is under way", SOON, || async {
        let status = stage
            .fleet
            .gateway
            .admin()
            .drain_status("release-2")
            .await
            .expect("it is known");
        status.boards.moving == 0
    })
    .await;
    let between = stage.owned().await;
    assert!(
        between[0] > 0 && between[1] >= 3 && between[0] + between[1] == BOARDS,
        "{between:?}"
    );
    stage.seen(between).await;
    drain("resume").await;

    let status = script.exited(SOON).await;
    assert!(status.success(), "{}", script.tail());
    let said = script.output();
    let after = format!("after board-1=0 board-2={BOARDS}\nstopped board-1\n");
    assert!(
        said.starts_with(&format!("before board-1={BOARDS} board-2=0\n")),
        "{said}"
    );
    assert!(said.ends_with(&after), "{said}");
    stage.fleet.servers[0].process().exited(SOON).await;
    let status = stage
        .fleet
        .gateway
        .admin()
        .drain_status("release-2")
        .await
        .expect("it is known");
    assert_eq!(status.state, DrainState::Done);
    assert_eq!(stage.owned().await, [0, BOARDS]);
    stage.seen([0, BOARDS]).await;
    assert_every_scrape_is_whole(&stage.prometheus).await;
}

/// Looks at each scrape since the start: no board is missing in it, none counts twice, and none went back.
async fn assert_every_scrape_is_whole(prometheus: &Prometheus) {
    let mut scrapes: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for series in prometheus.query(&format!("{OPEN_BOARDS}[10m]")).await {
        for (time, value) in series.samples {
            scrapes.entry((time * 1000.0) as u64).or_default().push(value);
        }
    }
    assert!(scrapes.len() >= 3, "{scrapes:?}");
    for (time, counts) in &scrapes {
        assert_eq!(counts.iter().sum::<f64>(), BOARDS as f64, "at {time}: {scrapes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_panel_of_the_dashboard_shows_series() {
    let stage = Stage::start().await;
    let text = std::fs::read_to_string(workspace().join("deploy/grafana/handover.json")).expect("it is shipped");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(dashboard["uid"], "handover");
    assert!(dashboard["id"].is_null(), "an id belongs to one Grafana");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("it has panels") {
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        let targets = panel["targets"].as_array().expect("a panel asks for something");
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            let query = target["expr"].as_str().expect("a query is text").to_owned();
            queries.push((panel["title"].to_string(), query));
        }
    }
    assert!(queries.len() > 20, "{queries:?}");
    for (title, query) in queries {
        let asked = query
            .replace("$__rate_interval", "30s")
            .replace("$old", "r1")
            .replace("$new", "r2");
        assert!(!asked.contains('$'), "{title}: {asked}");
        eventually(&format!("{title} shows series: {asked}"), SOON, || async {
            !stage.prometheus.query(&asked).await.is_empty()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_speaks_of_series_that_there_are() {
    let stage = Stage::start().await;
    for rule in [
        "release:handover_boards:owned",
        "server:handover_sessions:sum",
        "step:handover_move_step_seconds:p99_5m",
    ] {
        eventually(&format!("{rule} is recorded"), SOON, || async {
            !stage.prometheus.query(rule).await.is_empty()
        })
        .await;
    }
    let shown = stage.fleet.gateway.admin().metrics().await.expect("it has metrics");
    let rules = std::fs::read_to_string(workspace().join("deploy/prometheus/alerts.rules.yml")).expect("it is shipped");
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let names = rules
        .split(|letter| !is_part(letter))
        .filter(|word| word.starts_with("handover_"));
    let listed = std::fs::read_to_string(workspace().join("docs/metrics.md")).expect("it is there");
    for name in names {
        // Certificates are shown where there are some; the list of all series is written from the code.
        assert!(
            shown.text().contains(&format!("\n{name}")) || listed.contains(&format!("\n| `{name}` ")),
            "an alert asks for {name}, which nobody shows"
        );
    }
    let operating = std::fs::read_to_string(workspace().join("docs/operating.md")).expect("it is there");
    let headings: Vec<String> = operating
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    for line in rules.lines().filter(|line| line.contains("runbook_url:")) {
        let (_, anchor) = line
            .split_once("docs/operating.md#")
            .expect("a runbook is a heading there");
        assert!(
            headings.iter().any(|heading| heading == anchor),
            "no heading for #{anchor}"
        );
    }
}

#[test]
fn promtool_takes_the_configuration_and_the_rules_and_their_tests_hold() {
    for arguments in [
        &["check", "config", "prometheus.yml"][..],
        &["check", "rules", "recording.rules.yml", "alerts.rules.yml"],
        &["test", "rules", "rules.test.yml"],
    ] {
        let mut command = Command::new("promtool");
        command
            .current_dir(workspace().join("deploy/prometheus"))
            .args(arguments);
        let ran = command.output().expect("tests/run installs promtool");
        assert!(
            ran.status.success(),
            "{arguments:?}:\n{}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

#[tokio::test]
async fn promtool_finds_fault_with_the_older_name_of_the_open_boards_only() {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database)
        .start()
        .await;
    let gateway = Gateway::builder("r1")
        .server(&server)
        .route(&Route::whiteboard())
        .start()
        .await;
    let metrics = gateway.admin().metrics().await.expect("it has metrics");
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/run installs promtool");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(metrics.text().as_bytes()).expect("promtool reads");
    drop(input);
    let ran = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    let faults: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(faults.len(), 1, "{said}");
    assert!(faults[0].starts_with("rtb_spaces_count"), "{said}");
}

const OPEN_BOARDS: &str = "rtb_spaces_count{instance=~\"board.*\"}";
const BOARDS: usize = 12;
const SOON: Duration = Duration::from_secs(60);
