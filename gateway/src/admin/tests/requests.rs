//! What holds for every request and connection: paths, methods, hosts, probes, and callers that hang up.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::*;

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
