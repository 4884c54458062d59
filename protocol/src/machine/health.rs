//! Whether a server's process is there: what its answers and failures prove, and when they prove enough.
//!
//! No clock and no I/O: the driver asks the server and brings what came of it, with the time. One failure proves nothing:
//! an answer may be lost or late. A refused connection is better evidence than silence, for somebody must have answered
//! that nobody listens there. Whose certificate is not believed is there, whoever it is: that proves no end, so an
//! authority's file that was exchanged wrongly takes no server's boards. A gateway that stood still itself has heard nothing
//! and may judge nobody.
//!
//! ```text
//!                 Answered (up_after times)
//!   Unknown ───────────────────────────────▶ Up ◀──── Answered ──── Suspect
//!      │                                      └────── a failure ──────▶ │
//!      │                                                                │ refusals for refused_down_after,
//!      └── as Suspect ──▶ Down ◀────────────────────────────────────────┘ or failures for down_after
//!                          └── Answered (up_after times) ──▶ Up
//! ```

use std::time::Duration;

/// How much evidence is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// How long a server has to be silent, or to refuse now and then, before it counts as down.
    pub down_after: Duration,
    /// How long it has to refuse every connection before it counts as down.
    pub refused_down_after: Duration,
    /// Answers in a row that bring it up; at least 1.
    pub up_after: u32,
}

/// What is believed of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Verdict {
    /// It was never heard of, and not for long enough to count as down.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It has failed to answer of late.
    Suspect,
    /// It has failed to answer for long enough.
    Down,
}

/// What came of asking a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It answered as it should.
    Answered,
    /// Nobody listens there.
    Refused {
        /// When it was asked.
        asked_at: Duration,
    },
    /// No answer came, or a wrong one.
    Silent {
        /// When it was asked.
        asked_at: Duration,
    },
    /// Somebody is there who cannot be believed, or does not believe the gateway: it cannot be used, and is not gone.
    Disbelieved,
    /// The gateway itself stood still: what it has not heard meanwhile proves nothing.
    Stalled,
}

/// The evidence on one server.
#[derive(Debug, Clone, Copy)]
pub struct Health {
    thresholds: Thresholds,
    verdict: Verdict,
    /// Since when it has not answered.
    failing_since: Option<Duration>,
    /// Since when it has refused every time.
    refusing_since: Option<Duration>,
    answers: u32,
}

