//! How a watch ends, and how it hears of the end.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use handover_protocol::admin::{DrainCounts, DrainRequest, ServerSet};

use super::*;
use crate::shell::Client;
use crate::shell::Credentials;
use crate::shell::common::Shell;
use crate::shell::print::Output;

fn status(state: DrainState) -> DrainStatus {
    let set = |name: &str| ServerSet::Release(name.parse().unwrap());
    let request = DrainRequest::new(set("r1"), set("r2"));
    let json = serde_json::json!({
        "id": "d", "state": state, "boards": DrainCounts::default(), "rate": 0.0, "failures": [], "levels": [],
        "unconfirmed_sessions": 0, "fallen_back_sessions": 0, "request": request,
    });
    serde_json::from_value(json).unwrap()
}

const STRICT: Allowance = Allowance {
    unconfirmed_max: 0,
    fallen_back_max: u64::MAX,
};

#[test]
fn a_drain_that_is_through_is_judged_by_its_sessions() {
    let mut done = status(DrainState::Done);
    assert_eq!(verdict(&done, Goal::Emptied, STRICT), Some(Outcome::Done));
    done.unconfirmed_sessions = 1;
    assert_eq!(verdict(&done, Goal::Emptied, STRICT), Some(Outcome::Unconfirmed));
    let lenient = Allowance {
        unconfirmed_max: 1,
        fallen_back_max: 0,
    };
    assert_eq!(verdict(&done, Goal::Emptied, lenient), Some(Outcome::Done));
    done.fallen_back_sessions = 1;
    assert_eq!(verdict(&done, Goal::Emptied, lenient), Some(Outcome::Unconfirmed));
}

#[test]
fn who_allows_less_than_happened_is_told_of_that_bound_only() {
    let mut done = status(DrainState::Done);
    (done.unconfirmed_sessions, done.fallen_back_sessions) = (2, 3);
    let said = STRICT.exceeded_by(&done);
    assert!(said.contains("with 2 sessions unconfirmed (0 allowed); "), "{said}");
    assert!(said.contains("\"drain\":\"d\""), "{said}");
    let both = Allowance {
        unconfirmed_max: 1,
        fallen_back_max: 0,
    };
    let said = both.exceeded_by(&done);
    assert!(
        said.contains("2 sessions unconfirmed (1 allowed) and 3 fallen back to reconnect (0 allowed)"),
        "{said}"
    );
}

#[test]
fn a_pause_ends_the_watch_only_where_nobody_asked_for_it() {
    let paused = |paused_by| DrainStatus {
        paused_by,
        ..status(DrainState::Paused)
    };
    let check = |by, expected| assert_eq!(verdict(&paused(by), Goal::Emptied, STRICT), expected, "{by:?}");
    check(None, None);
    check(Some(PausedBy::Operator), None);
    check(Some(PausedBy::Deadline), Some(Outcome::Paused));
    check(Some(PausedBy::TargetDown), Some(Outcome::Paused));
}

#[test]
fn the_same_end_is_success_or_failure_by_what_was_wanted() {
    let mut failed = status(DrainState::Failed);
    assert_eq!(verdict(&failed, Goal::Emptied, STRICT), Some(Outcome::Failed));
    failed.deadline_passed = true;
    assert_eq!(verdict(&failed, Goal::Emptied, STRICT), Some(Outcome::TimedOut));
    let aborted = status(DrainState::Aborted);
    assert_eq!(verdict(&aborted, Goal::Emptied, STRICT), Some(Outcome::Failed));
    assert_eq!(verdict(&aborted, Goal::Aborted, STRICT), Some(Outcome::Done));
    let undone = status(DrainState::Undone);
    assert_eq!(verdict(&undone, Goal::Emptied, STRICT), Some(Outcome::Failed));
    assert_eq!(verdict(&undone, Goal::Undone, STRICT), Some(Outcome::Done));
    // An undo that gave up leaves the drain as it was.
    assert_eq!(
        verdict(&status(DrainState::Done), Goal::Undone, STRICT),
        Some(Outcome::Failed)
    );
    assert_eq!(verdict(&status(DrainState::Running), Goal::Undone, STRICT), None);
}

/// A gateway whose stream of events ends in the middle, and which notes where each stream began.
#[derive(Clone)]
struct Broken {
    began: Arc<Mutex<Vec<Option<String>>>>,
}

impl Broken {
    fn state(&self) -> DrainState {
        match self.began.lock().unwrap().len() {
            0 | 1 => DrainState::Running,
            _ => DrainState::Done,
        }
    }

    async fn listen(self) -> Shell {
        let router = Router::new()
            .route(
                "/v1/drains/d",
                get(async |State(broken): State<Self>| Json(status(broken.state()))),
            )
            .route("/v1/drains/d/events", get(events))
            .with_state(self);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Shell {
            client: Client::new(address.parse().unwrap(), &Credentials::default()).unwrap(),
            output: Output::Env,
            timeout: Some(Duration::from_secs(30)),
        }
    }
}

async fn events(
    State(broken): State<Broken>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send> {
    let after = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    broken.began.lock().unwrap().push(after);
    let number = broken.began.lock().unwrap().len();
    let event = DrainEvent::State {
        status: Box::new(status(broken.state())),
    };
    let event = Event::default().id(number.to_string()).event("state").json_data(event);
    Sse::new(stream::iter([Ok(event.unwrap())]))
}

#[tokio::test]
async fn a_stream_that_broke_off_is_resumed_behind_the_last_event() {
    let broken = Broken { began: Arc::default() };
    let shell = broken.clone().listen().await;
    let watch = Watch {
        shell: &shell,
        drain: "d".parse().unwrap(),
        goal: Goal::Emptied,
        allowance: STRICT,
    };
    let (status, outcome) = watch.follow(&mut Progress::new(shell.output)).await.unwrap();
    assert_eq!((status.state, outcome), (DrainState::Done, Outcome::Done));
    assert_eq!(*broken.began.lock().unwrap(), [None, Some("1".to_owned())]);
}
