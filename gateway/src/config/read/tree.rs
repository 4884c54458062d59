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
use crate::config::settings::Kind;

/// A key and where it or its value stands.
#[derive(Clone)]
pub(super) struct Spot<'f> {
    findings: &'f Findings,
    key: String,
    /// What the entry of a list that it stands in is called.
    owner: Option<&'f str>,
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

    fn is_from_environment(&self) -> bool {
        let findings = self.findings;
        self.value
            .as_ref()
            .is_some_and(|value| findings.is_from_environment(value))
    }

    /// Returns the key's path, for findings about another place.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn add(&self, severity: Severity, problem: String, fix: String) {
        let (span, value) = (self.span.clone(), self.value.clone());
        self.findings
            .add_of(severity, &self.key, self.owner, span, value, problem, fix);
    }

    /// Notes what the key's value is, in the place of what was noted.
    pub(super) fn note(&self, kind: Kind) {
        self.findings.note(&self.key, |setting| setting.kind = Some(kind));
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
        self.spot.note(Kind::Text);
        self.string()
    }

    /// Looks at a string, and says nothing where it is none: whoever reads it will.
    pub(super) fn peek(&self) -> Option<&'f str> {
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
    pub(super) fn choice(&self, words: &'static [&'static str]) -> Option<&'f str> {
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
        self.spot.note(Kind::Pattern);
        Regex::new(self.string()?).map_err(broken).ok()
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
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
    pub(super) fn number(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
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
    pub(super) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
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
    pub(super) fn bytes(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
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
    pub(super) fn list(&self) -> Option<Vec<Item<'f>>> {
        self.spot.note(Kind::List);
        self.items()
    }

    fn items(&self) -> Option<Vec<Item<'f>>> {
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
    pub(super) fn section(&self, fix: &str) -> Option<Section<'f>> {
        self.spot.note(Kind::Inline);
        self.table(fix)
    }

    fn table(&self, fix: &str) -> Option<Section<'f>> {
        let DeValue::Table(table) = self.value else {
            return self.is_no("a table", fix);
        };
        Some(Section {
            spot: self.spot.clone(),
            table: Some(table),
            known: Vec::new(),
        })
    }

    /// Takes a value below another place.
    fn of(around: &Spot<'f>, key: String, value: &'f Spanned<DeValue<'f>>) -> Self {
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
    fn entry(&self, fix: &str) -> Option<Section<'f>> {
        let mut section = self.table(fix)?;
        if let Some(DeValue::String(name)) = section.table?.get("name").map(Spanned::get_ref) {
            section.spot.owner = Some(name.as_ref());
        }
        Some(section)
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
            owner: None,
            span: None,
            value: None,
        };
        Self {
            spot,
            table: Some(table),
            known: Vec::new(),
        }
    }

    /// Reads whether a key is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.get(name).is_some())
    }

    /// Returns a value that need not be there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Item<'f>> {
        self.known.push(name);
        let key = self.key_of(name);
        let value = self.table.and_then(|table| table.get(name));
        self.spot.findings.ask(&key, value);
        Some(Item::of(&self.spot, key, value?))
    }

    /// Returns a value that must be there; `example` shows one.
    pub(super) fn require(&mut self, name: &'static str, example: &str) -> Option<Item<'f>> {
        let item = self.take(name);
        let key = self.key_of(name);
        self.spot.findings.note(&key, |setting| setting.is_required = true);
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
        self.default(name, format!("\"{}\"", units::duration_text(*place)));
        self.read(name, place, |item| item.duration(bounds));
    }

    /// Puts a size in bytes in the place of its default.
    pub(super) fn size<T>(&mut self, name: &'static str, place: &mut T, bounds: RangeInclusive<u64>)
    where
        T: Copy + TryFrom<u64>,
        u64: TryFrom<T>,
    {
        let bytes = u64::try_from(*place).unwrap_or(u64::MAX);
        self.default(name, format!("\"{}\"", units::bytes_text(bytes)));
        self.read(name, place, |item| T::try_from(item.bytes(bounds)?).ok());
    }

    /// Puts a whole number in the place of its default.
    pub(super) fn number<T>(&mut self, name: &'static str, place: &mut T, bounds: RangeInclusive<u64>)
    where
        T: Copy + Display + TryFrom<u64>,
    {
        self.default(name, place.to_string());
        self.read(name, place, |item| T::try_from(item.number(bounds)?).ok());
    }

    /// Puts `true` or `false` in the place of its default.
    pub(super) fn flag(&mut self, name: &'static str, place: &mut bool) {
        self.default(name, place.to_string());
        self.read(name, place, Item::flag);
    }

    /// Notes the default of a key as it would stand in a file.
    pub(super) fn default(&self, name: &str, text: String) {
        let key = self.key_of(name);
        self.spot.findings.note(&key, |setting| setting.default = Some(text));
    }

    /// Returns a section of known keys; one that is not there has none.
    pub(super) fn section(&mut self, name: &'static str) -> Section<'f> {
        let fix = format!("write [{name}] on a line of its own, and its keys below");
        let section = self.take(name).and_then(|item| item.table(&fix));
        self.spot_of(name).note(Kind::Table);
        section.unwrap_or_else(|| Section {
            spot: self.spot_of(name),
            table: None,
            known: Vec::new(),
        })
    }

    /// Returns the sections of a `[[name]]`, of which there must be one; `example` says what is in it.
    pub(super) fn sections(&mut self, name: &'static str, example: &str) -> Vec<Section<'f>> {
        let item = self.take(name);
        self.spot_of(name).note(Kind::Tables { count_min: 1 });
        let values = match item.as_ref().map(|item| item.value) {
            Some(DeValue::Array(values)) if !values.is_empty() => item.as_ref().and_then(Item::items),
            Some(DeValue::Array(_)) | None => {
                let key = self.key_of(name);
                let fix = format!("add [[{key}]] and below it {example}");
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
        values.iter().filter_map(|item| item.entry(&fix)).collect()
    }

    /// Returns the sections of a `[[name]]` that need not be there.
    pub(super) fn optional_sections(&mut self, name: &'static str, example: &str) -> Vec<Section<'f>> {
        if self.table.is_some_and(|table| table.get(name).is_some()) {
            let sections = self.sections(name, example);
            self.spot_of(name).note(Kind::Tables { count_min: 0 });
            return sections;
        }
        self.take(name);
        self.spot_of(name).note(Kind::Tables { count_min: 0 });
        Vec::new()
    }

    /// Returns where a key stands, or where it would belong.
    pub(super) fn spot_of(&self, name: &str) -> Spot<'f> {
        let key = self.key_of(name);
        match self.table.and_then(|table| table.get(name)) {
            Some(value) => Item::of(&self.spot, key, value).spot,
            None => Spot {
                key,
                value: None,
                ..self.spot.clone()
            },
        }
    }

    /// Takes every key of a table whose keys are names of the operator's own.
    pub(super) fn entries(self) -> Vec<(String, Item<'f>)> {
        self.spot.note(Kind::Names);
        let mut entries = Vec::new();
        for (name, value) in self.table.into_iter().flatten() {
            let name = name.get_ref().as_ref();
            let item = Item::of(&self.spot, self.key_of(name), value);
            entries.push((name.to_owned(), item));
        }
        entries
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
                owner: self.spot.owner,
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
