//! Settings that are allowed and bite later, in a release or under load: each is a warning with its reason and the way
//! out. What bites at once is a fault, and stands with its setting.

use std::sync::LazyLock;

use handover_protocol::close::{CloseCode, refused_as_unknown, trap};
use regex::Regex;

use super::tree::{Item, Section};
use super::units::duration_text;
use crate::config::{BoardSource, Replay, Route, RouteMode};

/// Warns of close codes after which some clients stay away.
pub(super) fn check_close_code(item: &Item<'_>, code: CloseCode) {
    if let Some(reason) = trap(code) {
        let fix = "use 1012 unless you know that your clients come back after this one";
        item.spot.warning(format!("may keep clients away: {reason}"), fix);
    }
    if let Some(clients) = refused_as_unknown(code) {
        let fix = "use 1001 where you have such clients; where you have none, leave this out: 1012 is the default";
        let problem = format!("is taken for a fault of the protocol by {clients}");
        item.spot.warning(problem, fix);
    }
}

/// Warns of what a route asks of its clients or repeats in their names.
pub(super) fn check_route(section: &Section<'_>, route: &Route) {
    let tells = !matches!(route.mode, RouteMode::Stay);
    if route.command.is_some() && tells && !section.has("grace") {
        let grace = duration_text(route.grace);
        let problem = format!(
            "gives clients {grace}, as long as close_deadline, to leave; who has not is told by the close frame"
        );
        let fix =
            format!("set grace to what your clients need to finish and come back, such as \"5s\", or to \"{grace}\"");
        section.spot_of("command").warning(problem, fix);
    }
    let may_cross = match route.mode {
        RouteMode::Auto | RouteMode::Transparent => true,
        RouteMode::Reconnect | RouteMode::Stay => false,
    };
    if !may_cross {
        return;
    }
    let fix = "use mode = \"reconnect\", or accept it more than once, for as long as a session may last";
    if let BoardSource::Query { name, .. } = &route.board
        && ONE_TIME.is_match(name)
    {
        let problem =
            "names what may be good only once: the handshake is repeated to the new server, which would refuse it";
        section.spot_of("board").warning(problem, fix);
    }
    if let Replay::Matching { pattern, .. } = &route.replay
        && ONE_TIME.is_match(pattern.as_str())
    {
        let problem = "repeats what may be good only once: the new server would refuse it";
        section.spot_of("replay").warning(problem, fix);
    }
}

/// What people call things that are used up by being shown.
static ONE_TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(?i)ticket|nonce|one[-_ ]?time|(?:^|[^a-z])otp(?:[^a-z]|$)|single[-_ ]?use")
        .expect("the pattern is sound")
});
