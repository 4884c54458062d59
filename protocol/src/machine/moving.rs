//! One board going from source to target: which step comes next, and what happens when one fails.
//!
//! ```text
//!   Claiming ▶ Preparing ▶ (Telling) ▶ Holding ▶ Freezing ▶ DrainingDown ─────────────┐
//!                                         │                                           ▼
//!                                         └▶ Quieting ▶ Closing ▶ Settling ─────▶ Committing ▶ Activating ▶ (Switching) ▶ Recording ▶ Releasing ▶ Ended
//!                                            (opaque)                               │   ▲        │   ▲
//!                                                                                   ▼   │        ▼   │
//!   before the commit, any failure:                                            CommitUnknown   Raising
//!   Aborting (raise the attempt) ▶ Thawing (contract), Redialling (opaque) ▶ Ended  │
//!      ▲ the registry is silent and no commit was sent ─┘                           └▶ Stranded: nobody serves until the registry answers
//! ```
//!
//! Before the commit every failure ends with the users where they were; after it there is only forward. An outcome that
//! is not known is read back, never guessed. No hold outlives its deadline: then users go on if the source serves as
//! before, else they are told to come back, and what is left is done without them. `moving.table.md` beside this file
//! lists every (phase, event) pair.

mod approach;
mod command;
mod event;
mod reason;
mod transfer;
mod undo;

#[cfg(test)]
mod table;

pub use command::Command;
pub use event::Event;
pub use reason::{MoveResult, Reason};

use crate::admin::Level;

/// One move of one board.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Move {
    plan: Plan,
    phase: Phase,
    /// Why the move is being undone, or why it ended short; in phases that end before they look at it, why it will be.
    reason: Option<Reason>,
    users: Users,
    transfer: Transfer,
    /// A freeze may have reached the source.
    frozen: bool,
    /// The opaque source's connections were closed by us.
    source_closed: bool,
    /// Users go on with the source although the registry has not taken the claim back.
    owes_abort: bool,
    raises_left: u8,
    activations_left: u8,
    thaws_left: u8,
}

/// What kind of move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    /// What the source was changed for.
    pub level: Level,
    /// How sessions cross.
    pub crossing: Crossing,
}

/// How the sessions of a board cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Crossing {
    /// Their sockets stay open.
    Transparent,
    /// A message tells them to reconnect; who has not left by the close deadline is closed after the activation.
    ReconnectByMessage,
    /// A close frame tells them to reconnect, once the target owns the board.
    ReconnectByClose,
}

/// Where a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The registry is asked to note the move.
    Claiming,
    /// The target loads the board while the source serves.
    Preparing,
    /// Clients were told by a message and leave; newcomers are parked.
    Telling,
    /// Client frames are being stopped at message boundaries.
    Holding,
    /// The source handles what was passed on, and saves.
    Freezing,
    /// The source's last answers are brought home.
    DrainingDown,
    /// An opaque source is watched until it is quiet.
    Quieting,
    /// An opaque source's connections are ended and read to their end.
    Closing,
    /// An opaque source is given time to save.
    Settling,
    /// The registry is asked to transfer ownership.
    Committing,
    /// Whether it did is not known; it is read back.
    CommitUnknown,
    /// Still not known when the hold ended: nobody serves the board until the registry answers.
    Stranded,
    /// The target takes the fence.
    Activating,
    /// The fence was higher: the registry is asked for a generation above it.
    Raising,
    /// Sessions are attached to the target.
    Switching,
    /// The registry notes that the target serves; sessions that crossed do not wait for that, newcomers do.
    Recording,
    /// The source drops the board.
    Releasing,
    /// The registry is asked to raise the attempt, so that no commit can match any more.
    Aborting,
    /// The source takes the board back.
    Thawing,
    /// Sessions are attached to the opaque source again.
    Redialling,
    /// Over.
    Ended,
}

