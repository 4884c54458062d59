//! Compressed sessions that are switched from a server of one library to one of another: the client's compressor cannot
//! be started again, and the target's starts afresh.

use std::fmt;
use std::time::Duration;

use handover_protocol::admin::DrainMode;
use handover_tests::{ClientLibrary, LibraryUser, Program, Route, Strokes, eventually, matrix};

use super::{Stage, move_to_target, stage_of};

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
async fn compressed_sessions_are_switched_between_servers_of_all_libraries() {
    let mut cases = Vec::new();
    for client in ClientLibrary::ALL {
        for source in Program::LIBRARIES {
            for target in Program::LIBRARIES {
                cases.push(Case { client, source, target });
            }
        }
    }
    // Each library once in each role.
    let subset = |case: &Case| {
        matches!(
            (case.client, case.source, case.target),
            (ClientLibrary::NodeWs, Program::Websockets, Program::Aiohttp)
                | (ClientLibrary::Websockets, Program::Aiohttp, Program::NodeWs)
                | (ClientLibrary::Aiohttp, Program::NodeWs, Program::Websockets)
        )
    };
    for case in matrix("compressed client x source x target", cases, subset) {
        check(case).await;
    }
}

async fn check(case: Case) {
    let stage = stage_of(case.source, case.target, &Route::whiteboard()).await;
    let (ann, bob) = tokio::join!(
        join(&case, &stage, "ann", Kind::Text),
        join(&case, &stage, "bob", Kind::Binary)
    );
    let saved_at_least = |changes| {
        let (ann, bob) = (&ann, &bob);
        eventually("changes are saved", Duration::from_secs(20), move || async move {
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
    for (user, other) in [(&ann, "bob"), (&bob, "ann")] {
        let drawn = user.drawn_by(other);
        let follows = drawn.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(follows && drawn.len() > 10, "{case}: {drawn:?}");
    }
    let changes = stage.database.changes("b").await;
    assert_eq!(changes.len() as u64, of_ann + of_bob, "{case}");
    assert!(changes.iter().any(|change| change.generation == 1), "{case}");
    assert!(changes.iter().any(|change| change.generation == 2), "{case}");
    assert_eq!(stage.database.repeats("b").await, 0, "{case}");
    let digests: i64 = sqlx::query_scalar("SELECT count(DISTINCT body::json -> 'pad' ->> 'sha1') FROM changes")
        .fetch_one(stage.database.pool())
        .await
        .expect("the database answers");
    assert_eq!(digests, 2, "{case}: each user's padding is the same in each change");
}

#[tokio::test]
async fn a_target_on_other_terms_has_its_sessions_reconnect() {
    // The reference server does not compress.
    for (source, target) in [
        (Program::NodeWs, Program::Reference),
        (Program::Websockets, Program::Reference),
    ] {
        let case = Case {
            client: ClientLibrary::Websockets,
            source,
            target,
        };
        let stage = stage_of(source, target, &Route::whiteboard()).await;
        let ann = join(&case, &stage, "ann", Kind::Text).await;
        let report = move_to_target(&stage.gateway, DrainMode::Transparent).await;
        assert_eq!((report.switched, report.fallen_back), (0, 1), "{case}: {report:?}");
        let metrics = stage.gateway.admin().metrics().await.expect("it has metrics");
        let counted = metrics.value("handover_fallbacks_total", &[("reason", "disagreement")]);
        assert_eq!(counted, Some(1.0), "{case}: {}", metrics.text());
        eventually("the client is told", Duration::from_secs(10), || async {
            !ann.heard_of("closed").is_empty()
        })
        .await;
        assert_eq!(ann.heard_of("closed")[0]["code"], 1012, "{case}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

async fn join(case: &Case, stage: &Stage, name: &str, kind: Kind) -> LibraryUser {
    let strokes = Strokes {
        fragments: if case.client == ClientLibrary::Aiohttp { 1 } else { 3 },
        is_binary: kind == Kind::Binary,
        ..Strokes::default()
    };
    let user = LibraryUser::join(case.client, stage.gateway.traffic(), "b", name, &strokes).await;
    let extensions = user.heard_of("open")[0]["extensions"].to_string();
    assert!(extensions.contains("permessage-deflate"), "{case}: {extensions}");
    user
}
