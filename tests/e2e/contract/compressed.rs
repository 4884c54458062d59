//! Compressed sessions of one library that are switched between servers of another: the client's compressor cannot be
//! started again, and the target's starts afresh.

use std::fmt;
use std::time::Duration;

use handover_protocol::admin::DrainMode;
use handover_tests::{ClientLibrary, LibraryUser, Program, Route, Strokes, eventually, matrix};

use super::{move_to_target, stage_of};

struct Case {
    client: ClientLibrary,
    source: Program,
    target: Program,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, source, target } = self;
        write!(formatter, "{client} from {source} to {target}")
    }
}

#[tokio::test]
async fn compressed_sessions_are_switched_between_servers_of_a_library() {
    let mut cases = Vec::new();
    for client in ClientLibrary::ALL {
        for server in Program::LIBRARIES {
            cases.push(Case {
                client,
                source: server,
                target: server,
            });
        }
    }
    // Each client and each server once.
    let subset = |case: &Case| {
        matches!(
            (case.client, case.source),
            (ClientLibrary::NodeWs, Program::Websockets)
                | (ClientLibrary::Websockets, Program::Aiohttp)
                | (ClientLibrary::Aiohttp, Program::NodeWs)
        )
    };
    for case in matrix("compressed client x source x target", cases, subset) {
        check(case).await;
    }
}

async fn check(case: Case) {
    let stage = stage_of(case.source, case.target, &Route::whiteboard()).await;
    let strokes = Strokes {
        fragments: if case.client == ClientLibrary::Aiohttp { 1 } else { 3 },
        ..Strokes::default()
    };
    let join = |name| LibraryUser::join(case.client, stage.gateway.traffic(), "b", name, &strokes);
    let (ann, bob) = tokio::join!(join("ann"), join("bob"));
    let extensions = ann.heard_of("open")[0]["extensions"].to_string();
    assert!(extensions.contains("permessage-deflate"), "{case}: {extensions}");
    let saved_at_least = |changes| {
        let (ann, bob) = (&ann, &bob);
        eventually("changes are saved", Duration::from_secs(10), move || async move {
            ann.saved().len() >= changes && bob.saved().len() >= changes
        })
    };
    saved_at_least(10).await;
    let report = move_to_target(&stage.gateway, DrainMode::Transparent).await;
    assert_eq!((report.switched, report.reconnected), (2, 0), "{case}: {report:?}");
    saved_at_least(ann.saved().len().max(bob.saved().len()) + 10).await;
    // Each goes when all of its own is acknowledged; the other's last changes may come later than that.
    let (of_ann, of_bob) = tokio::join!(ann.finish(), bob.finish());
    assert_eq!(ann.saved(), (1..=of_ann).collect::<Vec<_>>(), "{case}");
    assert_eq!(bob.saved(), (1..=of_bob).collect::<Vec<_>>(), "{case}");
    let changes = stage.database.changes("b").await;
    assert_eq!(changes.len() as u64, of_ann + of_bob, "{case}");
    assert!(changes.iter().any(|change| change.generation == 1), "{case}");
    assert!(changes.iter().any(|change| change.generation == 2), "{case}");
    assert_eq!(stage.database.repeats("b").await, 0, "{case}");
}
