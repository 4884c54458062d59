//! The file as a tree of places: sections that know which keys they were asked for, and values that know where they
//! stand. A value that does not fit adds a fault and reads as nothing, so that reading goes on.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use regex::bytes::Regex;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units;
use crate::config::finding::{Findings, Severity};

/// A key and where it or its value stands.
#[derive(Clone)]
pub(super) struct Spot<'f> {
    findings: &'f Findings,
    key: String,
    span: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

impl Spot<'_> {
    /// Adds what makes the configuration unusable: what is wrong, as a predicate of the key, and the way out.
    pub(super) fn fault(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Fault, problem.into(), fix.into());
    }

    /// Adds what an operator should look at.
    pub(super) fn warning(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, problem.into(), fix.into());
    }

    /// Keeps the value out of everything that is shown.
    pub(super) fn hide(&self) {
        if let Some(value) = &self.value {
            self.findings.hide(value.clone());
        }
    }

    /// Returns the key's path, for findings about another place.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn add(&self, severity: Severity, problem: String, fix: String) {
        let (span, value) = (self.span.clone(), self.value.clone());
        self.findings.add(severity, &self.key, span, value, problem, fix);
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Item<'f> {
    pub(super) spot: Spot<'f>,
    value: &'f DeValue<'f>,
}

impl<'f> Item<'f> {
    /// Reads a string.
    pub(super) fn text(&self) -> Option<&'f str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => self.is_no("a string", "write it in quotes"),
        }
    }

    /// Reads a string that is something.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, fix: &str) -> Option<T> {
        self.text()?
            .parse()
            .map_err(|error: T::Err| self.spot.fault(error.to_string(), fix))
            .ok()
    }

    /// Reads a regular expression.
    pub(super) fn regex(&self) -> Option<Regex> {
        let broken = |error: regex::Error| {
            let last_line = error.to_string().lines().last().unwrap_or_default().to_owned();
            let reason = last_line.strip_prefix("error: ").unwrap_or(&last_line);
            let fix = "correct the pattern; its syntax is that of docs.rs/regex, and '…' in TOML needs no doubled \\";
            self.spot.fault(format!("is not a regular expression: {reason}"), fix);
        };
        Regex::new(self.text()?).map_err(broken).ok()
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
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
    pub(super) fn number(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
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
    pub(super) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
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
    pub(super) fn bytes(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
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
    pub(super) fn list(&self) -> Option<Vec<Item<'f>>> {
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
            Item::of(self.spot.findings, key, value)
        });
        Some(items.collect())
    }

    /// Reads a table of known keys.
    pub(super) fn section(&self, fix: &str) -> Option<Section<'f>> {
        let DeValue::Table(table) = self.value else {
            return self.is_no("a table", fix);
        };
        Some(Section {
            spot: self.spot.clone(),
            table: Some(table),
            known: Vec::new(),
        })
    }

    fn of(findings: &'f Findings, key: String, value: &'f Spanned<DeValue<'f>>) -> Self {
        let spot = Spot {
            findings,
            key,
            span: Some(value.span()),
            value: Some(value.span()),
        };
        Self {
            spot,
            value: value.get_ref(),
        }
    }

    fn is_no<T>(&self, wanted: &str, fix: &str) -> Option<T> {
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

/// A table whose keys are asked for one by one; the rest is unknown.
pub(super) struct Section<'f> {
    pub(super) spot: Spot<'f>,
    table: Option<&'f DeTable<'f>>,
    known: Vec<&'static str>,
}

impl<'f> Section<'f> {
    /// Begins with the whole file.
    pub(super) fn root(findings: &'f Findings, table: &'f DeTable<'f>) -> Self {
        let spot = Spot {
            findings,
            key: String::new(),
            span: None,
            value: None,
        };
        Self {
            spot,
            table: Some(table),
            known: Vec::new(),
        }
    }

