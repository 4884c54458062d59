//! Keeps `moving.table.md`: the answer to every event in every state that any sequence of events can lead to.

use super::{Command, Crossing, Event, Move, Phase, Plan, Transfer, Users};
use crate::admin::Level;
use crate::machine::table;

#[test]
fn the_table_lists_the_answer_to_every_event_in_every_state() {
    let begun = Plan::ALL.into_iter().map(Move::new);
    let states = table::reachable(begun, &Event::ALL, |state, event| {
        state.on(event);
    });
    let mut text = String::from(HEAD);
    for phase in Phase::ALL {
        assert!(
            states.iter().any(|state| state.phase == phase),
            "{phase:?} is never reached"
        );
        let events = Event::ALL.iter().map(|event| {
            let cases: Vec<_> = states
                .iter()
                .filter(|state| state.phase == phase)
                .map(|state| (facts(state), answer(state, *event)))
                .collect();
            (name(*event), table::rules(&FACTS, &cases))
        });
        text += &table::lines(&format!("{phase:?}"), events.collect());
    }
    table::keep("src/machine/moving.table.md", &text);
}

fn facts(state: &Move) -> Vec<&'static str> {
    let claim = |is: bool, yes, no| if is { yes } else { no };
    vec![
        match state.plan.level {
            Level::Opaque => "opaque",
            Level::Contract => "contract",
        },
        match state.plan.crossing {
            Crossing::Transparent => "transparent",
            Crossing::ReconnectByMessage => "by message",
            Crossing::ReconnectByClose => "by close",
        },
        match state.users {
            Users::Free => "users free",
            Users::Held => "users held",
            Users::Cut => "users cut",
            Users::Resumed => "users resumed",
        },
        match state.transfer {
            Transfer::NotAsked => "no commit sent",
            Transfer::Asked => "commit sent",
            Transfer::Done => "commit applied",
        },
        claim(state.frozen, "frozen", "not frozen"),
        claim(state.source_closed, "source closed", "source not closed"),
        claim(state.owes_abort, "abort owed", "no abort owed"),
        claim(state.reason.is_some(), "abort wanted", "no abort wanted"),
        claim(state.raises_left > 0, "raises left", "no raises left"),
        claim(state.activations_left > 1, "activations left", "no activations left"),
        claim(state.thaws_left > 1, "thaws left", "no thaws left"),
    ]
}

fn answer(state: &Move, event: Event) -> String {
    let mut after = state.clone();
    let commands = after.on(event);
    let commands: Vec<_> = commands
        .iter()
        .map(|command: &Command| format!("{command:?}"))
        .collect();
    let commands = if commands.is_empty() {
        "–".to_owned()
    } else {
        commands.join(", ")
    };
    if after.phase == state.phase && commands == "–" && after != *state {
        return "stays, and remembers it".to_owned();
    }
    match (after.phase == state.phase, after.result()) {
        (true, _) => format!("stays: {commands}"),
        (false, Some(result)) => {
            let result = format!("{result:?}");
            let (kind, _) = result.split_once('(').unwrap_or((&result, ""));
            format!("{:?} ({kind}): {commands}", after.phase)
        }
        (false, None) => format!("{:?}: {commands}", after.phase),
    }
}

fn name(event: Event) -> String {
    let name = format!("{event:?}");
    name.split_once('(').map_or(name.clone(), |(name, _)| name.to_owned())
}

impl Plan {
    const ALL: [Self; 6] = {
        const fn plan(level: Level, crossing: Crossing) -> Plan {
            Plan { level, crossing }
        }
        [
            plan(Level::Contract, Crossing::Transparent),
            plan(Level::Contract, Crossing::ReconnectByMessage),
            plan(Level::Contract, Crossing::ReconnectByClose),
            plan(Level::Opaque, Crossing::Transparent),
            plan(Level::Opaque, Crossing::ReconnectByMessage),
            plan(Level::Opaque, Crossing::ReconnectByClose),
        ]
    };
}

const FACTS: [&[&str]; 11] = [
    &["opaque", "contract"],
    &["transparent", "by message", "by close"],
    &["users free", "users held", "users cut", "users resumed"],
    &["no commit sent", "commit sent", "commit applied"],
    &["frozen", "not frozen"],
    &["source closed", "source not closed"],
    &["abort owed", "no abort owed"],
    &["abort wanted", "no abort wanted"],
    &["raises left", "no raises left"],
    &["activations left", "no activations left"],
    &["thaws left", "no thaws left"],
];

const HEAD: &str = "\
# What a move answers

In each phase, to each event: the phase it leads to, and the commands in their order. A condition says what must be
known of the move; where there is none, it makes no difference. The last line of a phase lists what comes late there. A
test visits every state that any sequence of events leads to and keeps this file; `BLESS=1` writes it anew.

| phase | event | where | leads to |
|---|---|---|---|
";
