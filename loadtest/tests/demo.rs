//! The demo leaves no process behind, however it ends.

#![allow(clippy::unwrap_used, reason = "a test")]
#![cfg(target_os = "linux")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().cast_signed()).unwrap()
}

/// Lists the processes that `parent` has started and that still run.
fn children_of(parent: Pid) -> Vec<Pid> {
    let is_child = |stat: &str| {
        // The name stands in brackets and may hold anything; state and parent follow.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let of: i32 = fields.next()?.parse().ok()?;
        Some(state != "Z" && of == parent.as_raw_nonzero().get())
    };
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| is_child(&stat) == Some(true))
    })
    .filter_map(Pid::from_raw)
    .collect()
}

async fn eventually_gone(pids: &[Pid]) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while pids.iter().any(|&pid| test_kill_process(pid).is_ok()) {
        assert!(Instant::now() < deadline, "{pids:?} run on");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Starts a demo with users enough to be caught in the middle, and waits until all five processes run.
async fn demo_under_way(directory: &TempDir) -> (Child, Vec<Pid>) {
    let demo = demo(&["--unattended", "--sessions", "20", "--boards", "4", "--steady", "60s"])
        // Where the demo keeps what it must leave when it is killed.
        .env("TMPDIR", directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut demo = demo;
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines();
    let is_drawing = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("Draw along") {
                return;
            }
        }
        panic!("the demo ended at its start");
    };
    timeout(Duration::from_secs(600), is_drawing).await.unwrap();
    // Read on, or the demo would end by a broken pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let children = children_of(pid_of(&demo));
    assert_eq!(children.len(), 5);
    (demo, children)
}

#[tokio::test]
async fn ctrl_c_ends_every_process_of_the_demo() {
    let directory = tempfile::tempdir().unwrap();
    let (mut demo, children) = demo_under_way(&directory).await;
    kill_process(pid_of(&demo), Signal::INT).unwrap();
    let status = timeout(Duration::from_secs(20), demo.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    eventually_gone(&children).await;
}

#[tokio::test]
async fn a_demo_that_is_killed_takes_every_process_along() {
    let directory = tempfile::tempdir().unwrap();
    let (mut demo, children) = demo_under_way(&directory).await;
    demo.kill().await.unwrap();
    eventually_gone(&children).await;
}

#[tokio::test]
async fn a_process_of_the_demo_that_dies_ends_the_demo_with_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let (mut demo, children) = demo_under_way(&directory).await;
    kill_process(children[0], Signal::KILL).unwrap();
    let status = timeout(Duration::from_secs(60), demo.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
    eventually_gone(&children).await;
}
