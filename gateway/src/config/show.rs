//! The effective configuration as TOML, each key with its origin; secrets are left out.

use std::path::Path;

use super::{Kind, Setting, Settings, Source};

/// Writes every key that is set or has a default, in the order in which they are read.
///
/// What is printed reads back as a configuration, but for secrets that stand in it themselves.
pub fn show(settings: &Settings, file: &Path) -> String {
    let is_header = |setting: &Setting| matches!(setting.kind, Some(Kind::Table | Kind::Tables { .. }));
    let mut sections: Vec<&str> = Vec::new();
    for setting in settings.list().iter().filter(|setting| !is_header(setting)) {
        let (section, name) = setting.parent();
        let is_inline = settings
            .of(section)
            .is_some_and(|around| matches!(around.kind, Some(Kind::Inline | Kind::Names)));
        if !is_inline && !name.ends_with(']') && !sections.contains(&section) {
            sections.push(section);
        }
    }
    let mut text = String::new();
    for section in sections {
        let lines: Vec<String> = settings
            .list()
            .iter()
            .filter(|setting| !is_header(setting) && setting.parent().0 == section && !setting.key.ends_with(']'))
            .filter_map(|setting| line(setting, file))
            .collect();
        if lines.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text += &match section.split_once('[') {
            Some((list, _)) => format!("[[{list}]]\n"),
            None => format!("[{section}]\n"),
        };
        text.extend(lines);
    }
    text
}

fn line(setting: &Setting, file: &Path) -> Option<String> {
    let (_, name) = setting.parent();
    let (value, origin) = match (&setting.given, &setting.default) {
        (Some(given), _) => {
            let value = given.text.as_deref().unwrap_or("\"(hidden)\"");
            let origin = match &given.source {
                Source::File { line } => format!("{}:{line}", file.display()),
                Source::Environment { name } => format!("environment variable {name}"),
            };
            (value, origin)
        }
        (None, Some(default)) => (default.as_str(), "default".to_owned()),
        (None, None) => return None,
    };
    let assignment = format!("{name} = {value}");
    Some(format!("{assignment:<44} # {origin}\n"))
}
