//! The example configuration, which is also its documentation: `handover config default` prints it, and descriptions and
//! the cases that the schema is written from are read out of it.
//!
//! Lines that begin with `# ` and hold a key show a default, lines that begin with `#+ ` what can be added.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Overrides, Reading, Settings};

/// The example configuration.
pub const EXAMPLE: &str = include_str!("../../../deploy/handover.example.toml");

/// Returns every setting that the reader asks for in any case that the example shows.
pub fn known_settings() -> Settings {
    let mut settings = Settings::default();
    for text in cases() {
        let file = Path::new("handover.example.toml");
        settings.merge(Reading::parse(&text, file, &Overrides::default()).settings);
    }
    settings
}

/// Returns what the example says of each key, by its path with `[]` in the place of numbers.
///
/// That is the comment behind the key, with the paragraph right above it.
pub fn descriptions() -> BTreeMap<String, String> {
    let mut descriptions: BTreeMap<String, String> = BTreeMap::new();
    let mut section = String::new();
    let mut above: Vec<&str> = Vec::new();
    for line in EXAMPLE.lines() {
        if let Some(header) = header_of(line) {
            section = header;
            if !above.is_empty() {
                descriptions.entry(section.clone()).or_insert_with(|| above.join(" "));
            }
            above.clear();
        } else if let Some((key, rest)) = setting_of(line) {
            let behind = comment_behind(rest);
            let text: Vec<&str> = above.drain(..).chain(behind).collect();
            let text = text.join(" ");
            let key = format!("{section}.{key}");
            let known = descriptions.entry(key).or_default();
            if known.is_empty() {
                *known = text;
            }
        } else if let Some(comment) = line.strip_prefix('#') {
            above.push(comment.trim());
        } else {
            above.clear();
        }
    }
    descriptions
}

/// Returns the example with every default, the same with every section that can be added, and once more for each other
/// addition.
pub fn cases() -> Vec<String> {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let mut plain: Vec<String> = Vec::new();
    for line in &lines {
        let is_shown = header_of(line).is_some() || setting_of(line).is_some();
        let bare = line.strip_prefix("# ").filter(|_| is_shown);
        plain.push(bare.unwrap_or(line).to_owned());
    }
    let mut sections = plain.clone();
    let mut is_within = false;
    for line in &mut sections {
        if let Some(added) = line.strip_prefix("#+ ") {
            is_within |= added.starts_with('[');
            if is_within {
                *line = added.to_owned();
            }
        } else if line.starts_with('[') {
            is_within = false;
        }
    }
    let addition = |(index, line): (usize, &&str)| {
        let added = line.strip_prefix("#+ ")?;
        let (key, _) = setting_of(line)?;
        // A key of a section that can be added comes with it.
        let mut headers = lines[..index].iter().rev().filter(|line| header_of(line).is_some());
        if headers.next().is_some_and(|header| header.starts_with("#+ ")) {
            return None;
        }
        let base = if NEEDS_A_SECTION.contains(&key) {
            &sections
        } else {
            &plain
        };
        let mut case = base.clone();
        // What it takes the place of stands above it, in the same section.
        let rival = case[..index]
            .iter()
            .rposition(|line| line.starts_with('[') || line.starts_with(&format!("{key} = ")))
            .filter(|rival| !case[*rival].starts_with('['));
        if let Some(rival) = rival {
            case[rival].clear();
        }
        added.clone_into(&mut case[index]);
        // Where one of them may not stand alone, the other stands beside it.
        for place in [index.wrapping_sub(1), index + 1] {
            let beside = lines
                .get(place)
                .and_then(|line| Some((setting_of(line)?.0, line.strip_prefix("#+ ")?)));
            if let Some((other, added)) = beside
                && PAIRS
                    .iter()
                    .any(|(one, two)| (*one, *two) == (key, other) || (*one, *two) == (other, key))
            {
                added.clone_into(&mut case[place]);
            }
        }
        Some(case.join("\n"))
    };
    let additions: Vec<String> = lines.iter().enumerate().filter_map(addition).collect();
    let mut cases = vec![plain.join("\n"), sections.join("\n")];
    cases.extend(additions);
    cases
}

/// Keys of which neither may stand without the other; they stand beside each other.
const PAIRS: &[(&str, &str)] = &[("client_certificate_file", "client_key_file")];

/// What is a fault without a section that can be added.
const NEEDS_A_SECTION: &[&str] = &["traffic_tls"];

/// Returns the path of a line that is a section's header, shown or not.
fn header_of(line: &str) -> Option<String> {
    let line = line.strip_prefix("# ").or(line.strip_prefix("#+ ")).unwrap_or(line);
    let inner = line.strip_prefix('[')?.split(']').next()?;
    match inner.strip_prefix('[') {
        Some(name) if is_key(name) => Some(format!("{name}[]")),
        None if is_key(inner) => Some(inner.to_owned()),
        Some(_) | None => None,
    }
}

/// Returns the key of a line that sets one, shows its default or what can be added, and what is behind the `=`.
fn setting_of(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("# ").or(line.strip_prefix("#+ ")).unwrap_or(line);
    let (key, rest) = line.split_once(" = ")?;
    (is_key(key) && !key.contains('.')).then_some((key, rest))
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.')
}

/// Returns the comment behind a value; a `#` within quotes is none.
fn comment_behind(value: &str) -> Option<&str> {
    let is_open = |text: &str, quote: char| text.matches(quote).count() % 2 == 1;
    let mut starts = value.match_indices(" # ").map(|(at, _)| at);
    let at = starts.find(|at| !is_open(&value[..*at], '"') && !is_open(&value[..*at], '\''))?;
    Some(value[at + 3..].trim())
}
