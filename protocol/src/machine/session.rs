//! What one session may do while its board moves. No sockets and no clock: the driver brings events and carries out
//! commands; it starts the phase's deadline whenever a phase is entered.
//!
//! ```text
//!                 Hold            Boundary           Drain            DrainReached          Switch
//!    Relaying ──────────▶ Stopping ──────────▶ Held ──────────▶ Draining ──────────▶ Drained ──────────▶ Attaching
//!     ▲  │ Tell             ▲                  │  ▲ Pong                                                  ▲   │
//!     │  └───▶ Telling ─────┘          Confirm │  └────── Confirming                                       │   │ Attached
//!     │             └─ the client left: Held   │                                                           │   ▼
//!     │                                        └ CloseSource ▶ Closing ── SourceEof ▶ Detached ── Switch ──┘  Attached
//!     └──────────────────────────────────────────── Resume ────────────────────────────────────────────────────┘
//!
//!    anything that cannot go on: Leaving (the client was told) ─▶ Finishing (the upstream is read to its end) ─▶ Ended
//! ```
//!
//! `session.table.md` beside this file lists the answer to every (phase, event) pair; a test keeps it true.

use std::fmt;

/// One session of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    phase: Phase,
    client: Peer,
    source: Peer,
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
    /// A Ping of ours is on its way to an opaque source.
    Confirming,
    /// A Close of ours is on its way to an opaque source; what it still says is taken.
    Closing,
    /// The source's stream has ended; there is no upstream.
    Detached,
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

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The mover: tell the client by a message to reconnect, and let it.
    Tell,
    /// The mover: stop at the end of the message under way.
    Hold,
    /// The mover: take what the source said, up to its count.
    Drain,
    /// The mover: have the source's WebSocket layer confirm that it read everything.
    Confirm,
    /// The mover: end the source's stream and take what it still says.
    CloseSource,
    /// The mover: attach to the target. `held` says whether whole messages of the client wait.
    Switch {
        /// Whether messages that the gateway took have not been passed on.
        held: bool,
    },
    /// The mover: go on, with whoever the session is attached to.
    Resume,
    /// The mover or the gateway's end: tell the client by a close frame to reconnect.
    Cut,
    /// No message of the client is under way, and everything that was taken whole has been passed on.
    Boundary,
    /// The client's Close frame came.
    ClientClose,
    /// The client's stream ended.
    ClientEof,
    /// The upstream's stream ended.
    SourceEof,
    /// As many messages as the source counted have arrived.
    DrainReached,
    /// The Pong to our Ping came.
    Pong,
    /// The target accepted the handshake and answered what had to be answered.
    AttachDone,
    /// The target did not.
    AttachFailed,
    /// A peer broke the protocol.
    Violation,
    /// The phase lasted too long.
    Deadline,
}

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Send the route's text command to the client, and stop at its Close from now on.
    SendCommand,
    /// Stop passing client frames on at the next message boundary; keep the source's Close back.
    StopUp,
    /// Pass client frames on, those that waited first.
    OpenUp,
    /// Pass the upstream's frames on, those that waited first.
    OpenDown,
    /// Take the source's messages up to its count, then stop.
    DrainDown,
    /// Send a Ping with a nonce of ours to the source.
    SendPing,
    /// Send a Close to the source, then take what it says until its stream ends.
    SendSourceClose,
    /// Shut the source's connection down and read it to its end aside; what it says is dropped.
    ReleaseSource,
    /// Dial the target and replay.
    Dial,
    /// Send a Close to the client: that it should reconnect, or that it broke the protocol.
    SendClose,
    /// Shut the client's connection down once everything for it is written.
    EndClient,
    /// Shut the write side of the upstream once everything for it is written.
    ShutUpstream,
    /// Answer the mover: done.
    AnswerYes,
    /// Answer the mover: this session leaves the barrier.
    AnswerNo,
    /// Close both sockets.
    End,
}

/// What an event led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Do this, in order.
    Commands(Vec<Command>),
    /// Nothing to do: the event came late or changes nothing.
    Nothing,
    /// No driver should have sent that; log and count it, then go on.
    Anomaly,
}

