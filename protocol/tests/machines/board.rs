//! A move together with the sessions of its board: what the one asks and the others answer, in every order.

mod client;
mod takeover;

use std::collections::BTreeSet;

use handover_protocol::admin::Level;
use handover_protocol::machine::moving::{self, Crossing, Move, MoveResult, Plan, Reason};
use handover_protocol::machine::session::{Event, Phase};

use crate::moves::CROSSINGS;
use crate::walk::{Graph, Steps};
use client::{Client, Upstream, is_held};

#[test]
fn contract_moves_and_their_sessions_keep_the_rules_and_end() {
    check(Level::Contract);
}

#[test]
fn opaque_moves_and_their_sessions_keep_the_rules_and_end() {
    check(Level::Opaque);
}

fn check(level: Level) {
    for crossing in CROSSINGS {
        let plan = Plan { level, crossing };
        let graph = Graph::walk([Board::new(plan)], Board::steps);
        graph.can_end(Board::is_final);
        let mut phases: Vec<_> = Phase::ALL.to_vec();
        for board in &graph.states {
            for client in &board.clients {
                phases.retain(|phase| *phase != client.machine.phase());
            }
        }
        assert_eq!(phases, never(plan), "{plan:?} never brings a session to these phases");
    }
}

/// The phases that no session comes to under a plan.
fn never(plan: Plan) -> Vec<Phase> {
    let draining = [Phase::Draining, Phase::Drained];
    let closing = [Phase::Pinged, Phase::Confirming, Phase::Closing, Phase::Detached];
    let attaching = [Phase::Attaching, Phase::Attached];
    let never = |phase: &Phase| {
        (draining.contains(phase) && plan.level == Level::Opaque)
            || (closing.contains(phase) && plan.level == Level::Contract)
            || (attaching.contains(phase) && plan.crossing != Crossing::Transparent)
            || (*phase == Phase::Telling && plan.crossing != Crossing::ReconnectByMessage)
    };
    Phase::ALL.into_iter().filter(never).collect()
}

/// A move, its sessions, and what the driver waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Board {
    machine: Move,
    clients: [Client; 2],
    /// The question whose answers the driver collects, and the event that it tells then.
    barrier: Option<moving::Event>,
    /// What registry, source and target were asked.
    asked: BTreeSet<Ask>,
    truth: Truth,
    is_activated: bool,
    deadline: Deadline,
    abort_requested: bool,
    finished: bool,
}

