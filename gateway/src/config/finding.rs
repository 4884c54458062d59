//! What is wrong with a configuration, or doubtful, with its place, its value and the way out.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use serde::Serialize;
use toml::Spanned;
use toml::de::DeValue;

use super::settings::{Given, Setting, Settings, Source};

/// One thing that an operator should change or look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The path of the key, such as `routes[0].close_code`; empty where the file as a whole is meant.
    pub key: String,
    /// What the server, route or other entry of a list is called that the key stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The environment variable that said it, in the place of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Where it stands; none for a key of a section that is not there.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The value as written, cut short where it is long; none where there is none, or it is a secret.
    pub value: Option<String>,
    /// What is wrong, as a predicate of the key.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

/// Where in the file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The line's text, secrets hidden.
    #[serde(skip)]
    pub(super) excerpt: String,
    /// How many characters of the line are meant; at least one.
    #[serde(skip)]
    pub(super) width: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "line {}, column {}: ", place.line, place.column)?;
        }
        if let Some(variable) = &self.environment {
            write!(formatter, "from the environment variable {variable}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{} ", self.key)?;
        }
        if let Some(name) = &self.name {
            write!(formatter, "(\"{name}\") ")?;
        }
        write!(formatter, "{}; {}", self.problem, self.fix)
    }
}

/// Whether a configuration with such a finding can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Fault,
    Warning,
}

/// Gathers findings while a file is read, in the order in which they are met.
#[derive(Debug)]
pub(super) struct Findings {
    /// The file's text with secrets overwritten.
    shown: RefCell<String>,
    /// From here on it is what the environment says.
    environment_start: usize,
    settings: RefCell<Settings>,
    /// With the byte that each begins at; none sort last.
    list: RefCell<Vec<(Severity, Option<usize>, Finding)>>,
}

impl Findings {
    #[cfg(test)]
    pub(super) fn new(source: &str) -> Self {
        Self::with_environment(source, source.len())
    }

    /// Takes a text that is the file's up to a byte, and behind it a line for each variable of the environment.
    pub(super) fn with_environment(source: &str, environment_start: usize) -> Self {
        Self {
            shown: RefCell::new(source.to_owned()),
            environment_start,
            settings: RefCell::default(),
            list: RefCell::new(Vec::new()),
        }
    }

    /// Adds a finding about the bytes of `span`; `value` of them is shown as the value.
    pub(super) fn add(
        &self,
        severity: Severity,
        key: &str,
        span: Option<Range<usize>>,
        value: Option<Range<usize>>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add_of(severity, key, None, span, value, problem, fix);
    }

    /// Adds a finding about a key of an entry of a list that has a name.
    #[expect(clippy::too_many_arguments, reason = "a finding has that many parts")]
    pub(super) fn add_of(
        &self,
        severity: Severity,
        key: &str,
        owner: Option<&str>,
        span: Option<Range<usize>>,
        value: Option<Range<usize>>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let shown = self.shown.borrow();
        let source = span.as_ref().map(|span| self.source_of(&shown, span));
        let (place, environment) = match source {
            Some(Source::File { .. }) => (span.clone().map(|span| Place::of(&shown, span)), None),
            Some(Source::Environment { name }) => (None, Some(name)),
            None => (None, None),
        };
        let finding = Finding {
            key: key.to_owned(),
            name: owner.map(str::to_owned),
            environment,
            place,
            value: value
                .and_then(|value| shown.get(value).map(first_letters))
                .filter(|value| !value.contains(SECRET_MARK)),
            problem: problem.into(),
            fix: fix.into(),
        };
        let start = span.map(|span| span.start);
        self.list.borrow_mut().push((severity, start, finding));
    }

    /// Reads whether a place is in what the environment says.
    pub(super) fn is_from_environment(&self, span: &Range<usize>) -> bool {
        span.start >= self.environment_start && self.environment_start < self.shown.borrow().len()
    }

    /// Notes that a key was asked for, and what was found.
    pub(super) fn ask(&self, key: &str, value: Option<&Spanned<DeValue<'_>>>) {
        let shown = self.shown.borrow();
        let given = value.map(|value| Given {
            text: Some(written(value.get_ref())),
            source: self.source_of(&shown, &value.span()),
            span: value.span(),
        });
        self.note(key, |setting| setting.given = given);
    }

    /// Notes more about a key.
    pub(super) fn note(&self, key: &str, change: impl FnOnce(&mut Setting)) {
        change(self.settings.borrow_mut().entry(key));
    }

    /// Returns what was asked for, without secrets.
    pub(super) fn settings(&self) -> Settings {
        let mut settings = self.settings.borrow().clone();
        let shown = self.shown.borrow();
        for given in settings.given_mut() {
            if shown
                .get(given.span.clone())
                .is_some_and(|text| text.contains(SECRET_MARK))
            {
                given.text = None;
            }
        }
        settings
    }

