//! Plain HTTP while its board moves: what is under way is finished where it began or cut where the route says so, what
//! comes meanwhile waits for the new owner.

use std::time::Duration;

use handover_protocol::admin::{DrainMode, MoveReport, MoveRequest};
use handover_tests::{Gateway, RawClient, Route, ScriptedOrigin, eventually};

use super::only_status;

/// A gateway before two servers that know nothing of it; the board is the first's.
struct Pair {
    source: ScriptedOrigin,
    target: ScriptedOrigin,
    gateway: Gateway,
}

impl Pair {
    async fn start(route: &Route) -> Self {
        let (source, target) = (ScriptedOrigin::start().await, ScriptedOrigin::start().await);
        for (origin, name) in [(&source, "source"), (&target, "target")] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", name.len());
            origin.will_answer(format!("{head}{name}"));
        }
        let gateway = Gateway::builder("r1")
            .origin("board-1", "r1", source.address())
            .origin("board-2", "r2", target.address())
            .route(&route.clone().with("settle", "\"50ms\"").with("quiet_max", "\"250ms\""))
            .start()
            .await;
        gateway.all_ready().await;
        let stage = Self {
            source,
            target,
            gateway,
        };
        assert_eq!(stage.get().await, "source");
        stage.source.take_heard();
        stage
    }

    async fn client(&self) -> RawClient {
        RawClient::connect(self.gateway.traffic()).await
    }

    /// Asks for the board's page, and returns who has answered.
    async fn get(&self) -> String {
        let mut client = self.client().await;
        client.say(GET).await;
        let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert_eq!(only_status(&answer), Some(200), "{answer}");
        answer.rsplit_once("\r\n\r\n").expect("it has a body").1.to_owned()
    }

    async fn move_board(&self) -> MoveReport {
        moved(&self.gateway).await
    }

    async fn is_parked(&self) {
        eventually("a request is parked", SOON, || async {
            metric(&self.gateway, "handover_parked", &[]).await >= 1.0
        })
        .await;
    }
}

async fn moved(gateway: &Gateway) -> MoveReport {
    let to = "board-2".parse().expect("a good name");
    let mode = DrainMode::Auto;
    let report = gateway.admin().move_board("b", &MoveRequest { to, mode }).await;
    report.expect("the gateway answers")
}

async fn metric(gateway: &Gateway, name: &str, labels: &[(&str, &str)]) -> f64 {
    let metrics = gateway.admin().metrics().await.expect("it has metrics");
    metrics.value(name, labels).expect("every series is there")
}

/// A route that gives requests under way all the time there is.
fn patient() -> Route {
    Route::whiteboard().with("request_timeout", "\"5s\"")
}

#[tokio::test]
async fn an_upload_ends_where_it_began_and_what_comes_meanwhile_goes_to_the_new_owner() {
    let stage = Pair::start(&patient()).await;
    let body: Vec<u8> = (0..5 * 1024 * 1024_u32).map(|number| (number >> 8) as u8).collect();
    let (first, second) = body.split_at(body.len() / 2);
    stage.source.answers_behind(body.len());
    stage
        .source
        .will_answer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let mut uploading = stage.client().await;
    uploading.say(post(body.len())).await;
    uploading.say(first).await;
    stage.source.behind_head(first.len()).await;
    let meanwhile = async {
        let late = async {
            let answer = stage.get().await;
            assert_eq!(answer, "target");
        };
        let rest = async {
            stage.is_parked().await;
            assert_eq!(stage.target.heard(), [[0; 0]; 0], "it waits");
            uploading.say(second).await;
            assert_eq!(only_status(&uploading.head().await), Some(201));
        };
        // The gate is shut as soon as the target was tried; nobody waits before.
        let tried = [("step", "prepare")];
        eventually("the gate is shut", SOON, || async {
            metric(&stage.gateway, "handover_move_step_seconds_count", &tried).await == 1.0
        })
        .await;
        tokio::join!(late, rest);
    };
    let (report, ()) = tokio::join!(stage.move_board(), meanwhile);
    assert!(report.is_moved(), "{report:?}");
    assert_eq!(stage.source.heard().len(), 1, "the source got the upload only");
    assert!(stage.source.rest_of_first() == Some(body), "and all of it");
    assert_eq!(
        metric(
            &stage.gateway,
            "handover_limit_hits_total",
            &[("limit", "request_timeout")]
        )
        .await,
        0.0
    );
}

#[tokio::test]
async fn a_stream_of_events_keeps_its_board_where_it_is_unless_the_route_has_it_cut() {
    let check = async |cut_streams: bool| {
        let route = Route::whiteboard().with("request_timeout", "\"300ms\"");
        let stage = Pair::start(&route.with("cut_streams", &cut_streams.to_string())).await;
        stage.source.stays_open();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stage.source.will_answer(format!("{head}9\r\ndata: 1\n\n\r\n"));
        let mut listening = stage.client().await;
        listening.say(GET).await;
        listening.head().await;
        assert_eq!(listening.hear(14).await, b"9\r\ndata: 1\n\n\r\n");
        let report = stage.move_board().await;
        let limit = [("limit", "request_timeout")];
        let hits = metric(&stage.gateway, "handover_limit_hits_total", &limit).await;
        if cut_streams {
            assert!(report.is_moved(), "{report:?}");
            assert_eq!(hits, 0.0);
            assert_eq!(listening.rest().await, b"", "no last chunk, for it has not ended");
            eventually("it is counted", SOON, || async {
                metric(&stage.gateway, "handover_requests_total", &[("outcome", "cut")]).await == 1.0
            })
            .await;
        } else {
            assert_eq!(report.result, "requests_in_flight", "{report:?}");
            assert_eq!(hits, 1.0);
            stage.source.say_more("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
            assert_eq!(listening.hear(19).await, b"9\r\ndata: 2\n\n\r\n0\r\n\r\n");
        }
        let now = if cut_streams { "target" } else { "source" };
        let owner = stage.gateway.admin().board("b").await.expect("it is known").server;
        let expected = if cut_streams { "board-2" } else { "board-1" };
        assert_eq!(owner.expect("it is owned").as_str(), expected, "{now}");
    };
    check(false).await;
    check(true).await;
}

const GET: &str = "GET /boards/b/ws HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

fn post(length: usize) -> String {
    format!("POST /boards/b/ws HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(30);
