//! One session of the board and its driver.

use handover_protocol::machine::session::{Command, Event, Outcome, Phase, Session};

/// One session, and what its driver knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) machine: Session,
    pub(super) question: Option<Event>,
    pub(super) upstream: Upstream,
    /// Client messages are passed on.
    pub(super) flows: bool,
    /// The source's connection was let go while it was open: its end comes late.
    pub(super) late_end: bool,
    /// A Ping of ours was not answered yet.
    pub(super) awaits_pong: bool,
    /// The source has not answered a Ping of the client's.
    pub(super) is_pinged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Upstream {
    Source,
    Target,
    None,
}

impl Client {
    /// A session that relays to the source.
    pub(super) fn new() -> Self {
        Self {
            machine: Session::new(),
            question: None,
            upstream: Upstream::Source,
            flows: true,
            late_end: false,
            awaits_pong: false,
            is_pinged: false,
        }
    }

    /// What its driver may tell the machine of its own accord.
    pub(super) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let phase = self.machine.phase();
        let is_attached = self.upstream != Upstream::None;
        match phase {
            Phase::Ended => return events,
            Phase::Finishing => events.push(Event::Deadline),
            Phase::Relaying | Phase::Held | Phase::Drained | Phase::Detached | Phase::Attached => {}
            Phase::Telling => events.push(Event::ClientClose),
            Phase::Stopping => events.extend([Event::Boundary, Event::Deadline]),
            Phase::Draining => events.extend([Event::DrainReached, Event::Deadline]),
            Phase::Pinged => events.extend([Event::PingAnswered, Event::Deadline]),
            Phase::Confirming => events.push(Event::Deadline),
            Phase::Closing | Phase::Orphaned => events.push(Event::Deadline),
            Phase::Attaching => events.extend([Event::AttachDone, Event::AttachFailed, Event::Deadline]),
            Phase::Leaving => events.extend([Event::ClientClose, Event::Deadline]),
        }
        events.push(Event::Violation);
        if self.awaits_pong && self.upstream == Upstream::Source {
            events.push(Event::Pong);
        }
        if !self.machine.is_client_gone() && phase != Phase::Finishing {
            events.push(Event::ClientEof);
            if is_held(phase) {
                events.push(Event::ClientClose);
            }
        }
        let ends_late = phase == Phase::Attaching && self.late_end;
        if ends_late || (phase != Phase::Attaching && is_attached && !self.machine.is_source_gone()) {
            events.push(Event::SourceEof);
            if phase == Phase::Relaying {
                events.extend([Event::SourceDied { whole: true }, Event::SourceDied { whole: false }]);
            }
        }
        events
    }

    pub(super) fn ask(&mut self, question: Event) -> Result<(), String> {
        if self.machine.phase() == Phase::Ended {
            return Ok(());
        }
        match (self.question, question) {
            (None, _) | (Some(Event::Tell), Event::Hold) => {}
            (Some(open), _) => return Err(format!("{question:?} while {open:?} is open")),
        }
        self.question = Some(question);
        self.tell(question)
    }

    pub(super) fn tell(&mut self, event: Event) -> Result<(), String> {
        let before = self.machine.clone();
        match (event, before.phase()) {
            (Event::SourceEof, Phase::Attaching) => self.late_end = false,
            (Event::SourceEof | Event::SourceDied { .. }, _) => self.upstream = Upstream::None,
            (Event::Pong, _) => self.awaits_pong = false,
            (Event::Confirm { pinged }, _) => self.is_pinged = pinged,
            (Event::PingAnswered, _) => self.is_pinged = false,
            (_, _) => {}
        }
        let commands = match self.machine.on(event) {
            Outcome::Commands(commands) => commands,
            Outcome::Nothing => Vec::new(),
            Outcome::Anomaly => return Err(format!("{event:?} is an anomaly to {before:?}")),
        };
        if before.phase() == Phase::Ended && !commands.is_empty() {
            return Err(format!("an ended session commands {commands:?}"));
        }
        let is_late = event == Event::SourceEof && before.phase() == Phase::Attaching;
        if is_late && (self.machine != before || !commands.is_empty()) {
            return Err("a late end of the source's stream touched the session".to_owned());
        }
        for command in commands {
            self.carry_out(command)
                .map_err(|rule| format!("{command:?} at {event:?} to {before:?}: {rule}"))?;
        }
        if self.machine.phase() == Phase::Held {
            self.flows = false;
        }
        if self.machine.phase() == Phase::Ended {
            // Its task has ended: whoever waits for an answer hears that.
            self.question = None;
            self.upstream = Upstream::None;
            self.late_end = false;
            self.awaits_pong = false;
            self.is_pinged = false;
        }
        Ok(())
    }

    fn carry_out(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::AnswerYes | Command::AnswerNo => {
                let Some(question) = self.question.take() else {
                    return Err("nobody has asked".to_owned());
                };
                let is_closed = question == Event::CloseSource && command == Command::AnswerYes;
                if is_closed && self.upstream == Upstream::Source {
                    return Err("the source's stream has not ended".to_owned());
                }
            }
            Command::ReleaseSource => {
                self.late_end = self.upstream == Upstream::Source;
                self.upstream = Upstream::None;
            }
            Command::Dial => {
                if self.upstream != Upstream::None {
                    return Err("the source's connection is open".to_owned());
                }
                self.upstream = Upstream::Target;
            }
            Command::KeepUp => self.flows = false,
            Command::OpenUp => {
                if self.upstream == Upstream::None {
                    return Err("there is no upstream".to_owned());
                }
                self.flows = true;
            }
            Command::SendPing => {
                if self.is_pinged {
                    return Err("the source owes the client a Pong, and may answer only the latest Ping".to_owned());
                }
                self.awaits_pong = true;
            }
            Command::SendCommand
            | Command::StopUp
            | Command::OpenDown
            | Command::DrainDown
            | Command::SendSourceClose
            | Command::SendClose
            | Command::EndClient
            | Command::ShutUpstream
            | Command::End => {}
        }
        Ok(())
    }
}

pub(super) fn is_held(phase: Phase) -> bool {
    match phase {
        Phase::Stopping
        | Phase::Held
        | Phase::Draining
        | Phase::Drained
        | Phase::Pinged
        | Phase::Confirming
        | Phase::Closing
        | Phase::Detached
        | Phase::Attaching
        | Phase::Attached => true,
        Phase::Relaying | Phase::Telling | Phase::Orphaned | Phase::Leaving | Phase::Finishing | Phase::Ended => false,
    }
}
