//! Every bound that can be configured has a series that counts how often it was reached, and nothing else has one.

use std::collections::BTreeSet;

use handover_gateway::config::Kind;
use handover_gateway::config::example::known_settings;
use handover_gateway::telemetry::Label;
use handover_gateway::telemetry::label::Limit;

/// The numbers, times and sizes that can be configured, by the names that their labels would have.
fn quantities() -> BTreeSet<String> {
    let settings = known_settings();
    let is_quantity =
        |kind: &Option<Kind>| matches!(kind, Some(Kind::Number(..) | Kind::Duration(..) | Kind::Size(..)));
    let quantities = settings.list().iter().filter(|setting| is_quantity(&setting.kind));
    let name = |key: String| match key.as_str() {
        "health.timeout" => "health_timeout".to_owned(),
        "routes[].replay.messages_max" => "replay_messages_max".to_owned(),
        key => key.rsplit('.').next().unwrap_or(key).to_owned(),
    };
    quantities.map(|setting| name(setting.general_key())).collect()
}

/// Reads whether a setting bounds what others may do, or how long they may take, by its name.
fn is_bound(name: &str) -> bool {
    let ends = ["_max", "_timeout", "_deadline", "_limit"];
    ends.iter().any(|end| name.ends_with(end)) || ["hold_bytes", "capacity", "settle"].contains(&name)
}

#[test]
fn every_bound_that_can_be_configured_is_counted_under_its_name() {
    let counted: BTreeSet<String> = Limit::ALL.iter().map(|limit| limit.text().to_owned()).collect();
    let quantities = quantities();
    let bounds: BTreeSet<String> = quantities.iter().filter(|name| is_bound(name)).cloned().collect();
    assert!(bounds.len() > 25, "{bounds:?}");
    let uncounted: Vec<_> = bounds.difference(&counted).collect();
    assert!(uncounted.is_empty(), "no label for {uncounted:?}");
    let mut unknown: Vec<_> = counted.difference(&quantities).map(String::as_str).collect();
    unknown.retain(|limit| !OF_THE_CODE.contains(limit));
    assert!(unknown.is_empty(), "no setting for {unknown:?}");
}

/// Bounds that no setting changes: the operating system's, and two of the gateway's own that are far from what anybody
/// needs.
const OF_THE_CODE: [&str; 4] = [
    "open_files",
    "local_ports",
    "control_body_bytes_max",
    "admin_connections_max",
];
