//! Clients and servers of different libraries with each other: what a gateway between them has to carry.

use std::fmt;
use std::time::Duration;

use handover_tests::{BoardServer, ClientLibrary, Database, LibraryUser, Program, Strokes, eventually, matrix};

/// Two users on one library, a server on another.
struct Pairing {
    client: ClientLibrary,
    server: Program,
    strokes: Strokes,
}

impl fmt::Display for Pairing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Strokes {
            fragments, is_binary, ..
        } = self.strokes;
        let kind = if is_binary { "binary" } else { "text" };
        write!(formatter, "{} to {}, {kind} in {fragments}", self.client, self.server)
    }
}

#[tokio::test]
async fn compressed_and_fragmented_changes_arrive_whole() {
    let mut pairings = Vec::new();
    for client in ClientLibrary::ALL {
        for server in Program::LIBRARIES {
            for is_binary in [false, true] {
                let fragments = if client == ClientLibrary::Aiohttp { 1 } else { 3 };
                let strokes = Strokes {
                    fragments,
                    is_binary,
                    ..Strokes::default()
                };
                pairings.push(Pairing {
                    client,
                    server,
                    strokes,
                });
            }
        }
    }
    let same_library = |pairing: &Pairing| pairing.client.to_string() == pairing.server.to_string();
    let subset = |pairing: &Pairing| same_library(pairing) && !pairing.strokes.is_binary;
    for pairing in matrix("client x server", pairings, subset) {
        check(&pairing).await;
    }
}

async fn check(pairing: &Pairing) {
    let database = Database::fresh().await;
    let server = BoardServer::builder(pairing.server, "board-1", "r1", &database).without_contract();
    let server = server.start().await;
    let join = |name| LibraryUser::join(pairing.client, server.traffic(), "b", name, &pairing.strokes);
    let (ann, bob) = tokio::join!(join("ann"), join("bob"));
    let open = &ann.heard_of("open")[0];
    let extensions = open["extensions"].as_str().unwrap_or_default();
    assert!(extensions.contains("permessage-deflate"), "{pairing}: {open}");
    assert!(!extensions.contains("no_context_takeover"), "{pairing}: {open}");
    eventually("both have drawn ten times", Duration::from_secs(20), || async {
        ann.saved().len() >= 10 && bob.saved().len() >= 10
    })
    .await;
    let by_ann = ann.finish().await;
    let by_bob = bob.finish().await;
    assert_eq!(ann.saved(), (1..=by_ann).collect::<Vec<_>>(), "{pairing}");
    let shown = bob.drawn_by("ann");
    assert_eq!(shown.last(), Some(&by_ann), "{pairing}");
    assert!(
        shown.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{pairing}: {shown:?}"
    );
    assert_eq!(database.changes("b").await.len() as u64, by_ann + by_bob, "{pairing}");
    let digests: i64 = sqlx::query_scalar("SELECT count(DISTINCT body::json -> 'pad' ->> 'sha1') FROM changes")
        .fetch_one(database.pool())
        .await
        .expect("the database answers");
    assert_eq!(digests, 2, "{pairing}: each user's padding is the same in each change");
}
