//! One picture of `handover top`, as lines of text.

use handover_protocol::admin::{DrainList, MoveList, MoveRecord, ServerList, ServerState, ServerView};

use super::boards::blackout;
use super::drain_view::headline;
use super::print::shown;
use super::server_view::note;
use super::words::spelled;

/// What was heard at one moment.
#[derive(Debug)]
pub(super) struct Heard {
    /// The servers.
    pub servers: ServerList,
    /// The drains.
    pub drains: DrainList,
    /// The moves.
    pub moves: MoveList,
}

/// Whether parts of the picture stand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// With colours and bold letters.
    Colours,
    /// Letters only.
    Plain,
}

impl Ink {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Colours => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// Draws a picture of so many columns and rows; what does not fit is left out, drains and servers last.
pub(super) fn frame(heard: &Heard, title: &str, size: (usize, usize), ink: Ink) -> Vec<String> {
    let (columns, rows) = size;
    let mut lines = vec![ink.paint("1", &cut(title, columns)), String::new()];
    lines.push(ink.paint("7", &cut(&server_line(HEAD), columns)));
    let most = heard.servers.servers.iter().map(|server| server.boards).max();
    for server in &heard.servers.servers {
        let cells = server_cells(server, most.unwrap_or_default());
        let line = cut(&server_line(cells.each_ref().map(String::as_str)), columns);
        lines.push(match server.state {
            ServerState::Ready => line,
            ServerState::Cordoned | ServerState::Draining => ink.paint("33", &line),
            ServerState::Down => ink.paint("31", &line),
        });
    }
    for drain in heard
        .drains
        .drains
        .iter()
        .filter(|drain| !drain.done)
        .take(DRAINS_SHOWN)
    {
        lines.push(String::new());
        let counts = &drain.boards;
        let bar = bar(counts.moved + counts.closed, counts.total);
        lines.push(cut(&format!("drain {} [{bar}]", drain.id), columns));
        lines.push(cut(&format!("  {}", headline(drain)), columns));
    }
    lines.push(String::new());
    lines.push(ink.paint("7", &cut("LAST MOVES", columns)));
    let room = rows.saturating_sub(lines.len() + 1).clamp(1, MOVES_SHOWN);
    lines.extend(
        heard
            .moves
            .moves
            .iter()
            .rev()
            .take(room)
            .map(|record| cut(&move_line(record), columns)),
    );
    lines
}

const HEAD: [&str; 7] = ["SERVER", "RELEASE", "STATE", "BOARDS", "", "SESSIONS", "NOTE"];

fn server_cells(server: &ServerView, most: u64) -> [String; 7] {
    [
        server.name.to_string(),
        server.release.to_string(),
        spelled(&server.state),
        server.boards.to_string(),
        bar(server.boards, most),
        server.sessions.to_string(),
        note(server),
    ]
}

fn server_line([name, release, state, boards, bar, sessions, note]: [&str; 7]) -> String {
    format!("{name:<16} {release:<14} {state:<9} {boards:>7} {bar:<BAR_LETTERS$} {sessions:>9}  {note}")
}

fn move_line(record: &MoveRecord) -> String {
    let held = blackout(record).map_or(String::new(), |held| format!(", held {held:.0} ms"));
    format!(
        "{:<24} {} -> {}  {} ({}, {} sessions{held})",
        shown(record.board.as_str()),
        record.from,
        record.to,
        record.result,
        spelled(&record.mode),
        record.sessions
    )
}

/// Draws a share of a whole.
fn bar(part: u64, whole: u64) -> String {
    let letters = BAR_LETTERS as u64;
    let filled = (part.min(whole) * letters).checked_div(whole).unwrap_or_default() as usize;
    format!("{}{}", "#".repeat(filled), ".".repeat(BAR_LETTERS - filled))
}

fn cut(text: &str, columns: usize) -> String {
    text.trim_end().chars().take(columns).collect()
}

/// Wide enough to see a tenth of it move.
const BAR_LETTERS: usize = 20;

/// More drains than that seldom run at once.
const DRAINS_SHOWN: usize = 4;

/// More than this nobody reads.
const MOVES_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_its_share() {
        assert_eq!(bar(0, 0), ".".repeat(20));
        assert_eq!(bar(5, 10), format!("{}{}", "#".repeat(10), ".".repeat(10)));
        assert_eq!(bar(11, 10), "#".repeat(20));
    }

    #[test]
    fn a_picture_keeps_to_the_size_of_its_window() {
        let servers = (0..3).map(|number| {
            serde_json::json!({
                "name": format!("board-{number}"), "url": "http://a:1", "release": "r1", "ready": true,
                "incarnation": null, "level": "opaque", "boards": number, "sessions": 0, "state": "ready",
            })
        });
        let record = serde_json::json!({
            "board": "b\u{202e}x", "from": "a", "to": "b", "result": "moved", "level": "opaque", "mode": "auto",
            "hold_at_ms": 1.0, "switched_at_ms": 6.0, "sessions": 2,
        });
        let heard = Heard {
            servers: serde_json::from_value(serde_json::json!({ "servers": servers.collect::<Vec<_>>() })).unwrap(),
            drains: DrainList { drains: Vec::new() },
            moves: serde_json::from_value(serde_json::json!({ "moves": vec![record; 50] })).unwrap(),
        };
        let lines = frame(&heard, "handover top", (60, 16), Ink::Plain);
        assert!(lines.len() < 16, "{lines:#?}");
        assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:#?}");
        assert!(
            !lines.concat().contains('\u{202e}'),
            "a board's name must not reach the terminal as it is"
        );
        assert!(lines.concat().contains("a -> b  moved"), "{lines:#?}");
    }
}
