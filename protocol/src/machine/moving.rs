//! One board going from source to target: which step comes next, and what happens when one fails.
//!
//! ```text
//!   Claiming ▶ Preparing ▶ (Telling) ▶ Holding ▶ Freezing ▶ DrainingDown ─────────────┐
//!                                         │                                           ▼
//!                                         └▶ Quieting ▶ Closing ▶ Settling ─────▶ Committing ▶ Activating ▶ Switching ▶ Releasing ▶ Ended
//!                                            (opaque)                               │   ▲        │   ▲
//!                                                                                   ▼   │        ▼   │
//!   before the commit, any failure:                                            CommitUnknown   Raising
//!   Aborting (raise the attempt) ▶ Thawing ▶ (Redialling) ▶ Ended                   │
//!                                                                                   └▶ Stranded: nobody serves until the registry answers
//! ```
//!
//! Before the commit every failure ends with the users where they were; after it there is only forward. An outcome that
//! is not known is read back, never guessed. `moving.table.md` beside this file lists every (phase, event) pair.

use std::fmt;

use crate::admin::Level;

/// One move of one board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    plan: Plan,
    phase: Phase,
    /// Why the move is being undone, or why it ended short.
    reason: Option<Reason>,
    /// A freeze may have reached the source.
    frozen: bool,
    /// The opaque source's connections were closed by us.
    source_closed: bool,
    /// The board's sessions were let go: they are not held and not to be resumed.
    sessions_cut: bool,
    raises_left: u8,
    activations_left: u8,
}

/// What kind of move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What happens to a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The registry noted the move.
    Claimed,
    /// Somebody else changed the placement first.
    ClaimRefused,
    /// The registry did not answer.
    ClaimUnknown,
    /// The target has loaded the board, or need not.
    Prepared,
    /// The target would not, could not or did not in time.
    PrepareFailed(Reason),
    /// Every client that was told has left, or the close deadline has passed.
    Told,
    /// Every session is held or has left the barrier; nothing is in flight.
    Held,
    /// Something was still in flight at its deadline.
    HoldFailed(Reason),
    /// The source has handled and saved everything.
    Frozen,
    /// The source refused, failed or did not answer.
    FreezeFailed(Reason),
    /// Every session has its answers or has left the barrier.
    DrainedDown,
    /// The source has been quiet for long enough, or will not be.
    Quiet,
    /// Every connection to the source was read to its end.
    SourceClosed,
    /// The source has had its time to save, or said that it has.
    SourceSettled,
    /// The source may not have saved, and the route does not allow to go on.
    SettleFailed(Reason),
    /// The target owns the board under the next generation.
    Committed,
    /// The registry holds another placement.
    CommitRefused,
    /// The registry did not answer.
    CommitUnknown,
    /// Read back: the transfer did happen.
    ReadCommitted,
    /// Read back: it did not.
    ReadUncommitted,
    /// Read back: somebody else has taken the board.
    ReadSuperseded,
    /// The registry does not answer.
    ReadFailed,
    /// The target owns the fence.
    Activated,
    /// The fence is higher than the target's generation.
    ActivateRefused,
    /// The target would not, could not or did not answer.
    ActivateFailed(Reason),
    /// The target was granted a generation above the fence.
    Raised,
    /// It was not, or it is not known.
    RaiseFailed,
    /// Every session is attached or has left the barrier, and the placement is settled.
    Switched,
    /// The source has dropped the board, or does not answer.
    Released,
    /// The attempt was raised: the source keeps the board.
    AbortRaised,
    /// The registry holds another placement.
    AbortRefused,
    /// The registry did not answer.
    AbortUnknown,
    /// The source serves again.
    Thawed,
    /// The source did not answer.
    ThawFailed,
    /// Every session is attached to the opaque source again, or has left.
    Redialled,
    /// An operator or a drain wants the move undone.
    AbortRequested,
    /// The hold may last no longer.
    HoldDeadline,
}

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Compare-and-set the placement to moving.
    Claim,
    /// Have the target load the board.
    Prepare,
    /// Park newcomers.
    Park,
    /// Tell every client by the route's message; wait until each has left, at most the close deadline.
    Tell,
    /// Stop client frames, let requests finish, give dials up; starts the hold's clock.
    Hold,
    /// Freeze the source with the counts of every session.
    Freeze,
    /// Bring the source's counted messages home.
    DrainDown,
    /// Ping the opaque source and wait until it is quiet.
    Quiet,
    /// Close the opaque source's connections and read them to their end.
    CloseSource,
    /// Wait for the opaque source's save.
    Settle,
    /// Compare-and-set ownership to the target.
    Commit,
    /// Read the placement.
    ReadBack,
    /// Activate the target.
    Activate,
    /// Compare-and-set to a generation above the fence that refused.
    Raise,
    /// Attach every session to the target, and settle the placement.
    Switch,
    /// Settle the placement without attaching anybody.
    SettlePlacement,
    /// Close every session that is still held, telling it to reconnect.
    CutSessions,
    /// Let held sessions go on.
    Resume,
    /// Let newcomers in.
    Unpark,
    /// Refuse newcomers.
    Shut,
    /// Have the source drop the board.
    Release,
    /// Have the target drop its standby.
    ForgetStandby,
    /// Compare-and-set the attempt up and the board back to the source.
    RaiseAttempt,
    /// Have the source take the board back.
    Thaw,
    /// Attach every session to the source again.
    Redial,
    /// Report the end: see [`Move::result`].
    Finish,
}

