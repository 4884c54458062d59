//! Reads `[[routes]]`.

use std::collections::HashMap;
use std::time::Duration;

use handover_protocol::close::CloseCode;

use super::board::read_board;
use super::server::ReadServers;
use super::traps;
use super::tree::{Item, Section};
use super::units::duration_text;
use crate::config::route::{
    BOUNCE_COUNT_MAX, BOUNCE_LIMIT_MAX, CLOSE_REASON_BYTES_MAX, Greeting, HOLD_TIMEOUT_MAX, OnServerDeath,
    REPLAY_MESSAGES_MAX, Replay, Route, RouteMode,
};
use crate::config::settings::Kind;
use crate::config::{BoardSource, CommandFault, CommandTemplate, Origin, Origins, SettleHook};

pub(super) fn read_routes(root: &mut Section<'_>, servers: &ReadServers<'_>) -> Vec<Route> {
    let sections = root.sections("routes", "name and board = { path = \"/boards/{board}/ws\" }");
    let mut routes: Vec<Route> = Vec::new();
    let mut names = HashMap::new();
    for mut section in sections {
        let key = section.spot.key().to_owned();
        let name = read_name(&mut section, &mut names);
        let board_spot = section.spot_of("board");
        let board = section
            .require("board", "{ path = \"/boards/{board}/ws\" }")
            .and_then(|item| read_board(&item));
        let known_board = board.is_some();
        // Without a board the rest is read all the same, so that its faults are reported too.
        let board = board.unwrap_or_else(|| BoardSource::Cookie {
            path: None,
            name: key.into(),
        });
        let mut route = Route::new(name.as_deref().unwrap_or_default(), board);
        read_settings(&mut section, &mut route);
        check_waits(&section, &route, servers);
        traps::check_route(&section, &route);
        section.close();
        if let Some(earlier) = routes.iter().find(|earlier| earlier.board.covers(&route.board)) {
            let problem = format!(
                "is never reached: the route {:?} before it takes its requests",
                earlier.name
            );
            board_spot.warning(problem, "put the narrower route first, or remove one");
        }
        if known_board && name.is_some() {
            routes.push(route);
        }
    }
    routes
}

fn read_name(section: &mut Section<'_>, names: &mut HashMap<String, String>) -> Option<String> {
    let item = section.require("name", "\"boards\"")?;
    let fix = "name it with 1 to 64 letters, digits and . _ -";
    let name = super::non_empty(&item, fix)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        item.spot.fault("is not a name that a metric's label can show", fix);
        return None;
    }
    if let Some(earlier) = names.insert(name.to_owned(), item.spot.key().to_owned()) {
        item.spot
            .fault(format!("is the same as {earlier}"), "give each route a name of its own");
    }
    Some(name.to_owned())
}

fn read_settings(section: &mut Section<'_>, route: &mut Route) {
    section.read("origins", &mut route.origins, |item| {
        let fix = "write \"same\", or an origin such as \"https://app.example.com\"";
        let listed = item.list()?;
        let origins: Option<Vec<Origin>> = listed.iter().map(|item| item.parsed(fix)).collect();
        Some(Some(Origins::new(origins?)))
    });
    section.default("mode", "\"auto\"".to_owned());
    section.read("mode", &mut route.mode, read_mode);
    route.opaque_transparent = route.mode == RouteMode::Transparent;
    section.flag("opaque_transparent", &mut route.opaque_transparent);
    section.default("on_server_death", "\"reconnect\"".to_owned());
    section.read("on_server_death", &mut route.on_server_death, |item| {
        match item.choice(&["reconnect", "transparent"])? {
            "transparent" => Some(OnServerDeath::Transparent),
            _ => Some(OnServerDeath::Reconnect),
        }
    });
    section.default("close_code", route.close_code.to_string());
    section.read("close_code", &mut route.close_code, read_close_code);
    section.default("close_reason", format!("{:?}", route.close_reason));
    section.read("close_reason", &mut route.close_reason, |item| {
        let reason = item.text()?;
        if reason.len() > CLOSE_REASON_BYTES_MAX {
            let problem = format!("has {} bytes, and a close frame carries 123", reason.len());
            item.spot.fault(problem, "shorten it (RFC 6455 section 5.5)");
            return None;
        }
        Some(reason.into())
    });
    section.read("command", &mut route.command, |item| read_command(item).map(Some));
    section.read("replay", &mut route.replay, read_replay);
    section.read("greeting", &mut route.greeting, read_greeting);
    read_opaque(section, route);
    read_deadlines(section, route);
    section.flag("cut_streams", &mut route.cut_streams);
    section.size("hold_bytes", &mut route.hold_bytes, 4 << 10..=1 << 20);
    section.size("message_bytes_max", &mut route.message_bytes_max, 1 << 10..=4 << 30);
    section.size("replay_bytes_max", &mut route.replay_bytes_max, 1..=1 << 20);
    check_effects(section, route);
}

