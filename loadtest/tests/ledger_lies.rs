//! The ledger against a real board server, with a relay in between that lies and a database that forgets: each lie is
//! told once, and the ledger names just that change.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use handover_loadtest::ledger::{Evidence, Finding, Verdict, judge};
use handover_loadtest::lying_relay::{Direction, Lie, LyingRelay, Told};
use handover_loadtest::scenario::read_database;
use handover_loadtest::store::Store;
use handover_loadtest::user::{Clock, Crowd, Endpoint, Plan, Reader, Record, Resend};
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// A board server process that nobody has told of the contract, on a database of its own.
struct Server {
    address: SocketAddr,
    directory: TempDir,
    _process: Child,
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_board-server"))
            .args([
                "--name",
                "board-1",
                "--release",
                "r1",
                "--listen",
                "127.0.0.1:0",
                "--no-contract",
            ])
            .args(["--database", &database(&directory)])
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("the server says where it listens");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self {
            address: line["listening"].as_str().unwrap().parse().unwrap(),
            directory,
            _process: process,
        }
    }

    async fn judge(&self, records: &[Record]) -> Verdict {
        let written = read_database(&database(&self.directory), PREFIX).await.unwrap();
        judge(&Evidence {
            testimonies: records.iter().map(Record::testimony).collect(),
            stored: written.stored,
            repeats: written.repeats,
            left_on_sources: Vec::new(),
        })
    }
}

fn database(directory: &TempDir) -> String {
    format!("sqlite:{}", directory.path().join("boards.db").display())
}

/// Lets three users draw on one board at `address` until each has sent more than ten changes.
async fn draw_at(address: SocketAddr, server: &Server) -> Verdict {
    let plan = |number| Plan {
        endpoint: Endpoint::plain(&address.to_string()),
        board: "board".parse().unwrap(),
        number,
        interval: Duration::from_millis(10),
        resend: Resend::Never,
        pad_bytes: 0,
        prefix: PREFIX.to_owned(),
        reader: Reader::Prompt,
    };
    let crowd = Crowd::gather((1..=3).map(plan).collect(), Clock::start(), Duration::from_secs(20))
        .await
        .unwrap();
    crowd.draw();
    sleep(Duration::from_millis(400)).await;
    crowd.settle(Duration::from_secs(2)).await;
    let verdict = {
        let records = crowd.leave().await;
        assert!(records.iter().all(|record| record.changes.len() > 10));
        server.judge(&records).await
    };
    assert_eq!(verdict.totals.sessions, 3);
    verdict
}

/// Lets users draw through a relay that tells one lie.
async fn lied_to(lie: Lie, direction: Direction, user: &str, needles: &[&str]) -> Verdict {
    let server = Server::start().await;
    let told = Told {
        lie,
        direction,
        user: user.to_owned(),
        needles: needles.iter().map(|&needle| needle.to_owned()).collect(),
    };
    let relay = LyingRelay::start(server.address, vec![told]).await.unwrap();
    let verdict = draw_at(relay.address(), &server).await;
    relay.stop().await;
    verdict
}

fn found(finding: &Finding) -> BTreeSet<(String, u64)> {
    finding
        .offenders()
        .map(|offender| (offender.user.as_ref().unwrap().to_string(), offender.seq.unwrap()))
        .collect()
}

fn only(user: &str, seq: u64) -> BTreeSet<(String, u64)> {
    BTreeSet::from([(user.to_owned(), seq)])
}

/// Asserts that nothing was found but the kinds that are named.
fn assert_only(verdict: &Verdict, kinds: &[&str]) {
    for (kind, finding) in verdict.kinds() {
        assert_eq!(
            finding.count() > 0,
            kinds.contains(&kind),
            "{kind}: {:?}",
            finding.remarks()
        );
    }
}

#[tokio::test]
async fn a_relay_that_tells_the_truth_is_clean() {
    let server = Server::start().await;
    let relay = LyingRelay::start(server.address, Vec::new()).await.unwrap();
    let verdict = draw_at(relay.address(), &server).await;
    assert_only(&verdict, &[]);
    assert!(verdict.totals.seen >= 2 * verdict.totals.sent);
}

