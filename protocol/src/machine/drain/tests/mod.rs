//! Random schedules against the world, single behaviours, and the transition table.

mod boards;
mod controls;
mod documented;
mod schedules;
mod table;
mod world;

use self::table::{Seen, command_index, event_index, phase_index};
use self::world::{Choices, World};
use super::*;
use crate::admin::{DEFAULT_WEIGHT, DrainRequest, DrainStatus, Level, OnDeadline, OnTargetDown, Pace};
use crate::generation::Generation;

/// Begins a drain towards the target `t`, and returns it with what it does first.
fn begin(pace: Pace, boards: Vec<OpenBoard>) -> (Drain, Vec<Command>) {
    let mut drain = Drain::new(Terms::plain(DrainMode::Auto, pace));
    let targets = vec![target("t", 0)];
    drain.handle(Event::TargetsChanged { targets }, Duration::ZERO);
    let commands = drain.handle(Event::Started { boards }, Duration::ZERO);
    (drain, commands)
}

/// A drain with three boards and a start a second; the first has begun.
fn slow_drain(terms: Terms) -> Drain {
    let pace = Pace {
        boards_per_second: 1.0,
        ..Pace::default()
    };
    let mut drain = Drain::new(Terms { pace, ..terms });
    let targets = vec![target("t", 0), target("u", 0)];
    drain.handle(Event::TargetsChanged { targets }, Duration::ZERO);
    let boards = vec![open(1, 1), open(2, 2), open(3, 3)];
    let begun = drain.handle(Event::Started { boards }, Duration::ZERO);
    assert_eq!(starts(&begun), [board(1)]);
    drain
}

fn terms(deadline: u64, on_deadline: OnDeadline) -> Terms {
    Terms {
        deadline: Some(Duration::from_secs(deadline)),
        on_deadline,
        ..Terms::plain(DrainMode::Auto, Pace::default())
    }
}

fn told(drain: &Drain) -> DrainStatus {
    drain.status("d".parse().unwrap(), request(), Duration::ZERO)
}

fn starts(commands: &[Command]) -> Vec<BoardId> {
    let started = |command: &Command| match command {
        Command::StartMove { board, .. } => Some(board.clone()),
        Command::Persist | Command::AbortMove { .. } | Command::Relist | Command::Finish { .. } | Command::Note(_) => {
            None
        }
    };
    commands.iter().filter_map(started).collect()
}

fn request() -> DrainRequest {
    serde_json::from_str(r#"{"from": {"release": "r1"}, "to": {"release": "r2"}}"#).unwrap()
}

fn board(number: u64) -> BoardId {
    format!("b{number:03}").parse().unwrap()
}

fn open(number: u64, sessions: u64) -> OpenBoard {
    OpenBoard {
        board: board(number),
        source: "s".parse().unwrap(),
        sessions,
        home: None,
    }
}

fn target(name: &str, load: u64) -> TargetLoad {
    TargetLoad {
        server: name.parse().unwrap(),
        load,
        weight: DEFAULT_WEIGHT,
        room: None,
    }
}

fn report(board: &BoardId, result: &str) -> MoveReport {
    MoveReport {
        board: board.clone(),
        server: None,
        generation: Generation::NONE,
        result: result.to_owned(),
        level: Level::Contract,
        switched: 0,
        reconnected: 0,
        fallen_back: 0,
        unconfirmed: Vec::new(),
        retry_after_ms: None,
    }
}
