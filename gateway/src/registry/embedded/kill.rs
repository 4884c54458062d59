//! A gateway that is killed at any moment: what it was told is written is there when the file is opened again.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::EmbeddedRegistry;
use crate::registry::Registry;
use crate::registry::suite::{board, settled};

#[tokio::test]
async fn every_acknowledged_record_outlives_a_kill_at_any_moment() {
    // On a slow machine nothing is written in the first moments; then later ones are tried.
    for slowness in [1, 4, 16, 64] {
        let acknowledged = kill_at_moments(slowness).await;
        if acknowledged > 100 {
            return;
        }
    }
    panic!("hardly anything was written");
}

async fn kill_at_moments(slowness: u64) -> u64 {
    let mut acknowledged_in_all = 0;
    for folder_number in 0..FOLDERS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover.db");
        let mut acknowledged = HashMap::new();
        for kill in 0..KILLS {
            // From before the file is there to the middle of its busiest time.
            let moment = Duration::from_micros(700 * slowness * (kill * FOLDERS + folder_number));
            acknowledged_in_all += write_until_killed(&path, moment, &mut acknowledged);
            if !path.exists() {
                assert!(acknowledged.is_empty());
                continue;
            }
            let store = EmbeddedRegistry::open(&path).unwrap();
            for number in 0..WRITERS {
                let stored = store.read(&board(&format!("b{number}"))).await.unwrap();
                let stored = stored.map_or(0, |placement| placement.generation.number());
                let told = acknowledged.get(&number).copied().unwrap_or(0);
                // Each writer waits for its answer, so at most one record is ahead of what it told.
                assert!(
                    stored == told || stored == told + 1,
                    "b{number} is at {stored}, told was {told}"
                );
                acknowledged.insert(number, stored);
            }
        }
    }
    acknowledged_in_all
}

/// Runs the writer, kills it `moment` after it has begun, and notes what it had been told; returns how much that was.
fn write_until_killed(path: &Path, moment: Duration, acknowledged: &mut HashMap<u64, u64>) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", WRITER, "--ignored", "--nocapture"])
        .env(PATH_VARIABLE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(BEGUN) {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the writer did not begin");
    }
    let killer = thread::spawn(move || kill_after(moment, child));
    let mut count = 0;
    loop {
        line.clear();
        output.read_line(&mut line).unwrap();
        let Some(told) = line.strip_suffix('\n') else { break };
        let (number, generation) = told.trim().split_once(' ').unwrap();
        let (number, generation): (u64, u64) = (number.parse().unwrap(), generation.parse().unwrap());
        assert!(acknowledged.insert(number, generation) < Some(generation));
        count += 1;
    }
    killer.join().unwrap();
    count
}

fn kill_after(moment: Duration, mut child: Child) {
    thread::sleep(moment);
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The process that is killed. It writes until then, and tells of each record once that is written.
#[tokio::test]
#[ignore = "a process of every_acknowledged_record_outlives_a_kill_at_any_moment"]
async fn writer_process() {
    let Ok(path) = std::env::var(PATH_VARIABLE) else {
        return;
    };
    println!("{BEGUN}");
    let store = Arc::new(EmbeddedRegistry::open(Path::new(&path)).unwrap());
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(write_on(Arc::clone(&store), number)))
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn write_on(store: Arc<EmbeddedRegistry>, number: u64) {
    let id = board(&format!("b{number}"));
    let mut current = store.read(&id).await.unwrap();
    loop {
        let generation = current
            .as_ref()
            .map_or(1, |placement| placement.generation.number() + 1);
        let next = settled("s", generation);
        store.compare_and_set(&id, current, next.clone()).await.unwrap();
        println!("{number} {generation}");
        current = Some(next);
    }
}

const WRITER: &str = "registry::embedded::kill::writer_process";
const PATH_VARIABLE: &str = "HANDOVER_TEST_REGISTRY";
const BEGUN: &str = "the writer begins";
const FOLDERS: u64 = 4;
const KILLS: u64 = 10;
const WRITERS: u64 = 5;
