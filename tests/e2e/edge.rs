//! What the edge answers to bytes that no library would send: tables over raw sockets, a real gateway, and an origin that
//! writes down every byte it was sent. One row is what was sent, the answer owed, and what the origin may have seen.

mod answers;
mod floods;
mod frames;
mod handshakes;
mod heads;
mod moving;
mod overload;
mod plain;
mod readers;
mod silence;
mod slow;

use std::time::Duration;

use handover_tests::{Gateway, RawClient, Route, ScriptedOrigin, eventually};

/// A gateway before one scripted origin.
struct Stage {
    origin: ScriptedOrigin,
    gateway: Gateway,
}

impl Stage {
    async fn start() -> Self {
        Self::with(&Route::whiteboard(), "").await
    }

    /// Starts a gateway of one route, with tables of TOML behind it.
    async fn with(route: &Route, tables: &str) -> Self {
        let origin = ScriptedOrigin::start().await;
        let gateway = Gateway::builder("r1").origin("board-1", "r1", origin.address());
        let gateway = gateway.route(route).toml(tables).start().await;
        gateway.all_ready().await;
        Self { origin, gateway }
    }

    /// Returns what the gateway's process has in memory, in KiB.
    fn resident(&self) -> u64 {
        self.gateway.process().resident()
    }

    async fn client(&self) -> RawClient {
        RawClient::connect(self.gateway.traffic()).await
    }

    /// Sends bytes over a connection of their own, and returns all that comes back, up to the close.
    async fn ask(&self, request: &[u8]) -> String {
        let mut client = self.client().await;
        client.say(request).await;
        String::from_utf8_lossy(&client.rest().await).into_owned()
    }

    /// Opens a session; the origin has its head when this returns.
    async fn session(&self) -> RawClient {
        let mut client = self.client().await;
        client.say(HANDSHAKE).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    async fn limit_hits(&self, limit: &str) -> f64 {
        let metrics = self.gateway.admin().metrics().await.expect("it has metrics");
        let hits = metrics.value("handover_limit_hits_total", &[("limit", limit)]);
        hits.expect("every limit has a series")
    }
}

/// Waits for a limit's count: it is made once the connection has ended, which the client may see first.
async fn counted(stage: &Stage, limit: &str, hits: f64) {
    eventually(limit, SOON, || async { stage.limit_hits(limit).await >= hits }).await;
    assert_eq!(stage.limit_hits(limit).await, hits, "{limit}");
}

/// Reads the status of an answer of which there is only one.
fn only_status(answer: &str) -> Option<u16> {
    let rest = answer.strip_prefix("HTTP/1.")?;
    let status = rest.get(2..5)?.parse().ok();
    status.filter(|_| !rest.contains("HTTP/1.1 ") && !rest.contains("HTTP/1.0 "))
}

/// Returns the values of a header, in their order.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// A sound handshake, with something else in the place of one of its parts.
fn handshake_but(part: &str, other: &str) -> String {
    assert!(HANDSHAKE.contains(part), "{part}");
    HANDSHAKE.replacen(part, other, 1)
}

/// A sound handshake with more header lines.
fn handshake_and(lines: &str) -> String {
    handshake_but("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

/// A sound handshake.
const HANDSHAKE: &str = "GET /boards/b/ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\
                         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);