fn read_mode(item: &Item<'_>) -> Option<RouteMode> {
    match item.choice(&["auto", "reconnect", "transparent", "stay"])? {
        "reconnect" => Some(RouteMode::Reconnect),
        "transparent" => Some(RouteMode::Transparent),
        "stay" => Some(RouteMode::Stay),
        _ => Some(RouteMode::Auto),
    }
}

fn read_close_code(item: &Item<'_>) -> Option<u16> {
    let number = item.number(0..=u64::from(u16::MAX))?;
    let code = CloseCode::new(u16::try_from(number).ok()?);
    if !code.may_be_sent() {
        let fix = "use 1012 (service restart), 1001, 1013, or a code of your clients' own from 3000 to 4399";
        item.spot
            .fault("must not be sent in a close frame (RFC 6455 section 7.4)", fix);
        return None;
    }
    traps::check_close_code(item, code);
    Some(code.get())
}

fn read_command(item: &Item<'_>) -> Option<CommandTemplate> {
    let text = item.text()?;
    match CommandTemplate::parse(text) {
        Ok(command) => {
            if text.starts_with(['{', '[']) && !command.is_json() {
                let fix = "correct it if JSON is meant; {board} and {reason} stand between quotes, {grace_ms} without";
                item.spot
                    .warning("begins like JSON and is none, so values are not escaped", fix);
            }
            Some(command)
        }
        Err(error) => {
            let fix = match &error {
                CommandFault::Empty => "remove it to tell clients by the close frame alone",
                CommandFault::TooLong => "shorten it: clients need no more than the word to come back",
                CommandFault::Placeholder(_) => "use {board}, {reason} or {grace_ms}",
            };
            item.spot.fault(error.to_string(), fix);
            None
        }
    }
}

fn read_replay(item: &Item<'_>) -> Option<Replay> {
    let fix = "write { first = 1, await_answer = true } or { matching = '^hello', await_answer = true }";
    let mut section = item.section(fix)?;
    let first = section.take("first");
    let matching = section.take("matching");
    let mut await_answer = false;
    section.flag("await_answer", &mut await_answer);
    let mut messages_max = REPLAY_MESSAGES_MAX;
    let messages_max_item = section.take("messages_max");
    section.default("messages_max", messages_max.to_string());
    section.close();
    if let Some(item) = &messages_max_item {
        messages_max = u32::try_from(item.number(1..=REPLAY_MESSAGES_CEILING)?).ok()?;
    }
    match (first, matching) {
        (Some(first), None) => {
            if let Some(item) = messages_max_item {
                item.spot.fault(
                    "is for patterns only",
                    "remove it: first says how many messages are kept",
                );
            }
            Some(Replay::First {
                count: u32::try_from(first.number(1..=REPLAY_MESSAGES_CEILING)?).ok()?,
                await_answer,
            })
        }
        (None, Some(matching)) => Some(Replay::Matching {
            pattern: matching.regex()?,
            await_answer,
            messages_max,
        }),
        (Some(_), Some(matching)) => {
            matching
                .spot
                .fault("is a second rule for the replay", "leave one of first and matching");
            None
        }
        (None, None) => {
            item.spot.fault("does not say what is replayed", fix);
            None
        }
    }
}

fn read_greeting(item: &Item<'_>) -> Option<Greeting> {
    let mut section = item.section("write { messages = 1 }")?;
    let messages = section.require("messages", "1");
    section.close();
    Some(Greeting {
        messages: u32::try_from(messages?.number(0..=GREETING_MESSAGES_MAX)?).ok()?,
    })
}

