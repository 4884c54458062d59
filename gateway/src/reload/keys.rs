//! Keys of the configuration with their values: what differs between two readings, and what may change while it runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Kind, Settings};

/// Keys with their effective values, as they would stand in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, String>);

impl Keys {
    /// Takes every key that has a value.
    pub fn of(settings: &Settings) -> Self {
        let is_header = |kind: &Option<Kind>| matches!(kind, Some(Kind::Table | Kind::Tables { .. }));
        let pairs = settings.list().iter().filter_map(|setting| {
            let (section, _) = setting.parent();
            let is_inline = settings
                .of(section)
                .is_some_and(|around| matches!(around.kind, Some(Kind::Inline | Kind::Names)));
            if is_inline || is_header(&setting.kind) || setting.key.ends_with(']') {
                return None;
            }
            let given = setting
                .given
                .as_ref()
                .map(|given| given.text.clone().unwrap_or_default());
            Some((setting.key.clone(), given.or_else(|| setting.default.clone())?))
        });
        Self(pairs.collect())
    }

    /// Returns the keys that have another value there, or none on one side.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        keys.into_iter()
            .filter(|key| self.0.get(*key) != other.0.get(*key))
            .cloned()
            .collect()
    }

    pub(super) fn take_over(&mut self, key: &str, other: &Self) {
        match other.0.get(key) {
            Some(value) => self.0.insert(key.to_owned(), value.clone()),
            None => self.0.remove(key),
        };
    }
}

/// Reads whether a key can be changed under open sessions.
pub(super) fn is_live(key: &str) -> bool {
    let needs_restart = ["limits.control_call_timeout", "limits.boards_interval"];
    let sections = [
        "routes[",
        "releases.",
        "limits.",
        "drain.",
        "shutdown.",
        "log.",
        "tls.",
        "admin.",
    ];
    let in_front = [
        "listen.proxy_protocol",
        "listen.trusted_proxies",
        "listen.forwarding_headers",
    ];
    let of_servers = [
        ".ca_file",
        ".server_name",
        ".client_certificate_file",
        ".client_key_file",
    ];
    let is_about_trust = key.starts_with("servers[") && of_servers.iter().any(|name| key.ends_with(name));
    let is_in_section = sections.iter().any(|section| key.starts_with(section));
    in_front.contains(&key) || is_about_trust || is_in_section && !needs_restart.contains(&key)
}

/// Reads whether a key is a server's.
pub(super) fn is_server(key: &str) -> bool {
    key.starts_with("servers[")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Overrides, Reading};

    fn keys(text: &str) -> Keys {
        Keys::of(&Reading::parse(text, Path::new("handover.toml"), &Overrides::default()).settings)
    }

    #[test]
    fn only_what_has_changed_is_named() {
        let base = "[releases]\ncurrent = \"r1\"\n[[routes]]\nname = \"a\"\nboard = { path = \"/{board}\" }\n";
        let check = |text: &str, expected: &[&str]| assert_eq!(keys(base).differences(&keys(text)), expected, "{text}");
        check(base, &[]);
        check(&format!("# a comment\n{base}[shutdown]\ngrace = \"15s\"\n"), &[]);
        check(&base.replace("r1", "r2"), &["releases.current"]);
        check(&base.replace("/{board}", "/x/{board}"), &["routes[0].board"]);
        check(
            &format!("{base}close_deadline = \"2s\"\n"),
            &["routes[0].close_deadline", "routes[0].grace"],
        );
        check(&format!("{base}quiet_pattern = 'x'\n"), &["routes[0].quiet_pattern"]);
        check(&format!("{base}[limits]\nparked_max = 7\n"), &["limits.parked_max"]);
    }

    #[test]
    fn what_is_bound_at_the_start_needs_a_restart() {
        let check = |key: &str, expected: bool| assert_eq!(is_live(key), expected, "{key}");
        check("routes[0].close_code", true);
        check("releases.current", true);
        check("limits.sessions_max", true);
        check("limits.boards_interval", false);
        check("drain.boards_per_second", true);
        check("servers[0].url", false);
        check("servers[0].ca_file", true);
        check("servers[0].client_key_file", true);
        check("listen.admin", false);
        check("listen.trusted_proxies", true);
        check("registry.file", false);
        check("metrics.open_boards_alias", false);
    }
}