/// Why a move did not end as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Another move or another gateway changed the placement first.
    Superseded,
    /// The registry did not answer.
    RegistryUnknown,
    /// The target would not load the board.
    PrepareRefused,
    /// The target did not load the board in time.
    PrepareTimeout,
    /// The target is not ready or does not answer.
    TargetDown,
    /// The target's answer was none of the contract's.
    TargetNonsense,
    /// Plain requests were still in flight at the end of the hold.
    RequestsInFlight,
    /// The hold lasted too long.
    HoldTimeout,
    /// The source would not freeze.
    FreezeRefused,
    /// The source did not answer the freeze.
    FreezeUnanswered,
    /// The source's answer was none of the contract's.
    SourceNonsense,
    /// The source is down.
    SourceDown,
    /// The source could not confirm that it saved.
    SaveUnconfirmed,
    /// The target would not take the fence.
    ActivateRefused,
    /// The target did not answer the activation.
    ActivateUnanswered,
    /// The operator or the drain asked for it.
    Aborted,
}

/// How a move ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoveResult {
    /// The target owns the board and serves it.
    Moved,
    /// The source owns the board as before.
    Undone(Reason),
    /// Ownership was transferred, but the target did not confirm; whoever comes next is placed anew.
    Forced(Reason),
    /// Somebody else owns the board now.
    Lost(Reason),
}

impl Move {
    /// Plans a move; carry out the commands of [`Move::begin`] first.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            phase: Phase::Claiming,
            reason: None,
            frozen: false,
            source_closed: false,
            sessions_cut: false,
            raises_left: RAISES_MAX,
            activations_left: ACTIVATIONS_MAX,
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
        Some(match reason {
            Reason::Superseded => MoveResult::Lost(reason),
            Reason::ActivateRefused | Reason::ActivateUnanswered => MoveResult::Forced(reason),
            Reason::TargetDown | Reason::TargetNonsense if self.activations_left < ACTIVATIONS_MAX => {
                MoveResult::Forced(reason)
            }
            Reason::RegistryUnknown
            | Reason::PrepareRefused
            | Reason::PrepareTimeout
            | Reason::TargetDown
            | Reason::TargetNonsense
            | Reason::RequestsInFlight
            | Reason::HoldTimeout
            | Reason::FreezeRefused
            | Reason::FreezeUnanswered
            | Reason::SourceNonsense
            | Reason::SourceDown
            | Reason::SaveUnconfirmed
            | Reason::Aborted => MoveResult::Undone(reason),
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
            Phase::Releasing => self.releasing(event),
            Phase::Aborting => self.aborting(event),
            Phase::Thawing => self.thawing(event),
            Phase::Redialling => self.redialling(event),
            Phase::Ended => Vec::new(),
        }
    }