fn read_opaque(section: &mut Section<'_>, route: &mut Route) {
    section.duration("settle", &mut route.settle, Duration::ZERO..=SETTLE_MAX);
    section.read("settle_hook", &mut route.settle_hook, |item| {
        let hook = SettleHook::parse(item.text()?);
        let fix = "write a URL such as \"http://127.0.0.1:9200/saved/{board}\"";
        hook.map_err(|error| item.spot.fault(error.to_string(), fix))
            .ok()
            .map(Some)
    });
    section.duration("quiet", &mut route.quiet, MILLISECOND..=HOLD_TIMEOUT_MAX);
    section.duration("quiet_max", &mut route.quiet_max, MILLISECOND..=HOLD_TIMEOUT_MAX);
    section.read("quiet_pattern", &mut route.quiet_pattern, |item| item.regex().map(Some));
    if route.quiet > route.quiet_max {
        let problem = format!("is longer than quiet_max ({})", duration_text(route.quiet_max));
        section.spot_of("quiet").fault(
            problem,
            "shorten it, or lengthen quiet_max: the wait for the quiet ends there",
        );
    }
}

fn read_deadlines(section: &mut Section<'_>, route: &mut Route) {
    let hold = section.take("hold_timeout");
    section.default("hold_timeout", format!("\"{}\"", duration_text(route.hold_timeout)));
    if let Some(item) = &hold
        && let Some(hold) = item.duration(HOLD_TIMEOUT_MIN..=Duration::MAX)
    {
        item.spot.note(Kind::Duration(HOLD_TIMEOUT_MIN, HOLD_TIMEOUT_MAX));
        if hold > HOLD_TIMEOUT_MAX {
            let fix = "use at most \"5s\": clients give up or reset after 5 to 10 s of silence";
            item.spot.fault("is longer than any hold may last", fix);
        } else {
            route.hold_timeout = hold;
        }
    }
    section.duration(
        "boundary_timeout",
        &mut route.boundary_timeout,
        MILLISECOND..=HOLD_TIMEOUT_MAX,
    );
    section.duration(
        "close_deadline",
        &mut route.close_deadline,
        MILLISECOND..=HOLD_TIMEOUT_MAX,
    );
    route.grace = route.close_deadline;
    section.duration("grace", &mut route.grace, Duration::ZERO..=HOLD_TIMEOUT_MAX);
    section.duration(
        "switch_timeout",
        &mut route.switch_timeout,
        MILLISECOND..=HOLD_TIMEOUT_MAX,
    );
    section.duration(
        "prepare_timeout",
        &mut route.prepare_timeout,
        MILLISECOND..=PREPARE_TIMEOUT_MAX,
    );
    section.duration(
        "freeze_timeout",
        &mut route.freeze_timeout,
        MILLISECOND..=HOLD_TIMEOUT_MAX,
    );
    section.duration("dial_timeout", &mut route.dial_timeout, MILLISECOND..=DIAL_TIMEOUT_MAX);
    section.duration(
        "request_timeout",
        &mut route.request_timeout,
        MILLISECOND..=HOLD_TIMEOUT_MAX,
    );
    section.duration(
        "bounce_limit",
        &mut route.bounce.limit,
        Duration::ZERO..=BOUNCE_LIMIT_MAX,
    );
    section.number("bounce_count", &mut route.bounce.count, 1..=u64::from(BOUNCE_COUNT_MAX));

    let within_hold = [
        ("boundary_timeout", route.boundary_timeout),
        ("switch_timeout", route.switch_timeout),
        ("request_timeout", route.request_timeout),
    ];
    for (name, part) in within_hold {
        if part > route.hold_timeout {
            let hold = duration_text(route.hold_timeout);
            let problem = format!("is {}, longer than the hold it is a part of", duration_text(part));
            section
                .spot_of(name)
                .fault(problem, format!("set {name} to at most \"{hold}\", the hold_timeout"));
        }
    }
    if route.freeze_timeout >= route.hold_timeout {
        let problem = format!(
            "is {} and must end before the hold does",
            duration_text(route.freeze_timeout)
        );
        let hold = duration_text(route.hold_timeout);
        let fix = format!("set freeze_timeout below \"{hold}\", so that time is left for the commit and the switch");
        section.spot_of("freeze_timeout").fault(problem, fix);
    }
}

