//! One move in every world: what it commands is judged in [`crate::world`], that it ends here.

use handover_protocol::admin::Level;
use handover_protocol::machine::moving::{Crossing, Event, Phase, Plan};

use crate::walk::Graph;
use crate::world::{GENERATION, Step, World};

#[test]
fn no_world_brings_a_contract_move_to_break_a_rule_or_never_to_end() {
    check(Level::Contract);
}

#[test]
fn no_world_brings_an_opaque_move_to_break_a_rule_or_never_to_end() {
    check(Level::Opaque);
}

fn check(level: Level) {
    for crossing in CROSSINGS {
        let plan = Plan { level, crossing };
        let starts = [GENERATION, GENERATION + 1].map(|fence| World::new(plan, fence));
        let graph = Graph::walk(starts, World::steps);
        graph.can_end(World::is_final);
        // A silent registry may be asked for ever; nobody else.
        graph.has_no_loop(|_, step, _| !is_registry_silent(step));
        for phase in phases(plan) {
            let is_reached = graph.states.iter().any(|world| world.machine.phase() == phase);
            assert!(is_reached, "{plan:?} never comes to {phase:?}");
        }
    }
}

fn is_registry_silent(step: &Step) -> bool {
    matches!(
        step,
        Step::Answer(
            _,
            Event::AbortUnknown | Event::ReadFailed | Event::CommitUnknown | Event::ClaimUnknown,
            _
        )
    )
}

/// The phases that a plan can come to.
fn phases(plan: Plan) -> Vec<Phase> {
    let skipped: &[Phase] = match plan.level {
        Level::Contract => &[Phase::Quieting, Phase::Closing, Phase::Settling, Phase::Redialling],
        Level::Opaque => &[Phase::Freezing, Phase::DrainingDown, Phase::Thawing],
    };
    let is_told = plan.crossing == Crossing::ReconnectByMessage;
    let crosses = plan.crossing == Crossing::Transparent;
    Phase::ALL
        .into_iter()
        .filter(|phase| !skipped.contains(phase))
        .filter(|phase| is_told || *phase != Phase::Telling)
        .filter(|phase| crosses || !matches!(phase, Phase::Switching | Phase::Redialling))
        .collect()
}

/// Every way to cross.
pub(crate) const CROSSINGS: [Crossing; 3] = [
    Crossing::Transparent,
    Crossing::ReconnectByMessage,
    Crossing::ReconnectByClose,
];
