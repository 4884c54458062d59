//! Keeps `session.table.md`: the answer to every event in every state that any sequence of events can lead to.

use std::collections::BTreeSet;

use super::{Event, Peer, Phase, Session};
use crate::machine::table;

#[test]
fn the_table_lists_the_answer_to_every_event_in_every_state() {
    let states = table::reachable([Session::new()], &Event::ALL, |state, event| {
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
    table::keep("src/machine/session.table.md", &text);
}

fn facts(state: &Session) -> Vec<&'static str> {
    let stream = |peer, open, ended| match peer {
        Peer::Open => open,
        Peer::Ended => ended,
    };
    vec![
        stream(state.client, "client open", "client ended"),
        stream(state.upstream, "upstream open", "upstream ended"),
    ]
}

fn answer(state: &Session, event: Event) -> String {
    let mut after = state.clone();
    let outcome = after.on(event);
    if after.phase == state.phase {
        format!("stays: {outcome}")
    } else {
        format!("{:?}: {outcome}", after.phase)
    }
}

fn name(event: Event) -> String {
    if let Event::Switch { held } = event {
        return format!("Switch ({} wait)", if held { "messages" } else { "none" });
    }
    if let Event::TakeOver { whole, held } = event {
        let whole = if whole { "whole" } else { "half a message" };
        return format!(
            "TakeOver ({whole}, {})",
            if held { "messages wait" } else { "none wait" }
        );
    }
    if let Event::SourceDied { whole } = event {
        return format!("SourceDied ({})", if whole { "whole" } else { "half a message" });
    }
    if let Event::Confirm { pinged } = event {
        return format!("Confirm ({})", if pinged { "a Ping is open" } else { "none is" });
    }
    format!("{event:?}")
}

#[test]
fn every_event_is_listed_once() {
    let names: BTreeSet<_> = Event::ALL.iter().map(|event| name(*event)).collect();
    assert_eq!(names.len(), Event::ALL.len());
}

const FACTS: [&[&str]; 2] = [&["client open", "client ended"], &["upstream open", "upstream ended"]];

const HEAD: &str = "\
# What a session answers

In each phase, to each event: the phase it leads to, and the commands in their order. A condition says what must be
known of the two streams once the event has been taken in; where there is none, it makes no difference. A test visits
every state that any sequence of events leads to and keeps this file; `BLESS=1` writes it anew. An anomaly is what no
driver should send.

| phase | event | where | leads to |
|---|---|---|---|
";