    /// Returns a value that need not be there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Item<'f>> {
        self.known.push(name);
        let value = self.table?.get(name)?;
        Some(Item::of(self.spot.findings, self.key_of(name), value))
    }

    /// Returns a value that must be there; `example` shows one.
    pub(super) fn require(&mut self, name: &'static str, example: &str) -> Option<Item<'f>> {
        let item = self.take(name);
        if item.is_none() {
            let fix = match self.table {
                Some(_) => format!("add it, for example: {name} = {example}"),
                None => format!("add [{}] and below it, for example: {name} = {example}", self.spot.key),
            };
            self.spot_of(name).fault("is missing", fix);
        }
        item
    }

    /// Puts a value in the place of its default where it is there and fits.
    pub(super) fn read<T>(&mut self, name: &'static str, place: &mut T, read: impl FnOnce(&Item<'f>) -> Option<T>) {
        if let Some(value) = self.take(name).and_then(|item| read(&item)) {
            *place = value;
        }
    }

    /// Puts a duration in the place of its default.
    pub(super) fn duration(&mut self, name: &'static str, place: &mut Duration, bounds: RangeInclusive<Duration>) {
        self.read(name, place, |item| item.duration(bounds));
    }

    /// Returns a section of known keys; one that is not there has none.
    pub(super) fn section(&mut self, name: &'static str) -> Section<'f> {
        let fix = format!("write [{name}] on a line of its own, and its keys below");
        let section = self.take(name).and_then(|item| item.section(&fix));
        section.unwrap_or_else(|| Section {
            spot: self.spot_of(name),
            table: None,
            known: Vec::new(),
        })
    }

    /// Returns the sections of a `[[name]]`, of which there must be one; `example` says what is in it.
    pub(super) fn sections(&mut self, name: &'static str, example: &str) -> Vec<Section<'f>> {
        let item = self.take(name);
        let values = match item.as_ref().map(|item| item.value) {
            Some(DeValue::Array(values)) if !values.is_empty() => item.as_ref().and_then(Item::list),
            Some(DeValue::Array(_)) | None => {
                let fix = format!("add [[{name}]] and below it {example}");
                self.spot_of(name).fault("is empty: there must be at least one", fix);
                None
            }
            Some(
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Table(_),
            ) => {
                let fix = format!("write [[{name}]] with double brackets on a line of its own, and its keys below");
                item.as_ref().and_then(|item| item.is_no("a list of sections", &fix))
            }
        };
        let fix = format!("write [[{name}]] on a line of its own, and its keys below");
        let values = values.unwrap_or_default();
        values.iter().filter_map(|item| item.section(&fix)).collect()
    }

    /// Returns where a key stands, or where it would belong.
    pub(super) fn spot_of(&self, name: &str) -> Spot<'f> {
        let key = self.key_of(name);
        match self.table.and_then(|table| table.get(name)) {
            Some(value) => Item::of(self.spot.findings, key, value).spot,
            None => Spot {
                key,
                value: None,
                ..self.spot.clone()
            },
        }
    }

    /// Adds a fault for each key that nobody asked for.
    pub(super) fn close(self) {
        let Some(table) = self.table else { return };
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            if self.known.contains(&text) {
                continue;
            }
            let spot = Spot {
                findings: self.spot.findings,
                key: self.key_of(text),
                span: Some(name.span()),
                value: Some(value.span()),
            };
            if SECRET_WORDS.iter().any(|word| text.contains(word)) {
                spot.hide();
            }
            spot.fault("is not a key of this version", self.nearest(text));
        }
    }

    fn nearest(&self, unknown: &str) -> String {
        if let Some(name) = self.known.iter().find(|name| name.starts_with(unknown)) {
            return format!("did you mean {name}?");
        }
        let distance = |name: &&&str| strsim::osa_distance(name, unknown);
        match self.known.iter().min_by_key(distance) {
            Some(name) if distance(&name) <= unknown.len().div_ceil(3) => format!("did you mean {name}?"),
            Some(_) | None => format!("remove it, or use one of: {}", self.known.join(", ")),
        }
    }

    fn key_of(&self, name: &str) -> String {
        if self.spot.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.spot.key)
        }
    }
}

/// A misspelt key with one of these in its name may hold what must not be shown.
const SECRET_WORDS: [&str; 4] = ["token", "password", "secret", "key"];
