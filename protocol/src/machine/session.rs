//! What one session may do while its board moves. No sockets and no clock: the driver brings events and carries out
//! commands; it starts the phase's deadline whenever a phase is entered.
//!
//! ```text
//!                 Hold            Boundary           Drain            DrainReached          Switch
//!    Relaying ──────────▶ Stopping ──────────▶ Held ──────────▶ Draining ──────────▶ Drained ──────────▶ Attaching
//!     ▲  │ Tell             ▲                  │  ▲ Pong                                                  ▲   │
//!     │  └───▶ Telling ─────┘          Confirm │  └────── Confirming ◀─ PingAnswered ─ Pinged ◀ Confirm    │   │ Attached
//!     │             └─ the client left: Held   │                                                           │   ▼
//!     │                                        └ CloseSource ▶ Closing ── SourceEof ▶ Detached ── Switch ──┘  Attached
//!     └──────────────────────────────────────────── Resume ────────────────────────────────────────────────────┘
//!
//!    the server is gone, and the session outlives it:   Relaying ── SourceDied ─▶ Orphaned ── TakeOver ─▶ Attaching
//!                                                       Relaying ── TakeOver ─▶ Attaching
//!    anything that cannot go on: Leaving (the client was told) ─▶ Finishing (the upstream is read to its end) ─▶ Ended
//! ```
//!
//! The mover's questions (Tell, Hold, Drain, Confirm, CloseSource, Switch) and the placer's (TakeOver) are answered once
//! each, by AnswerYes or AnswerNo or by the session's end. Only one is open at a time: a new one takes the place of the one
//! before, and one that is an anomaly counts as answered no.
//!
//! `session.table.md` beside this file lists the answer to every (phase, event) pair; a test keeps it true.

mod command;
mod crossing;
mod event;
mod holding;
mod leaving;
mod orphaned;

#[cfg(test)]
mod table;

pub use command::{Command, Outcome};
pub use event::Event;

/// One session of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    phase: Phase,
    client: Peer,
    /// The connection that the session is attached to: the source's, from the dial on the target's.
    upstream: Peer,
}

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Both directions flow.
    Relaying,
    /// The client was told by a message to reconnect; both directions flow until it leaves.
    Telling,
    /// Client frames go on until the end of the message under way.
    Stopping,
    /// No client frame goes on.
    Held,
    /// What the source still had to say, up to its count, is being taken.
    Draining,
    /// The source has said everything.
    Drained,
    /// A Ping of the client's is with an opaque source; ours waits until it is answered, for a source may answer only the
    /// latest (RFC 6455 section 5.5.3).
    Pinged,
    /// A Ping of ours is on its way to an opaque source.
    Confirming,
    /// A Close of ours is on its way to an opaque source; what it still says is taken.
    Closing,
    /// The source's stream has ended; there is no upstream.
    Detached,
    /// The server is gone without a goodbye, and the session outlives it: no client frame goes on until the board has
    /// another.
    Orphaned,
    /// The target is dialled and what must be replayed is replayed.
    Attaching,
    /// The target has answered; the board's other sessions may not have theirs.
    Attached,
    /// The client was told to reconnect; its answer is awaited.
    Leaving,
    /// The client is gone; the upstream is read to its end.
    Finishing,
    /// Both sockets are closed.
    Ended,
}

/// Whether the stream from a peer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Peer {
    Open,
    Ended,
}

impl Session {
    /// Starts where the handshake ended.
    pub fn new() -> Self {
        Self {
            phase: Phase::Relaying,
            client: Peer::Open,
            upstream: Peer::Open,
        }
    }

    /// Returns where the session is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Reads whether the client's stream has ended.
    pub fn is_client_gone(&self) -> bool {
        self.client == Peer::Ended
    }

    /// Reads whether the upstream's stream has ended.
    pub fn is_source_gone(&self) -> bool {
        self.upstream == Peer::Ended
    }

    /// Takes an event in; an anomaly changes nothing.
    pub fn on(&mut self, event: Event) -> Outcome {
        let before = self.clone();
        self.note_ends(event);
        let (next, outcome) = self.answer(event);
        match &outcome {
            Outcome::Commands(commands) => commands.iter().for_each(|command| self.note_command(*command)),
            Outcome::Nothing => {}
            Outcome::Anomaly => *self = before,
        }
        self.phase = next;
        outcome
    }

    fn note_ends(&mut self, event: Event) {
        match event {
            Event::ClientEof | Event::ClientClose => self.client = Peer::Ended,
            // While the target is dialled there is no upstream whose end could matter; a late one was the source's.
            Event::SourceEof if self.phase == Phase::Attaching => {}
            Event::SourceEof | Event::SourceDied { .. } => self.upstream = Peer::Ended,
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm { .. }
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::TakeOver { .. }
            | Event::Resume
            | Event::Cut
            | Event::Boundary
            | Event::DrainReached
            | Event::PingAnswered
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed
            | Event::Violation
            | Event::Deadline => {}
        }
    }

    fn note_command(&mut self, command: Command) {
        match command {
            Command::ReleaseSource => self.upstream = Peer::Ended,
            Command::Dial => self.upstream = Peer::Open,
            Command::EndClient => self.client = Peer::Ended,
            Command::SendCommand
            | Command::StopUp
            | Command::KeepUp
            | Command::OpenUp
            | Command::OpenDown
            | Command::DrainDown
            | Command::SendPing
            | Command::SendSourceClose
            | Command::SendClose
            | Command::ShutUpstream
            | Command::AnswerYes
            | Command::AnswerNo
            | Command::End => {}
        }
    }

    fn answer(&self, event: Event) -> (Phase, Outcome) {
        match self.phase {
            Phase::Relaying => self.relaying(event),
            Phase::Telling => self.telling(event),
            Phase::Stopping => self.stopping(event),
            Phase::Held => self.held(event),
            Phase::Draining => self.draining(event),
            Phase::Drained => self.drained(event),
            Phase::Pinged => self.pinged(event),
            Phase::Confirming => self.confirming(event),
            Phase::Closing => self.closing(event),
            Phase::Detached => self.detached(event),
            Phase::Orphaned => self.orphaned(event),
            Phase::Attaching => self.attaching(event),
            Phase::Attached => self.attached(event),
            Phase::Leaving => self.leaving(event),
            Phase::Finishing => self.finishing(event),
            Phase::Ended => (Phase::Ended, Outcome::Nothing),
        }
    }

    fn nothing(&self) -> (Phase, Outcome) {
        (self.phase, Outcome::Nothing)
    }

    fn anomaly(&self) -> (Phase, Outcome) {
        (self.phase, Outcome::Anomaly)
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Phase {
    /// Every phase, in the order of the diagram.
    pub const ALL: [Self; 16] = [
        Self::Relaying,
        Self::Telling,
        Self::Stopping,
        Self::Held,
        Self::Draining,
        Self::Drained,
        Self::Pinged,
        Self::Confirming,
        Self::Closing,
        Self::Detached,
        Self::Orphaned,
        Self::Attaching,
        Self::Attached,
        Self::Leaving,
        Self::Finishing,
        Self::Ended,
    ];
}

fn go(next: Phase, commands: &[Command]) -> (Phase, Outcome) {
    (next, Outcome::Commands(commands.to_vec()))
}
