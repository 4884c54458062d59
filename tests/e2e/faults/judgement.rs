//! What must be true after every fault.

use std::sync::atomic::Ordering;

use handover_loadtest::ledger::{Evidence, judge as judge_evidence};
use handover_loadtest::scenario::read_database;
use handover_loadtest::user::{Micros, Record};
use handover_protocol::admin::BoardView;
use handover_protocol::contract::BoardRole;
use handover_tests::{Contract, eventually, eventually_some};

use super::case::{Case, Side};
use super::stage::{BOARD, PREFIX, SOON, Stage, USERS};

/// Judges a case whose fault is over.
pub(super) async fn judge(mut stage: Stage, case: Case) {
    let view = stage.settled(case.owner(), case).await;
    let mended = everybody_draws(&stage, case).await;
    one_owner(&stage, case, &view).await;
    late_writes_are_refused(&mut stage, case).await;
    let is_settled = stage.crowd.settle(SOON).await;
    let unanswered = stage.progress().unanswered();
    assert!(
        is_settled,
        "{case}: {unanswered} changes are not acknowledged, or somebody is not served"
    );
    let Stage {
        database,
        crowd,
        gateway,
        ..
    } = stage;
    let records = crowd.leave().await;
    assert_eq!(records.len() as u64, USERS, "{case}: a user has died");
    for record in &records {
        let is_served = record
            .changes
            .iter()
            .any(|change| change.sent() >= Some(mended) && change.acked().is_some());
        assert!(is_served, "{case}: {} has drawn nothing since the fault", record.user);
    }
    let reconnects: usize = records.iter().map(|record| record.sockets.len() - 1).sum();
    if let Some(max) = case.reconnects_max() {
        assert!(
            reconnects <= max,
            "{case}: {reconnects} reconnects instead of {max} at most"
        );
    }
    nothing_is_lost(&records, &database.url(), case).await;
    let mut last = (0, String::new());
    for change in database.changes(BOARD).await {
        let term = (change.generation, change.owner);
        let is_next = last.0 < term.0 || last == term;
        assert!(
            is_next,
            "{case}: revision {} of {term:?} stands behind {last:?}",
            change.revision
        );
        last = term;
    }
    drop(gateway);
}

/// Waits until everybody is served and has drawn something new, and returns since when it is new.
async fn everybody_draws(stage: &Stage, case: Case) -> Micros {
    let progress = stage.progress();
    eventually(&format!("{case}: everybody is served"), SOON, || async {
        progress.served.load(Ordering::Relaxed) == USERS
    })
    .await;
    let mended = stage.clock.now();
    let sent = progress.sent.load(Ordering::Relaxed);
    // So many that each user has drawn some of them.
    eventually(&format!("{case}: users go on drawing"), SOON, || async {
        progress.sent.load(Ordering::Relaxed) >= sent + 10 * USERS
    })
    .await;
    stage.drawn(10, &format!("{case}: users are acknowledged")).await;
    mended
}

/// The gateway, the fence and the servers that live name the same owner, and nobody else believes to be it.
async fn one_owner(stage: &Stage, case: Case, view: &BoardView) {
    let name = stage.station(case.owner()).server.name();
    let fence = stage.database.fence(BOARD).await;
    let (generation, holder) = fence.expect("the board was owned from the start");
    assert_eq!(generation.unsigned_abs(), view.generation.number(), "{case}: {view:?}");
    assert_eq!(holder.split('/').next(), Some(name), "{case}: {view:?}");
    let expected = vec![(name.to_owned(), view.generation.number())];
    eventually_some(
        &format!("{case}: one server lists the board as its own"),
        SOON,
        || async {
            let mut owners = Vec::new();
            for side in [Side::Source, Side::Target] {
                let server = &stage.station(side).server;
                if !server.process().is_running() {
                    continue;
                }
                let page = Contract::of(server)
                    .boards(None, 100)
                    .await
                    .map_err(|error| format!("{error:?}"))?;
                let own = page.boards.iter().filter(|report| report.role == BoardRole::Owner);
                owners.extend(own.map(|report| (server.name().to_owned(), report.generation.number())));
            }
            match owners == expected {
                true => Ok(()),
                false => Err(format!("{owners:?} instead of {expected:?}")),
            }
        },
    )
    .await;
}

/// What a source that stood still had yet to write comes to nothing, and whoever is still connected to it is sent away.
async fn late_writes_are_refused(stage: &mut Stage, case: Case) {
    assert_eq!(stage.straggler.is_some(), case.has_late_writes(), "{case}");
    let Some(mut straggler) = stage.straggler.take() else {
        return;
    };
    assert_eq!(straggler.closed(SOON).await, Some(1012), "{case}");
    let changes = stage.database.changes(BOARD).await;
    let late = changes.iter().find(|change| change.author == "straggler");
    assert_eq!(late, None, "{case}: it was drawn while the source stood still");
    let log = stage.source.server.process().output() + &stage.source.server.process().errors();
    assert!(log.contains("fenced out"), "{case}: nothing was refused");
}

async fn nothing_is_lost(records: &[Record], database: &str, case: Case) {
    let written = read_database(database, PREFIX).await;
    let written = written.unwrap_or_else(|error| panic!("{case}: {error}"));
    let verdict = judge_evidence(&Evidence {
        testimonies: records.iter().map(Record::testimony).collect(),
        stored: written.stored,
        repeats: written.repeats,
        left_on_sources: Vec::new(),
    });
    let found: Vec<_> = verdict
        .kinds()
        .into_iter()
        .filter(|(_, finding)| finding.count() > 0)
        .collect();
    assert!(found.is_empty(), "{case}: {found:#?}\n{records:#?}");
}