impl Health {
    /// Begins without evidence.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            verdict: Verdict::Unknown,
            failing_since: None,
            refusing_since: None,
            answers: 0,
        }
    }

    /// Takes evidence in and returns what is believed now.
    pub fn handle(&mut self, event: Event, now: Duration) -> Verdict {
        match event {
            Event::Answered => self.answered(),
            Event::Refused { asked_at } => {
                self.refusing_since.get_or_insert(asked_at);
                self.failed(asked_at, now);
            }
            Event::Silent { asked_at } => {
                self.refusing_since = None;
                self.failed(asked_at, now);
            }
            Event::Disbelieved => {
                self.failing_since = None;
                self.refusing_since = None;
                self.answers = 0;
                if self.verdict == Verdict::Suspect {
                    self.verdict = Verdict::Up;
                }
            }
            Event::Stalled => {
                self.failing_since = self.failing_since.map(|_| now);
                self.refusing_since = self.refusing_since.map(|_| now);
            }
        }
        self.verdict
    }

    /// Returns what is believed.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn answered(&mut self) {
        self.failing_since = None;
        self.refusing_since = None;
        self.answers = self.answers.saturating_add(1);
        match self.verdict {
            Verdict::Suspect => self.verdict = Verdict::Up,
            Verdict::Unknown | Verdict::Down if self.answers >= self.thresholds.up_after => self.verdict = Verdict::Up,
            Verdict::Unknown | Verdict::Down | Verdict::Up => {}
        }
    }

    fn failed(&mut self, asked_at: Duration, now: Duration) {
        self.answers = 0;
        let failing_since = *self.failing_since.get_or_insert(asked_at);
        let has_passed = |since: Duration, limit: Duration| now.saturating_sub(since) >= limit;
        let is_refusing = |since: Duration| has_passed(since, self.thresholds.refused_down_after);
        let is_down =
            has_passed(failing_since, self.thresholds.down_after) || self.refusing_since.is_some_and(is_refusing);
        match self.verdict {
            Verdict::Unknown | Verdict::Up | Verdict::Suspect if is_down => self.verdict = Verdict::Down,
            Verdict::Up => self.verdict = Verdict::Suspect,
            Verdict::Unknown | Verdict::Suspect | Verdict::Down => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        down_after: Duration::from_secs(3),
        refused_down_after: Duration::from_millis(400),
        up_after: 2,
    };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn up() -> Health {
        let mut health = Health::new(THRESHOLDS);
        health.handle(Event::Answered, ms(0));
        assert_eq!(health.handle(Event::Answered, ms(0)), Verdict::Up);
        health
    }

    fn silent(asked_at: u64) -> Event {
        Event::Silent { asked_at: ms(asked_at) }
    }

    fn refused(asked_at: u64) -> Event {
        Event::Refused { asked_at: ms(asked_at) }
    }

    #[test]
    fn silence_counts_from_the_first_call_that_was_not_answered() {
        let mut health = up();
        assert_eq!(health.handle(silent(1000), ms(2000)), Verdict::Suspect);
        assert_eq!(health.handle(silent(2200), ms(3200)), Verdict::Suspect);
        assert_eq!(health.handle(silent(3000), ms(4000)), Verdict::Down);
        assert_eq!(
            health.handle(Event::Answered, ms(4100)),
            Verdict::Down,
            "one answer is luck"
        );
        assert_eq!(health.handle(Event::Answered, ms(4200)), Verdict::Up);
        assert_eq!(health.handle(silent(5000), ms(6000)), Verdict::Suspect);
        assert_eq!(health.handle(Event::Answered, ms(6100)), Verdict::Up);
    }

    #[test]
    fn a_server_that_refuses_every_connection_is_down_much_sooner() {
        let mut health = up();
        assert_eq!(health.handle(refused(1000), ms(1000)), Verdict::Suspect);
        assert_eq!(health.handle(refused(1200), ms(1200)), Verdict::Suspect);
        assert_eq!(health.handle(refused(1400), ms(1400)), Verdict::Down);
        let mut health = up();
        health.handle(refused(1000), ms(1000));
        health.handle(silent(1100), ms(1300));
        assert_eq!(
            health.handle(refused(1500), ms(1500)),
            Verdict::Suspect,
            "it listened between"
        );
    }

    #[test]
    fn a_gateway_that_stood_still_judges_nobody() {
        let mut health = up();
        health.handle(silent(1000), ms(1500));
        health.handle(Event::Stalled, ms(60_000));
        assert_eq!(health.handle(silent(60_000), ms(61_000)), Verdict::Suspect);
        assert_eq!(health.handle(silent(62_000), ms(63_000)), Verdict::Down);
    }

    #[test]
    fn a_server_that_is_not_believed_is_not_gone_and_does_not_come_back_by_that() {
        let mut health = up();
        health.handle(silent(1000), ms(2000));
        assert_eq!(health.handle(Event::Disbelieved, ms(3900)), Verdict::Up);
        for at in 4..60 {
            assert_eq!(health.handle(Event::Disbelieved, ms(at * 1000)), Verdict::Up);
        }
        assert_eq!(health.handle(silent(60_000), ms(61_000)), Verdict::Suspect);
        assert_eq!(health.handle(silent(62_000), ms(63_000)), Verdict::Down);
        assert_eq!(health.handle(Event::Answered, ms(63_100)), Verdict::Down);
        assert_eq!(health.handle(Event::Disbelieved, ms(63_200)), Verdict::Down);
        assert_eq!(health.handle(Event::Answered, ms(63_300)), Verdict::Down);
        assert_eq!(health.handle(Event::Answered, ms(63_400)), Verdict::Up);
    }

    proptest! {
        #[test]
        fn no_verdict_comes_without_its_evidence(steps in proptest::collection::vec((0u8..5, 0u64..900), 1..200)) {
            let mut health = Health::new(THRESHOLDS);
            let (mut now, mut failing_since, mut answers) = (0, None, 0);
            for (kind, passed) in steps {
                let asked_at = now;
                now += passed;
                let before = health.verdict();
                let event = match kind {
                    0 => Event::Answered,
                    1 => refused(asked_at),
                    2 => silent(asked_at),
                    3 => Event::Disbelieved,
                    _ => Event::Stalled,
                };
                match event {
                    Event::Answered => { failing_since = None; answers += 1; }
                    Event::Refused { .. } | Event::Silent { .. } => { failing_since.get_or_insert(asked_at); answers = 0; }
                    Event::Disbelieved => { failing_since = None; answers = 0; }
                    Event::Stalled => failing_since = failing_since.map(|_| now),
                }
                let after = health.handle(event, ms(now));
                if after == Verdict::Down && before != Verdict::Down {
                    let failing = ms(now - failing_since.expect("nothing has failed"));
                    prop_assert!(failing >= THRESHOLDS.refused_down_after);
                }
                if after == Verdict::Up && matches!(before, Verdict::Down | Verdict::Unknown) {
                    prop_assert!(answers >= 2);
                }
                if failing_since.is_some_and(|since| now - since >= 3000) && kind != 4 {
                    prop_assert_eq!(after, Verdict::Down);
                }
            }
        }
    }
}
