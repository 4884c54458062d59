//! The load test at servers that it has not started, and broken off in the middle.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use handover_tests::{BoardServer, Database, Process, Program, binary, eventually, workspace};
use tokio::net::TcpStream;

use super::report;

/// Starts a load test that keeps its files in a directory.
fn start(arguments: &str, directory: &Path) -> Process {
    let mut command = Command::new(binary("handover-loadtest"));
    command.args(arguments.split_whitespace()).env("TMPDIR", directory);
    Process::start("handover-loadtest", &command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_is_enough_to_load_a_server_of_any_library() {
    let database = Database::fresh().await;
    for program in [Program::Websockets, Program::NodeWs] {
        let server = BoardServer::builder(program, "board-1", "r1", &database).without_contract();
        let server = server.start().await;
        let example = workspace().join("docs/examples/loadtest.toml");
        let (target, script) = (server.traffic(), example.display());
        let report = tokio::task::block_in_place(|| {
            report(&format!(
                "target --target ws://{target} --user {script} --sessions 10 --boards 2 --duration 2s"
            ))
        });
        assert_eq!(report["has_database"], false, "{report}");
        let totals = &report["totals"];
        assert!(totals["acked"].as_u64() > Some(0), "{totals}");
        assert_eq!(totals["acked"], totals["sent"], "{totals}");
        assert!(totals["seen"].as_u64() > Some(0), "others are recognised: {totals}");
    }
}

#[tokio::test]
async fn a_server_that_never_says_the_word_waited_for_is_told_from_one_that_refuses() {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Websockets, "board-1", "r1", &database).without_contract();
    let server = server.start().await;
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let example = std::fs::read_to_string(workspace().join("docs/examples/loadtest.toml")).expect("it is shipped");
    let script = directory.path().join("user.toml");
    std::fs::write(&script, example.replace("\"welcome\"", "\"wellcome\"")).expect("the directory was just made");
    let (target, script) = (server.traffic(), script.display());
    let load = start(
        &format!("target --target ws://{target} --user {script}"),
        directory.path(),
    );
    load.logs("recognise.ready").await;
    load.terminate();
    assert_eq!(load.exited(PATIENCE).await.code(), Some(INTERRUPTED));
}

#[tokio::test]
async fn a_run_that_is_broken_off_says_so_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let page = directory.path().join("page.html");
    let line = format!("steady --sessions 4 --duration 10m --html {}", page.display());
    let load = start(&line, directory.path());
    load.logs("changes acknowledged").await;
    let told = load.errors();
    let address = told
        .split("gather at ws://")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let address = address.expect("it says where").to_owned();
    TcpStream::connect(&address).await.expect("its gateway listens");
    load.terminate();
    let status = load.exited(PATIENCE).await;
    assert_eq!(status.code(), Some(INTERRUPTED), "{}", load.tail());
    assert!(load.errors().contains("before the verdict"), "{}", load.tail());
    assert_eq!(load.output(), "", "there is no report");
    eventually("its gateway has gone", PATIENCE, || async {
        TcpStream::connect(&address).await.is_err()
    })
    .await;
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_process_that_was_stopped_goes_on_when_the_run_is_broken_off() {
    let database = Database::fresh().await;
    let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database).without_contract();
    let server = server.start().await;
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let (traffic, url, pid) = (server.traffic(), database.url(), server.process().pid());
    let load = start(
        &format!("crash --how stop --pid {pid} --traffic {traffic} --database {url} --sessions 2 --duration 2s"),
        directory.path(),
    );
    let is_stopped = || async {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    };
    eventually("it stands still", PATIENCE, is_stopped).await;
    load.terminate();
    assert_eq!(load.exited(PATIENCE).await.code(), Some(INTERRUPTED), "{}", load.tail());
    assert!(!is_stopped().await, "it goes on");
}

/// As shells say it for Ctrl-C.
const INTERRUPTED: i32 = 130;
const PATIENCE: Duration = Duration::from_secs(60);
