//! Drains, as they are printed.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use handover_protocol::admin::{
    DrainCounts, DrainList, DrainPreview, DrainState, DrainStatus, PlannedBoard, ServerSet,
};
use serde_json::{Value, json};

use super::print::{Data, flatten, shown, table};
use super::words::spelled;

impl Data for DrainStatus {
    fn text(&self) -> String {
        let mut text = format!("drain {}: {}\n", self.id, state(self));
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "  {key:<11} {value}");
        };
        let counts = &self.boards;
        line(
            "from, to",
            format!("{} -> {}", servers(&self.request.from), servers(&self.request.to)),
        );
        line(
            "boards",
            match (self.state, counts.total) {
                (DrainState::Running, 0) => "none counted yet".to_owned(),
                _ => format!(
                    "{} moved, {} left{}, {} closed of {}; {} moves failed",
                    counts.moved,
                    counts.left,
                    underway(counts),
                    counts.closed,
                    counts.total,
                    counts.failed
                ),
            },
        );
        if counts.taken_over > 0 {
            let how = "of those moved came to another server without this drain: theirs died, or somebody moved them";
            line("taken over", format!("{} {how}", counts.taken_over));
        }
        line(
            "sessions",
            format!(
                "{} unconfirmed, {} fallen back to reconnect",
                self.unconfirmed_sessions, self.fallen_back_sessions
            ),
        );
        if !self.done {
            line("rate", format!("{:.1} boards/s{}", self.rate, estimate(self)));
        }
        if self.started_at_ms > 0 {
            let ended = self.ended_at_ms.map_or("still".to_owned(), clock);
            line("time", format!("{} to {ended}", clock(self.started_at_ms)));
        }
        if matches!(self.state, DrainState::Undoing | DrainState::Undone) {
            line("undone", format!("{} boards are back", self.undone));
        }
        if let Some(until) = self.undo_until_ms.filter(|until| *until > now_ms()) {
            line("undo", format!("quick until {}", clock(until)));
        }
        for hindrance in &self.waits_for {
            line(
                "waits for",
                format!(
                    "{} ({} boards): {}",
                    hindrance.reason, hindrance.boards, hindrance.detail
                ),
            );
        }
        for failure in &self.failures {
            line("failures", format!("{} x {}", failure.count, failure.reason));
        }
        for level in &self.levels {
            line("moved at", format!("{}: {}", spelled(&level.level), level.count));
        }
        for (key, value) in &self.request.labels {
            line("label", format!("{}={}", shown(key), shown(value)));
        }
        if !self.troubled.is_empty() {
            let row = |board: &handover_protocol::admin::TroubledBoard| {
                [
                    shown(board.board.as_str()),
                    board.server.to_string(),
                    board.sessions.to_string(),
                    board.reason.clone(),
                    board.tries.to_string(),
                    match board.retry_in_seconds {
                        Some(wait) => format!("in {wait:.0} s"),
                        None if self.done => "none".to_owned(),
                        None => "given up".to_owned(),
                    },
                ]
            };
            let rows: Vec<_> = self.troubled.iter().map(row).collect();
            text.push('\n');
            text += &table(["BOARD", "SERVER", "SESSIONS", "REASON", "TRIES", "NEXT TRY"], &rows);
        }
        text
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn env(&self) -> Vec<(String, String)> {
        let counts = &self.boards;
        let optional = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
        let pairs = [
            ("ID", self.id.to_string()),
            ("STATE", spelled(&self.state)),
            ("DONE", self.done.to_string()),
            ("TOTAL", counts.total.to_string()),
            ("MOVED", counts.moved.to_string()),
            ("TAKEN_OVER", counts.taken_over.to_string()),
            ("LEFT", counts.left.to_string()),
            ("CLOSED", counts.closed.to_string()),
            ("MOVING", counts.moving.to_string()),
            ("PUT_OFF", counts.put_off.to_string()),
            ("FAILED", counts.failed.to_string()),
            ("UNDONE", self.undone.to_string()),
            ("UNCONFIRMED_SESSIONS", self.unconfirmed_sessions.to_string()),
            ("FALLEN_BACK_SESSIONS", self.fallen_back_sessions.to_string()),
            ("RATE", self.rate.to_string()),
            (
                "ESTIMATE_SECONDS",
                self.estimate_seconds
                    .map_or(String::new(), |seconds| seconds.to_string()),
            ),
            ("DEADLINE_PASSED", self.deadline_passed.to_string()),
            ("PAUSED_BY", self.paused_by.as_ref().map_or(String::new(), spelled)),
            ("STARTED_AT_MS", self.started_at_ms.to_string()),
            ("ENDED_AT_MS", optional(self.ended_at_ms)),
            ("UNDO_UNTIL_MS", optional(self.undo_until_ms)),
        ];
        let mut pairs: Vec<_> = pairs
            .into_iter()
            .map(|(key, value)| (format!("HANDOVER_DRAIN_{key}"), value))
            .collect();
        pairs.extend(flatten("HANDOVER_DRAIN_LABEL", &json!(self.request.labels)));
        pairs
    }
}

