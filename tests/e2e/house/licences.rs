//! Licence expressions against the list of `deny.toml`.

use std::collections::BTreeSet;

/// The licences that are allowed.
pub(super) struct Licences(BTreeSet<String>);

impl Licences {
    /// Reads the list of `deny.toml`.
    pub(super) fn allowed_by(deny: &str) -> Self {
        Self(strings_behind(deny, "allow = ["))
    }

    pub(super) fn all(&self) -> BTreeSet<String> {
        self.0.clone()
    }

    /// Returns the allowed licences that an expression needs; none where it is not satisfied.
    ///
    /// Of alternatives the first that is allowed counts, but for those that the house prefers anyway.
    pub(super) fn needed_for(&self, expression: &str) -> Option<BTreeSet<String>> {
        let mut needed = BTreeSet::new();
        // The expressions that packages write have one level of brackets at most, and AND outside of them.
        for part in expression.replace('/', " OR ").split(" AND ") {
            let part = part.trim().trim_matches(['(', ')']);
            let alternatives: Vec<&str> = part.split(" OR ").map(str::trim).collect();
            let preferred = PREFERRED.iter().find(|licence| alternatives.contains(licence)).copied();
            let chosen =
                preferred.or_else(|| alternatives.iter().copied().find(|licence| self.0.contains(*licence)))?;
            if !self.0.contains(chosen) {
                return None;
            }
            needed.insert(chosen.to_owned());
        }
        Some(needed)
    }
}

/// Returns the crates that `deny.toml` bans.
pub(super) fn banned_crates(deny: &str) -> BTreeSet<String> {
    let list = deny.split_once("deny = [").map_or("", |(_, list)| list);
    let list = list.split_once(']').map_or(list, |(list, _)| list);
    let entries = list.split("crate = \"").skip(1);
    entries
        .filter_map(|entry| entry.split('"').next())
        .map(str::to_owned)
        .collect()
}

fn strings_behind(text: &str, start: &str) -> BTreeSet<String> {
    let list = text.split_once(start).map_or("", |(_, list)| list);
    let list = list.split_once(']').map_or(list, |(list, _)| list);
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What nearly every package offers; taken first, so that the list stays short.
const PREFERRED: [&str; 2] = ["MIT", "Apache-2.0"];

#[test]
fn expressions_are_read_as_they_are_meant() {
    let allowed = Licences::allowed_by("allow = [\"MIT\", \"Apache-2.0\", \"Zlib\"]");
    let check = |expression: &str, expected: Option<&[&str]>| {
        let needed = allowed.needed_for(expression);
        let needed = needed
            .as_ref()
            .map(|needed| needed.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(needed.as_deref(), expected, "{expression}");
    };
    check("MIT OR Apache-2.0", Some(&["MIT"]));
    check("Apache-2.0/ISC", Some(&["Apache-2.0"]));
    check("Zlib OR GPL-3.0", Some(&["Zlib"]));
    check("(MIT OR Apache-2.0) AND Zlib", Some(&["MIT", "Zlib"]));
    check("(MIT OR Apache-2.0) AND Unicode-3.0", None);
    check("GPL-3.0", None);
    check("", None);
}

#[test]
fn bans_are_found() {
    let banned = banned_crates("deny = [\n  { crate = \"openssl\" },\n  { crate = \"ring\" },\n]\nallow = [\"MIT\"]");
    assert_eq!(
        banned.iter().map(String::as_str).collect::<Vec<_>>(),
        ["openssl", "ring"]
    );
}
