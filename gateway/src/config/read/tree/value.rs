//! A value that knows where it stands. One that does not fit adds a fault and reads as nothing, so that reading goes on.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use regex::bytes::Regex;
use toml::Spanned;
use toml::de::DeValue;

use super::section::Section;
use crate::config::finding::{Findings, Severity};
use crate::config::read::units;
use crate::config::settings::Kind;

/// A key and where it or its value stands.
#[derive(Clone)]
pub(in crate::config::read) struct Spot<'f> {
    pub(super) findings: &'f Findings,
    pub(super) key: String,
    /// What the entry of a list that it stands in is called.
    pub(super) owner: Option<&'f str>,
    pub(super) span: Option<Range<usize>>,
    pub(super) value: Option<Range<usize>>,
}

impl Spot<'_> {
    /// Adds what makes the configuration unusable: what is wrong, as a predicate of the key, and the way out.
    pub(in crate::config::read) fn fault(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Fault, problem.into(), fix.into());
    }

    /// Adds what an operator should look at.
    pub(in crate::config::read) fn warning(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, problem.into(), fix.into());
    }

    /// Keeps the value out of everything that is shown.
    pub(in crate::config::read) fn hide(&self) {
        if let Some(value) = &self.value {
            self.findings.hide(value.clone());
        }
    }

    fn is_from_environment(&self) -> bool {
        let findings = self.findings;
        self.value
            .as_ref()
            .is_some_and(|value| findings.is_from_environment(value))
    }

    /// Returns the key's path, for findings about another place.
    pub(in crate::config::read) fn key(&self) -> &str {
        &self.key
    }

    fn add(&self, severity: Severity, problem: String, fix: String) {
        let (span, value) = (self.span.clone(), self.value.clone());
        self.findings
            .add_of(severity, &self.key, self.owner, span, value, problem, fix);
    }

    /// Notes what the key's value is, in the place of what was noted.
    pub(in crate::config::read) fn note(&self, kind: Kind) {
        self.findings.note(&self.key, |setting| setting.kind = Some(kind));
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(in crate::config::read) struct Item<'f> {
    pub(in crate::config::read) spot: Spot<'f>,
    pub(super) value: &'f DeValue<'f>,
}

