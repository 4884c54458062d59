//! The JSON Schema (draft 2020-12) of the configuration file, for editors and for checks in pipelines.
//!
//! It is written from what the reader asks for and from what the example says of it, so there is nothing to keep in step.
//! It holds types, bounds and words; what depends on other keys or on files is for `handover config check`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::example::{descriptions, known_settings};
use super::read::units::{bytes_text, duration_text};
use super::{Kind, Setting};

/// Returns the schema of the configuration file.
pub fn schema() -> Value {
    let descriptions = descriptions();
    let mut by_key: BTreeMap<String, Setting> = BTreeMap::new();
    for setting in known_settings().list() {
        let known = by_key.entry(setting.general_key()).or_insert_with(|| setting.clone());
        known.kind = known.kind.take().or(setting.kind.clone());
        known.default = known.default.take().or(setting.default.clone());
        known.is_required |= setting.is_required;
    }
    let mut schema = table("", &by_key, &descriptions);
    let head = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!("The configuration of Handover")),
    ];
    for (name, value) in head {
        schema.insert(name.to_owned(), value);
    }
    Value::Object(schema)
}

/// Writes the schema as it is kept in the tree.
pub fn schema_text() -> String {
    serde_json::to_string_pretty(&schema()).expect("a schema is strings and numbers") + "\n"
}

type Settings = BTreeMap<String, Setting>;
type Descriptions = BTreeMap<String, String>;

fn table(path: &str, settings: &Settings, descriptions: &Descriptions) -> Map<String, Value> {
    let below = settings.iter().filter(|(key, _)| {
        let parent = key.rsplit_once('.').map_or("", |(parent, _)| parent);
        parent == path && !key.ends_with("[]")
    });
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (key, setting) in below {
        let name = key.rsplit_once('.').map_or(key.as_str(), |(_, name)| name);
        let mut value = value(key, setting, settings, descriptions);
        let text = descriptions.get(key).or_else(|| descriptions.get(&format!("{key}[]")));
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let bounds = bounds_text(setting.kind.as_ref());
            value.insert("description".to_owned(), json!(format!("{text}{bounds}")));
        }
        if let Some(default) = setting.default.as_ref().and_then(|text| to_json(text)) {
            value.insert("default".to_owned(), default);
        }
        if is_required(key, setting, settings) {
            required.push(json!(name));
        }
        properties.insert(name.to_owned(), Value::Object(value));
    }
    let mut schema = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("additionalProperties".to_owned(), json!(false)),
        ("properties".to_owned(), Value::Object(properties)),
    ]);
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// Reads whether a file must have the key: also a section must be there that holds such a key.
fn is_required(key: &str, setting: &Setting, settings: &Settings) -> bool {
    match setting.kind {
        Some(Kind::Tables { count_min }) => count_min > 0,
        Some(Kind::Table) => settings
            .iter()
            .any(|(other, below)| below.is_required && other.rsplit_once('.').is_some_and(|(parent, _)| parent == key)),
        Some(_) | None => setting.is_required,
    }
}

fn value(key: &str, setting: &Setting, settings: &Settings, descriptions: &Descriptions) -> Map<String, Value> {
    let value = match &setting.kind {
        None => json!({}),
        Some(Kind::Text) => json!({"type": "string"}),
        Some(Kind::Pattern) => json!({"type": "string", "format": "regex"}),
        Some(Kind::Choice(words)) => json!({"enum": words}),
        Some(Kind::Flag) => json!({"type": "boolean"}),
        Some(Kind::Number(low, high)) => json!({"type": "integer", "minimum": low, "maximum": high}),
        Some(Kind::Duration(..)) => json!({"type": "string", "pattern": DURATION}),
        Some(Kind::Size(..)) => json!({"type": "string", "pattern": SIZE}),
        Some(Kind::List) => {
            let entry = format!("{key}[]");
            let entry = settings
                .get(&entry)
                .map(|setting| value(&entry, setting, settings, descriptions));
            json!({"type": "array", "items": entry.unwrap_or_default()})
        }
        Some(Kind::Names) => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Some(Kind::Inline | Kind::Table) => Value::Object(table(key, settings, descriptions)),
        Some(Kind::Tables { count_min }) => {
            let entries = table(&format!("{key}[]"), settings, descriptions);
            json!({"type": "array", "minItems": count_min, "items": entries})
        }
    };
    match value {
        Value::Object(value) => value,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// Says the bounds that a pattern cannot hold.
fn bounds_text(kind: Option<&Kind>) -> String {
    match kind {
        Some(Kind::Duration(low, Duration::MAX)) => format!(" (at least {})", duration_text(*low)),
        Some(Kind::Duration(low, high)) => format!(" (from {} to {})", duration_text(*low), duration_text(*high)),
        Some(Kind::Size(low, high)) => format!(" (from {} to {})", bytes_text(*low), bytes_text(*high)),
        Some(
            Kind::Text
            | Kind::Choice(_)
            | Kind::Pattern
            | Kind::Flag
            | Kind::Number(..)
            | Kind::List
            | Kind::Inline
            | Kind::Names
            | Kind::Table
            | Kind::Tables { .. },
        )
        | None => String::new(),
    }
}

fn to_json(default: &str) -> Option<Value> {
    let document: toml::Table = format!("x = {default}").parse().ok()?;
    serde_json::to_value(document.get("x")?).ok()
}

/// A number and a unit, once or several times, as humantime reads them; a bare 0 needs no unit.
const DURATION: &str = "^(0|([0-9]+(\\.[0-9]+)? ?(ns|nsec|us|usec|ms|msec|millis|s|sec|secs|second|seconds|m|min|mins|minute|\
                        minutes|h|hr|hrs|hour|hours|d|day|days) ?)+)$";

/// A whole number and a unit.
const SIZE: &str = "^[0-9]+ *([kKmMgG][iI]?)?[bB]$";