/// Warns of settings that do nothing in the route's mode.
fn check_effects(section: &Section<'_>, route: &Route) {
    let is_transparent = matches!(route.mode, RouteMode::Auto | RouteMode::Transparent);
    let replays = !matches!(route.replay, Replay::None);
    let idle = [
        ("replay", replays && !is_transparent),
        ("greeting", route.greeting.messages > 0 && !is_transparent),
        ("opaque_transparent", route.opaque_transparent && !is_transparent),
        (
            "on_server_death",
            route.on_server_death == OnServerDeath::Transparent && !is_transparent,
        ),
        ("command", route.command.is_some() && route.mode == RouteMode::Stay),
    ];
    for (name, _) in idle.into_iter().filter(|(_, has_no_effect)| *has_no_effect) {
        section
            .spot_of(name)
            .warning("does nothing in this route's mode", "remove it, or change the mode");
    }
}

/// Refuses a route whose moves off an opaque server could not end within the hold: each would be undone, and by reconnect
/// its users would be told to come back at each try.
fn check_waits(section: &Section<'_>, route: &Route, servers: &ReadServers<'_>) {
    let Some(opaque) = &servers.opaque else { return };
    let mut waits = vec![
        ("quiet_max", route.quiet_max),
        ("close_deadline", route.close_deadline),
        // Where there is a settle_hook this bounds how long it is asked.
        ("settle", route.settle),
    ];
    let may_cross = match route.mode {
        RouteMode::Stay => return,
        RouteMode::Reconnect => false,
        RouteMode::Auto | RouteMode::Transparent => route.opaque_transparent,
    };
    if may_cross {
        waits.push(("switch_timeout", route.switch_timeout));
    }
    let sum: Duration = waits.iter().map(|(_, wait)| *wait).sum();
    if sum <= route.hold_timeout {
        return;
    }
    let parts: Vec<_> = waits
        .iter()
        .map(|(name, wait)| format!("{name} {}", duration_text(*wait)))
        .collect();
    let [sum, hold] = [sum, route.hold_timeout].map(duration_text);
    let sum = format!("{} are {sum}, and a hold lasts {hold}", parts.join(" + "));
    let shorten = match &route.settle_hook {
        Some(_) => "shorten settle, within which settle_hook is asked, or quiet_max",
        None => "shorten settle or quiet_max, or name a settle_hook to be asked within a shorter settle",
    };
    if may_cross {
        let problem = format!("cannot be transparent at {opaque}, which has no control_url: {sum}");
        let fix = format!("{shorten}, give the server a control_url, or use mode = \"reconnect\" or \"stay\"");
        section.spot_of("mode").fault(problem, fix);
    } else {
        let longest = waits
            .iter()
            .max_by_key(|(_, wait)| *wait)
            .map_or("settle", |(name, _)| name);
        let problem = format!("is too long for any board to be moved off {opaque}, which has no control_url: {sum}");
        let fix = format!("{shorten}, give the server a control_url, or use mode = \"stay\"");
        section.spot_of(longest).fault(problem, fix);
    }
}

/// As long as the servers' names.
const NAME_BYTES_MAX: usize = 64;

/// A replay is a dialogue within the switch, so there is no time for more.
const REPLAY_MESSAGES_CEILING: u64 = 1000;

/// Servers greet with a hello and a snapshot, not with a stream.
const GREETING_MESSAGES_MAX: u64 = 100;

/// The clock that deadlines are kept by does not tell less.
const MILLISECOND: Duration = Duration::from_millis(1);

/// A few round trips between machines, with a freeze among them.
const HOLD_TIMEOUT_MIN: Duration = Duration::from_millis(50);

/// A server that saves later than this holds up every drain.
const SETTLE_MAX: Duration = Duration::from_mins(10);

/// The largest boards known load within minutes.
const PREPARE_TIMEOUT_MAX: Duration = Duration::from_hours(1);

/// Longer than a kernel itself keeps trying on a usual setting.
const DIAL_TIMEOUT_MAX: Duration = Duration::from_mins(2);
