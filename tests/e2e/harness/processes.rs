//! Databases, processes and ports.

use std::process::Command;
use std::time::Duration;

use handover_tests::{Database, Process, eventually, free_port};

#[tokio::test]
async fn each_test_gets_an_empty_database_of_its_own() {
    let (first, second) = tokio::join!(Database::fresh(), Database::fresh());
    assert_ne!(first.url(), second.url());
    let made = sqlx::query("CREATE TABLE changes (board TEXT)")
        .execute(first.pool())
        .await;
    made.expect("the database takes tables");
    let found: Option<String> = sqlx::query_scalar("SELECT to_regclass('changes')::text")
        .fetch_one(second.pool())
        .await
        .expect("the database answers");
    assert_eq!(found, None);
}

#[tokio::test]
async fn a_process_is_stopped_resumed_and_killed() {
    let mut command = Command::new("sh");
    command.args(["-c", "i=0; while :; do i=$((i + 1)); echo $i; sleep 0.01; done"]);
    let process = Process::start("counter", &command);
    eventually("it counts", Duration::from_secs(5), || async {
        process.output().len() > 10
    })
    .await;
    process.stop();
    let before = process.output();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(process.output(), before);
    assert!(process.is_running());
    process.resume();
    eventually("it counts on", Duration::from_secs(5), || async {
        process.output() != before
    })
    .await;
    process.kill();
    assert!(!process.is_running());
}

#[tokio::test]
async fn a_process_ends_when_its_fixture_is_dropped_even_if_it_stands_still() {
    let mut command = Command::new("sleep");
    command.arg("600");
    let process = Process::start("sleeper", &command);
    let proc = format!("/proc/{}", process.pid());
    process.stop();
    drop(process);
    assert!(!std::path::Path::new(&proc).exists());
}

#[test]
fn free_ports_differ() {
    let ports: std::collections::HashSet<u16> = (0..100).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 100);
}
