//! The admin API over real sockets, with the real registry and metrics, before a fleet in memory.

mod access;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::admin::{
    BoardList, DrainState, DrainStatus, MoveList, MoveReport, Problem, ProblemType, ServerList,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::*;
use crate::config::AdminConfig;
use crate::drain::memory_fleet::{Handle, MemoryFleet, name};
use crate::drain::tests::Life;
use crate::telemetry::label::Limit;

/// A gateway's control plane behind its admin socket.
struct Gateway {
    life: Life,
    fleet: Arc<MemoryFleet>,
    readiness: Arc<Readiness>,
    access: Arc<Access>,
    address: SocketAddr,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Gateway {
    async fn start(boards: u64) -> Self {
        let gateway = Self::boot(boards).await;
        gateway.life.drains.resume().await.unwrap();
        gateway
    }

    async fn boot(boards: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fleet = MemoryFleet::new(boards);
        let life = Life::prepare(folder.path(), &fleet, "r1");
        let readiness = Arc::new(Readiness::new(life.shutdown.clone()));
        let access = Access::new(AdminConfig::default());
        let admin = Admin {
            drains: Arc::clone(&life.drains),
            fleet: Arc::new(Handle(Arc::clone(&fleet))),
            metrics: Arc::clone(&life.metrics),
            readiness: Arc::clone(&readiness),
            reload: ReloadDesk::open().0,
            access: Arc::clone(&access),
            home: tokio::runtime::Handle::current(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, admin, life.tasks.clone(), life.shutdown.clone()));
        Self {
            life,
            fleet,
            readiness,
            access,
            address,
            _folder: folder,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        self.call("POST", path, &headers, &body.to_string()).await
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.raw(request.as_bytes()).await
    }

    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn drained(&self, id: &str) -> DrainStatus {
        for _ in 0..1000 {
            let status: DrainStatus = self.get(&format!("/v1/drains/{id}")).await.json(200);
            if status.state != DrainState::Running {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("drain {id} does not end");
    }
}

impl Answer {
    fn json<T: DeserializeOwned>(&self, status: u16) -> T {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| {
            line.split_once(": ")
                .map(|(name, value)| (name.to_owned(), value.len()))
        };
        self.head.lines().find_map(|text| {
            let (found, length) = line(text)?;
            (found == name).then(|| &text[text.len() - length..])
        })
    }

    #[track_caller]
    fn refusal(&self, kind: ProblemType, field: Option<&str>) -> Problem {
        assert_eq!(self.status, kind.status(), "{}", self.body);
        assert_eq!(self.header("content-type"), Some(Problem::MEDIA_TYPE));
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!((problem.kind, problem.field.as_deref()), (kind, field), "{}", self.body);
        assert_eq!(problem.status, self.status);
        problem
    }
}

#[tokio::test]
async fn a_drain_is_started_watched_and_ends() {
    let gateway = Gateway::start(12).await;
    let request = json!({"id": "d1", "from": {"release": "r1"}, "to": {"servers": ["c", "d"]},
        "mode": "transparent", "pace": {"boards_per_second": 0}});
    let answer = gateway.post("/v1/drains", &request).await;
    assert_eq!(answer.header("location"), Some("/v1/drains/d1"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let status: DrainStatus = answer.json(202);
    assert_eq!(status.request.pace.boards_at_once, Some(32));
    let status = gateway.drained("d1").await;
    assert_eq!(
        (status.state, status.boards.moved, status.boards.left),
        (DrainState::Done, 12, 0)
    );
    assert!(status.rate > 0.0);
    let again = gateway.post("/v1/drains", &request).await.json::<DrainStatus>(202);
    assert_eq!(again.state, DrainState::Done);
    let list: Value = gateway.get("/v1/drains").await.json(200);
    assert_eq!(
        list["drains"][0]["boards"],
        json!({"total": 12, "moved": 12, "failed": 0, "left": 0, "closed": 0, "moving": 0, "put_off": 0})
    );
    let moves: MoveList = gateway.get("/v1/moves").await.json(200);
    assert_eq!(moves.moves.len(), 12);
    assert!(
        moves
            .moves
            .iter()
            .all(|one| one.result == "moved" && one.hold_at_ms.is_some())
    );
    let boards: Value = gateway.get("/v1/boards?server=a").await.json(200);
    assert_eq!(boards, json!({"boards": []}));
}

#[tokio::test]
async fn a_drain_without_an_id_is_given_one() {
    let gateway = Gateway::start(0).await;
    let request = json!({"from": {"release": "r1"}, "to": {"release": "r2"}});
    let answer = gateway.post("/v1/drains", &request).await;
    let status: DrainStatus = answer.json(202);
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/drains/{}", status.id).as_str())
    );
    assert_eq!(gateway.drained(status.id.as_str()).await.state, DrainState::Done);
}

#[tokio::test]
async fn a_running_drain_stands_in_the_way_until_it_is_aborted() {
    let gateway = Gateway::start(4).await;
    gateway.fleet.set_move_time(Duration::from_secs(60));
    let to_r2 = |id: &str| json!({"id": id, "from": {"release": "r1"}, "to": {"release": "r2"}});
    gateway.post("/v1/drains", &to_r2("d1")).await.json::<DrainStatus>(202);
    let conflict = gateway
        .post("/v1/drains", &to_r2("d2"))
        .await
        .refusal(ProblemType::DrainConflict, None);
    assert_eq!(conflict.drain.unwrap().as_str(), "d1");
    let other = json!({"id": "d1", "from": {"servers": ["a"]}, "to": {"release": "r2"}});
    gateway
        .post("/v1/drains", &other)
        .await
        .refusal(ProblemType::DrainExists, Some("id"));
    let back = gateway.post("/v1/boards/board%20000/move", &json!({"to": "b"})).await;
    back.refusal(ProblemType::DrainConflict, Some("to"));
    let servers: ServerList = gateway.get("/v1/servers").await.json(200);
    let emptied: Vec<bool> = servers.servers.iter().map(|server| server.drain.is_some()).collect();
    assert_eq!(emptied, [true, true, false, false]);
    gateway
        .call("POST", "/v1/drains/d1/abort", &[], "")
        .await
        .json::<DrainStatus>(202);
    let status = gateway.drained("d1").await;
    assert_eq!(
        (status.state, status.boards.moved, status.boards.left),
        (DrainState::Aborted, 0, 4)
    );
    gateway.fleet.set_move_time(Duration::from_millis(2));
    gateway.post("/v1/drains", &to_r2("d2")).await.json::<DrainStatus>(202);
    assert_eq!(gateway.drained("d2").await.state, DrainState::Done);
}

#[tokio::test]
async fn one_board_is_found_and_moved() {
    let gateway = Gateway::start(2).await;
    let path = "/v1/boards/board%20000";
    let view: Value = gateway.get(path).await.json(200);
    let expected = json!({"board": "board 000", "server": "a", "generation": 1, "state": "settled", "sessions": 0});
    assert_eq!(view, expected);
    let report: MoveReport = gateway
        .post(&format!("{path}/move"), &json!({"to": "d"}))
        .await
        .json(200);
    assert_eq!((report.result.as_str(), report.server), ("moved", Some(name("d"))));
    let again = gateway.post(&format!("{path}/move"), &json!({"to": "d"})).await;
    again.refusal(ProblemType::BoardNotMovable, None);
    gateway.fleet.set_unready(&["c"]);
    let unready = gateway.post(&format!("{path}/move"), &json!({"to": "c"})).await;
    unready.refusal(ProblemType::TargetNotReady, Some("to"));
    let unknown = gateway.post(&format!("{path}/move"), &json!({"to": "x"})).await;
    unknown.refusal(ProblemType::UnknownReference, Some("to"));
    let other = gateway.get("/v1/boards/an%20other").await;
    let problem = other.refusal(ProblemType::UnknownBoard, None);
    assert_eq!(problem.detail, "no board \"an other\" was ever placed");
    gateway
        .get("/v1/boards/a%00b")
        .await
        .refusal(ProblemType::InvalidField, Some("id"));
    gateway
        .get("/v1/boards/a%2")
        .await
        .refusal(ProblemType::InvalidField, Some("id"));
    gateway
        .get("/v1/boards/%ff")
        .await
        .refusal(ProblemType::InvalidField, Some("id"));
    gateway
        .get("/v1/boards?server=x")
        .await
        .refusal(ProblemType::UnknownReference, Some("server"));
    gateway
        .get("/v1/boards?sever=a")
        .await
        .refusal(ProblemType::InvalidField, Some("sever"));
}

#[tokio::test]
async fn boards_are_read_page_by_page() {
    let gateway = Gateway::start(5).await;
    let mut path = "/v1/boards?limit=2".to_owned();
    let (mut sizes, mut seen) = (Vec::new(), Vec::new());
    loop {
        let page: BoardList = gateway.get(&path).await.json(200);
        sizes.push(page.boards.len());
        seen.extend(page.boards.into_iter().map(|view| view.board));
        let Some(next) = page.next else { break };
        path = format!("/v1/boards?limit=2&after={}", next.to_url_segment());
    }
    let all: BoardList = gateway.get("/v1/boards").await.json(200);
    let all: Vec<_> = all.boards.into_iter().map(|view| view.board).collect();
    assert_eq!((sizes, seen), (vec![2, 2, 1], all));
    let whole: Value = gateway.get("/v1/boards?limit=5").await.json(200);
    assert_eq!(whole.get("next"), None, "there is no more");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("after=%00", "after"),
        ("after=", "after"),
        ("limit=1&limit=2", "limit"),
        ("page=1", "page"),
    ] {
        let refused = gateway.get(&format!("/v1/boards?{query}")).await;
        refused.refusal(ProblemType::InvalidField, Some(field));
    }
}

#[tokio::test]
async fn whatever_is_wrong_is_named_and_nothing_begins() {
    let gateway = Gateway::start(1).await;
    let (from, to) = (json!({"release": "r1"}), json!({"release": "r2"}));
    let refused = async |request: Value, kind: ProblemType, field: &str| {
        gateway.post("/v1/drains", &request).await.refusal(kind, Some(field));
    };
    let check = async |request: Value, field: &str| refused(request, ProblemType::InvalidField, field).await;
    check(json!({}), "from").await;
    check(json!({"from": from}), "to").await;
    check(json!({"from": from, "to": to, "force": true}), "force").await;
    refused(
        json!({"from": {"servers": []}, "to": to}),
        ProblemType::ImpossibleDrain,
        "from.servers",
    )
    .await;
    refused(
        json!({"from": {"servers": ["a", "x"]}, "to": to}),
        ProblemType::UnknownReference,
        "from.servers[1]",
    )
    .await;
    refused(
        json!({"from": from, "to": {"release": "r9"}}),
        ProblemType::UnknownReference,
        "to.release",
    )
    .await;
    refused(json!({"from": from, "to": from}), ProblemType::ImpossibleDrain, "to").await;
    refused(
        json!({"from": {"servers": ["a"]}, "to": {"servers": ["a"]}}),
        ProblemType::ImpossibleDrain,
        "to",
    )
    .await;
    check(json!({"from": from, "to": to, "mode": "quick"}), "mode").await;
    check(json!({"from": from, "to": to, "id": "a b"}), "id").await;
    check(
        json!({"from": from, "to": to, "pace": {"boards_at_once": 0}}),
        "pace.boards_at_once",
    )
    .await;
    check(
        json!({"from": from, "to": to, "pace": {"loads_per_target": "4"}}),
        "pace.loads_per_target",
    )
    .await;
    check(
        json!({"from": from, "to": to, "pace": {"boards_per_second": -1}}),
        "pace.boards_per_second",
    )
    .await;
    check(
        json!({"from": from, "to": to, "pace": {"boards_per_second": 1e300}}),
        "pace.boards_per_second",
    )
    .await;

    let json_type = [("Content-Type", "application/json; charset=utf-8")];
    let bad = gateway.call("POST", "/v1/drains", &json_type, "{\"from\":").await;
    bad.refusal(ProblemType::BadJson, None);
    let untyped = gateway
        .call("POST", "/v1/drains", &[("Content-Type", "text/plain")], "{}")
        .await;
    untyped.refusal(ProblemType::UnsupportedMediaType, None);
    let large = format!("{{\"id\": \"{}\"}}", "x".repeat(300_000));
    let large = gateway.call("POST", "/v1/drains", &json_type, &large).await;
    large.refusal(ProblemType::BodyTooLarge, None);
    gateway.fleet.set_unready(&["c", "d"]);
    let unready = gateway.post("/v1/drains", &json!({"from": from, "to": to})).await;
    unready.refusal(ProblemType::TargetNotReady, Some("to"));
    assert!(gateway.life.drains.list().is_empty());
}

#[tokio::test]
async fn unknown_paths_methods_and_ids_have_their_answers() {
    let gateway = Gateway::start(1).await;
    gateway.get("/").await.refusal(ProblemType::UnknownPath, None);
    gateway.get("/v1/drains/").await.refusal(ProblemType::UnknownPath, None);
    gateway.get("/v2/drains").await.refusal(ProblemType::UnknownPath, None);
    gateway
        .get("/v1/drains/d9")
        .await
        .refusal(ProblemType::UnknownDrain, None);
    gateway
        .get("/v1/drains/a%20b")
        .await
        .refusal(ProblemType::UnknownDrain, None);
    let abort = gateway.call("POST", "/v1/drains/d9/abort", &[], "").await;
    abort.refusal(ProblemType::UnknownDrain, None);
    let check = async |method: &str, path: &str, allowed: &str| {
        let answer = gateway.call(method, path, &[], "").await;
        answer.refusal(ProblemType::MethodNotAllowed, None);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    };
    check("DELETE", "/v1/drains", "get,head,post").await;
    check("GET", "/v1/drains/d1/abort", "post").await;
    check("POST", "/v1/servers", "get,head").await;
    check("OPTIONS", "/metrics", "get,head").await;
    assert_eq!(gateway.call("HEAD", "/livez", &[], "").await.body, "");
}

#[tokio::test]
async fn web_pages_of_elsewhere_are_refused_on_every_path() {
    let gateway = Gateway::start(1).await;
    for path in ["/v1/drains", "/metrics", "/livez", "/nowhere"] {
        let rebound = gateway.call("GET", path, &[("Host", "evil.example:8081")], "").await;
        rebound.refusal(ProblemType::ForbiddenHost, None);
        let foreign = gateway
            .call("POST", path, &[("Origin", "http://evil.example")], "{}")
            .await;
        foreign.refusal(ProblemType::ForbiddenOrigin, None);
    }
    let own = format!("http://{}", gateway.address);
    assert_eq!(
        gateway.call("GET", "/v1/boards", &[("Origin", &own)], "").await.status,
        200
    );
    let absolute = b"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    gateway.raw(absolute).await.refusal(ProblemType::ForbiddenHost, None);
    assert_eq!(gateway.raw(b"GET /livez HTTP/1.0\r\n\r\n").await.status, 200);
    assert_eq!(
        gateway
            .raw(b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n")
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn probes_tell_readiness_and_never_flap() {
    let gateway = Gateway::start(1).await;
    assert_eq!(gateway.get("/livez").await.status, 200);
    assert_eq!(gateway.get("/healthz").await.status, 200);
    gateway.fleet.lock().has_met_ready = false;
    gateway.readiness.set_serving();
    let early = gateway.get("/readyz").await;
    assert_eq!(early.status, 503, "no server was ready yet");
    assert!(
        early
            .body
            .starts_with("[-]servers failed: no server has been ready yet"),
        "{}",
        early.body
    );
    let excluded = gateway.get("/readyz?verbose&exclude=servers").await;
    assert_eq!(excluded.status, 200);
    assert!(excluded.body.contains("[+]servers excluded\n"), "{}", excluded.body);
    let traffic_alone = gateway.get("/readyz?exclude=traffic").await;
    assert_eq!(traffic_alone.status, 503, "the other checks count as before");
    let unknown = gateway.get("/readyz?exclude=redis").await;
    unknown.refusal(ProblemType::InvalidField, Some("exclude"));
    gateway.fleet.lock().has_met_ready = true;
    gateway.fleet.set_unready(&["a", "b", "c", "d"]);
    assert_eq!(gateway.get("/readyz").await.status, 200, "a server was ready once");
    let verbose = gateway.get("/readyz?verbose").await.body;
    assert!(
        verbose.contains("[+]traffic ok\n") && verbose.contains("[!]server a is down: "),
        "{verbose}"
    );
    let metrics = gateway.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    assert!(metrics.body.contains("\nhandover_drains{state=\"running\"} 0\n"));
    assert_eq!(metrics.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_gateway_that_does_not_know_its_drains_yet_says_so() {
    let gateway = Gateway::boot(1).await;
    let early = gateway.get("/v1/drains/d1").await;
    early.refusal(ProblemType::Starting, None);
    assert_eq!(early.header("retry-after"), Some("1"));
    let request = json!({"from": {"release": "r1"}, "to": {"release": "r2"}});
    gateway
        .post("/v1/drains", &request)
        .await
        .refusal(ProblemType::Starting, None);
    assert_eq!(gateway.get("/livez").await.status, 200);
    gateway.life.drains.resume().await.unwrap();
    gateway
        .get("/v1/drains/d1")
        .await
        .refusal(ProblemType::UnknownDrain, None);
}

#[tokio::test]
async fn a_change_whose_caller_hangs_up_is_carried_out_to_its_end() {
    let gateway = Gateway::start(0).await;
    gateway.fleet.cordons.forget_permits(Semaphore::MAX_PERMITS);
    let mut caller = TcpStream::connect(gateway.address).await.unwrap();
    let request = b"POST /v1/servers/a/cordon HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    caller.write_all(request).await.unwrap();
    let until = async |what: &dyn Fn() -> bool| {
        for _ in 0..3000 {
            if what() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to that");
    };
    until(&|| gateway.fleet.lock().cordons_begun == 1).await;
    caller.shutdown().await.unwrap();
    // The gateway has seen the end of the connection once it closes its own side, without an answer.
    let mut answer = Vec::new();
    caller.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
    gateway.fleet.cordons.add_permits(1);
    until(&|| gateway.fleet.lock().cordoned.len() == 1).await;
}

#[tokio::test]
async fn ids_in_paths_may_be_percent_encoded() {
    let gateway = Gateway::start(2).await;
    let request = json!({"from": {"release": "r1"}, "to": {"release": "r2"}}).to_string();
    let headers = [("Content-Type", "application/json")];
    let started = gateway.call("PUT", "/v1/drains/r1%3Ar2", &headers, &request).await;
    assert_eq!(started.json::<DrainStatus>(202).id.as_str(), "r1:r2");
    assert_eq!(started.header("location"), Some("/v1/drains/r1:r2"));
    for path in ["/v1/drains/r1:r2", "/v1/drains/r1%3ar2", "/v1/drains/%721%3Ar2"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    assert_eq!(gateway.get("/v1/servers/%61").await.status, 200);
    for path in [
        "/v1/drains/r1%2Fr2",
        "/v1/drains/r1%253Ar2",
        "/v1/drains/%ff",
        "/v1/servers/%0A",
    ] {
        assert_eq!(gateway.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn connections_that_ask_nothing_lock_nobody_out() {
    let gateway = Gateway::start(1).await;
    let mut idle = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: local").await.unwrap();
        }
        idle.push(stream);
    }
    // A head that does not come has a minute.
    let answer = tokio::time::timeout(Duration::from_secs(40), gateway.get("/v1/servers")).await;
    assert_eq!(answer.expect("idle connections are no reason to wait").status, 200);
    let hits = gateway.life.metrics.limit_hits.of(Limit::AdminConnections).get();
    assert!(hits > 0, "{hits}");
}
