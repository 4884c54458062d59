//! A server dies, and its board is given to another: the sessions that outlive it are attached there together.

use handover_protocol::machine::session::{Event, Phase};

use super::client::{Client, Upstream};
use crate::walk::{Graph, Steps};

#[test]
fn sessions_that_outlive_their_server_keep_the_rules_and_end() {
    let graph = Graph::walk([Death::new()], Death::steps);
    graph.can_end(Death::is_final);
    let both_cross = |death: &Death| {
        let crossed =
            |client: &Client| client.machine.phase() == Phase::Relaying && client.upstream == Upstream::Target;
        death.clients.iter().all(crossed)
    };
    assert!(graph.states.iter().any(both_cross), "they never go on together");
}

/// The board of a server that dies at any moment, also unnoticed, and two sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Death {
    clients: [Client; 2],
    stage: Stage,
}

/// How far the board is on its way to another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Served,
    /// The sessions were asked to go to the server that has it now.
    Taken,
    /// They were told to go on.
    Resumed,
}

#[derive(Debug, Clone)]
enum Step {
    Session(
        #[expect(dead_code, reason = "shown on failure")] usize,
        #[expect(dead_code, reason = "shown on failure")] Event,
    ),
    Take(#[expect(dead_code, reason = "shown on failure")] Event),
    Resume,
}

impl Death {
    fn new() -> Self {
        Self {
            clients: [Client::new(), Client::new()],
            stage: Stage::Served,
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
        let is_answered = self.clients.iter().all(|client| client.question.is_none());
        match self.stage {
            Stage::Served => {
                for (whole, held) in [(true, true), (true, false), (false, true), (false, false)] {
                    let mut next = self.clone();
                    next.stage = Stage::Taken;
                    let event = Event::TakeOver { whole, held };
                    let plain = Event::TakeOver {
                        whole: true,
                        held: false,
                    };
                    let asked = next.clients[0].ask(event).and_then(|()| next.clients[1].ask(plain));
                    steps.push((Step::Take(event), asked.and_then(|()| next.judged())));
                }
            }
            Stage::Taken if is_answered => {
                let mut next = self.clone();
                next.stage = Stage::Resumed;
                let mut told = Ok(());
                for client in &mut next.clients {
                    told = told.and_then(|()| client.tell(Event::Resume));
                }
                steps.push((Step::Resume, told.and_then(|()| next.judged())));
            }
            Stage::Taken | Stage::Resumed => {}
        }
        steps
    }

    fn is_final(&self) -> bool {
        let is_served = |client: &Client| matches!(client.machine.phase(), Phase::Relaying | Phase::Ended);
        self.stage == Stage::Resumed && self.clients.iter().all(is_served)
    }

    fn judged(self) -> Result<Self, String> {
        let rule = |holds: bool, rule: &str| if holds { Ok(()) } else { Err(rule.to_owned()) };
        for client in &self.clients {
            let phase = client.machine.phase();
            let is_passing = client.flows && !matches!(phase, Phase::Leaving | Phase::Finishing | Phase::Ended);
            rule(
                !is_passing || client.upstream != Upstream::None,
                "client messages go nowhere",
            )?;
            let is_stale = self.stage != Stage::Served && client.upstream == Upstream::Source;
            rule(
                !is_passing || !is_stale,
                "client messages reach the dead server behind the takeover",
            )?;
            let is_early = client.upstream == Upstream::Target && self.stage != Stage::Resumed;
            rule(!is_passing || !is_early, "a session goes on before the others may")?;
        }
        Ok(self)
    }
}