impl<'f> Item<'f> {
    /// Reads a string.
    pub(in crate::config::read) fn text(&self) -> Option<&'f str> {
        self.spot.note(Kind::Text);
        self.string()
    }

    /// Looks at a string, and says nothing where it is none: whoever reads it will.
    pub(in crate::config::read) fn peek(&self) -> Option<&'f str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        }
    }

    /// Reads one of some words.
    pub(in crate::config::read) fn choice(&self, words: &'static [&'static str]) -> Option<&'f str> {
        self.spot.note(Kind::Choice(words));
        let text = self.string()?;
        if words.contains(&text) {
            return Some(text);
        }
        let known: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        let fix = match known.split_last() {
            Some((last, rest)) => format!("use {} or {last}", rest.join(", ")),
            None => String::new(),
        };
        self.spot.fault("is none of the words that are known here", fix);
        None
    }

    fn string(&self) -> Option<&'f str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            // A shell's variable has no quotes to say that its digits are a string.
            DeValue::Integer(number) if self.spot.is_from_environment() => Some(number.as_str()),
            DeValue::Boolean(flag) if self.spot.is_from_environment() => Some(if *flag { "true" } else { "false" }),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => self.is_no("a string", "write it in quotes"),
        }
    }

    /// Reads a string that is something.
    pub(in crate::config::read) fn parsed<T: FromStr<Err: Display>>(&self, fix: &str) -> Option<T> {
        self.text()?
            .parse()
            .map_err(|error: T::Err| self.spot.fault(error.to_string(), fix))
            .ok()
    }

    /// Reads a regular expression.
    pub(in crate::config::read) fn regex(&self) -> Option<Regex> {
        let broken = |error: regex::Error| {
            let last_line = error.to_string().lines().last().unwrap_or_default().to_owned();
            let reason = last_line.strip_prefix("error: ").unwrap_or(&last_line);
            let fix = "correct the pattern; its syntax is that of docs.rs/regex, and '…' in TOML needs no doubled \\";
            self.spot.fault(format!("is not a regular expression: {reason}"), fix);
        };
        self.spot.note(Kind::Pattern);
        Regex::new(self.string()?).map_err(broken).ok()
    }

    /// Reads `true` or `false`.
    pub(in crate::config::read) fn flag(&self) -> Option<bool> {
        self.spot.note(Kind::Flag);
        match self.value {
            DeValue::Boolean(flag) => Some(*flag),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => self.is_no("true or false", "write true or false, without quotes"),
        }
    }

    /// Reads a whole number within bounds.
    pub(in crate::config::read) fn number(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        self.spot.note(Kind::Number(*bounds.start(), *bounds.end()));
        let integer = match self.value {
            DeValue::Integer(integer) => integer,
            DeValue::String(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => return self.is_no("a whole number", "write digits, without quotes"),
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        self.within(number, &bounds, |number| number.to_string())
    }

    /// Reads a duration within bounds.
    pub(in crate::config::read) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        self.spot.note(Kind::Duration(*bounds.start(), *bounds.end()));
        let fix = "write a number with its unit, such as \"250ms\", \"2s\" or \"1m30s\"";
        let duration = match self.value {
            DeValue::String(text) => units::duration(text),
            DeValue::Integer(number) => {
                let number = number.as_str();
                let fix = format!("write \"{number}s\" for seconds or \"{number}ms\" for milliseconds");
                self.spot.fault("is a duration without a unit", fix);
                return None;
            }
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return self.is_no("a duration", fix);
            }
        };
        if duration.is_none() {
            self.spot.fault("is not a duration", fix);
        }
        self.within(Some(duration?), &bounds, |duration| {
            format!("\"{}\"", units::duration_text(*duration))
        })
    }

    /// Reads a size in bytes within bounds.
    pub(in crate::config::read) fn bytes(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        self.spot.note(Kind::Size(*bounds.start(), *bounds.end()));
        let fix = "write a whole number with its unit, such as \"512B\", \"64KiB\" or \"16MiB\"";
        let bytes = match self.value {
            DeValue::String(text) => units::bytes(text),
            DeValue::Integer(number) => {
                let number = number.as_str();
                let fix = format!("write \"{number}B\", or the same in KiB or MiB");
                self.spot.fault("is a size without a unit", fix);
                return None;
            }
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return self.is_no("a size", fix);
            }
        };
        if bytes.is_none() {
            self.spot.fault("is not a size", fix);
        }
        self.within(Some(bytes?), &bounds, |bytes| {
            format!("\"{}\"", units::bytes_text(*bytes))
        })
    }

    /// Reads a list.
    pub(in crate::config::read) fn list(&self) -> Option<Vec<Item<'f>>> {
        self.spot.note(Kind::List);
        self.items()
    }

    pub(super) fn items(&self) -> Option<Vec<Item<'f>>> {
        let values = match self.value {
            DeValue::Array(values) => values,
            DeValue::String(text) => return self.is_no("a list", &format!("write it in brackets: [{text:?}]")),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => return self.is_no("a list", "write it in brackets: [\"…\"]"),
        };
        let items = values.iter().enumerate().map(|(index, value)| {
            let key = format!("{}[{index}]", self.spot.key);
            Item::of(&self.spot, key, value)
        });
        Some(items.collect())
    }

    /// Reads a table of known keys.
    pub(in crate::config::read) fn section(&self, fix: &str) -> Option<Section<'f>> {
        self.spot.note(Kind::Inline);
        self.table(fix)
    }

    pub(super) fn table(&self, fix: &str) -> Option<Section<'f>> {
        let DeValue::Table(table) = self.value else {
            return self.is_no("a table", fix);
        };
        Some(Section::below(&self.spot, table))
    }

    /// Takes a value below another place.
    pub(super) fn of(around: &Spot<'f>, key: String, value: &'f Spanned<DeValue<'f>>) -> Self {
        let spot = Spot {
            findings: around.findings,
            key,
            owner: around.owner,
            span: Some(value.span()),
            value: Some(value.span()),
        };
        Self {
            spot,
            value: value.get_ref(),
        }
    }

    /// Reads one of several sections; findings name it by its `name`.
    pub(super) fn entry(&self, fix: &str) -> Option<Section<'f>> {
        let mut section = self.table(fix)?;
        if let DeValue::Table(table) = self.value
            && let Some(DeValue::String(name)) = table.get("name").map(Spanned::get_ref)
        {
            section.spot.owner = Some(name.as_ref());
        }
        Some(section)
    }

    pub(super) fn is_no<T>(&self, wanted: &str, fix: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.spot.fault(format!("must be {wanted}, and is {found}"), fix);
        None
    }

    fn within<T: PartialOrd>(
        &self,
        value: Option<T>,
        bounds: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let inside = value.filter(|value| bounds.contains(value));
        if inside.is_none() {
            let (low, high) = (show(bounds.start()), show(bounds.end()));
            self.spot
                .fault("is out of bounds", format!("choose from {low} to {high}"));
        }
        inside
    }
}
