//! What the gateway hears of servers that start, stop, restart and misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::machine::health::Verdict;
use handover_protocol::{Incarnation, Owner, ServerName};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Poller;
use crate::config::{HealthConfig, Limits, MetricsConfig, ServerConfig};
use crate::telemetry::Metrics;
use crate::upstream::contract_server::{ContractServer, Mood, opaque};
use crate::upstream::{Server, ServerStatus, Servers};

const BOARDS_INTERVAL: Duration = Duration::from_millis(10);

/// Servers that are being asked until this is dropped.
struct Asked {
    servers: Arc<Servers>,
    shutdown: CancellationToken,
}

impl Asked {
    async fn start(configs: &[ServerConfig]) -> Self {
        let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
        let servers = Servers::new(configs, &Limits::default(), &metrics);
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        poll_all(&servers, &tasks, &shutdown);
        timeout(DEADLINE, servers.asked()).await.unwrap();
        Self { servers, shutdown }
    }

    fn server(&self, name: &str) -> Arc<Server> {
        self.servers.get(&name.parse().unwrap()).unwrap()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn heard(server: &Server, what: &str, condition: impl FnMut(&ServerStatus) -> bool) -> ServerStatus {
    let mut watch = server.watch();
    match timeout(DEADLINE, watch.wait_for(condition)).await {
        Ok(status) => status.unwrap().clone(),
        Err(_) => panic!("never heard: {what}; but {:?}", server.status()),
    }
}

fn incarnation(text: &str) -> Option<Incarnation> {
    Some(text.parse().unwrap())
}

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn readiness_and_boards_are_heard_and_kept_up_to_date() {
    let contract = ContractServer::start().await;
    contract.tell(|story| story.boards = vec!["a".to_owned()]);
    let asked = Asked::start(&[contract.config()]).await;
    let server = asked.server("board-1");
    let status = heard(&server, "one board", |status| status.listing.is_some()).await;
    assert!(status.is_ready && status.silent_since.is_none());
    assert!(status.capabilities.iter().any(|capability| capability == "transparent"));
    assert_eq!(status.listing.unwrap().listing.boards.len(), 1);

    contract.tell(|story| {
        story.boards = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        story.is_ready = false;
    });
    heard(&server, "three boards", |status| {
        !status.is_ready
            && status
                .listing
                .as_ref()
                .is_some_and(|heard| heard.listing.boards.len() == 3)
    })
    .await;
    assert!(asked.servers.has_met_ready(), "it was ready once");
    contract.tell(|story| story.boards.clear());
    let known = server.status().listing.unwrap();
    assert_eq!(known.report(&"b".parse().unwrap()).unwrap().revision.number(), 5);
    let same = server.read_boards_since(known.asked_at).await.unwrap().unwrap();
    assert!(same.asked_at >= known.asked_at);
    let now = server
        .read_boards_since(std::time::Instant::now())
        .await
        .unwrap()
        .unwrap();
    assert!(now.listing.boards.is_empty());
    assert!(server.status().listing.unwrap().listing.boards.is_empty());
}

#[tokio::test]
async fn who_waits_for_a_list_that_cannot_be_read_shares_the_failure() {
    let contract = ContractServer::start().await;
    contract.tell(|story| story.mood = Mood::Says(StatusCode::OK, "text/html", "<p>hello".to_owned()));
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let servers = Servers::new(&[contract.config()], &Limits::default(), &metrics);
    let server = &servers.all()[0];
    let since = std::time::Instant::now();
    let read = || server.read_boards_since(since);
    let results = tokio::join!(read(), read(), read(), read());
    assert!(results.0.is_err() && results.1.is_err() && results.2.is_err() && results.3.is_err());
    assert_eq!(contract.calls().len(), 1);

    contract.tell(|story| story.mood = Mood::Fine);
    let heard = server.read_boards_since(std::time::Instant::now()).await;
    assert!(heard.unwrap().is_some(), "a later one is read anew");
}

#[tokio::test]
async fn a_restarted_server_owns_nothing_of_before() {
    let contract = ContractServer::start().await;
    contract.tell(|story| story.boards = vec!["a".to_owned()]);
    let asked = Asked::start(&[contract.config()]).await;
    let server = asked.server("board-1");
    heard(&server, "boards", |status| status.listing.is_some()).await;
    let before = server.owner();
    assert_eq!(before.incarnation, incarnation("first"));
    assert!(server.may_serve(&before));

    contract.tell(|story| {
        story.incarnation = "second".to_owned();
        story.boards.clear();
    });
    heard(&server, "the restart", |status| {
        status.incarnation == incarnation("second")
    })
    .await;
    assert!(!server.may_serve(&before));
    assert!(server.may_serve(&server.owner()));
    let status = heard(&server, "boards", |status| status.listing.is_some()).await;
    assert_eq!(
        Some(status.listing.unwrap().listing.incarnation.clone()),
        incarnation("second")
    );
}

#[tokio::test]
async fn a_silent_server_is_not_ready_and_is_still_believed_to_be_itself() {
    let contract = ContractServer::start().await;
    let asked = Asked::start(&[contract.config()]).await;
    let server = asked.server("board-1");
    let owner = server.owner();
    for mood in [
        Mood::Says(StatusCode::OK, "text/html", "<p>hello".to_owned()),
        Mood::Says(StatusCode::UNAUTHORIZED, "", String::new()),
    ] {
        contract.tell(|story| story.mood = mood);
        let status = heard(&server, "silence", |status| !status.is_ready).await;
        assert!(status.silent_since.is_some());
        assert!(server.may_serve(&owner));
        contract.tell(|story| story.mood = Mood::Fine);
        let status = heard(&server, "its return", |status| status.is_ready).await;
        assert!(status.silent_since.is_none());
    }
    contract.stop();
    heard(&server, "its end", |status| !status.is_ready).await;
    assert!(server.may_serve(&owner));
}

#[tokio::test]
async fn a_control_url_that_leads_to_another_server_makes_nothing_ready() {
    let contract = ContractServer::start().await;
    contract.tell(|story| story.name = "board-2".to_owned());
    let asked = Asked::start(&[contract.config()]).await;
    let status = asked.server("board-1").status();
    assert!(!status.is_ready && status.incarnation.is_none(), "{status:?}");
    assert!(!asked.servers.has_met_ready());
    contract.tell(|story| story.name = "board-1".to_owned());
    heard(&asked.server("board-1"), "the right one", |status| status.is_ready).await;
}

#[tokio::test]
async fn an_opaque_server_is_ready_while_it_takes_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::start(&[opaque("plain", &address.to_string())]).await;
    let server = asked.server("plain");
    assert!(server.is_ready() && !server.has_contract());
    assert!(server.read_boards().await.unwrap().is_none());
    let owner = server.owner();
    assert_eq!(owner.incarnation, None);
    drop(listener);
    heard(&server, "its end", |status| !status.is_ready).await;
    assert!(server.may_serve(&owner));
    let _listener = TcpListener::bind(address).await.unwrap();
    heard(&server, "its return", |status| status.is_ready).await;
}

#[tokio::test]
async fn new_boards_go_to_the_least_loaded_ready_server_of_the_release() {
    let mut listeners = Vec::new();
    let mut configs = Vec::new();
    for (name, release) in [("a", "r1"), ("b", "r1"), ("c", "r1"), ("d", "r2")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = opaque(name, &listener.local_addr().unwrap().to_string());
        config.release = release.parse().unwrap();
        configs.push(config);
        listeners.push(Some(listener));
    }
    listeners[0] = None;
    let asked = Asked::start(&configs).await;
    let choose = |release: &str, load: fn(&str) -> usize, avoided: &[&str]| {
        let chosen = asked.servers.least_loaded(
            |server| load(server.name().as_str()),
            |server| server.release().as_str() == release && !avoided.contains(&server.name().as_str()),
        );
        chosen.map(|server| server.name().as_str().to_owned())
    };
    let chosen = |name: &str| Some(name.to_owned());
    assert_eq!(choose("r1", |_| 0, &[]), chosen("b"), "a is down, b comes first");
    assert_eq!(choose("r1", |name| usize::from(name == "b"), &[]), chosen("c"));
    assert_eq!(choose("r1", |_| 0, &["b"]), chosen("c"));
    assert_eq!(choose("r1", |_| 0, &["b", "c"]), None);
    assert_eq!(choose("r2", |_| 9, &[]), chosen("d"));
    assert_eq!(choose("r3", |_| 0, &[]), None);
}

#[tokio::test]
async fn new_boards_are_shared_out_by_weight_and_within_capacity() {
    let mut listeners = Vec::new();
    let mut configs = Vec::new();
    for (name, weight, capacity) in [("a", 300, None), ("b", 100, None), ("c", 100, Some(4)), ("d", 0, None)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = opaque(name, &listener.local_addr().unwrap().to_string());
        (config.allotment.weight, config.allotment.capacity) = (weight, capacity);
        configs.push(config);
        listeners.push(listener);
    }
    let asked = Asked::start(&configs).await;
    let mut boards: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..44 {
        let load = |server: &Server| boards.get(server.name().as_str()).copied().unwrap_or_default();
        let chosen = asked.servers.least_loaded(load, |_| true).unwrap();
        *boards.entry(chosen.name().as_str().to_owned()).or_default() += 1;
    }
    let shares: Vec<_> = boards.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(shares, [("a", 30), ("b", 10), ("c", 4)]);
    assert!(
        asked
            .servers
            .least_loaded(|_| 4, |server| server.room(0).is_some())
            .is_none(),
        "c is full"
    );
}

#[tokio::test]
async fn only_a_servers_address_beyond_this_machine_marks_a_request_as_its_own() {
    let configs = [
        opaque("near", "127.0.0.1:1"),
        opaque("far", "192.0.2.7:1"),
        opaque("six", "[2001:db8::7]:1"),
        opaque("named", "localhost:1"),
    ];
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let servers = Servers::new(&configs, &Limits::default(), &metrics);
    let check = |peer: &str, expected: bool| {
        assert_eq!(servers.is_servers_own(peer.parse().unwrap()), expected, "{peer}");
    };
    check("127.0.0.1", false);
    check("::1", false);
    check("::ffff:127.0.0.1", false);
    check("192.0.2.7", true);
    check("::ffff:192.0.2.7", true);
    check("192.0.2.8", false);
    check("2001:db8::7", true);
    let named = servers.get(&"named".parse::<ServerName>().unwrap()).unwrap();
    named.set_addresses(vec!["192.0.2.9".parse().unwrap(), "127.0.0.1".parse().unwrap()]);
    check("192.0.2.9", true);
    check("127.0.0.1", false);
}

#[tokio::test]
async fn the_polls_end_with_the_gateway() {
    let contract = ContractServer::start().await;
    contract.tell(|story| story.mood = Mood::Slow(Duration::from_secs(3600)));
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let servers = Servers::new(&[contract.config()], &Limits::default(), &metrics);
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    poll_all(&servers, &tasks, &shutdown);
    tasks.close();
    assert_eq!(tasks.len(), 1);
    shutdown.cancel();
    timeout(Duration::from_secs(2), tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stays_silent_is_down_also_where_a_question_may_take_longer_than_the_next_is_away() {
    let contract = ContractServer::start().await;
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let servers = Servers::new(&[contract.config()], &Limits::default(), &metrics);
    let shutdown = CancellationToken::new();
    let health = HealthConfig {
        timeout: Duration::from_millis(1500),
        ..HealthConfig::default()
    };
    poll_by(health, &servers, &TaskTracker::new(), &shutdown);
    let server = servers.all()[0].clone();
    heard(&server, "it is up", |status| status.verdict == Verdict::Up).await;
    contract.tell(|story| story.mood = Mood::Slow(Duration::from_secs(3600)));
    heard(&server, "it is down", |status| status.verdict == Verdict::Down).await;
    shutdown.cancel();
}

#[tokio::test]
async fn a_list_of_boards_that_never_comes_keeps_nobody_from_asking_whether_the_server_lives() {
    let contract = ContractServer::start().await;
    contract.tell(|story| story.mood = Mood::WithoutList);
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let limits = Limits {
        control_call_timeout: Duration::from_secs(3600),
        ..Limits::default()
    };
    let servers = Servers::new(&[contract.config()], &limits, &metrics);
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    poll_all(&servers, &tasks, &shutdown);
    let server = servers.all()[0].clone();
    heard(&server, "three answers", |status| status.polls >= 3).await;
    let lists = contract
        .calls()
        .into_iter()
        .filter(|call| call.target.contains("/boards"));
    assert_eq!(lists.count(), 1, "one list at a time");
    shutdown.cancel();
}

#[tokio::test]
async fn nobody_waits_for_the_answer_of_a_server_that_is_named_no_more() {
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let servers = Servers::new(&[opaque("a", "127.0.0.1:1")], &Limits::default(), &metrics);
    let waiting = servers.clone();
    let waiting = tokio::spawn(async move { waiting.asked().await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "nobody has asked it");
    servers.remove(&"a".parse().unwrap());
    timeout(DEADLINE, waiting).await.unwrap().unwrap();
}

#[test]
fn an_owner_is_served_by_its_own_process_only() {
    let metrics = Arc::new(Metrics::new(&MetricsConfig::default()).unwrap());
    let servers = Servers::new(&[opaque("a", "127.0.0.1:1")], &Limits::default(), &metrics);
    let server = servers.all()[0].clone();
    let owner = |name: &str, process: Option<&str>| Owner {
        server: name.parse().unwrap(),
        incarnation: process.map(|process| process.parse().unwrap()),
    };
    assert!(server.may_serve(&owner("a", None)));
    assert!(!server.may_serve(&owner("b", None)));
    assert!(server.may_serve(&owner("a", Some("unheard"))));
    server.hear(|status| status.incarnation = incarnation("p"));
    assert!(server.may_serve(&owner("a", Some("p"))));
    assert!(!server.may_serve(&owner("a", Some("q"))));
    assert!(!server.may_serve(&owner("a", None)));
}

fn poll_all(servers: &Servers, tasks: &TaskTracker, shutdown: &CancellationToken) {
    poll_by(HealthConfig::default(), servers, tasks, shutdown);
}

fn poll_by(health: HealthConfig, servers: &Servers, tasks: &TaskTracker, shutdown: &CancellationToken) {
    let poller = Poller {
        health,
        boards_interval: BOARDS_INTERVAL,
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
        metrics: Arc::new(Metrics::new(&MetricsConfig::default()).unwrap()),
    };
    servers.all().iter().for_each(|server| poller.start(server));
}
