//! Reads `[drain]`.

use std::time::Duration;

use handover_protocol::admin::{DEADLINE_SECONDS_MAX, DrainMode, OnDeadline, OnTargetDown, UNDO_WINDOW_SECONDS_MAX};

use super::tree::{Item, Section};
use super::units::duration_text;
use crate::config::{BOARD_MOVE_INTERVAL_MAX, DrainConfig};

pub(super) fn read_drain(mut section: Section<'_>) -> DrainConfig {
    let mut drain = DrainConfig::default();
    let interval = &mut drain.board_move_interval;
    section.duration(
        "board_move_interval",
        interval,
        Duration::ZERO..=BOARD_MOVE_INTERVAL_MAX,
    );
    let defaults = &mut drain.defaults;
    section.default("mode", "\"auto\"".to_owned());
    section.read("mode", &mut defaults.mode, |item| {
        match item.choice(&["auto", "reconnect", "transparent", "stay"])? {
            "reconnect" => Some(DrainMode::Reconnect),
            "transparent" => Some(DrainMode::Transparent),
            "stay" => Some(DrainMode::Stay),
            _ => Some(DrainMode::Auto),
        }
    });
    let pace = &mut defaults.pace;
    section.default("boards_per_second", pace.boards_per_second.to_string());
    section.read("boards_per_second", &mut pace.boards_per_second, |item| {
        Some(f64::from(u32::try_from(item.number(0..=RATE_MAX)?).ok()?))
    });
    section.number("boards_at_once", &mut pace.boards_at_once, 1..=AT_ONCE_MAX);
    section.number("loads_per_target", &mut pace.loads_per_target, 1..=AT_ONCE_MAX);
    section.read("deadline", &mut defaults.deadline_seconds, |item| {
        whole_seconds(item, 1..=DEADLINE_SECONDS_MAX).map(Some)
    });
    section.default("on_deadline", "\"stop\"".to_owned());
    section.read("on_deadline", &mut defaults.on_deadline, |item| {
        match item.choice(&["stop", "pause", "hurry", "continue"])? {
            "pause" => Some(OnDeadline::Pause),
            "hurry" => Some(OnDeadline::Hurry),
            "continue" => Some(OnDeadline::Continue),
            _ => Some(OnDeadline::Stop),
        }
    });
    section.default("on_target_down", "\"pause\"".to_owned());
    section.read("on_target_down", &mut defaults.on_target_down, |item| {
        match item.choice(&["pause", "continue"])? {
            "continue" => Some(OnTargetDown::Continue),
            _ => Some(OnTargetDown::Pause),
        }
    });
    section.default("undo_window", format!("\"{}\"", duration_text(Duration::ZERO)));
    section.read("undo_window", &mut defaults.undo_window_seconds, |item| {
        whole_seconds(item, 0..=UNDO_WINDOW_SECONDS_MAX)
    });
    section.close();
    drain
}

/// Reads a duration that the API counts in whole seconds.
fn whole_seconds(item: &Item<'_>, bounds: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let [low, high] = [*bounds.start(), *bounds.end()].map(Duration::from_secs);
    let duration = item.duration(low..=high)?;
    if duration.subsec_nanos() > 0 {
        let fix = format!("write for example \"{}s\"", duration.as_secs() + 1);
        item.spot.fault("is not a whole number of seconds", fix);
        return None;
    }
    Some(duration.as_secs())
}

/// As [`handover_protocol::admin::Pace::check`] has it.
const RATE_MAX: u64 = 10_000;

/// As [`handover_protocol::admin::Pace::check`] has it.
const AT_ONCE_MAX: u64 = 1000;