    fn claiming(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Claimed => self.enter(Phase::Preparing, &[Command::Prepare]),
            Event::ClaimRefused => self.end(Reason::Superseded, &[]),
            // The claim may stand; raising the attempt takes it back either way.
            Event::ClaimUnknown => self.abort(Reason::RegistryUnknown),
            Event::AbortRequested | Event::HoldDeadline => Vec::new(),
            late => ignore(late),
        }
    }

    fn preparing(&mut self, event: Event) -> Vec<Command> {
        match (event, self.plan.crossing) {
            (Event::Prepared, Crossing::ReconnectByMessage) => {
                self.enter(Phase::Telling, &[Command::Park, Command::Tell])
            }
            (Event::Prepared, Crossing::Transparent | Crossing::ReconnectByClose) => {
                self.enter(Phase::Holding, &[Command::Park, Command::Hold])
            }
            (Event::PrepareFailed(reason), _) => self.abort(reason),
            (Event::AbortRequested, _) => self.abort(Reason::Aborted),
            (late, _) => ignore(late),
        }
    }

    fn telling(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Told => self.enter(Phase::Holding, &[Command::Hold]),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    fn holding(&mut self, event: Event) -> Vec<Command> {
        match (event, self.plan.level) {
            (Event::Held, Level::Contract) => {
                self.frozen = true;
                self.enter(Phase::Freezing, &[Command::Freeze])
            }
            (Event::Held, Level::Opaque) => self.enter(Phase::Quieting, &[Command::Quiet]),
            (Event::HoldFailed(reason), _) => self.abort(reason),
            (Event::HoldDeadline, _) => self.abort(Reason::HoldTimeout),
            (Event::AbortRequested, _) => self.abort(Reason::Aborted),
            (late, _) => ignore(late),
        }
    }

    fn freezing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Frozen => self.enter(Phase::DrainingDown, &[Command::DrainDown]),
            // A freeze that was not answered is never forced: the source may be alive and unsaved.
            Event::FreezeFailed(reason) => self.abort(reason),
            Event::HoldDeadline => self.abort(Reason::FreezeUnanswered),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    fn draining_down(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::DrainedDown => self.enter(Phase::Committing, &[Command::Commit]),
            Event::HoldDeadline => self.abort(Reason::HoldTimeout),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    fn quieting(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Quiet => {
                self.source_closed = true;
                self.enter(Phase::Closing, &[Command::CloseSource])
            }
            Event::HoldDeadline => self.abort(Reason::HoldTimeout),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    fn closing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::SourceClosed => self.enter(Phase::Settling, &[Command::Settle]),
            Event::HoldDeadline => self.abort(Reason::HoldTimeout),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    fn settling(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::SourceSettled => self.enter(Phase::Committing, &[Command::Commit]),
            Event::SettleFailed(reason) => self.abort(reason),
            Event::HoldDeadline => self.abort(Reason::HoldTimeout),
            Event::AbortRequested => self.abort(Reason::Aborted),
            late => ignore(late),
        }
    }

    fn committing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Committed => self.go_forward(),
            Event::CommitRefused => self.lose(),
            // The registry may have applied the write before its answer was lost.
            Event::CommitUnknown => self.enter(Phase::CommitUnknown, &[Command::ReadBack]),
            Event::HoldDeadline => self.strand(&[]),
            late => ignore(late),
        }
    }

    fn commit_unknown(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::ReadCommitted | Event::Committed => self.go_forward(),
            // Not applied yet; raising the attempt makes sure that it never is.
            Event::ReadUncommitted => self.abort(Reason::RegistryUnknown),
            Event::ReadSuperseded => self.lose(),
            Event::ReadFailed => vec![Command::ReadBack],
            Event::HoldDeadline => self.strand(&[]),
            late => ignore(late),
        }
    }

    fn stranded(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::ReadCommitted | Event::Committed => self.go_forward(),
            Event::ReadUncommitted | Event::CommitRefused => self.abort(Reason::RegistryUnknown),
            Event::ReadSuperseded => self.lose(),
            Event::CommitUnknown | Event::ReadFailed => vec![Command::ReadBack],
            late => ignore(late),
        }
    }

    fn activating(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Activated if self.sessions_cut => self.enter(Phase::Switching, &[Command::SettlePlacement]),
            Event::Activated => match self.plan.crossing {
                Crossing::Transparent => self.enter(Phase::Switching, &[Command::Switch]),
                Crossing::ReconnectByMessage | Crossing::ReconnectByClose => {
                    self.enter(Phase::Switching, &[Command::SettlePlacement])
                }
            },
            Event::ActivateRefused if self.raises_left > 0 => {
                self.raises_left -= 1;
                self.enter(Phase::Raising, &[Command::Raise])
            }
            Event::ActivateRefused => self.give_up_forward(Reason::ActivateRefused),
            Event::ActivateFailed(_) if self.activations_left > 1 && !self.sessions_cut => {
                self.activations_left -= 1;
                vec![Command::Activate]
            }
            Event::ActivateFailed(reason) => {
                self.activations_left -= 1;
                self.give_up_forward(reason)
            }
            Event::HoldDeadline => self.cut(),
            late => ignore(late),
        }
    }

    fn raising(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Raised => self.enter(Phase::Activating, &[Command::Activate]),
            Event::RaiseFailed => self.give_up_forward(Reason::ActivateRefused),
            Event::HoldDeadline => self.cut(),
            late => ignore(late),
        }
    }

    fn switching(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Switched => {
                let last = match self.plan.crossing {
                    Crossing::Transparent => Command::Resume,
                    Crossing::ReconnectByMessage | Crossing::ReconnectByClose => Command::CutSessions,
                };
                self.enter(Phase::Releasing, &[Command::Unpark, last, Command::Release])
            }
            // Each session has a deadline of its own; the barrier ends with the last of them.
            Event::HoldDeadline => Vec::new(),
            late => ignore(late),
        }
    }

    fn releasing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Released => self.enter(Phase::Ended, &[Command::Finish]),
            late => ignore(late),
        }
    }

    fn aborting(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::AbortRaised => self.take_back(),
            Event::AbortRefused => self.lose(),
            // No commit was sent, or it was read back as not applied by a registry that answered then; the claim is
            // taken back later. Where the registry fell silent again, nobody may be resumed on a guess.
            Event::AbortUnknown => vec![Command::ReadBack],
            Event::ReadCommitted => self.go_forward(),
            Event::ReadUncommitted => vec![Command::RaiseAttempt],
            Event::ReadSuperseded => self.lose(),
            Event::ReadFailed => vec![Command::ReadBack],
            Event::HoldDeadline => self.cut(),
            late => ignore(late),
        }
    }

    fn thawing(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Thawed => self.let_go(),
            // Unanswered: it may be frozen still, so its sessions must not wait on it.
            Event::ThawFailed | Event::HoldDeadline => {
                let mut commands = self.cut();
                commands.extend(self.let_go());
                commands
            }
            late => ignore(late),
        }
    }

    fn redialling(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Redialled => self.enter(
                Phase::Ended,
                &[
                    Command::Unpark,
                    Command::Resume,
                    Command::ForgetStandby,
                    Command::Finish,
                ],
            ),
            Event::HoldDeadline => Vec::new(),
            late => ignore(late),
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

    /// The commit stands; whatever was said of an abort does not.
    fn go_forward(&mut self) -> Vec<Command> {
        self.reason = None;
        self.enter(Phase::Activating, &[Command::Activate])
    }

    fn abort(&mut self, reason: Reason) -> Vec<Command> {
        self.reason = Some(reason);
        self.enter(Phase::Aborting, &[Command::RaiseAttempt])
    }

    fn take_back(&mut self) -> Vec<Command> {
        if self.frozen {
            return self.enter(Phase::Thawing, &[Command::Thaw]);
        }
        if self.source_closed && !self.sessions_cut {
            return self.enter(Phase::Redialling, &[Command::Redial]);
        }
        self.let_go()
    }

    /// The source serves: everybody goes on there.
    fn let_go(&mut self) -> Vec<Command> {
        self.enter(
            Phase::Ended,
            &[
                Command::Unpark,
                Command::Resume,
                Command::ForgetStandby,
                Command::Finish,
            ],
        )
    }

    /// Another coordinator has changed the placement: sessions are told to come back, to whoever owns the board now.
    fn lose(&mut self) -> Vec<Command> {
        let mut commands = self.cut();
        commands.push(Command::Unpark);
        commands.extend(self.end(Reason::Superseded, &[]));
        commands
    }

    fn strand(&mut self, more: &[Command]) -> Vec<Command> {
        let mut commands = self.cut();
        commands.push(Command::Shut);
        commands.extend(self.enter(Phase::Stranded, more));
        commands
    }

    fn cut(&mut self) -> Vec<Command> {
        if self.sessions_cut {
            return Vec::new();
        }
        self.sessions_cut = true;
        vec![Command::CutSessions]
    }

    /// Ownership is granted and not confirmed: whoever comes next has it activated there or elsewhere.
    fn give_up_forward(&mut self, reason: Reason) -> Vec<Command> {
        let mut commands = self.cut();
        commands.push(Command::Unpark);
        commands.extend(self.end(reason, &[]));
        commands
    }
}

