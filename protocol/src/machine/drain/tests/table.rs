//! The transition table: where each event led from each phase, over random schedules and events that no driver tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::*;

#[test]
fn the_table_lists_every_pair_and_says_where_it_leads() {
    let mut seen = Seen::new();
    let mut take = |from: &Seen| {
        for (pair, (phases, commands)) in from {
            let all = seen.entry(*pair).or_default();
            all.0.extend(phases);
            all.1.extend(commands);
        }
    };
    for seed in 0..1500 {
        let mut world = World::new(seed, true);
        world.run();
        take(&world.seen);
        take(&torment(seed));
    }
    let mut table = String::from("| phase | event | leads to | may command |\n|---|---|---|---|\n");
    for (phase, phase_name) in PHASES.iter().enumerate() {
        for (event, event_name) in EVENTS.iter().enumerate() {
            let (phases, commands) = seen.get(&(phase, event)).expect("every pair is visited");
            let phases = names(&PHASES, phases);
            let commands = names(&COMMANDS, commands);
            writeln!(table, "| {phase_name} | {event_name} | {phases} | {commands} |").unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine/drain/table.md");
    let kept = std::fs::read_to_string(&path).unwrap();
    if std::env::var_os("BLESS").is_some() {
        let (prose, _) = kept.split_once("| phase |").unwrap();
        std::fs::write(&path, format!("{prose}{table}")).unwrap();
        return;
    }
    assert!(kept.ends_with(&table), "table.md should end with:\n{table}");
}

/// Tells anything at any time, as no driver should.
fn torment(seed: u64) -> Seen {
    let mut world = World::new(seed, false);
    let mut choices = Choices(seed);
    let mut drain = Drain::new(world.terms);
    let mut ended = 0;
    for _ in 0..60 {
        let board = board(choices.below(3));
        let result = if choices.percent(50) { "moved" } else { "refused" };
        let boards = (0..choices.below(3)).map(|number| open(number, 0)).collect();
        let event = match choices.below(19) {
            0 | 1 => Event::Started { boards },
            2..=4 => Event::BoardsListed { boards },
            5 | 6 => Event::MovePrepared { board },
            7..=9 => Event::MoveEnded {
                report: report(&board, result),
            },
            10 | 11 => Event::TargetsChanged {
                targets: vec![target("t", 0)],
            },
            12 => Event::Tick,
            17 => Event::RulesChanged,
            18 => Event::BoardsTakenOver { boards: vec![board] },
            13 => Event::PauseRequested,
            14 | 15 => Event::ResumeRequested,
            _ if choices.percent(20) => Event::AbortRequested,
            _ => Event::Tick,
        };
        world.now += choices.millis(1500);
        let pair = (phase_index(drain.phase()), event_index(&event));
        let commands = drain.handle(event, world.now);
        let seen = world.seen.entry(pair).or_default();
        seen.0.insert(phase_index(drain.phase()));
        seen.1.extend(commands.iter().map(command_index));
        ended += commands
            .iter()
            .filter(|command| matches!(command, Command::Finish { .. }))
            .count();
    }
    assert!(ended <= 1);
    world.seen
}

fn names(all: &[&str], chosen: &BTreeSet<usize>) -> String {
    let chosen: Vec<&str> = chosen.iter().map(|index| all[*index]).collect();
    chosen.join(", ")
}

/// Where each (phase, event) pair led and what it commanded.
pub(super) type Seen = BTreeMap<(usize, usize), (BTreeSet<usize>, BTreeSet<usize>)>;

pub(super) fn phase_index(phase: Phase) -> usize {
    match phase {
        Phase::Starting => 0,
        Phase::Moving => 1,
        Phase::Confirming => 2,
        Phase::Waiting => 3,
        Phase::Paused => 4,
        Phase::Stopping => 5,
        Phase::Aborting => 6,
        Phase::Ended(_) => 7,
    }
}

pub(super) fn event_index(event: &Event) -> usize {
    match event {
        Event::Started { .. } => 0,
        Event::BoardsListed { .. } => 1,
        Event::MovePrepared { .. } => 2,
        Event::MoveEnded { .. } => 3,
        Event::TargetsChanged { .. } => 4,
        Event::AbortRequested => 5,
        Event::PauseRequested => 6,
        Event::ResumeRequested => 7,
        Event::Tick => 8,
        Event::BoardsTakenOver { .. } => 9,
        Event::RulesChanged => 10,
    }
}

pub(super) fn command_index(command: &Command) -> usize {
    match command {
        Command::Persist => 0,
        Command::StartMove { .. } => 1,
        Command::AbortMove { .. } => 2,
        Command::Relist => 3,
        Command::Finish { .. } => 4,
        Command::Note(_) => 5,
    }
}

const PHASES: [&str; 8] = [
    "Starting",
    "Moving",
    "Confirming",
    "Waiting",
    "Paused",
    "Stopping",
    "Aborting",
    "Ended",
];
const EVENTS: [&str; 11] = [
    "Started",
    "BoardsListed",
    "MovePrepared",
    "MoveEnded",
    "TargetsChanged",
    "AbortRequested",
    "PauseRequested",
    "ResumeRequested",
    "Tick",
    "BoardsTakenOver",
    "RulesChanged",
];
const COMMANDS: [&str; 6] = ["Persist", "StartMove", "AbortMove", "Relist", "Finish", "Note"];