    fn source_of(&self, shown: &str, span: &Range<usize>) -> Source {
        let start = span.start.min(shown.len());
        if span.start < self.environment_start || self.environment_start >= shown.len() {
            let line = shown[..start].matches('\n').count() + 1;
            return Source::File { line };
        }
        let line_start = shown[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = shown[line_start..].lines().next().unwrap_or_default();
        let name = line.split(" = ").next().unwrap_or_default().to_owned();
        Source::Environment { name }
    }

    /// Hides a secret from everything that is shown later.
    pub(super) fn hide(&self, span: Range<usize>) {
        let mut shown = self.shown.borrow_mut();
        let hidden: String = shown[span.clone()]
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { SECRET_MARK })
            .collect();
        shown.replace_range(span, &hidden);
    }

    /// Reads whether the configuration can be used as far as it has been read.
    pub(super) fn has_faults(&self) -> bool {
        let list = self.list.borrow();
        list.iter().any(|(severity, ..)| *severity == Severity::Fault)
    }

    /// Returns faults and warnings, each in the order of the file.
    pub(super) fn into_parts(self) -> (Vec<Finding>, Vec<Finding>) {
        let mut list = self.list.into_inner();
        list.sort_by_key(|(_, start, _)| start.unwrap_or(usize::MAX));
        let (faults, warnings): (Vec<_>, Vec<_>) = list
            .into_iter()
            .partition(|(severity, ..)| *severity == Severity::Fault);
        let findings =
            |list: Vec<(Severity, Option<usize>, Finding)>| list.into_iter().map(|(.., finding)| finding).collect();
        (findings(faults), findings(warnings))
    }
}

impl Place {
    fn of(source: &str, span: Range<usize>) -> Self {
        let start = span.start.min(source.len());
        let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |at| start + at);
        let end = span.end.clamp(start, line_end);
        Self {
            line: source[..start].matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            excerpt: source[line_start..line_end].trim_end().replace(SECRET_MARK, "*"),
            width: source[start..end].chars().count().max(1),
        }
    }
}

/// Writes a value on one line, as it would stand in a file.
fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => toml::Value::from(text.as_ref()).to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| written(value.get_ref())).collect();
            format!("[{}]", values.join(", "))
        }
        DeValue::Table(table) => {
            let pair = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                format!("{} = {}", key.get_ref(), written(value.get_ref()))
            };
            let pairs: Vec<String> = table.iter().map(pair).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

/// Returns the first line of a value, cut short where it is long.
fn first_letters(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    let mut letters = line.chars();
    let mut shown: String = letters.by_ref().take(VALUE_LETTERS_MAX).collect();
    if letters.next().is_some() || line.len() < value.len() {
        shown.push('…');
    }
    shown
}

/// A value is shown to be recognised, not to be read.
pub(super) const VALUE_LETTERS_MAX: usize = 80;

/// Stands for each byte of a secret. No TOML value has it outside of strings and comments.
const SECRET_MARK: char = '\u{1}';

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(source: &str, hidden: Option<Range<usize>>, span: Range<usize>) -> Finding {
        let findings = Findings::new(source);
        if let Some(hidden) = hidden {
            findings.hide(hidden);
        }
        findings.add(
            Severity::Fault,
            "key",
            Some(span.clone()),
            Some(span),
            "is wrong",
            "right it",
        );
        findings.into_parts().0.remove(0)
    }

    #[test]
    fn a_place_is_counted_in_characters_from_one() {
        let source = "a = 1\nkey = [\"bürö\", \"x\"]\n";
        let start = source.rfind("\"x").unwrap();
        let place = finding(source, None, start..start + 3).place.unwrap();
        assert_eq!((place.line, place.column, place.width), (2, 16, 3));
        let place = finding(source, None, source.len()..source.len()).place.unwrap();
        assert_eq!((place.line, place.column, place.width), (3, 1, 1));
    }

    #[test]
    fn a_long_value_is_cut_and_one_of_several_lines_shows_the_first() {
        let shown = |source: &str| finding(source, None, 0..source.len()).value.unwrap();
        assert_eq!(shown("1006"), "1006");
        assert_eq!(shown("[1,\n2]"), "[1,…");
        let letters = shown(&"ü".repeat(200)).chars().count();
        assert_eq!(letters, VALUE_LETTERS_MAX + 1);
    }

    #[test]
    fn a_hidden_value_is_shown_nowhere() {
        let found = finding("key = 'hunter2'\n", Some(6..15), 6..15);
        assert_eq!(found.value, None);
        assert_eq!(found.place.unwrap().excerpt, "key = *********");
    }

    #[test]
    fn findings_come_in_the_order_of_the_file() {
        let findings = Findings::new("a\nb\n");
        findings.add(Severity::Warning, "w", Some(0..1), None, "", "");
        findings.add(Severity::Fault, "no place", None, None, "", "");
        findings.add(Severity::Fault, "b", Some(2..3), None, "", "");
        findings.add(Severity::Fault, "a", Some(0..1), None, "", "");
        assert!(findings.has_faults());
        let (faults, warnings) = findings.into_parts();
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!((keys, warnings.len()), (vec!["a", "b", "no place"], 1));
    }
}