/// What the registry holds, whatever it has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Truth {
    Claimed,
    Committed,
    Aborted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Deadline {
    Unset,
    Running,
    Passed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Ask {
    Claim,
    Prepare,
    Freeze,
    Settle,
    Commit,
    ReadBack,
    Activate,
    SettlePlacement,
    Release,
    RaiseAttempt,
    Thaw,
}

#[derive(Debug, Clone)]
enum Step {
    Session(
        #[expect(dead_code, reason = "shown on failure")] usize,
        #[expect(dead_code, reason = "shown on failure")] Event,
    ),
    Move(#[expect(dead_code, reason = "shown on failure")] moving::Event),
}

impl Board {
    fn new(plan: Plan) -> Self {
        let client = Client::new();
        Self {
            machine: Move::new(plan),
            clients: [client.clone(), client],
            barrier: None,
            asked: BTreeSet::from([Ask::Claim]),
            truth: Truth::Claimed,
            is_activated: false,
            deadline: Deadline::Unset,
            abort_requested: false,
            finished: false,
        }
    }

    fn steps(&self) -> Steps<Self, Step> {
        let mut steps = Vec::new();
        for (index, client) in self.clients.iter().enumerate() {
            for event in client.events() {
                let mut next = self.clone();
                let told = next.clients[index].tell(event);
                steps.push((Step::Session(index, event), told.and_then(|()| next.judged())));
            }
        }
        // Told comes at the close deadline as well, whoever is still there.
        if let Some(event) = self.barrier
            && (event == moving::Event::Told || self.clients.iter().all(|client| client.question.is_none()))
        {
            let mut next = self.clone();
            next.barrier = None;
            steps.push((Step::Move(event), next.tell(event)));
        }
        for ask in &self.asked {
            for (event, truth) in self.answers(*ask) {
                let mut next = self.clone();
                next.asked.remove(ask);
                next.truth = truth;
                next.is_activated |= event == moving::Event::Activated;
                steps.push((Step::Move(event), next.tell(event)));
            }
        }
        if self.deadline == Deadline::Running {
            let mut next = self.clone();
            next.deadline = Deadline::Passed;
            steps.push((
                Step::Move(moving::Event::HoldDeadline),
                next.tell(moving::Event::HoldDeadline),
            ));
        }
        if !self.abort_requested && !self.finished {
            let mut next = self.clone();
            next.abort_requested = true;
            let event = moving::Event::AbortRequested;
            steps.push((Step::Move(event), next.tell(event)));
        }
        steps
    }

    fn is_final(&self) -> bool {
        let is_served = |client: &Client| matches!(client.machine.phase(), Phase::Relaying | Phase::Ended);
        self.finished && self.clients.iter().all(is_served)
    }

    fn answers(&self, ask: Ask) -> Vec<(moving::Event, Truth)> {
        use moving::Event as E;
        let now = self.truth;
        match ask {
            Ask::Claim => vec![(E::Claimed, now)],
            Ask::Prepare => vec![(E::Prepared, now), (E::PrepareFailed(Reason::PrepareTimeout), now)],
            Ask::Freeze => vec![(E::Frozen, now), (E::FreezeFailed(Reason::FreezeUnanswered), now)],
            Ask::Settle => vec![(E::SourceSettled, now), (E::SettleFailed(Reason::SaveUnconfirmed), now)],
            Ask::Commit => vec![
                (E::Committed, Truth::Committed),
                (E::CommitUnknown, Truth::Committed),
                (E::CommitUnknown, now),
            ],
            Ask::ReadBack => {
                let found = match now {
                    Truth::Claimed => E::ReadUncommitted,
                    Truth::Committed => E::ReadCommitted,
                    Truth::Aborted => E::AbortRaised,
                };
                vec![(found, now), (E::ReadFailed, now)]
            }
            Ask::RaiseAttempt => match now {
                Truth::Claimed => vec![
                    (E::AbortRaised, Truth::Aborted),
                    (E::AbortUnknown, Truth::Aborted),
                    (E::AbortUnknown, now),
                ],
                Truth::Committed => vec![(E::AbortRefused, now), (E::AbortUnknown, now)],
                Truth::Aborted => vec![(E::AbortRaised, now), (E::AbortUnknown, now)],
            },
            Ask::Activate => vec![
                (E::Activated, now),
                (E::ActivateFailed(Reason::ActivateUnanswered), now),
            ],
            Ask::SettlePlacement => vec![(E::PlacementSettled, now)],
            Ask::Release => vec![(E::Released, now)],
            Ask::Thaw => vec![(E::Thawed, now), (E::ThawFailed, now)],
        }
    }

    fn tell(mut self, event: moving::Event) -> Result<Self, String> {
        for command in self.machine.on(event) {
            self.carry_out(command).map_err(|rule| format!("{command:?}: {rule}"))?;
        }
        self.judged()
    }

    fn carry_out(&mut self, command: moving::Command) -> Result<(), String> {
        use moving::Command as C;
        use moving::Event as E;
        match command {
            C::Claim => {
                self.asked.insert(Ask::Claim);
            }
            C::Prepare => {
                self.asked.insert(Ask::Prepare);
            }
            C::Freeze => {
                self.asked.insert(Ask::Freeze);
            }
            C::Settle => {
                self.asked.insert(Ask::Settle);
            }
            C::Commit => {
                self.asked.insert(Ask::Commit);
            }
            C::ReadBack => {
                self.asked.insert(Ask::ReadBack);
            }
            C::Activate => {
                self.asked.insert(Ask::Activate);
            }
            C::SettlePlacement => {
                self.asked.insert(Ask::SettlePlacement);
            }
            C::Release => {
                self.asked.insert(Ask::Release);
            }
            C::RaiseAttempt => {
                self.asked.insert(Ask::RaiseAttempt);
            }
            C::Thaw => {
                self.asked.insert(Ask::Thaw);
            }
            C::Tell => {
                self.ask(Event::Tell)?;
                self.barrier = Some(E::Told);
            }
            C::Hold => {
                self.deadline = Deadline::Running;
                self.ask(Event::Hold)?;
                self.barrier = Some(E::Held);
            }
            C::DrainDown => {
                self.ask(Event::Drain)?;
                self.barrier = Some(E::DrainedDown);
            }
            C::Quiet => {
                // Of two clients one has a Ping with the source.
                self.clients[0].ask(Event::Confirm { pinged: true })?;
                self.clients[1].ask(Event::Confirm { pinged: false })?;
                self.barrier = Some(E::Quiet);
            }
            C::CloseSource => {
                self.ask(Event::CloseSource)?;
                self.barrier = Some(E::SourceClosed);
            }
            // Of two sessions one has messages that wait.
            C::Switch | C::Redial => {
                self.clients[0].ask(Event::Switch { held: true })?;
                self.clients[1].ask(Event::Switch { held: false })?;
                self.barrier = Some(if command == C::Switch {
                    E::Switched
                } else {
                    E::Redialled
                });
            }
            C::Resume => self.order(Event::Resume)?,
            C::CutSessions => self.order(Event::Cut)?,
            C::Finish => {
                self.finished = true;
                let is_undone = matches!(self.machine.result(), Some(MoveResult::Undone(_)));
                if is_undone && self.truth == Truth::Committed {
                    return Err("it was committed".to_owned());
                }
            }
            C::Park | C::Unpark | C::Shut | C::ForgetStandby | C::Raise => {}
        }
        Ok(())
    }

    fn ask(&mut self, question: Event) -> Result<(), String> {
        self.clients.iter_mut().try_for_each(|client| client.ask(question))
    }

    /// Tells every session; nobody collects answers any more.
    fn order(&mut self, order: Event) -> Result<(), String> {
        self.barrier = self.barrier.filter(|event| *event == moving::Event::Switched);
        self.clients.iter_mut().try_for_each(|client| client.tell(order))
    }

    fn judged(self) -> Result<Self, String> {
        let rule = |holds: bool, rule: &str| if holds { Ok(()) } else { Err(rule.to_owned()) };
        for client in &self.clients {
            let phase = client.machine.phase();
            let is_over = self.finished || self.deadline == Deadline::Passed;
            rule(!is_over || !is_held(phase), "a session is held behind the hold's end")?;
            rule(
                !self.finished || client.question.is_none(),
                "a question was never answered",
            )?;
            let is_passing = client.flows && !matches!(phase, Phase::Finishing | Phase::Ended);
            let is_stale = self.truth == Truth::Committed && client.upstream == Upstream::Source;
            rule(
                !is_passing || !is_stale,
                "client messages reach the source behind the commit",
            )?;
            let is_early = client.upstream == Upstream::Target && self.truth == Truth::Committed && !self.is_activated;
            rule(
                !is_passing || !is_early,
                "client messages reach the target before its activation",
            )?;
            let goes_on = phase == Phase::Relaying && client.upstream == Upstream::Target;
            let waits = self
                .clients
                .iter()
                .any(|other| other.machine.phase() == Phase::Attaching);
            rule(
                !goes_on || !waits,
                "one session goes on while another is being attached",
            )?;
        }
        Ok(self)
    }
}
