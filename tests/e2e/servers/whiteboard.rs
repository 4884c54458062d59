//! The whiteboard without the contract: somebody's server that has never heard of us.

use std::time::Duration;

use handover_tests::{BoardServer, Database, Heard, Program, User, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

async fn check_whiteboard(program: Program) {
    let database = Database::fresh().await;
    let server = BoardServer::builder(program, "board-1", "r1", &database).without_contract();
    let server = server.start().await;
    let mut ann = User::join(server.traffic(), "a/b ü", "ann").await;
    let mut bob = User::join(server.traffic(), "a/b ü", "bob").await;
    assert_eq!(ann.answer_header("handover-mode"), None);

    let first = ann.draw().await;
    assert_eq!(ann.saved(first).await, 1);
    let second = bob.draw_padded(100_000).await;
    assert_eq!(bob.saved(second).await, 2);
    let drawn = |user: &str, revision| Heard::Drawn {
        user: user.into(),
        seq: 1,
        revision,
    };
    let heard = bob.hear_until_quiet(Duration::from_millis(100)).await;
    assert_eq!(heard, [drawn("ann", 1)]);

    // The last to leave takes the board out of memory; the database has it all.
    bob.leave().await;
    ann.leave().await;
    let mut ann = User::connect(server.traffic(), "a/b ü", "ann")
        .await
        .expect("the server takes sessions");
    assert_eq!(ann.hello().await, 2);
    ann.draw_again(1).await;
    assert_eq!(ann.saved(1).await, 1);
    assert_eq!(database.repeats("a/b ü").await, 1);
    assert_eq!(database.changes("a/b ü").await.len(), 2);
    assert_eq!(database.fence("a/b ü").await, None);
}

async fn check_opaque_changes(program: Program) {
    let database = Database::fresh().await;
    let server = BoardServer::builder(program, "board-1", "r1", &database).without_contract();
    let server = server.start().await;
    let mut ann = User::join(server.traffic(), "b", "ann").await;
    ann.send(Message::binary(vec![7; 3_000_000])).await;
    ann.send(Message::text("not JSON")).await;
    ann.send_fragment(Data::Text, "fra", false).await;
    ann.send_fragment(Data::Continue, "gmen", false).await;
    ann.send_fragment(Data::Continue, "ted", true).await;
    eventually("all three are saved", Duration::from_secs(10), || async {
        database.changes("b").await.len() == 3
    })
    .await;
    let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM changes ORDER BY revision")
        .fetch_all(database.pool())
        .await
        .expect("the database answers");
    let lengths: Vec<u64> = bodies
        .iter()
        .map(|body| serde_json::from_str::<serde_json::Value>(body).expect("bodies are JSON")["bytes"].as_u64())
        .map(|bytes| bytes.expect("an opaque body has a length"))
        .collect();
    assert_eq!(lengths, [3_000_000, 8, 10]);
    let seqs: Vec<i64> = database.changes("b").await.iter().map(|change| change.seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
}

/// Shakes hands by hand, for our client library knows no compression.
async fn check_compression(program: Program) {
    let database = Database::fresh().await;
    let server = BoardServer::builder(program, "board-1", "r1", &database).without_contract();
    let server = server.start().await;
    let mut stream = TcpStream::connect(server.traffic()).await.expect("the server listens");
    let request = "GET /boards/b/ws HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.expect("the server answers"), 0);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-extensions: permessage-deflate"), "{head}");
    assert!(!head.contains("no_context_takeover"), "{head}");
}

macro_rules! check_each {
    ($check:ident as $name:ident on $($place:ident: $program:ident),*) => {
        mod $name {
            use super::*;

            $(#[tokio::test]
            async fn $place() {
                $check(Program::$program).await;
            })*
        }
    };
}

check_each! {
    check_whiteboard as a_change_is_saved_then_acknowledged_then_shown
    on the_reference: Reference, websockets: Websockets, aiohttp: Aiohttp, node_ws: NodeWs
}

check_each! {
    check_opaque_changes as any_message_is_kept_as_a_change
    on the_reference: Reference, websockets: Websockets, aiohttp: Aiohttp, node_ws: NodeWs
}

// The reference server does not compress.
check_each! {
    check_compression as compression_keeps_its_context
    on websockets: Websockets, aiohttp: Aiohttp, node_ws: NodeWs
}