/// Answers an event that belongs to a phase that is over: its answer came late, or twice.
fn ignore(late: Event) -> Vec<Command> {
    match late {
        Event::Claimed
        | Event::ClaimRefused
        | Event::ClaimUnknown
        | Event::Prepared
        | Event::PrepareFailed(_)
        | Event::Told
        | Event::Held
        | Event::HoldFailed(_)
        | Event::Frozen
        | Event::FreezeFailed(_)
        | Event::DrainedDown
        | Event::Quiet
        | Event::SourceClosed
        | Event::SourceSettled
        | Event::SettleFailed(_)
        | Event::Committed
        | Event::CommitRefused
        | Event::CommitUnknown
        | Event::ReadCommitted
        | Event::ReadUncommitted
        | Event::ReadSuperseded
        | Event::ReadFailed
        | Event::Activated
        | Event::ActivateRefused
        | Event::ActivateFailed(_)
        | Event::Raised
        | Event::RaiseFailed
        | Event::Switched
        | Event::Released
        | Event::AbortRaised
        | Event::AbortRefused
        | Event::AbortUnknown
        | Event::Thawed
        | Event::ThawFailed
        | Event::Redialled
        | Event::AbortRequested
        | Event::HoldDeadline => Vec::new(),
    }
}

impl Reason {
    /// Every reason, for metrics and documents.
    pub const ALL: [Self; 16] = [
        Self::Superseded,
        Self::RegistryUnknown,
        Self::PrepareRefused,
        Self::PrepareTimeout,
        Self::TargetDown,
        Self::TargetNonsense,
        Self::RequestsInFlight,
        Self::HoldTimeout,
        Self::FreezeRefused,
        Self::FreezeUnanswered,
        Self::SourceNonsense,
        Self::SourceDown,
        Self::SaveUnconfirmed,
        Self::ActivateRefused,
        Self::ActivateUnanswered,
        Self::Aborted,
    ];

    /// Returns the stable name under which the API and the metrics tell it.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::RegistryUnknown => "registry_unknown",
            Self::PrepareRefused => "prepare_refused",
            Self::PrepareTimeout => "prepare_timeout",
            Self::TargetDown => "target_down",
            Self::TargetNonsense => "target_nonsense",
            Self::RequestsInFlight => "requests_in_flight",
            Self::HoldTimeout => "hold_timeout",
            Self::FreezeRefused => "freeze_refused",
            Self::FreezeUnanswered => "freeze_unanswered",
            Self::SourceNonsense => "source_nonsense",
            Self::SourceDown => "source_down",
            Self::SaveUnconfirmed => "save_unconfirmed",
            Self::ActivateRefused => "activate_refused",
            Self::ActivateUnanswered => "activate_unanswered",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.slug())
    }
}

/// How often a fence may refuse before the board is left to the next comer.
const RAISES_MAX: u8 = 3;

/// How often an activation that was not answered is repeated within the hold.
const ACTIVATIONS_MAX: u8 = 3;