/// Says what becomes of the boards that are left, as far as something is happening to them.
fn underway(counts: &DrainCounts) -> String {
    let parts = [(counts.moving, "moving"), (counts.put_off, "put off")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Says in one line how far a drain is.
pub(super) fn headline(status: &DrainStatus) -> String {
    let counts = &status.boards;
    let mut line = match status.state {
        DrainState::Undoing | DrainState::Undone => {
            format!(
                "{}, {} of {} boards are back",
                state(status),
                status.undone,
                counts.moved
            )
        }
        DrainState::Running | DrainState::Paused | DrainState::Done | DrainState::Failed | DrainState::Aborted => {
            format!(
                "{}, {} of {} boards moved, {} left{}",
                state(status),
                counts.moved,
                counts.total,
                counts.left,
                underway(counts)
            )
        }
    };
    if status.state == DrainState::Running {
        let _ = write!(line, ", {:.1}/s{}", status.rate, estimate(status));
    }
    if let Some(hindrance) = status.waits_for.first() {
        let _ = write!(line, "; waits: {}", shown(&hindrance.detail));
    }
    line
}

/// Names a drain's state, and who paused it.
fn state(status: &DrainStatus) -> String {
    let state = spelled(&status.state);
    match (&status.paused_by, status.deadline_passed) {
        (Some(by), _) => format!("{state} by {}", spelled(by)),
        (None, true) => format!("{state}, past its deadline"),
        (None, false) => state,
    }
}

fn estimate(status: &DrainStatus) -> String {
    match status.estimate_seconds {
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => format!(", about {} to go", rounded(seconds)),
        Some(_) | None => String::new(),
    }
}

fn rounded(seconds: f64) -> String {
    // Nobody plans by more than a century.
    let whole = Duration::from_secs(seconds.ceil().clamp(0.0, 3e9) as u64);
    humantime::format_duration(whole).to_string()
}

/// Writes a moment as RFC 3339 has it, in UTC.
pub(super) fn clock(at_ms: u64) -> String {
    let latest = 253_402_300_799_000;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms.min(latest));
    humantime::format_rfc3339_seconds(at).to_string()
}

fn servers(set: &ServerSet) -> String {
    match set {
        ServerSet::Release(release) => format!("release {release}"),
        ServerSet::Servers(names) => {
            let names: Vec<&str> = names.iter().map(handover_protocol::ServerName::as_str).collect();
            names.join(",")
        }
    }
}

impl Data for DrainList {
    fn text(&self) -> String {
        let row = |status: &DrainStatus| {
            [
                status.id.to_string(),
                state(status),
                servers(&status.request.from),
                servers(&status.request.to),
                status.boards.moved.to_string(),
                status.boards.left.to_string(),
                status.boards.failed.to_string(),
                clock(status.started_at_ms),
            ]
        };
        let rows: Vec<_> = self.drains.iter().map(row).collect();
        table(
            ["DRAIN", "STATE", "FROM", "TO", "MOVED", "LEFT", "FAILED", "STARTED"],
            &rows,
        )
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn lines(&self) -> Vec<Value> {
        self.drains.iter().map(|drain| json!(drain)).collect()
    }

    fn env(&self) -> Vec<(String, String)> {
        let mut pairs = vec![("HANDOVER_DRAINS_COUNT".to_owned(), self.drains.len().to_string())];
        for (number, drain) in self.drains.iter().enumerate() {
            let renamed = drain.env().into_iter().map(|(key, value)| {
                let key = key.replacen("HANDOVER_DRAIN", &format!("HANDOVER_DRAINS_{number}"), 1);
                (key, value)
            });
            pairs.extend(renamed);
        }
        pairs
    }
}

impl Data for DrainPreview {
    fn text(&self) -> String {
        if let Some(state) = &self.started_already {
            return format!(
                "The same request has started a drain already, which is {}; nothing would be started.\n",
                spelled(state)
            );
        }
        let mut text = String::new();
        if !self.boards.is_empty() {
            let rows: Vec<_> = self.boards.iter().map(planned).collect();
            text += &table(
                ["BOARD", "FROM", "TO", "SESSIONS", "MODE", "LEVEL", "IN THE WAY"],
                &rows,
            );
            if self.truncated {
                text += "… and more\n";
            }
            text.push('\n');
        }
        let totals = &self.totals;
        let _ = writeln!(
            text,
            "{} boards with {} sessions: {} transparently, {} by reconnect, {} stay; about {}",
            totals.boards,
            totals.sessions,
            totals.transparent,
            totals.reconnect,
            totals.stay,
            rounded(self.estimate_seconds)
        );
        for problem in &self.problems {
            let _ = writeln!(text, "problem: {} ({})", problem.detail, problem.reason);
        }
        text += if self.acceptable {
            "It would be accepted.\n"
        } else {
            "It would be refused.\n"
        };
        text
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn lines(&self) -> Vec<Value> {
        self.boards.iter().map(|board| json!(board)).collect()
    }

    fn env(&self) -> Vec<(String, String)> {
        let mut whole = self.json();
        // A thousand boards are no environment.
        if let Some(fields) = whole.as_object_mut() {
            fields.remove("boards");
        }
        flatten("HANDOVER_PLAN", &whole)
    }
}

fn planned(board: &PlannedBoard) -> [String; 7] {
    [
        shown(board.board.as_str()),
        board.from.to_string(),
        board.to.as_ref().map_or("-".to_owned(), ToString::to_string),
        board.sessions.to_string(),
        spelled(&board.mode),
        spelled(&board.level),
        board
            .hindrance
            .as_ref()
            .map_or(String::new(), |hindrance| shown(&hindrance.detail)),
    ]
}
