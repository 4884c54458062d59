//! Crowds on boards of every size, judged by the ledger.

use std::fmt;
use std::time::Duration;

use handover_loadtest::scenario::{AdminClient, Load, Run, Stand};
use handover_loadtest::user::Resend;
use handover_protocol::admin::{DrainMode, DrainRequest, Pace, ServerSet};
use handover_tests::{Route, eventually, matrix};

use super::{Stage, stage};

/// One board with so many users and one with nobody, moved while the users draw.
#[derive(Debug, Clone, Copy)]
struct Case {
    sessions: u64,
    rate: f64,
    pad_bytes: usize,
    mode: DrainMode,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sessions,
            pad_bytes,
            mode,
            ..
        } = self;
        write!(formatter, "{sessions} and 0 sessions, {pad_bytes} B more, {mode:?}")
    }
}

#[tokio::test]
async fn boards_of_every_size_move_while_they_are_drawn_on() {
    let mut cases = Vec::new();
    for mode in [DrainMode::Reconnect, DrainMode::Transparent] {
        for (sessions, rate, pad_bytes) in [(1, 50.0, 0), (50, 200.0, 0), (2, 10.0, 1 << 20)] {
            cases.push(Case {
                sessions,
                rate,
                pad_bytes,
                mode,
            });
        }
    }
    let subset = |case: &Case| case.sessions > 2 || case.mode == DrainMode::Transparent;
    for case in matrix("contract sessions x size x mode", cases, subset) {
        check(case).await;
    }
}

async fn check(case: Case) {
    let Stage { database, gateway, .. } = &stage(&Route::whiteboard()).await;
    let stand = Stand {
        authority: gateway.traffic().to_string(),
        admin: Some(AdminClient::new(gateway.admin().url())),
        database: database.url(),
    };
    let load = Load {
        sessions: case.sessions,
        boards: 1,
        idle_boards: 1,
        rate: case.rate,
        pad_bytes: case.pad_bytes,
        resend: match case.mode {
            DrainMode::Transparent => Resend::Never,
            DrainMode::Reconnect | DrainMode::Auto | DrainMode::Stay => Resend::Unacknowledged,
        },
        prefix: String::new(),
    };
    let mut run = Run::begin(stand, load).await.expect("everybody is let in");
    let drawn_at_least = |changes| {
        let database = &database;
        eventually("the users draw", Duration::from_secs(15), move || async move {
            database.changes("board-1").await.len() >= changes
        })
    };
    drawn_at_least(5).await;
    let servers = |name: &str| ServerSet::Servers(vec![name.parse().expect("a good name")]);
    let request = DrainRequest {
        id: None,
        from: servers("board-1"),
        to: servers("board-2"),
        mode: case.mode,
        pace: Pace::default(),
    };
    let released = run.release(request, Duration::from_secs(20), |_| {}).await;
    released.expect("the drain ends");
    drawn_at_least(database.changes("board-1").await.len() + 5).await;
    let report = run.finish().await.expect("everything can be read");

    assert!(report.ok, "{case}: {report:#?}");
    let release = report.release.as_ref().expect("there was a release");
    assert_eq!(
        (release.boards_total, release.boards_moved),
        (2, 2),
        "{case}: {release:?}"
    );
    assert_eq!(
        (release.fallen_back_sessions, release.unconfirmed_sessions),
        (0, 0),
        "{case}: {release:?}"
    );
    let reconnected = match case.mode {
        DrainMode::Transparent => 0,
        DrainMode::Reconnect | DrainMode::Auto | DrainMode::Stay => case.sessions,
    };
    assert_eq!(report.load.sessions_reconnected, reconnected, "{case}: {report:#?}");
}
