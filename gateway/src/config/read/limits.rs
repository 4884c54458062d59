//! Reads `[limits]`.

use std::time::Duration;

use super::tree::Section;
use crate::config::Limits;

pub(super) fn read_limits(mut section: Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let mut count = |name, place: &mut usize| section.number(name, place, 1..=COUNT_MAX);
    count("sessions_max", &mut limits.sessions_max);
    count("connections_max", &mut limits.connections_max);
    count("parked_max", &mut limits.parked_max);
    count("header_count_max", &mut limits.header_count_max);
    let fragments = &mut limits.message_fragments_max;
    section.number("message_fragments_max", fragments, 1..=FRAGMENTS_CEILING);
    let frames = &mut limits.control_frames_per_second_max;
    section.number("control_frames_per_second_max", frames, 1..=CONTROL_FRAMES_CEILING);
    let mut size = |name, place: &mut usize| section.size(name, place, 256..=HEAD_BYTES_CEILING);
    size("head_bytes_max", &mut limits.head_bytes_max);
    size("target_bytes_max", &mut limits.target_bytes_max);
    size("early_bytes_max", &mut limits.early_bytes_max);
    let mut time = |name, place: &mut Duration| section.duration(name, place, TIME_MIN..=TIME_MAX);
    time("head_timeout", &mut limits.head_timeout);
    time("tls_handshake_timeout", &mut limits.tls_handshake_timeout);
    time("idle_timeout", &mut limits.idle_timeout);
    time("upgrade_timeout", &mut limits.upgrade_timeout);
    time("answer_timeout", &mut limits.answer_timeout);
    time("stall_timeout", &mut limits.stall_timeout);
    time("message_timeout", &mut limits.message_timeout);
    time("control_call_timeout", &mut limits.control_call_timeout);
    time("boards_interval", &mut limits.boards_interval);

    if limits.connections_max < limits.sessions_max {
        let problem = format!("is below limits.sessions_max ({})", limits.sessions_max);
        section.spot_of("connections_max").fault(
            problem,
            "raise it: each session is a connection, and handshakes and plain requests come on top",
        );
    }
    if limits.target_bytes_max > limits.head_bytes_max {
        section.spot_of("target_bytes_max").fault(
            "is above limits.head_bytes_max, which it is a part of",
            "raise head_bytes_max as well",
        );
    }
    section.close();
    limits
}

/// More sockets than one process is given anywhere.
const COUNT_MAX: u64 = 10_000_000;

/// Each costs the receiver a turn of its loop, and no library cuts a message into more.
const FRAGMENTS_CEILING: u64 = 1_000_000;

/// They are counted in 16 bits from one look at the clock to the next.
const CONTROL_FRAMES_CEILING: u64 = 10_000;

/// Each connection may hold this much before it has proved anything.
const HEAD_BYTES_CEILING: u64 = 1024 * 1024;

/// Below this a scheduler's hiccup would end connections.
const TIME_MIN: Duration = Duration::from_millis(100);

/// Beyond this a deadline is none.
const TIME_MAX: Duration = Duration::from_hours(1);
