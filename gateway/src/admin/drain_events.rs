//! `GET /v1/drains/{id}/events`: what happens to a drain, as server-sent events that can be taken up again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use handover_protocol::DrainId;
use handover_protocol::admin::{DrainEvent, Problem, ProblemType};
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use super::{Admin, drains, query};
use crate::drain::{NumberedEvent, Read};

/// Begins with the drain's state, or behind the event that the reader has seen last.
///
/// The stream ends behind the drain's last state. A reader that has seen that gets 204, which tells browsers to stop.
pub(super) async fn follow(State(admin): State<Admin>, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let after = last_seen(&uri, &headers)?;
    let id = drains::id(&uri).filter(|id| admin.drains.status(id).is_some());
    let id = id.ok_or_else(|| drains::unknown(&uri))?;
    let mut reader = Reader {
        shutdown: admin.readiness.shutdown().clone(),
        admin,
        id,
        after,
        waiting: VecDeque::new(),
        has_ended: false,
    };
    if reader.after.is_some() && reader.is_at_the_end() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = Sse::new(reader.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here"));
    let unbuffered = [(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    )];
    Ok((unbuffered, events).into_response())
}

/// One reader's place.
struct Reader {
    admin: Admin,
    id: DrainId,
    after: Option<u64>,
    waiting: VecDeque<NumberedEvent>,
    has_ended: bool,
    shutdown: CancellationToken,
}

impl Reader {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        stream::unfold(self, |mut reader| async move {
            let next = reader.next().await?;
            Some((Ok(event_of(&next)), reader))
        })
    }

    /// Waits for the next event; nothing behind the last, or when the gateway goes down.
    async fn next(&mut self) -> Option<NumberedEvent> {
        while self.waiting.is_empty() && !self.has_ended {
            let (read, mut latest) = self.admin.drains.events(&self.id, self.after)?;
            let seen = *latest.borrow_and_update();
            self.take(read)?;
            if self.waiting.is_empty() && self.after.is_some_and(|after| after >= seen) {
                if self.admin.drains.status(&self.id)?.done {
                    return None;
                }
                tokio::select! {
                    () = self.shutdown.cancelled() => return None,
                    changed = latest.changed() => changed.ok()?,
                }
            }
        }
        let next = self.waiting.pop_front()?;
        self.after = Some(next.number);
        self.has_ended |= is_last(&next.event);
        Some(next)
    }

    fn take(&mut self, read: Read) -> Option<()> {
        match read {
            Read::Events(events) => self.waiting.extend(events),
            Read::Gap(number) => {
                let status = Box::new(self.admin.drains.status(&self.id)?);
                let event = DrainEvent::State { status };
                self.waiting.push_back(NumberedEvent { number, event });
            }
        }
        Some(())
    }

    /// Reads whether the reader has seen everything of a drain that has ended.
    fn is_at_the_end(&mut self) -> bool {
        let is_done = self.admin.drains.status(&self.id).is_some_and(|status| status.done);
        let read = self.admin.drains.events(&self.id, self.after);
        is_done && read.is_some_and(|(read, _)| matches!(read, Read::Events(events) if events.is_empty()))
    }
}

fn is_last(event: &DrainEvent) -> bool {
    match event {
        DrainEvent::State { status } => status.done,
        DrainEvent::Progress { .. } | DrainEvent::Move { .. } => false,
    }
}

fn event_of(numbered: &NumberedEvent) -> Event {
    let name = match numbered.event {
        DrainEvent::State { .. } => "state",
        DrainEvent::Progress { .. } => "progress",
        DrainEvent::Move { .. } => "move",
    };
    let data = serde_json::to_string(&numbered.event).expect("an event is strings and numbers");
    Event::default().id(numbered.number.to_string()).event(name).data(data)
}

/// Reads which event the reader has seen last: the header that browsers send, or `after` of the query.
fn last_seen(uri: &Uri, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let fault = |field: &str| Problem::new(ProblemType::InvalidField, "has to be the id of an event").at(field);
    if let Some(value) = headers.get("last-event-id") {
        let number = value.to_str().ok().and_then(|text| text.parse().ok());
        return number.map(Some).ok_or_else(|| fault("Last-Event-ID"));
    }
    match query::only(uri, "after")? {
        Some(text) => text.parse().map(Some).map_err(|_| fault("after")),
        None => Ok(None),
    }
}

/// Shorter than proxies wait for a byte.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
