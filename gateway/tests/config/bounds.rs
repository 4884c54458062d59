//! Every bound that can be configured has a series that counts how often it was reached, and nothing else has one.

use std::collections::BTreeSet;

use handover_gateway::config::Kind;
use handover_gateway::config::example::known_settings;
use handover_gateway::telemetry::Label;
use handover_gateway::telemetry::label::Limit;

/// The keys that bound what others may do or how long they may take.
fn bounds() -> BTreeSet<String> {
    let settings = known_settings();
    let is_quantity =
        |kind: &Option<Kind>| matches!(kind, Some(Kind::Number(..) | Kind::Duration(..) | Kind::Size(..)));
    let keys = settings.list().iter().filter(|setting| is_quantity(&setting.kind));
    let keys = keys.map(|setting| setting.general_key());
    keys.filter(|key| {
        let ends = [
            "_max",
            "_timeout",
            "_deadline",
            "_limit",
            "hold_bytes",
            "capacity",
            ".timeout",
            ".settle",
        ];
        ends.iter().any(|end| key.ends_with(end))
    })
    .map(|key| match key.as_str() {
        "health.timeout" => "health_timeout".to_owned(),
        "routes[].replay.messages_max" => "replay_messages_max".to_owned(),
        key => key.rsplit('.').next().unwrap_or(key).to_owned(),
    })
    .collect()
}

#[test]
fn every_bound_that_can_be_configured_is_counted_under_its_name() {
    let counted: BTreeSet<String> = Limit::ALL.iter().map(|limit| limit.text().to_owned()).collect();
    let bounds = bounds();
    assert!(bounds.len() > 25, "{bounds:?}");
    let uncounted: Vec<_> = bounds.difference(&counted).collect();
    assert!(uncounted.is_empty(), "no label for {uncounted:?}");
    let mut unknown: Vec<_> = counted.difference(&bounds).map(String::as_str).collect();
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