impl Move {
    /// Plans a move; carry out the commands of [`Move::begin`] first.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            phase: Phase::Claiming,
            reason: None,
            users: Users::Free,
            transfer: Transfer::NotAsked,
            frozen: false,
            source_closed: false,
            owes_abort: false,
            raises_left: RAISES_MAX,
            activations_left: ACTIVATIONS_MAX,
            thaws_left: THAWS_MAX,
        }
    }

    /// Returns the first command.
    pub fn begin(&self) -> Vec<Command> {
        vec![Command::Claim]
    }

    /// Returns where the move is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns what kind of move it is.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Returns how the move ended, once it has.
    pub fn result(&self) -> Option<MoveResult> {
        let Phase::Ended = self.phase else { return None };
        let Some(reason) = self.reason else {
            return Some(MoveResult::Moved);
        };
        Some(match (reason, self.transfer) {
            (Reason::Superseded, Transfer::NotAsked | Transfer::Asked | Transfer::Done) => MoveResult::Lost(reason),
            (_, Transfer::Done) => MoveResult::Forced(reason),
            (_, Transfer::NotAsked | Transfer::Asked) => MoveResult::Undone(reason),
        })
    }

    /// Takes an event in and returns what to do, in order; nothing where the event came late.
    pub fn on(&mut self, event: Event) -> Vec<Command> {
        match self.phase {
            Phase::Claiming => self.claiming(event),
            Phase::Preparing => self.preparing(event),
            Phase::Telling => self.telling(event),
            Phase::Holding => self.holding(event),
            Phase::Freezing => self.freezing(event),
            Phase::DrainingDown => self.draining_down(event),
            Phase::Quieting => self.quieting(event),
            Phase::Closing => self.closing(event),
            Phase::Settling => self.settling(event),
            Phase::Committing => self.committing(event),
            Phase::CommitUnknown => self.commit_unknown(event),
            Phase::Stranded => self.stranded(event),
            Phase::Activating => self.activating(event),
            Phase::Raising => self.raising(event),
            Phase::Switching => self.switching(event),
            Phase::Recording => self.recording(event),
            Phase::Releasing => self.releasing(event),
            Phase::Aborting => self.aborting(event),
            Phase::Thawing => self.thawing(event),
            Phase::Redialling => self.redialling(event),
            Phase::Ended => Vec::new(),
        }
    }

    fn enter(&mut self, phase: Phase, commands: &[Command]) -> Vec<Command> {
        self.phase = phase;
        commands.to_vec()
    }

    fn end(&mut self, reason: Reason, commands: &[Command]) -> Vec<Command> {
        self.reason = Some(reason);
        self.phase = Phase::Ended;
        let mut all = commands.to_vec();
        all.push(Command::Finish);
        all
    }

    /// Ends the hold: sessions that are still held go on or are told to come back, then newcomers come in. The other way
    /// round a newcomer might be told to come back as well.
    fn let_in(&mut self) -> Vec<Command> {
        let last = match (self.transfer, self.plan.crossing) {
            (Transfer::Done, Crossing::ReconnectByMessage | Crossing::ReconnectByClose) => Command::CutSessions,
            (Transfer::Done, Crossing::Transparent) | (Transfer::NotAsked | Transfer::Asked, _) => Command::Resume,
        };
        match std::mem::replace(&mut self.users, Users::Free) {
            Users::Free => Vec::new(),
            Users::Held => vec![last, Command::Unpark],
            Users::Cut | Users::Resumed => vec![Command::Unpark],
        }
    }

    /// Lets sessions go on; newcomers still wait.
    fn resume(&mut self) -> Vec<Command> {
        match self.users {
            Users::Held => {
                self.users = Users::Resumed;
                vec![Command::Resume]
            }
            Users::Free | Users::Cut | Users::Resumed => Vec::new(),
        }
    }

    fn cut(&mut self) -> Vec<Command> {
        match self.users {
            Users::Held => {
                self.users = Users::Cut;
                vec![Command::CutSessions]
            }
            Users::Free | Users::Cut | Users::Resumed => Vec::new(),
        }
    }
}

impl Phase {
    /// Every phase, in the order of the diagram.
    pub const ALL: [Self; 21] = [
        Self::Claiming,
        Self::Preparing,
        Self::Telling,
        Self::Holding,
        Self::Freezing,
        Self::DrainingDown,
        Self::Quieting,
        Self::Closing,
        Self::Settling,
        Self::Committing,
        Self::CommitUnknown,
        Self::Stranded,
        Self::Activating,
        Self::Raising,
        Self::Switching,
        Self::Recording,
        Self::Releasing,
        Self::Aborting,
        Self::Thawing,
        Self::Redialling,
        Self::Ended,
    ];
}

/// What a move has done to the board's users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Users {
    /// Sessions flow and newcomers come in.
    Free,
    /// Newcomers are parked; sessions were told, are held or are about to be.
    Held,
    /// Newcomers are parked or refused; sessions were told to come back and are not to be resumed.
    Cut,
    /// Newcomers are parked; sessions go on with the target.
    Resumed,
}

/// What was asked of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Transfer {
    /// No commit was sent: nobody but the source can own the board through this move.
    NotAsked,
    /// A commit was sent.
    Asked,
    /// It is known to have been applied.
    Done,
}

/// How often a fence may refuse before the board is left to the next comer.
const RAISES_MAX: u8 = 3;

/// How often an activation that was not answered is repeated within the hold.
const ACTIVATIONS_MAX: u8 = 3;

/// How often a thaw that was not answered is repeated within the hold.
const THAWS_MAX: u8 = 3;
