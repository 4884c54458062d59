//! What has happened to a drain, kept for whoever reads along: bounded, numbered, and never waited for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use handover_protocol::admin::DrainEvent;
use tokio::sync::watch;

/// The latest events of a drain.
pub(super) struct Events {
    kept: Mutex<Kept>,
    /// The number of the latest event.
    latest: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<NumberedEvent>,
    /// No event above this number was forgotten.
    complete_after: u64,
}

/// An event and its number; later ones have higher numbers, also after a restart of the gateway.
#[derive(Debug, Clone)]
pub struct NumberedEvent {
    /// The number.
    pub number: u64,
    /// What happened.
    pub event: DrainEvent,
}

/// What a reader gets.
#[derive(Debug)]
pub enum Read {
    /// What has happened since, in order.
    Events(Vec<NumberedEvent>),
    /// Some of it was forgotten: the reader has to begin from the drain's status, behind this number.
    Gap(u64),
}

impl Events {
    pub(super) fn new() -> Self {
        let start = microseconds();
        Self {
            kept: Mutex::new(Kept {
                events: VecDeque::new(),
                complete_after: start,
            }),
            latest: watch::Sender::new(start),
        }
    }

    /// Adds an event; the oldest is forgotten where there are too many.
    pub(super) fn push(&self, event: DrainEvent) {
        let mut kept = self.lock();
        // By the clock, so that numbers go on upwards after a restart; where the clock stands or steps back, by one.
        let number = microseconds().max(*self.latest.borrow() + 1);
        kept.events.push_back(NumberedEvent { number, event });
        if kept.events.len() > EVENTS_MAX
            && let Some(forgotten) = kept.events.pop_front()
        {
            kept.complete_after = forgotten.number;
        }
        self.latest.send_replace(number);
    }

    /// Returns what has happened after an event. A number that this drain has not reached yet is another drain's, or one
    /// of before the clock was set back: who waited behind it would not hear of the drain's end.
    pub(super) fn after(&self, number: u64) -> Read {
        let kept = self.lock();
        if number < kept.complete_after || number > *self.latest.borrow() {
            return Read::Gap(*self.latest.borrow());
        }
        let first = kept.events.partition_point(|event| event.number <= number);
        Read::Events(kept.events.range(first..).take(READ_MAX).cloned().collect())
    }

    /// Forgets all of them: who comes from now on begins from the drain's status.
    pub(super) fn forget(&self) {
        let mut kept = self.lock();
        kept.complete_after = *self.latest.borrow();
        kept.events = VecDeque::new();
    }

    /// Watches the number of the latest event.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No section under this lock can leave the list half changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn microseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Some minutes of a fast drain; a reader that was away for longer begins from the status.
const EVENTS_MAX: usize = 10_000;

/// What is copied for a reader at a time.
const READ_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use handover_protocol::Generation;
    use handover_protocol::admin::{Level, MoveReport};

    use super::*;

    fn event(board: usize) -> DrainEvent {
        DrainEvent::Move {
            from: "a".parse().unwrap(),
            to: "b".parse().unwrap(),
            report: MoveReport {
                board: format!("b{board}").parse().unwrap(),
                server: None,
                generation: Generation::NONE,
                result: "moved".to_owned(),
                level: Level::Contract,
                switched: 0,
                reconnected: 0,
                fallen_back: 0,
                unconfirmed: Vec::new(),
                retry_after_ms: None,
            },
        }
    }

    fn read(events: &Events, after: u64) -> Vec<NumberedEvent> {
        match events.after(after) {
            Read::Events(events) => events,
            Read::Gap(latest) => panic!("a gap up to {latest}"),
        }
    }

    #[test]
    fn a_reader_that_comes_back_gets_what_it_has_missed_and_nothing_twice() {
        let events = Events::new();
        let start = *events.watch().borrow();
        for board in 0..600 {
            events.push(event(board));
        }
        let (mut after, mut seen) = (start, Vec::new());
        loop {
            let batch = read(&events, after);
            let Some(last) = batch.last() else { break };
            after = last.number;
            seen.extend(batch);
        }
        assert_eq!(seen.len(), 600);
        assert!(seen.is_sorted_by(|one, next| one.number < next.number));
        assert_eq!(seen.last().unwrap().number, *events.watch().borrow());
        assert!(matches!(events.after(start - 1), Read::Gap(latest) if latest == after));
    }

    #[test]
    fn who_has_seen_what_did_not_happen_begins_from_the_status() {
        let events = Events::new();
        events.push(event(0));
        let latest = *events.watch().borrow();
        assert!(matches!(events.after(latest + 1), Read::Gap(number) if number == latest));
        assert!(matches!(events.after(u64::MAX), Read::Gap(number) if number == latest));
        assert!(read(&events, latest).is_empty());
    }

    #[test]
    fn what_was_forgotten_is_told_as_a_gap() {
        let events = Events::new();
        let start = *events.watch().borrow();
        for board in 0..EVENTS_MAX + 1 {
            events.push(event(board));
        }
        assert!(matches!(events.after(start), Read::Gap(_)));
        let oldest = events.lock().complete_after;
        assert_eq!(read(&events, oldest).len(), READ_MAX);
    }
}