/// Whether the stream from a peer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            source: Peer::Open,
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
        self.source == Peer::Ended
    }

    /// Takes an event in.
    pub fn on(&mut self, event: Event) -> Outcome {
        self.note_ends(event);
        let (next, outcome) = self.answer(event);
        if next == Phase::Attaching {
            self.source = Peer::Open;
        }
        self.phase = next;
        outcome
    }

    fn note_ends(&mut self, event: Event) {
        match event {
            Event::ClientEof | Event::ClientClose => self.client = Peer::Ended,
            Event::SourceEof => self.source = Peer::Ended,
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::Resume
            | Event::Cut
            | Event::Boundary
            | Event::DrainReached
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed
            | Event::Violation
            | Event::Deadline => {}
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
            Phase::Confirming => self.confirming(event),
            Phase::Closing => self.closing(event),
            Phase::Detached => self.detached(event),
            Phase::Attaching => self.attaching(event),
            Phase::Attached => self.attached(event),
            Phase::Leaving => self.leaving(event),
            Phase::Finishing => self.finishing(event),
            Phase::Ended => (Phase::Ended, Outcome::Nothing),
        }
    }

    fn relaying(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Tell => go(Phase::Telling, &[Command::SendCommand]),
            Event::Hold => go(Phase::Stopping, &[Command::StopUp]),
            // A source that ends by itself has said goodbye or died; the client is told to come back.
            Event::Cut | Event::SourceEof | Event::Violation => go(Phase::Leaving, &[Command::SendClose]),
            Event::ClientEof => go(Phase::Finishing, &[Command::ShutUpstream]),
            Event::Resume | Event::Deadline => self.nothing(),
            Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::Boundary
            | Event::ClientClose
            | Event::DrainReached
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn telling(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Hold => go(Phase::Stopping, &[Command::StopUp]),
            // The client's connection ends at once; the source's waits for the freeze or the quiet.
            Event::ClientClose | Event::ClientEof => {
                go(Phase::Held, &[Command::StopUp, Command::EndClient, Command::AnswerYes])
            }
            Event::Cut | Event::SourceEof | Event::Violation => {
                go(Phase::Leaving, &[Command::AnswerNo, Command::SendClose])
            }
            Event::Resume => go(Phase::Relaying, &[Command::AnswerNo, Command::OpenUp]),
            Event::Deadline => self.nothing(),
            Event::Tell
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::Boundary
            | Event::DrainReached
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn stopping(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Boundary | Event::ClientEof => go(Phase::Held, &[Command::AnswerYes]),
            // The half message counts as not taken, so nothing more may follow it on that connection.
            Event::Deadline | Event::SourceEof | Event::Cut | Event::Violation => go(
                Phase::Leaving,
                &[Command::AnswerNo, Command::ReleaseSource, Command::SendClose],
            ),
            Event::Resume => go(
                Phase::Relaying,
                &[Command::AnswerNo, Command::OpenUp, Command::OpenDown],
            ),
            Event::ClientClose => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::DrainReached
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn held(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Hold => go(Phase::Held, &[Command::AnswerYes]),
            Event::Drain => go(Phase::Draining, &[Command::DrainDown]),
            Event::Confirm if self.source == Peer::Ended => go(Phase::Held, &[Command::AnswerNo]),
            Event::Confirm => go(Phase::Confirming, &[Command::SendPing]),
            Event::CloseSource if self.source == Peer::Ended => go(Phase::Detached, &[Command::AnswerYes]),
            Event::CloseSource => go(Phase::Closing, &[Command::SendSourceClose]),
            Event::Resume => self.resume_with_source(),
            Event::Cut | Event::Violation => self.leave(&[]),
            Event::ClientClose | Event::ClientEof | Event::SourceEof | Event::Boundary | Event::Deadline => {
                self.nothing()
            }
            Event::Tell
            | Event::Switch { .. }
            | Event::DrainReached
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn draining(&self, event: Event) -> (Phase, Outcome) {
        match event {
            // Who has gone can be brought nothing more.
            Event::DrainReached | Event::ClientEof => go(Phase::Drained, &[Command::AnswerYes]),
            Event::Deadline | Event::SourceEof | Event::Cut | Event::Violation => self.leave(&[Command::AnswerNo]),
            Event::Resume => self.resume_with_source(),
            Event::ClientClose | Event::Boundary => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn drained(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Switch { held } => self.attach(held),
            Event::Resume => self.resume_with_source(),
            Event::Cut | Event::Violation => self.leave(&[]),
            Event::ClientClose
            | Event::ClientEof
            | Event::SourceEof
            | Event::Boundary
            | Event::DrainReached
            | Event::Deadline => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn confirming(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Pong => go(Phase::Held, &[Command::AnswerYes]),
            Event::Deadline | Event::SourceEof => go(Phase::Held, &[Command::AnswerNo]),
            Event::Resume => self.resume_with_source(),
            Event::Cut | Event::Violation => self.leave(&[Command::AnswerNo]),
            Event::ClientClose | Event::ClientEof | Event::Boundary => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::DrainReached
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn closing(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::SourceEof => go(Phase::Detached, &[Command::AnswerYes]),
            Event::Deadline => go(Phase::Detached, &[Command::ReleaseSource, Command::AnswerNo]),
            Event::Cut | Event::Violation | Event::Resume => self.leave(&[Command::AnswerNo]),
            Event::ClientClose | Event::ClientEof | Event::Boundary | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::DrainReached
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn detached(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Switch { held } => self.attach(held),
            // There is nobody to go on with.
            Event::Resume | Event::Cut | Event::Violation => self.leave(&[]),
            Event::ClientClose
            | Event::ClientEof
            | Event::SourceEof
            | Event::Boundary
            | Event::Pong
            | Event::Deadline => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::DrainReached
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn attaching(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::AttachDone => go(Phase::Attached, &[Command::AnswerYes]),
            Event::AttachFailed | Event::Deadline | Event::Resume | Event::Cut | Event::Violation => {
                self.leave(&[Command::AnswerNo])
            }
            // A late end of the source's stream belongs to the source's connection, never to the session.
            Event::ClientClose | Event::ClientEof | Event::SourceEof | Event::Boundary | Event::Pong => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::DrainReached => self.anomaly(),
        }
    }

    fn attached(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::Resume if self.client == Peer::Ended => go(
                Phase::Finishing,
                &[Command::OpenUp, Command::OpenDown, Command::ShutUpstream],
            ),
            Event::Resume => go(Phase::Relaying, &[Command::OpenUp, Command::OpenDown]),
            Event::SourceEof | Event::Cut | Event::Violation => self.leave(&[]),
            Event::ClientClose | Event::ClientEof | Event::Boundary | Event::Deadline => self.nothing(),
            Event::Tell
            | Event::Hold
            | Event::Drain
            | Event::Confirm
            | Event::CloseSource
            | Event::Switch { .. }
            | Event::DrainReached
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.anomaly(),
        }
    }

    fn leaving(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::ClientClose | Event::ClientEof | Event::Deadline | Event::Violation => {
                go(Phase::Finishing, &[Command::EndClient, Command::ShutUpstream])
            }
            Event::Tell | Event::Hold | Event::Drain | Event::Confirm | Event::CloseSource | Event::Switch { .. } => {
                go(Phase::Leaving, &[Command::AnswerNo])
            }
            Event::Resume
            | Event::Cut
            | Event::Boundary
            | Event::SourceEof
            | Event::DrainReached
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.nothing(),
        }
    }

    fn finishing(&self, event: Event) -> (Phase, Outcome) {
        match event {
            Event::SourceEof | Event::Deadline | Event::Violation => go(Phase::Ended, &[Command::End]),
            // A client that left by itself may still have messages on the way: the hold counts what was passed on.
            Event::Hold | Event::Drain | Event::Confirm | Event::CloseSource => {
                go(Phase::Finishing, &[Command::AnswerYes])
            }
            Event::Tell | Event::Switch { .. } => go(Phase::Finishing, &[Command::AnswerNo]),
            Event::Resume
            | Event::Cut
            | Event::Boundary
            | Event::ClientClose
            | Event::ClientEof
            | Event::DrainReached
            | Event::Pong
            | Event::AttachDone
            | Event::AttachFailed => self.nothing(),
        }
    }

    fn resume_with_source(&self) -> (Phase, Outcome) {
        match (self.client, self.source) {
            (Peer::Open, Peer::Open) => go(Phase::Relaying, &[Command::OpenUp, Command::OpenDown]),
            (Peer::Open, Peer::Ended) => go(Phase::Leaving, &[Command::SendClose]),
            (Peer::Ended, Peer::Open) => go(
                Phase::Finishing,
                &[Command::OpenUp, Command::OpenDown, Command::ShutUpstream],
            ),
            (Peer::Ended, Peer::Ended) => go(Phase::Ended, &[Command::End]),
        }
    }

    fn attach(&self, held: bool) -> (Phase, Outcome) {
        match (self.client, held) {
            (Peer::Open, _) | (Peer::Ended, true) => go(Phase::Attaching, &[Command::ReleaseSource, Command::Dial]),
            (Peer::Ended, false) => go(
                Phase::Ended,
                &[Command::ReleaseSource, Command::AnswerYes, Command::End],
            ),
        }
    }

    fn leave(&self, first: &[Command]) -> (Phase, Outcome) {
        let mut commands = first.to_vec();
        commands.push(Command::ReleaseSource);
        match self.client {
            Peer::Open => {
                commands.push(Command::SendClose);
                (Phase::Leaving, Outcome::Commands(commands))
            }
            Peer::Ended => {
                commands.push(Command::End);
                (Phase::Ended, Outcome::Commands(commands))
            }
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

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => formatter.write_str("–"),
            Self::Anomaly => formatter.write_str("anomaly"),
            Self::Commands(commands) => {
                let names: Vec<String> = commands.iter().map(|command| format!("{command:?}")).collect();
                formatter.write_str(&names.join(", "))
            }
        }
    }
}

impl Phase {
    /// Every phase, in the order of the diagram.
    pub const ALL: [Self; 14] = [
        Self::Relaying,
        Self::Telling,
        Self::Stopping,
        Self::Held,
        Self::Draining,
        Self::Drained,
        Self::Confirming,
        Self::Closing,
        Self::Detached,
        Self::Attaching,
        Self::Attached,
        Self::Leaving,
        Self::Finishing,
        Self::Ended,
    ];
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 19] = [
        Self::Tell,
        Self::Hold,
        Self::Drain,
        Self::Confirm,
        Self::CloseSource,
        Self::Switch { held: true },
        Self::Switch { held: false },
        Self::Resume,
        Self::Cut,
        Self::Boundary,
        Self::ClientClose,
        Self::ClientEof,
        Self::SourceEof,
        Self::DrainReached,
        Self::Pong,
        Self::AttachDone,
        Self::AttachFailed,
        Self::Violation,
        Self::Deadline,
    ];
}

fn go(next: Phase, commands: &[Command]) -> (Phase, Outcome) {
    (next, Outcome::Commands(commands.to_vec()))
}