#[tokio::test]
async fn a_change_dropped_on_its_way_to_the_server_is_lost() {
    let verdict = lied_to(Lie::Drop, Direction::ToServer, "u2", &CHANGE_5).await;
    assert_only(&verdict, &["lost", "missing", "unanswered"]);
    assert_eq!(found(&verdict.lost), only("u2", 5));
    assert_eq!(found(&verdict.missing), only("u2", 5));
}

#[tokio::test]
async fn a_change_doubled_on_its_way_to_the_server_is_doubled() {
    let verdict = lied_to(Lie::Double, Direction::ToServer, "u2", &CHANGE_5).await;
    assert_only(&verdict, &["doubled"]);
    assert_eq!(found(&verdict.doubled), only("u2", 5));
}

#[tokio::test]
async fn two_changes_swapped_on_their_way_to_the_server_are_reordered() {
    let verdict = lied_to(Lie::Swap, Direction::ToServer, "u2", &CHANGE_5).await;
    assert_only(&verdict, &["reordered"]);
    assert_eq!(found(&verdict.reordered), only("u2", 5));
}

#[tokio::test]
async fn a_change_cut_short_on_its_way_to_the_server_is_altered_and_lost() {
    let verdict = lied_to(Lie::Truncate, Direction::ToServer, "u2", &CHANGE_5).await;
    assert_only(&verdict, &["lost", "altered"]);
    assert_eq!(found(&verdict.lost), only("u2", 5));
}

#[tokio::test]
async fn a_change_dropped_on_its_way_to_another_user_is_unseen_and_lost() {
    let verdict = lied_to(Lie::Drop, Direction::ToUser, "u1", &CHANGE_5_OF_U2).await;
    assert_only(&verdict, &["lost", "unseen"]);
    assert_eq!(found(&verdict.lost), only("u2", 5));
}

#[tokio::test]
async fn a_change_doubled_on_its_way_to_another_user_is_doubled() {
    let verdict = lied_to(Lie::Double, Direction::ToUser, "u1", &CHANGE_5_OF_U2).await;
    assert_only(&verdict, &["doubled"]);
    assert_eq!(found(&verdict.doubled), only("u2", 5));
}

#[tokio::test]
async fn two_changes_swapped_on_their_way_to_another_user_are_reordered() {
    let verdict = lied_to(Lie::Swap, Direction::ToUser, "u1", &CHANGE_5_OF_U2).await;
    assert_only(&verdict, &["reordered"]);
    assert_eq!(found(&verdict.reordered), only("u2", 5));
}

#[tokio::test]
async fn a_change_cut_short_on_its_way_to_another_user_disturbs_and_is_unseen() {
    let verdict = lied_to(Lie::Truncate, Direction::ToUser, "u1", &CHANGE_5_OF_U2).await;
    assert_only(&verdict, &["lost", "unseen", "disturbed"]);
    assert_eq!(found(&verdict.lost), only("u2", 5));
}

#[tokio::test]
async fn an_answer_dropped_on_its_way_to_the_user_is_unanswered() {
    let verdict = lied_to(
        Lie::Drop,
        Direction::ToUser,
        "u2",
        &["\"type\":\"saved\"", "\"seq\":5,"],
    )
    .await;
    assert_only(&verdict, &["lost", "unanswered"]);
    assert_eq!(found(&verdict.unanswered), only("u2", 5));
}

#[tokio::test]
async fn a_database_that_acknowledges_and_forgets_is_not_saved() {
    let server = Server::start().await;
    // The insert succeeds and counts its row; then the row is gone.
    drop(Store::open(&database(&server.directory)).await.unwrap());
    let mut connection = SqliteConnection::connect(&database(&server.directory)).await.unwrap();
    connection
        .execute(
            "CREATE TRIGGER forgets AFTER INSERT ON changes WHEN NEW.author = 'u2' AND NEW.seq = 5 \
             BEGIN DELETE FROM changes WHERE author = NEW.author AND seq = NEW.seq; END",
        )
        .await
        .unwrap();
    let verdict = draw_at(server.address, &server).await;
    assert_only(&verdict, &["lost", "missing", "not_saved"]);
    assert_eq!(found(&verdict.not_saved), only("u2", 5));
}

const PREFIX: &str = "u";
const CHANGE_5: [&str; 2] = ["\"type\":\"draw\"", "\"seq\":5,"];
const CHANGE_5_OF_U2: [&str; 3] = ["\"user\":\"u2\"", "\"type\":\"drawn\"", "\"seq\":5,"];
