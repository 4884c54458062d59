//! What the environment sets: `HANDOVER__SECTION__KEY=value` stands for `key = value` in `[section]`.
//!
//! One rule: two underscores lead one step down, a number is an entry of a list, and the value is TOML; what is no TOML
//! is a string. The variables are read as lines of a text of their own behind the file's, so that findings about them
//! have a place too.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::finding::{Findings, Severity};

/// The variables that set something, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(Vec<(String, String)>);

impl Overrides {
    /// Takes those of this process; a value that is not UTF-8 is read with replacement characters.
    pub fn of_process() -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self::new(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// Takes those of some variables that are meant for the configuration.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let is_ours = |(name, _): &(String, String)| {
            name.starts_with(PREFIX) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let mut list: Vec<_> = variables.into_iter().filter(is_ours).collect();
        // By their numbers where they have some, so that entries are appended in order.
        list.sort_by_cached_key(|(name, _)| {
            let steps = name.split("__").map(|step| (step.parse::<u64>().ok(), step.to_owned()));
            steps.collect::<Vec<_>>()
        });
        Self(list)
    }

    /// Writes them as TOML, one a line.
    pub(super) fn to_toml(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            let line = format!("{name} = {value}\n");
            let is_one_line = !value.contains(['\n', '\r']);
            let is_toml = is_one_line
                && DeTable::parse(&line).is_ok_and(|table| {
                    match table.get_ref().get(name.as_str()).map(Spanned::get_ref) {
                        Some(
                            DeValue::String(_)
                            | DeValue::Integer(_)
                            | DeValue::Boolean(_)
                            | DeValue::Array(_)
                            | DeValue::Table(_),
                        ) => !value.contains('#') || line.trim_end().ends_with(['"', '\'', ']', '}']),
                        // No key is one; a release may look like one.
                        Some(DeValue::Float(_) | DeValue::Datetime(_)) | None => false,
                    }
                });
            text += &match is_toml {
                true => line,
                false => format!("{name} = {}\n", toml::Value::from(value.as_str())),
            };
        }
        text
    }
}

/// Puts what the environment says in the place of what the file says.
pub(super) fn overlay<'f>(document: &mut DeTable<'f>, variables: DeTable<'f>, findings: &Findings) {
    for (name, value) in variables {
        let path = name
            .get_ref()
            .strip_prefix(PREFIX)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let steps: Vec<&str> = path.split("__").collect();
        if let Err(problem) = put(document, &steps, &name, value) {
            let fix = "write HANDOVER__SECTION__KEY, and the number of an entry from 0 behind a list: \
                       HANDOVER__SERVERS__0__URL";
            findings.add(Severity::Fault, "", Some(name.span()), None, problem, fix);
        }
    }
}

/// Puts a value where the steps lead; what is missing on the way is made.
fn put<'f>(
    table: &mut DeTable<'f>,
    steps: &[&str],
    name: &Spanned<Cow<'f, str>>,
    value: Spanned<DeValue<'f>>,
) -> Result<(), String> {
    let (step, rest) = steps.split_first().ok_or("names no key")?;
    if step.is_empty() {
        return Err("names no key between its underscores".to_owned());
    }
    if rest.is_empty() {
        let key = Spanned::new(name.span(), Cow::Owned((*step).to_owned()));
        table.remove(*step);
        table.insert(key, value);
        return Ok(());
    }
    let span = name.span();
    if table.get(*step).is_none() {
        let is_list = rest[0].bytes().all(|byte| byte.is_ascii_digit());
        let empty = if is_list {
            DeValue::Array(DeArray::new())
        } else {
            DeValue::Table(DeTable::new())
        };
        let key = Spanned::new(span.clone(), Cow::Owned((*step).to_owned()));
        table.insert(key, Spanned::new(span.clone(), empty));
    }
    let Some(found) = table.get_mut(*step) else {
        return Err("names no key".to_owned());
    };
    match found.get_mut() {
        DeValue::Table(table) => put(table, rest, name, value),
        DeValue::Array(entries) => {
            let count = entries.len();
            let index: usize = rest[0]
                .parse()
                .map_err(|_| format!("names no entry of the list `{step}`, which begins with number 0"))?;
            if index > count {
                return Err(format!("names entry {index} of `{step}`, which has {count}"));
            }
            if rest.len() == 1 {
                if index < count {
                    entries.as_mut()[index] = value;
                } else {
                    entries.push(value);
                }
                return Ok(());
            }
            if index == count {
                entries.push(Spanned::new(span, DeValue::Table(DeTable::new())));
            }
            match entries.as_mut()[index].get_mut() {
                DeValue::Table(table) => put(table, &rest[1..], name, value),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => Err(format!("goes on behind entry {index} of `{step}`, which is no table")),
            }
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            Err(format!("goes on behind `{step}`, which is no table"))
        }
    }
}

/// Begins the name of every variable that sets a key. Those of the command line have one underscore: `HANDOVER_LOG`.
const PREFIX: &str = "HANDOVER__";

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(value: &str) -> String {
        Overrides::new([("HANDOVER__A".to_owned(), value.to_owned())]).to_toml()
    }

    #[test]
    fn what_is_no_toml_is_a_string() {
        let check = |value: &str, expected: &str| {
            let text = toml(value);
            assert_eq!(text, format!("HANDOVER__A = {expected}\n"), "{value}");
            assert!(DeTable::parse(&text).is_ok(), "{text}");
        };
        check("5", "5");
        check("true", "true");
        check("[\"a\", \"b\"]", "[\"a\", \"b\"]");
        check("{ path = \"/x\" }", "{ path = \"/x\" }");
        check("\"quoted\"", "\"quoted\"");
        check("250ms", "\"250ms\"");
        check("127.0.0.1:8081", "\"127.0.0.1:8081\"");
        check("2026-11-20", "\"2026-11-20\"");
        check("1.5", "\"1.5\"");
        check("", "\"\"");
        check("5 # not a comment", "\"5 # not a comment\"");
        check("[unfinished", "\"[unfinished\"");
    }

    #[test]
    fn only_variables_with_the_prefix_count() {
        let list = [
            ("HANDOVER_LOG", "x"),
            ("HANDOVER__B__10__C", "1"),
            ("HANDOVER__B__9__C", "1"),
            ("PATH", "/"),
        ];
        let overrides = Overrides::new(list.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let names: Vec<&str> = overrides.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["HANDOVER__B__9__C", "HANDOVER__B__10__C"]);
    }
}
